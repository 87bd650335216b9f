// SPDX-License-Identifier: Apache-2.0
// Reads the pinned maps as they are, without the daemon: opens each pin read-only, checks that its layout is the
// one of abi.h, and copies it. Maps are read one after the other while the datapath works on, so a record may be
// newer than one that was read before it.
#pragma once

#include <sluice/abi.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "compile/tables.hpp"
#include "datapath/map_io.hpp"

namespace sluice::cli {

class PinnedMaps {
 public:
  /// Looks for `pin_root`/abi-N/maps. kPrecondition if it is missing or on no BPF file system (the message names the
  /// path and the remedy), kPermission if it cannot be looked at.
  static Result<PinnedMaps> open(const std::filesystem::path& pin_root);

  [[nodiscard]] const std::filesystem::path& pin_root() const { return pin_root_; }

  /// Every record of a hash map, in no order.
  template <compile::AbiRecord Key, compile::AbiRecord Value>
  Result<std::vector<std::pair<Key, Value>>> read_hash(const std::string& name) const {
    return read_records<Key, Value>(name, hash_layout(sizeof(Key), sizeof(Value)));
  }
  /// The same of an LPM trie.
  template <compile::AbiRecord Key, compile::AbiRecord Value>
  Result<std::vector<std::pair<Key, Value>>> read_prefixes(const std::string& name) const {
    return read_records<Key, Value>(name, trie_layout(sizeof(Key), sizeof(Value)));
  }

  /// Every element of an array map.
  template <compile::AbiRecord Value>
  Result<std::vector<Value>> read_array(const std::string& name) const {
    const Result<Map> map = open_map(name, array_layout(sizeof(Value)));
    if (!map) return std::unexpected(map.error());
    std::vector<Value> elements(map->shape.max_entries);
    const Status read =
        datapath::read_array(map->fd.get(), map->shape, [&elements](const std::byte* key, const std::byte* value) {
          std::uint32_t index = 0;
          std::memcpy(&index, key, sizeof(index));
          std::memcpy(&elements.at(index), value, sizeof(Value));
        });
    if (!read) return fail_in("read map " + name, read);
    return elements;
  }

  /// A per-CPU array of counters, summed over the CPUs.
  Result<std::vector<sluice_counter>> read_counters(const std::string& name) const;

 private:
  /// What a map must be. Sizes are bytes; value_size is that of one CPU.
  struct Layout {
    std::uint32_t type = 0;  ///< enum bpf_map_type
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;
  };
  struct Map {
    UniqueFd fd;
    datapath::MapShape shape;
  };

  explicit PinnedMaps(std::filesystem::path pin_root) : pin_root_(std::move(pin_root)) {}

  template <compile::AbiRecord Key, compile::AbiRecord Value>
  Result<std::vector<std::pair<Key, Value>>> read_records(const std::string& name, const Layout& layout) const {
    const Result<Map> map = open_map(name, layout);
    if (!map) return std::unexpected(map.error());
    std::vector<std::pair<Key, Value>> records;
    const Status read =
        datapath::read_hash(map->fd.get(), map->shape, [&records](const std::byte* key, const std::byte* value) {
          auto& record = records.emplace_back();
          std::memcpy(&record.first, key, sizeof(Key));
          std::memcpy(&record.second, value, sizeof(Value));
        });
    if (!read) return fail_in("read map " + name, read);
    return records;
  }

  static Layout hash_layout(std::size_t key_size, std::size_t value_size);
  static Layout trie_layout(std::size_t key_size, std::size_t value_size);
  static Layout array_layout(std::size_t value_size);
  Result<Map> open_map(const std::string& name, const Layout& layout) const;

  std::filesystem::path pin_root_;
};

}  // namespace sluice::cli
