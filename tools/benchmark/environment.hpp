// SPDX-License-Identifier: Apache-2.0
// What a figure depends on besides the code.
#pragma once

#include <string>

namespace sluice::benchmark {

struct Environment {
  std::string kernel;
  std::string machine;
  std::string cpu_model;
  unsigned cpus = 0;
  std::string date;  ///< UTC, ISO 8601
  double load = 0;   ///< load average over one minute when the run began
};

Environment read_environment();

}  // namespace sluice::benchmark
