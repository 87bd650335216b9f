// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace sluice::benchmark {

using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace sluice::benchmark
