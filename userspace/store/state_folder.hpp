// SPDX-License-Identifier: Apache-2.0
// The daemon's state folder: root-only, and one daemon's at a time.
#pragma once

#include <filesystem>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::store {

class StateFolder {
 public:
  /// Makes the folder if it is missing (mode 0700) and locks it. A folder that others can read is made private if it
  /// is empty or holds one of our databases already; any other one is refused (kPermission), because it is somebody
  /// else's. kPrecondition if another process holds the lock; the message names its pid.
  static Result<StateFolder> open(const std::filesystem::path& path);

  /// Makes sure that `name` exists in the folder as a regular file with mode 0600.
  Status make_private_file(const char* name);
  /// Writes the folder's entries to disk.
  Status sync();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  StateFolder(std::filesystem::path path, UniqueFd folder) : path_(std::move(path)), folder_(std::move(folder)) {}
  Status make_private();
  Status lock();

  std::filesystem::path path_;
  UniqueFd folder_;
  UniqueFd lock_;  ///< holds the flock
};

}  // namespace sluice::store
