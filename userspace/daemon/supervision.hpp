// SPDX-License-Identifier: Apache-2.0
// What the service manager is told (sd_notify(3)): readiness, state, and that the loop is alive.
#pragma once

#include <functional>
#include <string>

#include "node/event_loop.hpp"

namespace sluice::daemon {

/// Everything is a no-op if nobody supervises. The loop's thread alone may use it.
class Supervision {
 public:
  /// `describe` makes the one-line state that systemctl status shows. The loop must outlive it.
  Supervision(node::EventLoop& loop, std::function<std::string()> describe)
      : loop_(loop), describe_(std::move(describe)) {}
  ~Supervision() { loop_.cancel(timer_); }
  Supervision(const Supervision&) = delete;
  Supervision& operator=(const Supervision&) = delete;

  /// Says that the daemon is ready. The watchdog, if one is asked for, is fed from a timer of the loop from now on: a
  /// loop that hangs feeds it no more, and the manager ends and starts the daemon.
  void ready();
  void reloading() const;
  void reloaded() const;
  void stopping() const;

 private:
  void feed();

  node::EventLoop& loop_;
  std::function<std::string()> describe_;
  node::EventLoop::Clock::duration interval_{};
  node::EventLoop::TimerId timer_ = 0;
};

}  // namespace sluice::daemon
