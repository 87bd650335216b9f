// SPDX-License-Identifier: Apache-2.0
// What differs between the records of the two families. Whatever makes, compares or finds records is written once, for
// a family F. Private to this folder.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>

#include "compile/egress.hpp"
#include "compile/tables.hpp"
#include "model/resources.hpp"

namespace sluice::compile {

struct Four {
  using Address = Ipv4;
  using EndpointKey = sluice_endpoint4_key;
  using Endpoint = sluice_endpoint4;
  using FrontendKey = sluice_frontend4_key;
  using Frontend = sluice_frontend4;
  static constexpr auto kEndpoints = &Tables::endpoints4;
  static constexpr auto kFrontends = &Tables::frontends4;
  static constexpr Table kEndpointTable = Table::kEndpoints4;
  static constexpr Table kFrontendTable = Table::kFrontends4;
  static constexpr std::uint8_t kEchoProtocol = 1;  // IPPROTO_ICMP

  static auto wire(Address address) { return address.wire(); }
  static Address from_wire(__be32 address) { return Ipv4::from_wire(address); }
  static const std::optional<Address>& of(const model::Addresses& addresses) { return addresses.v4; }
  static std::optional<Address> router(const model::Network& network) { return network.router(); }
  static std::uint8_t prefix_length(const model::Network& network) { return network.cidr4.length; }
  static __be32& backend_address(sluice_backend& backend) { return backend.address4; }
  static __be32& router_of(Frontend& frontend) { return frontend.router4; }
  static std::uint32_t filter_bit(const EndpointKey& key) { return sluice_filter_bit(key.network, key.address); }

  static constexpr auto kDenied = &Tables::denied4;
  static auto& egress(auto& egress) { return egress.v4; }
  static auto& denied(auto& egress) { return egress.denied4; }
  static sluice_prefix4 prefix(const Cidr4& cidr) { return {cidr.length, cidr.address.wire()}; }
  static Cidr4 cidr(const sluice_prefix4& prefix) {
    return {from_wire(prefix.address), static_cast<std::uint8_t>(prefix.length)};
  }
  static bool is_shared(const sluice_settings& settings, Address address) { return settings.shared4 == address.wire(); }
  static void share(sluice_settings& settings, Address address) { settings.shared4 = address.wire(); }
  static auto& address_of(auto& way) { return way.address4; }
  static auto& ref_of(auto& way) { return way.ref4; }
  static auto& first_of(auto& way) { return way.first4; }
  static auto& last_of(auto& way) { return way.last4; }
};

struct Six {
  using Address = Ipv6;
  using EndpointKey = sluice_endpoint6_key;
  using Endpoint = sluice_endpoint6;
  using FrontendKey = sluice_frontend6_key;
  using Frontend = sluice_frontend6;
  static constexpr auto kEndpoints = &Tables::endpoints6;
  static constexpr auto kFrontends = &Tables::frontends6;
  static constexpr Table kEndpointTable = Table::kEndpoints6;
  static constexpr Table kFrontendTable = Table::kFrontends6;
  static constexpr std::uint8_t kEchoProtocol = 58;  // IPPROTO_ICMPV6

  static auto wire(Address address) { return std::bit_cast<sluice_address6>(address.wire()); }
  static Address from_wire(const sluice_address6& address) {
    return Ipv6::from_wire(std::bit_cast<std::array<std::uint8_t, 16>>(address));
  }
  static const std::optional<Address>& of(const model::Addresses& addresses) { return addresses.v6; }
  static std::optional<Address> router(const model::Network& network) { return network.router6(); }
  static std::uint8_t prefix_length(const model::Network& network) { return network.cidr6 ? network.cidr6->length : 0; }
  static sluice_address6& backend_address(sluice_backend& backend) { return backend.address6; }
  static sluice_address6& router_of(Frontend& frontend) { return frontend.router6; }
  static std::uint32_t filter_bit(const EndpointKey& key) { return sluice_filter_bit6(key.network, &key.address); }

  static constexpr auto kDenied = &Tables::denied6;
  static auto& egress(auto& egress) { return egress.v6; }
  static auto& denied(auto& egress) { return egress.denied6; }
  static sluice_prefix6 prefix(const Cidr6& cidr) {
    sluice_prefix6 prefix{cidr.length, {}};
    std::ranges::copy(cidr.address.wire(), prefix.address);
    return prefix;
  }
  static Cidr6 cidr(const sluice_prefix6& prefix) {
    return {Ipv6::from_wire(std::to_array(prefix.address)), static_cast<std::uint8_t>(prefix.length)};
  }
  static bool is_shared(const sluice_settings& settings, Address address) {
    return from_wire(settings.shared6) == address;
  }
  static void share(sluice_settings& settings, Address address) { settings.shared6 = wire(address); }
  static auto& address_of(auto& way) { return way.address6; }
  static auto& ref_of(auto& way) { return way.ref6; }
  static auto& first_of(auto& way) { return way.first6; }
  static auto& last_of(auto& way) { return way.last6; }
};

/// Calls use(Four()) and use(Six()).
template <typename Use>
void each_family(Use use) {
  use(Four());
  use(Six());
}

/// The same until one fails.
template <typename Use>
Status try_each_family(Use use) {
  if (Status done = use(Four()); !done) return done;
  return use(Six());
}

template <typename F>
typename F::EndpointKey endpoint_key(std::uint32_t network, typename F::Address address) {
  typename F::EndpointKey key{};
  key.network = network;
  key.address = F::wire(address);
  return key;
}
template <typename F>
typename F::FrontendKey frontend_key(std::uint32_t network, typename F::Address address, std::uint16_t port,
                                     std::uint8_t protocol) {
  typename F::FrontendKey key{};
  key.network = network;
  key.address = F::wire(address);
  key.port = to_wire(port);
  key.protocol = protocol;
  return key;
}
/// ICMP echo to a service has a frontend of its own, without a port.
template <typename F>
typename F::FrontendKey echo_key(std::uint32_t network, typename F::Address address) {
  return frontend_key<F>(network, address, 0, F::kEchoProtocol);
}

/// The record of a table under a key; nullptr if there is none.
template <typename Table, typename Key>
auto find_record(const Table& table, const Key& key) {
  const auto found = table.find(key);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace sluice::compile
