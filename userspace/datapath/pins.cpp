// SPDX-License-Identifier: Apache-2.0
#include "datapath/pins.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sluice/abi.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace sluice::datapath {
namespace {

namespace fs = std::filesystem;

// A pin under construction. bpffs reserves dots in names; nothing of ours ends like this.
constexpr const char* kUnfinished = "-unfinished";

// Nobody else may open a folder: whoever can, may hold its lock.
constexpr mode_t kPrivate = 0700;

fs::path without_slash(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

/// Opens a folder that is there, and nobody else's: its owner could take pins away or put others in their place.
Result<UniqueFd> open_own(const fs::path& folder) {
  UniqueFd opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened.valid()) return fail_errno("open pin folder " + folder.string());
  struct stat status{};
  if (fstat(opened.get(), &status) != 0) return fail_errno("look at pin folder " + folder.string());
  if (status.st_uid == geteuid()) return opened;
  return fail(ErrorCode::kPrecondition, "pin folder " + folder.string() + " belongs to user " +
                                            std::to_string(status.st_uid) + " instead of " + std::to_string(geteuid()) +
                                            "; remove it, or use another pin folder");
}

Result<std::vector<fs::path>> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator iterator(folder, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  for (; !error && iterator != fs::directory_iterator(); iterator.increment(error)) found.push_back(iterator->path());
  if (error) return fail_errno("list " + folder.string(), error.value());
  std::ranges::sort(found);
  return found;
}

}  // namespace

Status check_bpffs(const fs::path& path) {
  fs::path existing = fs::absolute(path).lexically_normal();
  struct statfs filesystem{};
  while (statfs(existing.c_str(), &filesystem) != 0) {
    if (errno != ENOENT || existing == existing.parent_path()) return fail_errno("look at " + existing.string());
    existing = existing.parent_path();
  }
  if (static_cast<unsigned long>(filesystem.f_type) == BPF_FS_MAGIC) return {};
  return fail(ErrorCode::kPrecondition,
              "pin folder " + path.string() +
                  " is on no BPF file system; mount one with: mount -t bpf -o mode=0700 bpf /sys/fs/bpf");
}

Result<PinFolders> PinFolders::make(const fs::path& pin_root) {
  if (auto mounted = check_bpffs(pin_root); !mounted) return std::unexpected(mounted.error());
  const fs::path top = without_slash(pin_root);
  std::error_code error;
  fs::create_directories(top.parent_path(), error);
  if (error) return fail_errno("make folder " + top.parent_path().string(), error.value());
  const fs::path root = top / ("abi-" + std::to_string(SLUICE_ABI_VERSION));
  for (const fs::path& folder : {top, root, root / "maps", root / "programs", root / "links", root / "netns"}) {
    if (mkdir(folder.c_str(), kPrivate) != 0 && errno != EEXIST) {
      return fail_errno("make pin folder " + folder.string());
    }
    auto own = open_own(folder);
    if (!own) return std::unexpected(own.error());
    // Folders of an older start may be open to others still.
    if (fchmod(own->get(), kPrivate) != 0) return fail_errno("make pin folder " + folder.string() + " private");
  }
  return lock(root);
}

Result<PinFolders> PinFolders::open(const fs::path& abi_folder) {
  return lock(abi_folder);
}

Result<PinFolders> PinFolders::lock(fs::path abi_folder) {
  auto folder = open_own(abi_folder);
  if (!folder) return std::unexpected(folder.error());
  if (flock(folder->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock pin folder " + abi_folder.string());
    return fail(ErrorCode::kPrecondition, "pin folder " + abi_folder.string() +
                                              " is in use by another process; stop the other sluiced, or give this one "
                                              "a pin folder of its own");
  }
  return PinFolders(std::move(abi_folder), std::move(*folder));
}

Result<std::vector<std::string>> PinFolders::names(const std::string& folder) const {
  auto paths = entries(root_ / folder);
  if (!paths) return std::unexpected(paths.error());
  std::vector<std::string> found;
  for (const fs::path& path : *paths) found.push_back(path.filename().string());
  return found;
}

Result<std::vector<fs::path>> abi_folders(const fs::path& pin_root) {
  auto found = entries(pin_root);
  if (found) std::erase_if(*found, [](const fs::path& path) { return !path.filename().string().starts_with("abi-"); });
  return found;
}

Status pin_over(int fd, const fs::path& path) {
  const fs::path unfinished = path.string() + kUnfinished;
  if (auto removed = remove_pin(unfinished); !removed) return removed;
  if (bpf_obj_pin(fd, unfinished.c_str()) != 0) return fail_errno("pin " + unfinished.string());
  if (std::rename(unfinished.c_str(), path.c_str()) != 0) {
    auto failure = fail_errno("pin " + path.string());
    static_cast<void>(remove_pin(unfinished));
    return failure;
  }
  return {};
}

Status remove_pin(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) return fail_errno("remove pin " + path.string(), error.value());
  return {};
}

Result<UniqueFd> open_pin(const fs::path& path) {
  UniqueFd pin(bpf_obj_get(path.c_str()));
  if (!pin.valid()) return fail_errno("open pin " + path.string());
  return pin;
}

}  // namespace sluice::datapath
