// SPDX-License-Identifier: Apache-2.0
// The states that a manifest file or a folder of them declares.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "model/resources.hpp"
#include "model/world.hpp"
#include "store/path_watch.hpp"

namespace sluice::store {

/// One valid state. Revisions only grow while the daemon runs.
struct Snapshot {
  std::uint64_t revision = 0;
  std::shared_ptr<const model::State> state;
};

/// read() reads and validates everything; its error lists the problems (at most 20). A missing path, an empty folder
/// and manifests without any resource are errors, because absence is never acted on. Revisions count the states
/// that differed from the one before, from 1 on. The caller debounces: many events may come for one change.
class ManifestStore {
 public:
  static Result<std::unique_ptr<ManifestStore>> open(const std::filesystem::path& path, model::Capacity capacity = {});
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  Result<Snapshot> read();
  /// From the next read() on.
  void set_pools(std::vector<model::Pool> pools) { capacity_.pools = std::move(pools); }
  /// A descriptor that becomes readable when read() may give something new (level-triggered until drained).
  [[nodiscard]] int watch_fd() const { return watch_->fd(); }
  /// Consumes what watch_fd() announced. True if a read() is worthwhile.
  Result<bool> drain() { return watch_->drain(); }

 private:
  ManifestStore(std::filesystem::path path, std::unique_ptr<PathWatch> watch, model::Capacity capacity)
      : path_(std::move(path)), watch_(std::move(watch)), capacity_(std::move(capacity)) {}

  std::filesystem::path path_;
  std::unique_ptr<PathWatch> watch_;
  model::Capacity capacity_;
  Snapshot last_;
};

}  // namespace sluice::store
