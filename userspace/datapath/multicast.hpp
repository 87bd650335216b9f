// SPDX-License-Identifier: Apache-2.0
// The groups in which neighbours ask for floating IPs of IPv6: solicited-node addresses (RFC 4291 2.7.1). The host has
// none of these addresses, so its stack joins none of their groups, and a network card passes up only the groups that
// it is told to. The kernel's own list is the only record of what has been joined, so a daemon that dies leaves nothing
// behind that the next one does not find.
#pragma once

#include <cstdint>
#include <set>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::datapath {

/// The Ethernet address of an IPv6 address's solicited-node group (RFC 2464 7).
Mac solicited_node_group(const Ipv6& address);

/// Lets the device receive the groups of `addresses`, and no other solicited-node group that somebody has joined for
/// the device itself, as this does (SIOCADDMULTI; `ip maddr add` does the same). What the host's stack has joined for
/// its own addresses stays. Idempotent. A device that has gone, or that filters nothing, is done already.
Status follow_groups(std::uint32_t ifindex, const std::set<Ipv6>& addresses);

}  // namespace sluice::datapath
