// SPDX-License-Identifier: Apache-2.0
// The records of include/sluice/abi.h that exist once a family, as a test sees them: one type for both, in host order.
#pragma once

#include <sluice/abi.h>
#include <sluice/select.h>

#include <compare>
#include <cstdint>
#include <utility>

#include "harness/frame.hpp"

namespace bpftest {

struct EndpointKey {
  std::uint32_t network = 0;
  Address address;
};

struct FrontendKey {
  std::uint32_t network = 0;
  Address address;
  std::uint16_t port = 0;
  std::uint8_t protocol = 0;  ///< kIcmp in both families
};

struct FlowKey {
  std::uint32_t network = 0;
  std::uint8_t protocol = 0;  ///< kIcmp in both families
  Tuple tuple;
  auto operator<=>(const FlowKey&) const = default;
  [[nodiscard]] Family family() const { return tuple.source.family(); }
};

/// sluice_flow4 or sluice_flow6.
struct FlowRecord {
  FlowKey self;
  std::uint32_t stamp = 0, stamp_end = 0;
  std::uint32_t pair = 0;
  Address new_source, new_destination;
  std::uint16_t new_source_port = 0, new_destination_port = 0;
  std::uint16_t address_delta = 0, port_delta = 0;
  std::uint32_t ifindex = 0;
  std::uint8_t delivery = 0, role = 0;
  Mac destination_mac{};
  sluice_ref source{}, endpoint{}, frontend{};
  std::uint32_t state = 0;
  std::uint32_t acknowledged = 0;
  std::uint64_t last_seen = 0, packets = 0, bytes = 0;
  std::uint16_t network_slot = 0;
  std::uint32_t last_tick = 0;
};

/// The key of IPv6 tuples' digests in the tables under test.
inline constexpr sluice_digest_key kDigestKey = {
    {0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89}};

/// The names of one family: what tells its records and maps from the other's.
struct Ipv4 {
  static constexpr Family kFamily = Family::kIpv4;
  using Endpoint = sluice_endpoint4;
  using EndpointKey = sluice_endpoint4_key;
  using Frontend = sluice_frontend4;
  using FrontendKey = sluice_frontend4_key;
  using Flow = sluice_flow4;
  using FlowKey = sluice_flow4_key;
  using PairKeys = sluice_pair_keys4;
  static constexpr const char* kEndpoints = "endpoints4";
  static constexpr const char* kFrontends = "frontends4";
  static constexpr const char* kFlows = "flows4";
  template <typename Datapath>
  static PairKeys pair_keys(const Datapath& datapath, std::uint32_t index) {
    return datapath.template element<sluice_pair>("pairs", index).keys4;
  }
  static __be32 wire(const Address& address) { return address.wire4(); }
  /// What a tuple's record stands under.
  static FlowKey map_key(const FlowKey& tuple) { return tuple; }
  static Address read(__be32 wire) { return Address::of4(be(wire)); }
  static __be32& router(Frontend& record) { return record.router4; }
};

struct Ipv6 {
  static constexpr Family kFamily = Family::kIpv6;
  using Endpoint = sluice_endpoint6;
  using EndpointKey = sluice_endpoint6_key;
  using Frontend = sluice_frontend6;
  using FrontendKey = sluice_frontend6_key;
  using Flow = sluice_flow6;
  using FlowKey = sluice_flow6_key;
  using PairKeys = sluice_pair_keys6;
  static constexpr const char* kEndpoints = "endpoints6";
  static constexpr const char* kFrontends = "frontends6";
  static constexpr const char* kFlows = "flows6";
  template <typename Datapath>
  static PairKeys pair_keys(const Datapath& datapath, std::uint32_t index) {
    return datapath.template element<PairKeys>("pair_keys6", index);
  }
  static sluice_address6 wire(const Address& address) { return address.wire6(); }
  static sluice_flow6_digest map_key(const FlowKey& tuple) { return sluice_flow6_digest_of(&kDigestKey, &tuple); }
  static Address read(const sluice_address6& wire) { return Address::of6(wire); }
  static sluice_address6& router(Frontend& record) { return record.router6; }
};

/// Calls work(Ipv4{}) or work(Ipv6{}).
template <typename Work>
decltype(auto) in_family(Family family, Work&& work) {
  return family == Family::kIpv6 ? std::forward<Work>(work)(Ipv6{}) : std::forward<Work>(work)(Ipv4{});
}

template <typename Names>
typename Names::EndpointKey wire_key(Names, const EndpointKey& key) {
  typename Names::EndpointKey wire{};
  wire.network = key.network;
  wire.address = Names::wire(key.address);
  return wire;
}

template <typename Names>
typename Names::FrontendKey wire_key(Names, const FrontendKey& key) {
  typename Names::FrontendKey wire{};
  wire.network = key.network;
  wire.address = Names::wire(key.address);
  wire.port = be(key.port);
  wire.protocol = protocol_in(Names::kFamily, key.protocol);
  return wire;
}

template <typename Names>
typename Names::FlowKey wire_key(Names, const FlowKey& key) {
  const std::uint32_t protocol = protocol_in(Names::kFamily, key.protocol);
  typename Names::FlowKey wire{};
  wire.network_protocol = key.network | protocol << 24;
  wire.source = Names::wire(key.tuple.source);
  wire.destination = Names::wire(key.tuple.destination);
  wire.source_port = be(key.tuple.source_port);
  wire.destination_port = be(key.tuple.destination_port);
  return wire;
}

template <typename Names>
FlowKey read_key(Names, const typename Names::FlowKey& wire) {
  const auto protocol = static_cast<std::uint8_t>(wire.network_protocol >> 24);
  return {wire.network_protocol & 0xffffff,
          protocol == protocol_in(Names::kFamily, kIcmp) ? kIcmp : protocol,
          {Names::read(wire.source), be(wire.source_port), Names::read(wire.destination), be(wire.destination_port)}};
}

/// The whole record, but for what is reserved.
FlowRecord read_flow(const sluice_flow4& wire);
FlowRecord read_flow(const sluice_flow6& wire);
void write_flow(const FlowRecord& record, sluice_flow4& wire);
void write_flow(const FlowRecord& record, sluice_flow6& wire);

}  // namespace bpftest
