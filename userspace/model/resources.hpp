// SPDX-License-Identifier: Apache-2.0
// The resources as plain values: what a user declares, before any id or address is chosen for it.
// Addresses and ports are in host byte order here (base/address.hpp); only compile/ turns them into wire order.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.hpp"

namespace sluice::model {

using Labels = std::map<std::string, std::string>;

/// Names one resource inside a network, printed as "network/name".
struct Name {
  std::string network;
  std::string name;
  auto operator<=>(const Name&) const = default;
  [[nodiscard]] std::string text() const { return network + "/" + name; }
};

/// The addresses of one pod, service or floating IP: of each family at most one.
struct Addresses {
  std::optional<Ipv4> v4;
  std::optional<Ipv6> v6;

  Addresses() = default;
  Addresses(Ipv4 address) : v4(address) {}  // NOLINT(google-explicit-constructor): one address is a set of one
  Addresses(std::optional<Ipv4> first, std::optional<Ipv6> second) : v4(first), v6(second) {}
  auto operator<=>(const Addresses&) const = default;
  [[nodiscard]] bool none() const { return !v4 && !v6; }
  /// Those of the families that `others` has too.
  [[nodiscard]] Addresses of_families(const Addresses& others) const {
    return {others.v4 ? v4 : std::nullopt, others.v6 ? v6 : std::nullopt};
  }
  /// "172.16.0.2", "fd00::2", "172.16.0.2, fd00::2"
  [[nodiscard]] std::string text() const;
};

/// Which addresses are asked for.
enum class Families : std::uint8_t {
  kAll,   ///< those that the network has
  kIpv4,  ///< IPv4 alone
  kIpv6,
  kDual,  ///< both; an error where the network has but one
};
inline bool has_ipv4(Families families) {
  return families != Families::kIpv6;
}
inline bool has_ipv6(Families families) {
  return families != Families::kIpv4;
}
std::string_view name(Families families);  ///< "", "IPv4", "IPv6", "IPv4, IPv6"

/// Transport protocols that a service port can have; the values are the IP protocol numbers.
enum class Protocol : std::uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };
std::string_view name(Protocol protocol);  ///< "TCP", "UDP", "SCTP"

/// How a network's pods reach addresses that are neither in it nor on a floating IP of it.
enum class EgressWay : std::uint8_t {
  kNode,  ///< from the node's egress address, where the node has one (default)
  kNone,  ///< not at all
};
std::string_view name(EgressWay way);  ///< "node", "none"

/// Network: one tenant's private network. Every network may use the same CIDRs.
struct Network {
  std::string name;
  Labels labels;
  Cidr4 cidr4{Ipv4{0xAC100000}, 16};  ///< default 172.16.0.0/16
  std::optional<Ipv4> router4;        ///< default: the first host address of cidr4
  std::string domain = "internal";
  std::uint32_t guaranteed_flows = 1024;     ///< flow pairs this network can always have
  std::uint32_t max_flows = 131072;          ///< guaranteed plus burst; never above the table's size
  std::uint32_t max_half_open_flows = 8192;  ///< of these, TCP flows from the public side without a handshake
  /// What pods and services without a wish of their own get. kAll: both where the network is given an IPv6 prefix.
  Families families = Families::kAll;
  /// Nothing: the network has no IPv6. A World gives a new network one if that asks for both families and names none.
  std::optional<Cidr6> cidr6{};
  EgressWay egress = EgressWay::kNode;
  auto operator<=>(const Network&) const = default;
  [[nodiscard]] Ipv4 router() const { return router4.value_or(Ipv4{cidr4.first().value + 1}); }
  /// The first address behind the subnet-router anycast address, which no host should use.
  [[nodiscard]] std::optional<Ipv6> router6() const {
    return cidr6 ? std::optional(cidr6->first().plus(1)) : std::nullopt;
  }
};

struct NamedPort {
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  auto operator<=>(const NamedPort&) const = default;
};

/// Pod: anything with a network namespace in a network.
struct Pod {
  Name name;
  Labels labels;
  std::optional<Ipv4> address4;  ///< static request; otherwise allocated once and kept for life
  std::map<std::string, NamedPort> ports;
  std::uint16_t weight = 1;  ///< share of new flows against the other backends of a service, 0 (none) to 256
  bool draining = false;     ///< state: draining. No new flows are sent here, old ones go on
  /// When those that are still there end, in milliseconds since 1970: a moment, so that it stays the same while daemons
  /// come and go. Nothing: they go on. Only of a pod that drains.
  std::optional<std::int64_t> drain_deadline{};
  Families families = Families::kAll;
  std::optional<Ipv6> address6{};  ///< as address4
  auto operator<=>(const Pod&) const = default;
};

enum class Algorithm : std::uint8_t {
  kHash,    ///< consistent hash over the whole 5-tuple (default)
  kSource,  ///< consistent hash over the client's address alone
  kRandom,  ///< each new flow picks at random
  kRoundRobin,
  kLeastConnections,  ///< the fewest live flows on this node for its weight
};
std::string_view name(Algorithm algorithm);  ///< "hash", "source", "random", "round_robin", "least_connections"

struct ServicePort {
  std::string name;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  /// A number, or the name of a pod's port (which may differ per pod; a pod without that name is no backend).
  std::variant<std::uint16_t, std::string> target_port = std::uint16_t{0};
  auto operator<=>(const ServicePort&) const = default;
};

/// Service: a stable private address in front of the pods that its selector picks.
struct Service {
  Name name;
  Labels labels;
  Labels selector;  ///< all of them must match; never empty
  std::vector<ServicePort> ports;
  std::optional<Ipv4> address4;  ///< static request, inside or outside the network's CIDR
  Algorithm algorithm = Algorithm::kHash;
  std::optional<std::string> floating_ip;  ///< the name of a FloatingIp: every port is bound on it too
  Families families = Families::kAll;
  std::optional<Ipv6> address6{};  ///< as address4
  /// Seconds for which a client keeps its pod after its last new flow; 0: no affinity.
  std::uint32_t affinity = 0;
  auto operator<=>(const Service&) const = default;
};

/// FloatingIp: a public address of one family or of both; services bind to it port by port.
struct FloatingIp {
  std::string name;
  std::optional<Ipv4> address;
  Labels labels{};
  std::string pool{};  ///< the configured pool that its addresses were allocated from; empty: the user chose them
  std::optional<Ipv6> address6{};
  [[nodiscard]] Addresses addresses() const { return {address, address6}; }
  auto operator<=>(const FloatingIp&) const = default;
};

/// Node: a machine that runs sluiced.
struct Node {
  std::string name;
  Labels labels;
  std::optional<Ipv4> underlay4;  ///< address by which other nodes reach it
  std::string public_key;         ///< WireGuard, base64 of 32 bytes; empty: none
  auto operator<=>(const Node&) const = default;
};

/// Everything that is declared, validated as a whole.
struct State {
  std::map<std::string, Network> networks;
  std::map<Name, Pod> pods;
  std::map<Name, Service> services;
  std::map<std::string, FloatingIp> floating_ips;
  std::map<std::string, Node> nodes;
  bool operator==(const State&) const = default;
};

}  // namespace sluice::model
