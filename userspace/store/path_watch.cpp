// SPDX-License-Identifier: Apache-2.0
#include "store/path_watch.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <system_error>

#include "store/manifest_files.hpp"

namespace sluice::store {
namespace {

/// IN_CLOSE_WRITE, not IN_MODIFY: a file counts when its writer is done.
constexpr std::uint32_t kMask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB |
                                IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW;
constexpr std::uint32_t kAlways = IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;
/// As in the kernel's own path resolution (path_resolution(7)).
constexpr int kMaxLinks = 40;

std::deque<std::string> parts_of(const std::filesystem::path& path) {
  std::deque<std::string> parts;
  for (const auto& part : path.relative_path()) {
    if (!part.empty() && part != ".") parts.push_back(part.string());
  }
  return parts;
}

}  // namespace

Result<std::unique_ptr<PathWatch>> PathWatch::open(std::filesystem::path path) {
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return fail_errno("inotify");
  std::error_code error;
  path = std::filesystem::absolute(path, error);
  if (error) return fail_errno("path " + path.string(), error.value());
  std::unique_ptr<PathWatch> watch(new PathWatch(std::move(path), std::move(inotify)));
  if (Status done = watch->rewatch(); !done) return std::unexpected(done.error());
  return watch;
}

Status PathWatch::watch(const std::string& folder) {
  if (watches_.contains(folder)) return {};
  const int added = inotify_add_watch(inotify_.get(), folder.c_str(), kMask);
  if (added >= 0) {
    watches_[folder] = added;
    return {};
  }
  // Gone, replaced or not ours to see: its parent is watched and tells when that changes.
  if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP) return {};
  if (errno == ENOSPC) {
    return fail(ErrorCode::kExhausted, "watch " + folder +
                                           ": no inotify watch is left; raise the sysctl "
                                           "fs.inotify.max_user_watches");
  }
  return fail_errno("watch " + folder);
}

// Each folder is watched BEFORE a name in it is looked up, so a change after the lookup cannot be missed.
Status PathWatch::follow(const std::filesystem::path& path, bool top, Folders& folders) {
  std::deque<std::string> parts = parts_of(path);
  std::filesystem::path here = "/";
  int links = 0;
  while (!parts.empty()) {
    const std::string part = parts.front();
    parts.pop_front();
    if (part == "..") {
      here = here.parent_path();
      continue;
    }
    folders[here.string()].names.insert(part);
    if (Status done = watch(here.string()); !done) return done;
    std::error_code error;
    const std::filesystem::path next = here / part;
    const std::filesystem::file_status status = std::filesystem::symlink_status(next, error);
    if (error || !std::filesystem::exists(status)) return {};
    if (!std::filesystem::is_symlink(status)) {
      here = next;
      continue;
    }
    const std::filesystem::path target = std::filesystem::read_symlink(next, error);
    if (error || ++links > kMaxLinks) return {};
    if (target.is_absolute()) here = "/";
    const std::deque<std::string> more = parts_of(target);
    parts.insert(parts.begin(), more.begin(), more.end());
  }
  struct stat info{};
  if (top && ::lstat(here.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return follow_folder(here, folders);
  return {};
}

Status PathWatch::follow_folder(const std::filesystem::path& folder, Folders& folders) {
  folders[folder.string()].manifests = true;
  if (Status done = watch(folder.string()); !done) return done;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;  // an entry that vanishes meanwhile has made an event
    if (!is_manifest_name(entry->path().filename().string()) || !entry->is_symlink(ignored)) continue;
    if (Status done = follow(entry->path(), false, folders); !done) return done;
  }
  return {};
}

Status PathWatch::rewatch() {
  Folders folders;
  watches_.clear();
  Status done = follow(path_, true, folders);
  if (!done) return done;
  std::map<int, Interest> wanted;
  for (auto& [folder, interest] : folders) {
    const auto found = watches_.find(folder);
    if (found == watches_.end()) continue;
    Interest& merged = wanted[found->second];  // one folder can have two names
    merged.names.merge(interest.names);
    merged.manifests |= interest.manifests;
  }
  for (const auto& [watch, interest] : interests_) {
    if (!wanted.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
  }
  interests_ = std::move(wanted);
  return {};
}

bool PathWatch::concerns(int watch, std::uint32_t mask, const std::string& name) const {
  if ((mask & IN_Q_OVERFLOW) != 0) return true;
  const auto found = interests_.find(watch);
  if (found == interests_.end()) return false;  // a watch that rewatch() has removed
  if ((mask & kAlways) != 0) return true;
  return found->second.names.contains(name) || (found->second.manifests && is_manifest_name(name));
}

Result<bool> PathWatch::drain() {
  bool relevant = false;
  alignas(inotify_event) std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0) return fail_errno("inotify read");
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const std::string name = event.len == 0 ? "" : buffer.data() + at + sizeof(event);
      relevant |= concerns(event.wd, event.mask, name);
      at += sizeof(event) + event.len;
    }
  }
  if (!relevant) return false;
  if (Status done = rewatch(); !done) return std::unexpected(done.error());
  return true;
}

}  // namespace sluice::store
