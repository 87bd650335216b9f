// SPDX-License-Identifier: Apache-2.0
// Bulk reads and writes of one map: mmap or batches where the kernel can, element by element where it cannot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "base/result.hpp"
#include "compile/tables.hpp"
#include "datapath/maps.hpp"

namespace sluice::datapath {

using VisitRecord = std::function<void(const std::byte* key, const std::byte* value)>;

/// Calls `visit` for every element of a hash map.
Status read_hash(int fd, const MapShape& shape, const VisitRecord& visit);
/// Calls `visit` for every element of an array map that is not all zero, in order.
Status read_array(int fd, const MapShape& shape, const VisitRecord& visit);
/// Applies writes that are all updates or all deletes of this map. A delete of what is not there is fine: the
/// caller wanted it gone. The error names the key of the first write that failed.
Status write_all(int fd, const MapShape& shape, const std::vector<const compile::Write*>& writes);

template <compile::AbiRecord Key, compile::AbiRecord Value>
Status read_table(int fd, const MapShape& shape, compile::HashTable<Key, Value>& table) {
  if (shape.key_size != sizeof(Key) || shape.value_size != sizeof(Value)) {
    return fail(ErrorCode::kPrecondition, "unexpected layout: " + shape.text());
  }
  return read_hash(fd, shape, [&table](const std::byte* key, const std::byte* value) {
    Key copied_key;
    std::memcpy(&copied_key, key, sizeof(Key));
    std::memcpy(&table[copied_key], value, sizeof(Value));
  });
}

template <compile::AbiRecord Value>
Status read_table(int fd, const MapShape& shape, compile::ArrayTable<Value>& table) {
  if (shape.key_size != sizeof(std::uint32_t) || shape.value_size != sizeof(Value)) {
    return fail(ErrorCode::kPrecondition, "unexpected layout: " + shape.text());
  }
  return read_array(fd, shape, [&table](const std::byte* key, const std::byte* value) {
    std::uint32_t index = 0;
    std::memcpy(&index, key, sizeof(index));
    std::memcpy(&table.emplace_hint(table.end(), index, Value{})->second, value, sizeof(Value));
  });
}

}  // namespace sluice::datapath
