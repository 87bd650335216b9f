// SPDX-License-Identifier: Apache-2.0
// What the operator should know about this node before sluiced runs on it. Reads only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "datapath/datapath.hpp"

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

/// Checks kernel, privileges, bpffs, JIT, memory against the sizes of `options`, the firewall's hooks, and of every
/// uplink: existence, MTU (less the bytes of `mtu_reserve`), foreign XDP and tc programs, XDP queues, firewall hooks,
/// and LRO.
std::vector<Check> preflight(const Options& options, const std::vector<std::string>& uplinks,
                             std::uint32_t mtu_reserve = 0);

}  // namespace sluice::datapath
