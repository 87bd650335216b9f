// SPDX-License-Identifier: Apache-2.0
#include "datapath/map_io.hpp"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

namespace sluice::datapath {
namespace {

using compile::Write;

constexpr std::uint32_t kReadBatch = 8192;
constexpr std::size_t kWriteBatch = 16384;
// Below this a batch costs as much as the single calls that it saves.
constexpr std::size_t kWorthBatching = 8;
// What the kernel answers where a map type has no batch call; it has no name outside the kernel.
constexpr int kNotSupported = 524;

bool is_zero(const std::byte* data, std::size_t size) {
  return std::all_of(data, data + size, [](std::byte byte) { return byte == std::byte{0}; });
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

std::unexpected<Error> write_failure(const Write& write, int error_number) {
  const bool full = error_number == E2BIG || error_number == ENOSPC;
  return fail_errno(fmt::format("{} key 0x{}{}", write.value.empty() ? "delete" : "update", hex(write.key),
                                full ? " (the map is full)" : ""),
                    error_number);
}

Status write_one(int fd, const Write& write) {
  if (write.value.empty()) {
    if (bpf_map_delete_elem(fd, write.key.data()) != 0 && errno != ENOENT) return write_failure(write, errno);
    return {};
  }
  if (bpf_map_update_elem(fd, write.key.data(), write.value.data(), BPF_ANY) != 0) return write_failure(write, errno);
  return {};
}

/// Updates up to kWriteBatch elements in one call; returns how many the kernel took, and its errno.
std::size_t update_batch(int fd, const MapShape& shape, const Write* const* writes, std::size_t count,
                         int& error_number) {
  std::vector<std::byte> keys;
  std::vector<std::byte> values;
  keys.reserve(count * shape.key_size);
  values.reserve(count * shape.value_size);
  for (std::size_t i = 0; i < count; i++) {
    keys.insert(keys.end(), writes[i]->key.begin(), writes[i]->key.end());
    values.insert(values.end(), writes[i]->value.begin(), writes[i]->value.end());
  }
  auto taken = static_cast<std::uint32_t>(count);
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
  error_number = bpf_map_update_batch(fd, keys.data(), values.data(), &taken, &options) == 0 ? 0 : errno;
  // A kernel that does not know the call leaves the count as it was.
  const bool unknown = error_number == kNotSupported || error_number == EINVAL || error_number == EOPNOTSUPP;
  return unknown ? 0 : taken;
}

/// The element pitch of a memory-mapped array (kernel: round_up(value_size, 8)).
std::size_t pitch(const MapShape& shape) {
  return (std::size_t{shape.value_size} + 7) / 8 * 8;
}

/// False if the descriptor cannot be mapped: one that was opened read-only loses VM_SHARED in mmap(2), and then the
/// kernel's bpf_map_mmap() answers EINVAL.
Result<bool> read_mapped_array(int fd, const MapShape& shape, const VisitRecord& visit) {
  const std::size_t size = pitch(shape) * shape.max_entries;
  void* memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED && errno == EINVAL) return false;
  if (memory == MAP_FAILED) return fail_errno("map an array into memory");
  const auto unmap = [size](void* mapped) { munmap(mapped, size); };
  const std::unique_ptr<void, decltype(unmap)> owner(memory, unmap);
  const auto* elements = static_cast<const std::byte*>(memory);
  std::vector<std::byte> copy(shape.value_size);
  for (std::uint32_t index = 0; index < shape.max_entries; index++) {
    const std::byte* element = elements + index * pitch(shape);
    if (is_zero(element, shape.value_size)) continue;
    std::memcpy(copy.data(), element, copy.size());
    visit(reinterpret_cast<const std::byte*>(&index), copy.data());
  }
  return true;
}

/// One pass over a map by BPF_MAP_LOOKUP_BATCH.
Status read_batches(int fd, const MapShape& shape, const VisitRecord& visit) {
  std::uint32_t capacity = std::min(kReadBatch, std::max(shape.max_entries, 1U));
  std::vector<std::byte> position(std::max(shape.key_size, std::uint32_t{sizeof(std::uint32_t)}));
  bool started = false;
  while (true) {
    std::vector<std::byte> keys(std::size_t{capacity} * shape.key_size);
    std::vector<std::byte> values(std::size_t{capacity} * shape.value_size);
    std::uint32_t count = capacity;
    const int status = bpf_map_lookup_batch(fd, started ? position.data() : nullptr, position.data(), keys.data(),
                                            values.data(), &count, nullptr);
    if (status != 0 && errno == ENOSPC && capacity < 16 * kReadBatch) {
      capacity *= 2;  // one hash bucket did not fit
      continue;
    }
    const bool last = status != 0 && errno == ENOENT;
    if (status != 0 && !last) return fail_errno("read a batch");
    for (std::size_t i = 0; i < count; i++) {
      visit(keys.data() + i * shape.key_size, values.data() + i * shape.value_size);
    }
    if (last) return {};
    started = true;
  }
}

}  // namespace

Status read_hash(int fd, const MapShape& shape, const VisitRecord& visit) {
  return read_batches(fd, shape, visit);
}

Status read_array(int fd, const MapShape& shape, const VisitRecord& visit) {
  if ((shape.flags & BPF_F_MMAPABLE) != 0) {
    const Result<bool> mapped = read_mapped_array(fd, shape, visit);
    if (!mapped) return std::unexpected(mapped.error());
    if (*mapped) return {};
  }
  return read_batches(fd, shape, [&](const std::byte* key, const std::byte* value) {
    if (!is_zero(value, shape.value_size)) visit(key, value);
  });
}

Status write_all(int fd, const MapShape& shape, const std::vector<const Write*>& writes) {
  std::size_t done = 0;
  const bool batches = writes.size() > kWorthBatching && !writes.front()->value.empty();
  while (batches && done < writes.size()) {
    int error_number = 0;
    const std::size_t count = std::min(kWriteBatch, writes.size() - done);
    const std::size_t taken = update_batch(fd, shape, writes.data() + done, count, error_number);
    done += taken;
    if (error_number != 0) break;  // the single call below says which write it is, or gets along without batches
  }
  for (; done < writes.size(); done++) {
    if (auto written = write_one(fd, *writes[done]); !written) return written;
  }
  return {};
}

}  // namespace sluice::datapath
