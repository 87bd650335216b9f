// SPDX-License-Identifier: Apache-2.0
// Addresses of either family, and the names of one family: what tells its records and maps from the other's.
#pragma once

#include <sluice/abi.h>
#include <sluice/select.h>

#include <array>
#include <cstdint>
#include <utility>

#include "base/address.hpp"

namespace sluice::benchmark {

enum class Family : std::uint8_t { kIpv4, kIpv6 };

/// Four words in host order; an IPv4 address is the last of them.
struct Address {
  Family family = Family::kIpv4;
  std::array<std::uint32_t, 4> words{};

  [[nodiscard]] __be32 wire4() const { return Ipv4{words[3]}.wire(); }
  [[nodiscard]] sluice_address6 wire6() const {
    sluice_address6 wire{};
    for (std::size_t at = 0; at < words.size(); ++at) wire.words[at] = Ipv4{words.at(at)}.wire();
    return wire;
  }
};

/// The key of IPv6 tuples' digests in these tables.
inline constexpr sluice_digest_key kDigestKey = {
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0}};

struct Names4 {
  using Endpoint = sluice_endpoint4;
  using Frontend = sluice_frontend4;
  using FrontendKey = sluice_frontend4_key;
  using Flow = sluice_flow4;
  using FlowKey = sluice_flow4_key;  ///< a tuple
  static constexpr const char* kEndpoints = "endpoints4";
  static constexpr const char* kFrontends = "frontends4";
  static constexpr const char* kFlows = "flows4";
  static __be32 wire(const Address& address) { return address.wire4(); }
  /// What a tuple's record stands under.
  static FlowKey map_key(const FlowKey& tuple) { return tuple; }
  static std::uint32_t filter_bit(std::uint32_t network, const Address& address) {
    return sluice_filter_bit(network, address.wire4());
  }
};

struct Names6 {
  using Endpoint = sluice_endpoint6;
  using Frontend = sluice_frontend6;
  using FrontendKey = sluice_frontend6_key;
  using Flow = sluice_flow6;
  using FlowKey = sluice_flow6_key;
  static constexpr const char* kEndpoints = "endpoints6";
  static constexpr const char* kFrontends = "frontends6";
  static constexpr const char* kFlows = "flows6";
  static sluice_address6 wire(const Address& address) { return address.wire6(); }
  static sluice_flow6_digest map_key(const FlowKey& tuple) { return sluice_flow6_digest_of(&kDigestKey, &tuple); }
  static std::uint32_t filter_bit(std::uint32_t network, const Address& address) {
    const sluice_address6 wire = address.wire6();
    return sluice_filter_bit6(network, &wire);
  }
};

/// Calls work(Names4{}) or work(Names6{}).
template <typename Work>
decltype(auto) in_family(Family family, Work&& work) {
  return family == Family::kIpv6 ? std::forward<Work>(work)(Names6{}) : std::forward<Work>(work)(Names4{});
}

}  // namespace sluice::benchmark
