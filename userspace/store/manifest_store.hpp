// SPDX-License-Identifier: Apache-2.0
// The Store over a manifest file or a folder of them.
#pragma once

#include <filesystem>
#include <memory>

#include "base/result.hpp"
#include "store/path_watch.hpp"
#include "store/store.hpp"

namespace sluice::store {

/// read() reads and validates everything; its error lists the problems (at most 20). A missing path, an empty folder
/// and manifests without any resource are errors, because absence is never acted on. Revisions count the states
/// that differed from the one before, from 1 on. The caller debounces: many events may come for one change.
class ManifestStore : public Store {
 public:
  static Result<std::unique_ptr<ManifestStore>> open(const std::filesystem::path& path);

  Result<Snapshot> read() override;
  [[nodiscard]] int watch_fd() const override { return watch_->fd(); }
  Result<bool> drain() override { return watch_->drain(); }

 private:
  ManifestStore(std::filesystem::path path, std::unique_ptr<PathWatch> watch)
      : path_(std::move(path)), watch_(std::move(watch)) {}

  std::filesystem::path path_;
  std::unique_ptr<PathWatch> watch_;
  Snapshot last_;
};

}  // namespace sluice::store
