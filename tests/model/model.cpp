// SPDX-License-Identifier: Apache-2.0
// The entry points, and what the tables say.
#include "model.hpp"

#include <algorithm>

#include "bytes.hpp"
#include "parse.hpp"

namespace model {

namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kArp = 0x0806, kVlan = 0x8100, kServiceVlan = 0x88a8;

/// What from_uplink and uplink_xdp check by shape alone, in this order.
sluice_reason uplink_shape(const Bytes& frame, bool v6) {
  const sluice_reason reason = header_shape(frame, v6);
  if (reason != SLUICE_REASON_NONE) return reason;
  const Address source = read_address(frame, source_at(v6), v6);
  if (source == read_address(frame, destination_at(v6), v6)) return SLUICE_REASON_LAND;
  return martian_class(source) ? SLUICE_REASON_MARTIAN : SLUICE_REASON_NONE;
}

bool broadcast(const Address& destination, const Side& side) {
  if (destination.v6()) return false;
  return destination == Address{4, {255, 255, 255, 255}} || destination == side.prefix ||
         destination == side.prefix.last_of(side.length);
}

bool is_ip(const Bytes& frame, std::uint16_t ethertype) {
  return (ethertype == kIpv4 && frame.size() >= kIp + 20) || (ethertype == kIpv6 && frame.size() >= kIp + 40);
}

}  // namespace

bool Model::live(const std::map<std::uint32_t, std::uint32_t>& generations, const Ref& ref) const {
  const auto found = generations.find(ref.slot);
  return (found == generations.end() ? 0 : found->second) == ref.generation;
}

bool Model::ended(const Flow& flow) const {
  return !live(tables.endpoint_generations, flow.source) || !live(tables.endpoint_generations, flow.endpoint) ||
         !live(tables.frontend_generations, flow.frontend);
}

bool Model::current(const Flow& flow, const Ref& source) const {
  return flow.source == source && live(tables.endpoint_generations, flow.endpoint) &&
         live(tables.frontend_generations, flow.frontend);
}

bool Model::closing(const Flow& flow) const {
  constexpr std::uint32_t kClosing = SLUICE_STATE_FIN | SLUICE_STATE_RST;
  return ((flow.state | flows.at(flow.other).state) & kClosing) != 0;
}

std::optional<Holder> Model::holder_of(const Address& address) const {
  const auto found = tables.endpoints.find({0, address});
  return found == tables.endpoints.end() ? std::nullopt : std::optional(found->second.holder);
}

bool Model::is_ours(const Address& address) const {
  const auto holder = holder_of(address);
  return holder == Holder::kFloating || holder == Holder::kEgress;
}

/// Of what comes whole, or first, to the node's own address: is it not the host's?
bool Model::in_shared_range(const Parsed& packet) const {
  if (is_icmp_error(packet)) return !packet.fragment;
  if (packet.icmp() && !packet.echo_reply()) return false;
  const std::uint16_t port = packet.tuple.destination_port;
  return packet.tracked && port >= tables.shared_first && port <= tables.shared_last;
}

void Model::erase_pair(const Tuple& tuple) {
  const auto found = flows.find(tuple);
  if (found == flows.end()) return;
  const Tuple other = found->second.other;
  flows.erase(found);
  flows.erase(other);
}

std::uint32_t Model::pairs(std::uint16_t slot) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(
      flows, [&](const auto& entry) { return entry.second.forward && entry.second.slot == slot; }));
}

std::map<std::uint32_t, std::uint32_t> Model::quotas() const {
  std::map<std::uint32_t, std::uint32_t> held;
  for (const auto& [tuple, flow] : flows) {
    if (flow.holder != 0) ++held[flow.holder];
  }
  return held;
}

std::uint32_t Model::half_open(std::uint16_t slot) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(flows, [&](const auto& entry) {
    return entry.second.slot == slot && (entry.second.state & SLUICE_STATE_HALF_OPEN_CHARGED) != 0;
  }));
}

Verdict Model::from_pod(std::uint32_t ifindex, const Bytes& frame, const Verdict& done) {
  complaint_.clear();
  const auto found = tables.ports.find(ifindex);
  if (found == tables.ports.end() || found->second.uplink) return drop(SLUICE_REASON_NO_PORT);
  const Port& port = found->second;
  if (read_mac(frame, 6) != port.mac) return drop(SLUICE_REASON_SPOOFED_MAC);
  const std::uint16_t ethertype = read16(frame, 12);
  switch (ethertype) {
    case kArp:
      return arp_from_pod(port, frame);
    case kVlan:
    case kServiceVlan:
      return drop(SLUICE_REASON_VLAN);
    case kIpv4:
    case kIpv6:
      return ip_from_pod(port, frame, ethertype == kIpv6, done);
    default:
      return drop(SLUICE_REASON_ETHERTYPE);
  }
}

Verdict Model::ip_from_pod(const Port& port, const Bytes& frame, bool v6, const Verdict& done) {
  if (frame.size() < kIp + header_size(v6)) return drop(SLUICE_REASON_TRUNCATED);
  sluice_reason reason = header_shape(frame, v6);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  const Side& side = port.side(v6);
  if (side.address.none()) return drop(SLUICE_REASON_NO_FAMILY);
  if (v6 && neighbour_discovery(frame)) return discovery_from_pod(port, frame);
  Parsed packet = parsed(frame, port, v6);
  const Tuple& tuple = packet.tuple;
  const bool multicast = tuple.destination.group() || frame[0] % 2 == 1;
  const bool spoofed = tuple.source != side.address;
  if (v6 && multicast) return drop(SLUICE_REASON_MULTICAST);
  if (spoofed) return drop(SLUICE_REASON_SPOOFED_IP);
  if (broadcast(tuple.destination, side)) return drop(SLUICE_REASON_BROADCAST);
  if (multicast) return drop(SLUICE_REASON_MULTICAST);
  if (tuple.source == tuple.destination) return drop(SLUICE_REASON_LAND);
  reason = transport(packet);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  if (auto verdict = fragment(packet, done)) return *verdict;
  if (auto verdict = hit(packet)) return *verdict;
  if (auto verdict = error(packet)) return *verdict;
  return miss(packet, done);
}

Verdict Model::from_uplink(std::uint32_t ifindex, const Bytes& frame, const Verdict& done) {
  complaint_.clear();
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  const Port& port = tables.ports.at(ifindex);
  const std::uint16_t ethertype = read16(frame, 12);
  if (ethertype == kArp) return arp_from_uplink(port, frame);
  if (!is_ip(frame, ethertype)) return foreign;
  const bool v6 = ethertype == kIpv6;
  if (v6 && neighbour_discovery(frame)) return discovery_from_uplink(port, frame);
  const auto holder = holder_of(read_address(frame, destination_at(v6), v6));
  if (read_mac(frame, 0) != port.mac || !holder) return foreign;
  const bool shared = holder == Holder::kShared;
  sluice_reason reason = uplink_shape(frame, v6);
  if (reason != SLUICE_REASON_NONE) return shared ? foreign : drop(reason);
  Parsed packet = parsed(frame, port, v6);
  reason = transport(packet);
  if (reason != SLUICE_REASON_NONE) return shared ? foreign : drop(reason);
  if (shared && !packet.later() && !in_shared_range(packet)) return foreign;
  if (auto verdict = fragment(packet, done)) {
    return shared && verdict->reason == SLUICE_REASON_FRAGMENT_UNKNOWN ? foreign : *verdict;
  }
  if (auto verdict = hit(packet)) return *verdict;
  return miss_from_uplink(packet, *holder, done);
}

Verdict Model::miss_from_uplink(Parsed& packet, Holder holder, const Verdict& done) {
  const Verdict foreign{SLUICE_REASON_FOREIGN, *packet.frame};
  const bool shared = holder == Holder::kShared, is_error = is_icmp_error(packet);
  if (shared && packet.of_ended_connection()) return refuse(packet);
  if (shared && packet.icmp() && packet.tracked) return foreign;  // an echo reply, or a part of one
  if (shared && !is_error) return drop(SLUICE_REASON_EGRESS_UNSOLICITED);
  if (!shared && is_ours(packet.tuple.source)) return drop(SLUICE_REASON_MARTIAN);
  const bool request = packet.icmp() && packet.icmp_type == echo_request_of(packet.v6);  // whatever its code
  if (holder == Holder::kEgress && packet.of_ended_connection()) return refuse(packet);
  if (holder == Holder::kEgress && !is_error && !request) return drop(SLUICE_REASON_EGRESS_UNSOLICITED);
  const auto verdict = error(packet);
  if (shared && (!verdict || verdict->reason == SLUICE_REASON_FOREIGN_QUOTE)) return foreign;
  return verdict ? *verdict : miss(packet, done);
}

Verdict Model::uplink_xdp(std::uint32_t ifindex, const Bytes& frame) const {
  const Port& port = tables.ports.at(ifindex);
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  const std::uint16_t ethertype = read16(frame, 12);
  if (!is_ip(frame, ethertype)) return foreign;
  const bool v6 = ethertype == kIpv6;
  if (!is_ours(read_address(frame, destination_at(v6), v6))) return foreign;
  const sluice_reason reason = uplink_shape(frame, v6);
  if (reason == SLUICE_REASON_NONE) return {SLUICE_REASON_XDP_TO_TC, frame};
  return read_mac(frame, 0) == port.mac ? drop(reason) : foreign;
}

}  // namespace model
