// SPDX-License-Identifier: Apache-2.0
// What the operator should know about this node before sluiced runs on it. Reads only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sluice::datapath {

struct Check {
  enum class State {
    kOk,
    kWarning,  ///< sluiced runs, but something is slower or may be in the way
    kFailed,   ///< sluiced does not run like this
  };
  std::string name;  ///< "kernel", "uplink eth0: xdp", ...
  State state = State::kOk;
  std::string message;  ///< what was found
  std::string remedy;   ///< what to do; empty when all is well
};

/// Checks kernel, privileges, bpffs, JIT, and of every uplink: existence, MTU, foreign XDP and TCX programs, and LRO.
std::vector<Check> preflight(const std::filesystem::path& pin_root, const std::vector<std::string>& uplinks);

}  // namespace sluice::datapath
