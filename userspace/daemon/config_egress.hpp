// SPDX-License-Identifier: Apache-2.0
// The part of the configuration about how pods leave for the public side.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "model/world.hpp"
#include "node/egress_config.hpp"
#include "node/uplinks.hpp"
#include "store/fields.hpp"

namespace sluice::daemon {

inline constexpr std::array<std::string_view, 6> kEgressKeys{"device", "address4",      "address6",
                                                             "ports",  "flows_per_pod", "deny"};
/// egress. Without the key nobody leaves. Needs what was read of uplinks and floating_ip_pools.
void read_egress(const store::Fields& fields, const store::Context& context,
                 const std::vector<node::UplinkConfig>& uplinks, const std::vector<model::Pool>& pools,
                 std::optional<node::EgressConfig>& egress);

}  // namespace sluice::daemon
