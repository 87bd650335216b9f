// SPDX-License-Identifier: Apache-2.0
// One thread that waits for descriptors, timers and tasks from other threads (epoll).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::node {

/// Everything but post() and stop() belongs to the thread that calls run(), or to the one that has not called it yet.
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = std::function<void()>;
  using TimerId = std::uint64_t;

  static Result<std::unique_ptr<EventLoop>> open();

  /// Calls `readable` as long as `fd` has something to read (level-triggered). The descriptor stays the caller's and
  /// must be forgotten before it is closed.
  Status watch(int fd, Task readable);
  void forget(int fd);

  /// Calls `task` once, no earlier than `when`. The id is never 0.
  TimerId at(Clock::time_point when, Task task);
  TimerId after(Clock::duration delay, Task task) { return at(Clock::now() + delay, std::move(task)); }
  /// Fine if the timer has fired already.
  void cancel(TimerId id);

  /// From any thread: runs `task` on the loop's thread, in the order of the calls. False if the loop has ended: the
  /// task is then dropped without having run. A task that was accepted always runs, at the latest when run() ends.
  [[nodiscard]] bool post(Task task);

  /// Until stop(). Tasks that were posted before are run before it returns. An exception from a task ends the process:
  /// those who wait for the loop would wait for ever, and the datapath goes on without it.
  Status run() noexcept;
  /// From any thread.
  void stop();

 private:
  EventLoop(UniqueFd epoll, UniqueFd wake);
  Status run_until_stopped();
  [[nodiscard]] int timeout_milliseconds() const;
  void run_timers();
  void run_tasks();
  void ring() const;
  void silence() const;

  UniqueFd epoll_;
  UniqueFd wake_;  ///< eventfd: something was posted, or stop() was called
  std::map<int, std::shared_ptr<Task>> watches_;
  std::map<std::pair<Clock::time_point, TimerId>, Task> timers_;
  TimerId last_timer_ = 0;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;  ///< guards posted_ and ended_
  std::vector<Task> posted_;
  bool ended_ = false;
};

}  // namespace sluice::node
