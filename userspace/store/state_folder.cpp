// SPDX-License-Identifier: Apache-2.0
#include "store/state_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

namespace sluice::store {
namespace {

constexpr mode_t kOthers = 077;

std::string trimmed(const std::array<char, 32>& buffer, ssize_t size) {
  std::string text(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Result<StateFolder> StateFolder::open(const std::filesystem::path& path) {
  const std::string shown = "state folder " + path.string();
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  if (error) return fail_errno(shown, error.value());
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(shown);
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() && errno == ENOTDIR) {
    return fail(ErrorCode::kInvalid, shown + ": is no folder; remove the file or choose another path");
  }
  if (!folder.valid()) return fail_errno(shown);
  StateFolder result(path, std::move(folder));
  if (Status done = result.make_private(); !done) return fail_in(shown, done);
  if (Status done = result.lock(); !done) return fail_in(shown, done);
  return result;
}

Status StateFolder::make_private() {
  struct stat info{};
  if (fstat(folder_.get(), &info) != 0) return fail_errno("stat");
  if (info.st_uid != geteuid()) {
    return fail(ErrorCode::kPermission, "belongs to user " + std::to_string(info.st_uid) + ", not to " +
                                            std::to_string(geteuid()) + "; change its owner or choose another folder");
  }
  if ((info.st_mode & kOthers) == 0) return {};
  std::error_code error;
  const bool ours =
      faccessat(folder_.get(), "state.db", F_OK, 0) == 0 || faccessat(folder_.get(), "store.db", F_OK, 0) == 0;
  const bool empty = std::filesystem::is_empty(path_, error);
  if (!ours && (error || !empty)) {
    return fail(ErrorCode::kPermission,
                "is open to other users and holds other files; choose a folder of its own, or chmod 0700 it");
  }
  if (fchmod(folder_.get(), 0700) != 0) return fail_errno("chmod 0700");
  return {};
}

Status StateFolder::lock() {
  lock_.reset(openat(folder_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return fail_errno("lock file");
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno("lock");
    std::array<char, 32> buffer{};
    const ssize_t size = pread(lock_.get(), buffer.data(), buffer.size(), 0);
    const std::string pid = trimmed(buffer, size);
    return fail(ErrorCode::kPrecondition, "is in use by the process with pid " + (pid.empty() ? "unknown" : pid) +
                                              "; stop it, or choose another folder");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_.get(), 0) != 0) return fail_errno("lock file");
  if (pwrite(lock_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return fail_errno("lock file");
  }
  return {};
}

Status StateFolder::make_private_file(const char* name) {
  const std::string shown = (path_ / name).string();
  const UniqueFd file(openat(folder_.get(), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!file.valid()) return fail_errno(shown);
  struct stat info{};
  if (fstat(file.get(), &info) != 0) return fail_errno(shown);
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalid, shown + ": is no regular file; remove it");
  if ((info.st_mode & kOthers) != 0 && fchmod(file.get(), 0600) != 0) return fail_errno(shown);
  return {};
}

Status StateFolder::sync() {
  if (fsync(folder_.get()) != 0) return fail_errno("sync " + path_.string());
  return {};
}

}  // namespace sluice::store
