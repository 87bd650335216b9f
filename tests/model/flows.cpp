// SPDX-License-Identifier: Apache-2.0
// The stages of the model that know flows: hit, state, remember.
#include "bytes.hpp"
#include "egress.hpp"
#include "rewrite.hpp"

namespace model {

namespace {

constexpr std::uint32_t kHandshakeWindow = 1U << 20;
constexpr std::uint32_t kEndingWindow = 1U << 24;
constexpr std::uint16_t kFirstSubstitutePort = 61000;

std::uint32_t excess(std::uint32_t pairs, std::uint32_t guaranteed) {
  return pairs > guaranteed ? pairs - guaranteed : 0;
}

Tuple reverse_of(const Parsed& packet, const Backend& backend, const Flow& forward) {
  return {backend.network,    packet.tuple.protocol, backend.address,
          forward.new_source, backend.port,          forward.new_source_port};
}

bool hairpin(const Parsed& packet, const Backend& backend) {
  return !packet.uplink && backend.network == packet.tuple.network && backend.address == packet.tuple.source;
}

}  // namespace

void Model::track(const Parsed& packet, Flow& flow) {
  flow.packets += 1;
  flow.bytes += packet.frame->size();
  if (packet.later()) return;
  if (packet.tuple.protocol != kTcp) {
    if (flow.forward) return;
    flow.state |= SLUICE_STATE_ESTABLISHED;
    flows.at(flow.other).state &= ~static_cast<std::uint32_t>(SLUICE_STATE_HALF_OPEN_CHARGED);
    return;
  }
  Flow& other = flows.at(flow.other);
  Flow& forward = flow.forward ? flow : other;
  const bool established = (forward.state & SLUICE_STATE_ESTABLISHED) != 0;
  const bool believed = !established || packet.sequence + 1 - other.acknowledged <= kEndingWindow;
  if ((packet.flags & kRst) == 0) flow.state &= ~static_cast<std::uint32_t>(SLUICE_STATE_RST);
  if (believed && (packet.flags & kFin) != 0) flow.state |= SLUICE_STATE_FIN;
  if (believed && (packet.flags & kRst) != 0) flow.state |= SLUICE_STATE_RST;
  if (!flow.forward && !established && (packet.flags & (kSyn | kAck)) == (kSyn | kAck)) {
    forward.acknowledged = packet.sequence + 1;
    forward.state |= SLUICE_STATE_SYNACK;
  }
  if ((established || !flow.forward) && (packet.flags & (kAck | kRst)) == kAck) {
    flow.acknowledged = packet.acknowledgement;
  }
  if (!flow.forward || established) return;
  const bool proof = (packet.flags & (kSyn | kRst | kAck)) == kAck && (flow.state & SLUICE_STATE_SYNACK) != 0 &&
                     packet.acknowledgement - flow.acknowledged <= kHandshakeWindow;
  if (!proof) return;
  flow.state |= SLUICE_STATE_ESTABLISHED;
  flow.state &= ~static_cast<std::uint32_t>(SLUICE_STATE_HALF_OPEN_CHARGED);
}

std::optional<Verdict> Model::hit(Parsed& packet) {
  if (!packet.tracked) return std::nullopt;
  const auto found = flows.find(packet.tuple);
  if (found == flows.end()) return std::nullopt;
  packet.ended = !current(found->second, packet.port->pod);
  if (packet.ended) return std::nullopt;
  Flow& flow = found->second;
  if (packet.opening() && flow.forward && closing(flow)) {
    erase_pair(packet.tuple);
    return std::nullopt;
  }
  if (packet.later() && (packet.hops <= 1 || too_long(packet, flow.ifindex))) return drop(SLUICE_REASON_FRAGMENT);
  if (packet.hops <= 1) return expire(packet);
  if (too_long(packet, flow.ifindex)) return too_big(packet, flow.ifindex);
  track(packet, flow);
  const bool moved =
      flow.new_source_port != packet.tuple.source_port || flow.new_destination_port != packet.tuple.destination_port;
  if (packet.fragment && packet.tuple.protocol == kSctp && moved) return drop(SLUICE_REASON_FRAGMENT);
  if (flow.to_uplink()) return carried(packet, flow, flow.forward ? SLUICE_REASON_TO_EGRESS : SLUICE_REASON_TO_UPLINK);
  return carried(packet, flow, flow.forward ? SLUICE_REASON_TO_BACKEND : SLUICE_REASON_TO_CLIENT);
}

/// Does somebody outside claim to be inside the network behind the floating IP?
bool Model::claims_inside(const Parsed& packet, const Frontend& frontend) const {
  if (!packet.uplink) return false;
  const Address& source = packet.tuple.source;
  return source.starts_with(frontend.router, frontend.length) ||
         tables.endpoints.contains({frontend.backend_network, source});
}

/// Would a flow to this backend look like another one there, without a substitute?
bool Model::collides(const Parsed& packet, const Frontend& frontend, const Backend& backend) const {
  if (crosses(packet, frontend)) return false;
  if (claims_inside(packet, frontend)) return true;
  Flow forward{.new_source = hairpin(packet, backend) ? packet.tuple.destination : packet.tuple.source,
               .new_source_port = packet.tuple.source_port};
  const Tuple reverse = reverse_of(packet, backend, forward);
  const auto owner = flows.find(reverse);
  return reverse == packet.tuple || (owner != flows.end() && !ended(owner->second));
}

sluice_reason Model::charge(std::uint16_t slot, bool from_outside) const {
  const Limits& limits = tables.limits.at(slot);
  if (from_outside && half_open(slot) >= limits.half_open) return SLUICE_REASON_HALF_OPEN_CAP;
  const std::uint32_t own = pairs(slot);
  std::uint32_t shared = 0;
  for (const auto& [other, its] : tables.limits) shared += excess(pairs(other), its.guaranteed);
  if (own >= limits.most) return SLUICE_REASON_NETWORK_CAP;
  if (own >= limits.guaranteed && shared >= tables.shared_pairs) return SLUICE_REASON_NETWORK_CAP;
  return flows.size() / 2 >= tables.max_pairs ? SLUICE_REASON_FLOW_TABLE_FULL : SLUICE_REASON_NONE;
}

/// Fills in the source that the backend will see: the packet's own, or a substitute.
sluice_reason Model::place(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done,
                           Flow& forward) {
  if (crosses(packet, frontend)) {
    const Way way = way_across(packet, frontend);
    const sluice_reason reason = charge_egress(packet, way, done);
    if (reason != SLUICE_REASON_NONE) return reason;
    const auto port = free_port(packet, way, crossed(packet, backend));
    if (!port) return SLUICE_REASON_EGRESS_PORTS;
    forward.new_source = way.address;
    forward.new_source_port = *port;
    forward.holder = packet.port->pod.slot;
    forward.asked = asked_by(packet);
    return SLUICE_REASON_NONE;
  }
  forward.new_source = hairpin(packet, backend) ? packet.tuple.destination : packet.tuple.source;
  forward.new_source_port = packet.tuple.source_port;
  const Tuple reverse = reverse_of(packet, backend, forward);
  if (!collides(packet, frontend, backend)) {
    erase_pair(reverse);  // what stands there is ended
    return SLUICE_REASON_NONE;
  }
  if (packet.icmp()) return SLUICE_REASON_FLOW_COLLISION;
  if (done.reason != SLUICE_REASON_TO_BACKEND || done.frame->size() < packet.l4 + 2) {
    return SLUICE_REASON_FLOW_COLLISION;
  }
  forward.new_source = frontend.router;
  forward.new_source_port = read16(*done.frame, packet.l4);
  if (forward.new_source_port < kFirstSubstitutePort) complaint_ = "a substitute port below 61000";
  const auto owner = flows.find(reverse_of(packet, backend, forward));
  if (owner == flows.end()) return SLUICE_REASON_NONE;
  if (!ended(owner->second)) complaint_ = "a substitute port that another flow has";
  erase_pair(owner->first);
  return SLUICE_REASON_NONE;
}

Verdict Model::remember(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done) {
  const Tuple& tuple = packet.tuple;
  erase_pair(tuple);  // what stands here is ended, or this would not be a miss
  const bool from_outside = packet.uplink || crosses(packet, frontend);
  sluice_reason reason = charge(frontend.slot, from_outside);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  const Endpoint& receiver = tables.endpoints.at({backend.network, backend.address});
  Flow forward{.forward = true,
               .new_destination = backend.address,
               .new_destination_port = backend.port,
               .ifindex = receiver.ifindex,
               .delivery = receiver.delivery,
               .receiver = receiver.mac,
               .source = packet.port->pod,
               .endpoint = backend.pod,
               .frontend = frontend.ref,
               .packets = 1,
               .bytes = packet.frame->size(),
               .slot = frontend.slot};
  if (from_outside) forward.state = SLUICE_STATE_HALF_OPEN_CHARGED;
  reason = place(packet, frontend, backend, done, forward);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  add_flow(packet, reverse_of(packet, backend, forward), forward);
  return carried(packet, forward, SLUICE_REASON_TO_BACKEND);
}

void Model::add_flow(const Parsed& packet, const Tuple& reverse, const Flow& forward) {
  const Tuple& tuple = packet.tuple;
  Flow& added = flows[tuple] = forward;
  added.other = reverse;
  if (tuple.protocol == kTcp) added.state |= SLUICE_STATE_SYN;
  flows[reverse] = Flow{.forward = false,
                        .other = tuple,
                        .new_source = tuple.destination,
                        .new_destination = tuple.source,
                        .new_source_port = tuple.destination_port,
                        .new_destination_port = tuple.source_port,
                        .ifindex = packet.port->ifindex,
                        .delivery = packet.port->delivery,
                        .receiver = packet.port->mac,
                        .source = forward.endpoint,
                        .endpoint = packet.port->pod,
                        .frontend = forward.frontend,
                        .slot = forward.slot};
}

}  // namespace model
