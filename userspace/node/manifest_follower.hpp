// SPDX-License-Identifier: Apache-2.0
// Keeps the repository equal to a folder of manifests: the way to run a small set-up without anybody who calls the API.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "node/event_loop.hpp"
#include "store/manifest_store.hpp"
#include "store/repository.hpp"

namespace sluice::node {

class ManifestFollower {
 public:
  using Judge = std::function<Status(const model::State&, const model::Assignments&)>;

  /// Loop, manifests and repository must outlive it. `debounce`: from the last change of the files to reading them;
  /// `limit`: from the first one, while they go on changing.
  ManifestFollower(EventLoop& loop, store::ManifestStore& manifests, store::Repository& repository,
                   std::chrono::milliseconds debounce, std::chrono::milliseconds limit);
  ~ManifestFollower();
  ManifestFollower(const ManifestFollower&) = delete;
  ManifestFollower& operator=(const ManifestFollower&) = delete;

  /// Begins to watch. `judge` is asked before a state is stored; `taken` is called after each reading.
  Status watch(Judge judge, std::function<void()> taken);

  /// Reads the files now and stores what they say, as one transaction or not at all.
  Status take();
  /// take(), then taken().
  void reload();

  /// Of the last reading; empty if it went well.
  [[nodiscard]] const std::string& error() const { return error_; }
  /// It may go well later without a change of the files.
  [[nodiscard]] bool may_pass() const { return may_pass_; }

 private:
  void changed();

  EventLoop& loop_;
  store::ManifestStore& manifests_;
  store::Repository& repository_;
  const std::chrono::milliseconds debounce_;
  const std::chrono::milliseconds limit_;
  Judge judge_;
  std::function<void()> taken_;
  std::string error_;
  bool may_pass_ = false;
  EventLoop::TimerId timer_ = 0;
  EventLoop::Clock::time_point latest_;  ///< while timer_ runs: when the files are read however they go on changing
};

}  // namespace sluice::node
