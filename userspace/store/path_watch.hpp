// SPDX-License-Identifier: Apache-2.0
// Watches whatever a path leads to, now and later (inotify).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::store {

/// inotify watches inodes, not names. To notice every way in which the content behind a path can change (a file
/// renamed over it, a folder or any parent replaced, a symbolic link turned to another target, deletion and
/// re-creation), each folder that the resolution of the path goes through is watched for the name that matters in
/// it; after an event the path is resolved anew.
class PathWatch {
 public:
  static Result<std::unique_ptr<PathWatch>> open(std::filesystem::path path);

  [[nodiscard]] int fd() const { return inotify_.get(); }
  /// Consumes the events; true if one concerns the path's content. When it returns, later changes make fd()
  /// readable again, so what is read from now on is never stale for long.
  Result<bool> drain();

 private:
  PathWatch(std::filesystem::path path, UniqueFd inotify) : path_(std::move(path)), inotify_(std::move(inotify)) {}

  struct Interest {
    std::set<std::string> names;
    bool manifests = false;  ///< every manifest name, and the file's content
  };
  using Folders = std::map<std::string, Interest>;

  Status rewatch();
  /// Notes the folders that `path` leads through; `top` if it is the watched path itself, whose folder counts whole.
  Status follow(const std::filesystem::path& path, bool top, Folders& folders);
  Status follow_folder(const std::filesystem::path& folder, Folders& folders);
  Status watch(const std::string& folder);
  [[nodiscard]] bool concerns(int watch, std::uint32_t mask, const std::string& name) const;

  std::filesystem::path path_;
  UniqueFd inotify_;
  std::map<int, Interest> interests_;   ///< by watch descriptor
  std::map<std::string, int> watches_;  ///< by folder, while rewatch() runs
};

}  // namespace sluice::store
