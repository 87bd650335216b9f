// SPDX-License-Identifier: Apache-2.0
// The part of preflight() that looks at one uplink.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "datapath/firewall.hpp"
#include "datapath/preflight.hpp"

namespace sluice::datapath {

/// Appends what is found about `device`; `chains` are those of the whole namespace.
void check_uplink(const std::string& device, const Result<std::vector<FirewallChain>>& chains,
                  std::vector<Check>& checks);

}  // namespace sluice::datapath
