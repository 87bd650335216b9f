// SPDX-License-Identifier: Apache-2.0
// What a figure depends on besides the code.
#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
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

/// In one line, which the caller goes on with.
std::ostream& operator<<(std::ostream& out, const Environment& environment);
nlohmann::json json_of(const Environment& environment);

}  // namespace sluice::benchmark
