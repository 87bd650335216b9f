// SPDX-License-Identifier: Apache-2.0
// `status --preflight`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/invocation.hpp"

namespace sluice::cli {

struct PreflightRequest {
  std::vector<std::string> uplinks;
  std::string pin_root = "/sys/fs/bpf/sluice";
  std::uint32_t max_flows = 262144;
  std::string mtu_reserve = "none";
};

/// Runs the checks of datapath/preflight.hpp here, without the daemon. kNotFound if one failed.
ExitStatus run_preflight(const PreflightRequest& request, Format format, const Streams& streams);

}  // namespace sluice::cli
