// SPDX-License-Identifier: Apache-2.0
#include "daemon/supervision.hpp"

#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstdint>

namespace sluice::daemon {

void Supervision::ready() {
  ::sd_notify(0, ("READY=1\nSTATUS=" + describe_()).c_str());
  std::uint64_t limit = 0;
  if (::sd_watchdog_enabled(0, &limit) <= 0) return;
  interval_ = std::chrono::microseconds(limit / 3);  // one may be late
  feed();
}

void Supervision::feed() {
  ::sd_notify(0, ("WATCHDOG=1\nSTATUS=" + describe_()).c_str());
  timer_ = loop_.after(interval_, [this] { feed(); });
}

void Supervision::reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  ::sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds)).c_str());
}

void Supervision::reloaded() const {
  ::sd_notify(0, ("READY=1\nSTATUS=" + describe_()).c_str());
}

void Supervision::stopping() const {
  ::sd_notify(0, "STOPPING=1\nSTATUS=stopping; the datapath goes on");
}

}  // namespace sluice::daemon
