// SPDX-License-Identifier: Apache-2.0
// The node's way out: by which addresses pods reach the public side, and what they may not reach there.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.hpp"

namespace sluice::compile {

/// Ports of an egress address that flows get, host order, both included.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  auto operator<=>(const PortRange&) const = default;
};

/// An egress address of one family.
template <typename Address>
struct EgressAddress {
  Address address;
  /// The node's own: its sockets have the ports outside of the range. Otherwise nobody else has the address, and the
  /// datapath answers for it.
  bool shared = false;
  PortRange ports;
  auto operator<=>(const EgressAddress&) const = default;
};

struct Egress {
  std::uint32_t ifindex = 0;  ///< of the uplink that flows leave by; 0: nobody leaves
  std::optional<EgressAddress<Ipv4>> v4;
  std::optional<EgressAddress<Ipv6>> v6;
  std::uint32_t flows_per_pod = 0;  ///< live flows that leave, of each pod
  /// Where no pod gets to: the node's own addresses, other nodes', what the configuration names. Overlaps are fine.
  std::vector<Cidr4> denied4;
  std::vector<Cidr6> denied6;
  bool operator==(const Egress&) const = default;
};

}  // namespace sluice::compile
