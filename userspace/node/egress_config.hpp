// SPDX-License-Identifier: Apache-2.0
// How pods leave the node, as the configuration says it (docs/config.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "compile/egress.hpp"

namespace sluice::node {

/// Which address of a family pods leave by.
template <typename Address>
struct EgressWish {
  enum class Kind : std::uint8_t {
    kNode,       ///< the device's first, which the host's own sockets have too
    kNone,       ///< nobody leaves by this family
    kDedicated,  ///< `address`, which nobody else has
  };
  Kind kind = Kind::kNode;
  Address address{};
  bool asked = false;  ///< somebody wrote it: that there is no such address is a problem then
  auto operator<=>(const EgressWish&) const = default;
};

struct EgressConfig {
  std::string device;  ///< an uplink's
  EgressWish<Ipv4> address4;
  EgressWish<Ipv6> address6;
  compile::PortRange ports{16384, 29999};  ///< of the node's own addresses
  std::uint32_t flows_per_pod = 4096;
  std::vector<Cidr4> deny4;
  std::vector<Cidr6> deny6;
  bool operator==(const EgressConfig&) const = default;
};

/// Of a dedicated address: all but the ports that servers have by custom (RFC 6335 6).
inline constexpr compile::PortRange kDedicatedPorts{1024, 65535};

}  // namespace sluice::node
