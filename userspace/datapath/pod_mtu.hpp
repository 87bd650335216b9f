// SPDX-License-Identifier: Apache-2.0
// The MTU of pods' devices while they are in use: both ends of each pair.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice::datapath {

inline constexpr std::uint32_t kSmallestPodMtu = 1280;  ///< every IPv6 link has as much (RFC 8200 section 5)
inline constexpr std::uint32_t kLargestPodMtu = 65535;
inline constexpr std::uint32_t kUsualMtu = 1500;  ///< where there is no uplink

/// By how many bytes a packet may grow on its way, by what the configuration calls it: nothing; VXLAN in IPv6 (Ethernet
/// 14, IPv6 40, UDP 8, VXLAN 8); that in WireGuard in IPv6 (IPv6 40, UDP 8, WireGuard 32).
inline constexpr std::array<std::string_view, 3> kMtuReserveNames{"none", "tunnel", "encryption"};
inline constexpr std::array<std::uint32_t, 3> kMtuReserves{0, 70, 70 + 80};
/// Of one of these names.
constexpr std::uint32_t mtu_reserve(std::string_view name) {
  return kMtuReserves.at(
      static_cast<std::size_t>(std::ranges::find(kMtuReserveNames, name) - kMtuReserveNames.begin()));
}

/// What set_pod_mtus() found and did.
struct PodMtus {
  unsigned changed = 0;                         ///< pairs
  std::map<std::uint32_t, std::string> failed;  ///< by the host side's ifindex: why
  std::uint32_t smallest = 0;                   ///< of all host sides, now; 0: there is none
};

/// Gives both ends of the pairs that MTU: `pods` maps the host side's ifindex to the cookie of the namespace in which
/// the other end lives. What is right already is not touched. The ends are changed in the order in which no packet
/// that one of them may send is too long for the other; where the pod's end cannot be lowered the host's stays as it
/// is. Pairs that have gone are passed over.
Result<PodMtus> set_pod_mtus(const std::map<std::uint32_t, std::uint64_t>& pods, std::uint32_t mtu);

}  // namespace sluice::datapath
