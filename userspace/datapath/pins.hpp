// SPDX-License-Identifier: Apache-2.0
// The folders of pins: <pin_root>/abi-N/{maps,programs,links,netns}, and the lock of whoever may change them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::datapath {

class PinFolders {
 public:
  /// Makes what is missing and takes the lock, which ends with the process. kPrecondition with a remedy if
  /// `pin_root` is on no bpffs, or another process holds the lock.
  static Result<PinFolders> make(const std::filesystem::path& pin_root);
  /// The same for folders that exist; `abi_folder` is one of abi_folders().
  static Result<PinFolders> open(const std::filesystem::path& abi_folder);

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path map(const std::string& name) const { return root_ / "maps" / name; }
  [[nodiscard]] std::filesystem::path program(const std::string& name) const { return root_ / "programs" / name; }
  [[nodiscard]] std::filesystem::path link(const std::string& name) const { return root_ / "links" / name; }
  /// The names in one of the folders; none if the folder is missing.
  [[nodiscard]] Result<std::vector<std::string>> names(const std::string& folder) const;

 private:
  PinFolders(std::filesystem::path root, UniqueFd lock) : root_(std::move(root)), lock_(std::move(lock)) {}
  static Result<PinFolders> lock(std::filesystem::path abi_folder);

  std::filesystem::path root_;
  UniqueFd lock_;
};

/// kPrecondition with a remedy unless `path`, or its nearest existing parent, is on a bpffs.
Status check_bpffs(const std::filesystem::path& path);
/// The abi-N folders of every version under `pin_root`.
Result<std::vector<std::filesystem::path>> abi_folders(const std::filesystem::path& pin_root);
/// Pins `fd` at `path` in one step, over whatever is pinned there.
Status pin_over(int fd, const std::filesystem::path& path);
/// Removes a pin or an empty folder; fine if it is gone.
Status remove_pin(const std::filesystem::path& path);
/// Opens a pin. kNotFound if there is none.
Result<UniqueFd> open_pin(const std::filesystem::path& path);

}  // namespace sluice::datapath
