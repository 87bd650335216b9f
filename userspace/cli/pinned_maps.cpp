// SPDX-License-Identifier: Apache-2.0
#include "cli/pinned_maps.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sluice/abi.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

namespace sluice::cli {
namespace {

constexpr const char* kRootRemedy = "; run sluicectl as root";

std::filesystem::path maps_folder(const std::filesystem::path& pin_root) {
  return pin_root / ("abi-" + std::to_string(SLUICE_ABI_VERSION)) / "maps";
}

std::string other_abi_versions(const std::filesystem::path& pin_root) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(pin_root, ignored)) {
    const std::string folder = entry.path().filename().string();
    if (folder.starts_with("abi-")) found.push_back(folder);
  }
  std::ranges::sort(found);
  std::string list;
  for (const std::string& folder : found) list += (list.empty() ? "" : ", ") + folder;
  return list;
}

std::unexpected<Error> missing(const std::filesystem::path& pin_root, const std::filesystem::path& maps) {
  const std::string others = other_abi_versions(pin_root);
  if (!others.empty()) {
    return fail(ErrorCode::kPrecondition, "no pinned maps in " + maps.string() + "; there are pins of " + others +
                                              ": use the sluicectl of the version that made them");
  }
  return fail(ErrorCode::kPrecondition,
              "no pinned maps in " + maps.string() + "; start sluiced, or name its pin root with --pin-root");
}

/// A pinned program or link opens as well as a map does, so the kind is asked for.
bool is_map(int fd) {
  std::error_code error;
  const auto kind = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
  return !error && kind.string() == "anon_inode:bpf-map";
}

std::string layout_text(std::uint32_t type, std::uint32_t key_size, std::uint32_t value_size) {
  return "type " + std::to_string(type) + " with keys of " + std::to_string(key_size) + " and values of " +
         std::to_string(value_size) + " bytes";
}

}  // namespace

Result<PinnedMaps> PinnedMaps::open(const std::filesystem::path& pin_root) {
  const std::filesystem::path maps = maps_folder(pin_root);
  struct statfs information{};
  if (::statfs(maps.c_str(), &information) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) return missing(pin_root, maps);
    if (error == EACCES || error == EPERM) {
      return fail(ErrorCode::kPermission, "no permission to look into " + maps.string() + kRootRemedy);
    }
    return fail_errno("look into " + maps.string(), error);
  }
  if (static_cast<unsigned long>(information.f_type) != BPF_FS_MAGIC) {
    return fail(ErrorCode::kPrecondition, maps.string() + " is not on a BPF file system, so nothing can be pinned " +
                                              "there; name the pin root of sluiced with --pin-root");
  }
  return PinnedMaps(pin_root);
}

PinnedMaps::Layout PinnedMaps::hash_layout(std::size_t key_size, std::size_t value_size) {
  return {BPF_MAP_TYPE_HASH, static_cast<std::uint32_t>(key_size), static_cast<std::uint32_t>(value_size)};
}

PinnedMaps::Layout PinnedMaps::trie_layout(std::size_t key_size, std::size_t value_size) {
  return {BPF_MAP_TYPE_LPM_TRIE, static_cast<std::uint32_t>(key_size), static_cast<std::uint32_t>(value_size)};
}

PinnedMaps::Layout PinnedMaps::array_layout(std::size_t value_size) {
  return {BPF_MAP_TYPE_ARRAY, sizeof(std::uint32_t), static_cast<std::uint32_t>(value_size)};
}

Result<PinnedMaps::Map> PinnedMaps::open_map(const std::string& name, const Layout& layout) const {
  const std::filesystem::path path = maps_folder(pin_root_) / name;
  LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = BPF_F_RDONLY);
  UniqueFd fd(bpf_obj_get_opts(path.c_str(), &options));
  if (!fd.valid()) {
    const int error = errno;
    if (error == ENOENT) {
      return fail(ErrorCode::kPrecondition,
                  "no pinned map " + path.string() + "; start sluiced, which makes what is missing");
    }
    if (error == EACCES || error == EPERM) {
      return fail(ErrorCode::kPermission, "no permission to open the map " + path.string() + kRootRemedy);
    }
    return fail_errno("open the map " + path.string(), error);
  }
  if (!is_map(fd.get())) return fail(ErrorCode::kUnsupported, path.string() + " is pinned but is no map");
  const Result<datapath::MapShape> shape = datapath::map_shape(fd.get());
  if (!shape) return fail_in("map " + path.string(), shape);
  if (shape->type != layout.type || shape->key_size != layout.key_size || shape->value_size != layout.value_size) {
    return fail(ErrorCode::kUnsupported,
                "map " + path.string() + " is not as ABI " + std::to_string(SLUICE_ABI_VERSION) +
                    " says: " + layout_text(shape->type, shape->key_size, shape->value_size) + " instead of " +
                    layout_text(layout.type, layout.key_size, layout.value_size) +
                    "; use the sluicectl that belongs to the running sluiced");
  }
  return Map{std::move(fd), *shape};
}

Result<std::vector<sluice_counter>> PinnedMaps::read_counters(const std::string& name) const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count the possible CPUs", -cpus);
  const Result<Map> map = open_map(name, {BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(std::uint32_t), sizeof(sluice_counter)});
  if (!map) return std::unexpected(map.error());
  std::vector<sluice_counter> sums(map->shape.max_entries);
  std::vector<sluice_counter> values(static_cast<std::size_t>(cpus));
  for (std::uint32_t index = 0; index < sums.size(); index++) {
    if (bpf_map_lookup_elem(map->fd.get(), &index, values.data()) != 0) return fail_errno("read map " + name);
    for (const sluice_counter& value : values) {
      sums[index].packets += value.packets;
      sums[index].bytes += value.bytes;
    }
  }
  return sums;
}

}  // namespace sluice::cli
