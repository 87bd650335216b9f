// SPDX-License-Identifier: Apache-2.0
// Files that are there as a whole or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"

namespace sluice::store {

/// errno as an error; kExhausted for a full disk, kPermission for a read-only one, with what to do.
std::unexpected<Error> fail_disk(std::string_view what);

std::filesystem::path beside(const std::filesystem::path& file, std::string_view suffix);

/// A file (mode 0600) that is being made; removed with what SQLite puts beside it unless it was put into its place.
class DraftFile {
 public:
  /// Makes it empty; what an interrupted attempt left is removed.
  static Result<DraftFile> make(const std::filesystem::path& path);
  DraftFile(DraftFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  DraftFile(const DraftFile&) = delete;
  DraftFile& operator=(const DraftFile&) = delete;
  DraftFile& operator=(DraftFile&&) = delete;
  ~DraftFile() { remove(); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Syncs it and gives it its name, in one step, durably. Nobody has it open.
  Status move_to(const std::filesystem::path& target, bool replace);

 private:
  explicit DraftFile(std::filesystem::path path) : path_(std::move(path)) {}
  void remove() const;
  std::filesystem::path path_;
};

}  // namespace sluice::store
