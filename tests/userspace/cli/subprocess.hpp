// SPDX-License-Identifier: Apache-2.0
// Runs the sluicectl that was built, as a user would.
#pragma once

#include <string>
#include <vector>

namespace sluice::testing {

struct Outcome {
  int status = -1;  ///< exit status; -1: ended by a signal
  std::string out;
  std::string err;
};

enum class User { kRoot, kNobody };

/// `user` kNobody: without root's user id, groups and capabilities. `input` is what stands on its standard input.
Outcome run_sluicectl(const std::vector<std::string>& arguments, User user = User::kRoot,
                      const std::string& input = "");

}  // namespace sluice::testing
