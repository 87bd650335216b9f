// SPDX-License-Identifier: Apache-2.0
// The stages of a packet that leaves its network: the way out, what is denied, and the port that it gets.
#include "egress.hpp"

#include <sluice/select.h>

#include <algorithm>
#include <cstring>

namespace model {

namespace {

__be16 wire(std::uint16_t port) {
  return static_cast<__be16>(port << 8 | port >> 8);
}

template <typename Wire>
Wire wire(const Address& address) {
  Wire made{};
  std::memcpy(&made, address.bytes.data(), sizeof(made));
  return made;
}

std::uint64_t hash_of(const std::array<__u64, 2>& secret, const Tuple& tuple) {
  const __be16 source_port = wire(tuple.source_port), destination_port = wire(tuple.destination_port);
  if (!tuple.source.v6()) {
    return sluice_flow_hash(secret.data(), tuple.network, wire<__be32>(tuple.source), wire<__be32>(tuple.destination),
                            source_port, destination_port, tuple.protocol);
  }
  const auto source = wire<sluice_address6>(tuple.source), destination = wire<sluice_address6>(tuple.destination);
  return sluice_flow_hash6(secret.data(), tuple.network, &source, &destination,
                           sluice_ports_word(source_port, destination_port), tuple.protocol);
}

bool nowhere(const Address& address) {
  const bool link_local = !address.v6() && address.bytes[0] == 169 && address.bytes[1] == 254;
  return martian_class(address) || link_local;
}

}  // namespace

const Way* Model::way_out(const Parsed& packet) const {
  const auto found = tables.ways.find({packet.tuple.network, packet.v6});
  return found == tables.ways.end() ? nullptr : &found->second;
}

bool Model::denied(const Address& address) const {
  const auto own = tables.endpoints.find({0, address});
  if (own != tables.endpoints.end() && own->second.holder == Holder::kShared) return true;
  return nowhere(address) || std::ranges::any_of(tables.denied, [&](const auto& prefix) {
           return address.starts_with(prefix.first, prefix.second);
         });
}

/// An egress address, of its own or the node's.
bool Model::is_egress(const Address& address) const {
  const auto found = tables.endpoints.find({0, address});
  return found != tables.endpoints.end() &&
         (found->second.holder == Holder::kEgress || found->second.holder == Holder::kShared);
}

/// Into the network behind a floating IP nobody comes with an address that is of that network.
Way Model::way_across(const Parsed& packet, const Frontend& frontend) const {
  Way way = *way_out(packet);
  const bool inside = way.address.starts_with(frontend.router, frontend.length) ||
                      tables.endpoints.contains({frontend.backend_network, way.address});
  if (inside) way.address = frontend.router;
  return way;
}

Verdict Model::to_outside(const Parsed& packet, const Verdict& done) {
  const Way* way = way_out(packet);
  if (way == nullptr) return drop(SLUICE_REASON_NO_EGRESS);
  if (is_ours(packet.tuple.destination)) return to_floating(packet);
  if (denied(packet.tuple.destination)) return drop(SLUICE_REASON_EGRESS_DENIED);
  if (packet.later()) return drop(SLUICE_REASON_FRAGMENT);
  if (packet.echo_reply()) return drop(SLUICE_REASON_NO_CONNECTION);
  if (packet.icmp() && !packet.echo_request()) return drop(SLUICE_REASON_ICMP_ERROR);
  if (packet.tuple.protocol == kTcp && !packet.opening()) return refuse(packet);
  if (packet.tuple.protocol == kSctp && packet.fragment) return drop(SLUICE_REASON_FRAGMENT);
  if (packet.tuple.protocol == kSctp && !packet.init) return drop(SLUICE_REASON_NO_CONNECTION);
  if (!packet.tracked) return refuse(packet);
  if (packet.hops <= 1) return expire(packet);
  if (too_long(packet, way->ifindex)) return too_big(packet, way->ifindex);
  return leave(packet, *way, done);
}

/// One of the pod's quota, and of what its network may hold of what is asked.
sluice_reason Model::charge_egress(const Parsed& packet, const Way& way, const Verdict& done) {
  const std::uint32_t pod = packet.port->pod.slot;
  const Asked asked = asked_by(packet);
  std::map<Asked, std::uint32_t> held;
  std::uint32_t own = 0;
  for (const auto& [tuple, flow] : flows) {
    if (flow.holder == pod) ++own;
    if (flow.asked) ++held[*flow.asked];
  }
  if (own >= way.quota) return SLUICE_REASON_EGRESS_QUOTA;
  const std::uint32_t most = SLUICE_EGRESS_SHARE(way.ports()), mine = held[asked];
  if (mine >= most) return SLUICE_REASON_EGRESS_SHARE;
  if (done.reason != SLUICE_REASON_EGRESS_SHARE) return SLUICE_REASON_NONE;
  // Two that are asked may have one count, by their hash; that must be rare.
  const bool together =
      std::ranges::any_of(held, [&](const auto& entry) { return entry.first != asked && entry.second + mine >= most; });
  if (!together) return SLUICE_REASON_NONE;
  excused_.insert(asked);
  return SLUICE_REASON_EGRESS_SHARE;
}

/// The first of the ports that are tried under which `reverse` is nobody's, ended or not.
std::optional<std::uint16_t> Model::free_port(const Parsed& packet, const Way& way, Tuple reverse) const {
  reverse.destination = way.address;
  const std::uint64_t hash = hash_of(tables.secret, packet.tuple);  // with the sender's network, also if it crosses
  for (std::uint32_t attempt = 0; attempt < SLUICE_EGRESS_TRIES; ++attempt) {
    const auto bits = static_cast<std::uint32_t>(sluice_mix64(hash + attempt) >> 32);
    const auto tried = static_cast<std::uint16_t>(way.first + sluice_reduce(bits, way.ports()));
    reverse.destination_port = attempt == 0 ? packet.tuple.source_port : tried;
    if (way.has(reverse.destination_port) && !flows.contains(reverse)) return reverse.destination_port;
  }
  return std::nullopt;
}

Verdict Model::leave(const Parsed& packet, const Way& way, const Verdict& done) {
  erase_pair(packet.tuple);  // what stands here is ended, or this would not be a miss
  sluice_reason reason = charge(packet.port->slot, false);
  if (reason == SLUICE_REASON_NONE) reason = charge_egress(packet, way, done);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  Tuple reverse = left(packet);
  const auto port = free_port(packet, way, reverse);
  if (!port) return drop(SLUICE_REASON_EGRESS_PORTS);
  reverse.destination = way.address;
  reverse.destination_port = *port;
  const Flow forward{.new_source = way.address,
                     .new_destination = packet.tuple.destination,
                     .new_source_port = *port,
                     .new_destination_port = packet.tuple.destination_port,
                     .ifindex = way.ifindex,
                     .delivery = SLUICE_DELIVER_UPLINK,
                     .source = packet.port->pod,
                     .frontend = way.ref,
                     .packets = 1,
                     .bytes = packet.frame->size(),
                     .slot = packet.port->slot,
                     .holder = packet.port->pod.slot,
                     .asked = asked_by(packet)};
  add_flow(packet, reverse, forward);
  return carried(packet, forward, SLUICE_REASON_TO_EGRESS);
}

}  // namespace model
