// SPDX-License-Identifier: Apache-2.0
// The part of preflight() that looks at one uplink.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "datapath/firewall.hpp"
#include "datapath/preflight.hpp"

namespace sluice::datapath {

/// Appends what is found about `device`; `chains` are those of the whole namespace, `mtu_reserve` are the bytes by
/// which a packet may grow on its way out.
void check_uplink(const std::string& device, std::uint32_t mtu_reserve,
                  const Result<std::vector<FirewallChain>>& chains, std::vector<Check>& checks);

}  // namespace sluice::datapath
