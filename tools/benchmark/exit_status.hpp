// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iostream>
#include <string_view>

#include "base/result.hpp"

namespace sluice::benchmark {

/// How a benchmark ends: with 0, or with 1 and what went wrong on standard error.
inline int exit_status(std::string_view program, const Status& measured) {
  if (measured) return 0;
  std::cerr << program << ": " << measured.error().message << '\n';
  return 1;
}

}  // namespace sluice::benchmark
