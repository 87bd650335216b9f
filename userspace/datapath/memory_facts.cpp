// SPDX-License-Identifier: Apache-2.0
#include "datapath/memory_facts.hpp"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "datapath/object.hpp"
#include "datapath/object_bytes.hpp"

namespace sluice::datapath {
namespace {

namespace fs = std::filesystem;

// From kernel/bpf/hashtab.c: the head of an element and a bucket.
constexpr std::uint64_t kHashElementHead = 48;
constexpr std::uint64_t kHashBucket = 16;

std::uint64_t round_up_8(std::uint64_t size) {
  return (size + 7) / 8 * 8;
}

/// As Object::load sizes them.
std::uint64_t entries_of(const bpf_map* map, const Options& options) {
  const std::uint32_t configured = configured_entries(bpf_map__name(map), options);
  return configured != 0 ? configured : bpf_map__max_entries(map);
}

std::uint64_t bytes_of(const bpf_map* map, std::uint64_t entries) {
  static const auto kCpus = static_cast<std::uint64_t>(sysconf(_SC_NPROCESSORS_CONF));
  const std::uint64_t value = round_up_8(bpf_map__value_size(map));
  switch (bpf_map__type(map)) {
    case BPF_MAP_TYPE_HASH: {
      const std::uint64_t buckets = std::bit_ceil(entries) * kHashBucket;
      if ((bpf_map__map_flags(map) & BPF_F_NO_PREALLOC) != 0) return buckets;
      return buckets + entries * (kHashElementHead + round_up_8(bpf_map__key_size(map)) + value);
    }
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      return entries * (value * kCpus + sizeof(void*));
    case BPF_MAP_TYPE_STACK:
      return (entries + 1) * bpf_map__value_size(map);
    default:
      return entries * value;
  }
}

std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::string text;
  if (!(file >> text)) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;  // "max": no limit
  return number;
}

struct Hierarchy {
  const char* limit;
  const char* used;
};
constexpr Hierarchy kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes"};
constexpr Hierarchy kVersion2{"memory.max", "memory.current"};
// Version 1 writes "no limit" as the largest number of pages.
constexpr std::uint64_t kUnlimited = 1ULL << 60;

/// Where the hierarchy of that file system type is mounted whose mount has that option.
fs::path mount_point(const fs::path& process, const std::string& type, const std::string& option) {
  std::ifstream mounts(process / "mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream tail(line.substr(dash + 3));
    std::string found;
    std::string source;
    std::string options;
    tail >> found >> source >> options;
    if (found != type || ("," + options + ",").find("," + option + ",") == std::string::npos) continue;
    std::istringstream head(line);
    std::string skipped;
    std::string target;
    head >> skipped >> skipped >> skipped >> skipped >> target;
    return target;
  }
  return {};
}

/// The tightest limit from `group` up to the mount.
void look_upwards(const fs::path& mount, const std::string& group, const Hierarchy& names,
                  std::optional<MemoryLimit>& tightest) {
  if (mount.empty()) return;
  for (fs::path relative = fs::path(group).relative_path();; relative = relative.parent_path()) {
    const fs::path folder = relative.empty() ? mount : mount / relative;
    const auto limit = read_number(folder / names.limit);
    const auto used = read_number(folder / names.used).value_or(0);
    if (limit && *limit < kUnlimited) {
      const std::uint64_t left = *limit - std::min(*limit, used);
      if (!tightest || left < tightest->limit - std::min(tightest->limit, tightest->used)) {
        tightest = MemoryLimit{.control_group = folder.string(), .limit = *limit, .used = used};
      }
    }
    if (relative.empty()) return;
  }
}

}  // namespace

Result<std::uint64_t> map_bytes(const Options& options) {
  std::size_t size = 0;
  const void* bytes = sluice_object_bytes(&size);
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = "sluice");
  const std::unique_ptr<bpf_object, void (*)(bpf_object*)> object(bpf_object__open_mem(bytes, size, &open_options),
                                                                  bpf_object__close);
  if (!object) return fail_errno("read the BPF object");
  std::uint64_t sum = 0;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) sum += bytes_of(map, entries_of(map, options));
  return sum;
}

std::optional<MemoryLimit> memory_limit(const fs::path& process) {
  std::optional<MemoryLimit> tightest;
  std::ifstream groups(process / "cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") look_upwards(mount_point(process, "cgroup2", "rw"), group, kVersion2, tightest);
    if (controllers.find(",memory,") != std::string::npos) {
      look_upwards(mount_point(process, "cgroup", "memory"), group, kVersion1, tightest);
    }
  }
  return tightest;
}

std::optional<std::uint64_t> available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kilobytes = 0;
    if (words >> name >> kilobytes && name == "MemAvailable:") return kilobytes * 1024;
  }
  return std::nullopt;
}

}  // namespace sluice::datapath
