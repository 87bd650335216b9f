// SPDX-License-Identifier: Apache-2.0
// The stages of the model that know flows: hit, frontend, select, remember, refuse.
#include <algorithm>

#include "bytes.hpp"
#include "model.hpp"
#include "parse.hpp"

namespace model {

namespace {

constexpr std::size_t kL4 = 34;
constexpr std::uint32_t kHandshakeWindow = 1U << 20;
constexpr std::uint32_t kEndingWindow = 1U << 24;
constexpr Mac kRouterMac = SLUICE_ROUTER_MAC;

Verdict drop(sluice_reason reason) {
  return {reason, std::nullopt};
}

std::uint32_t excess(std::uint32_t pairs, std::uint32_t guaranteed) {
  return pairs > guaranteed ? pairs - guaranteed : 0;
}

}  // namespace

void Model::track(const Parsed& packet, Flow& flow) {
  flow.packets += 1;
  flow.bytes += packet.frame->size();
  if (packet.tuple.protocol != 6) {
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
  if (found == flows.end() || !current(found->second, packet.port->pod)) return std::nullopt;
  Flow& flow = found->second;
  constexpr std::uint32_t kClosing = SLUICE_STATE_FIN | SLUICE_STATE_RST;
  const bool opening = packet.tuple.protocol == 6 && (packet.flags & (kSyn | kAck)) == kSyn;
  if (opening && flow.forward && ((flow.state | flows.at(flow.other).state) & kClosing) != 0) {
    erase_pair(packet.tuple);
    return std::nullopt;
  }
  track(packet, flow);
  const sluice_reason reason = flow.forward     ? SLUICE_REASON_TO_BACKEND
                               : flow.to_uplink ? SLUICE_REASON_TO_UPLINK
                                                : SLUICE_REASON_TO_CLIENT;
  return Verdict{reason, rewritten(*packet.frame, flow)};
}

Verdict Model::miss(Parsed& packet, const Verdict& done) {
  const Tuple& tuple = packet.tuple;
  if (tuple.protocol == 6 || tuple.protocol == 17 || packet.echo_request()) {
    const auto found =
        tables.frontends.find({tuple.network, tuple.destination, tuple.destination_port, tuple.protocol});
    if (found != tables.frontends.end()) return select(packet, found->second, done);
  }
  return packet.uplink ? to_floating(packet) : to_address(packet);
}

Verdict Model::to_floating(const Parsed& packet) const {
  if (packet.echo_request()) return answer_echo(packet);
  if (packet.tuple.protocol == 1) return drop(SLUICE_REASON_ICMP_ERROR);
  if (packet.tuple.protocol == 17) return refuse(packet);
  if (packet.tuple.protocol != 6) return drop(SLUICE_REASON_PROTOCOL);
  return (packet.flags & (kSyn | kAck)) == kSyn ? refuse(packet) : drop(SLUICE_REASON_NO_CONNECTION);
}

Verdict Model::to_address(const Parsed& packet) {
  const Port& port = *packet.port;
  const Tuple& tuple = packet.tuple;
  const auto found = tables.endpoints.find({tuple.network, tuple.destination});
  if (found == tables.endpoints.end()) {
    const bool inside = (tuple.destination & port.mask) == port.cidr;
    return drop(inside ? SLUICE_REASON_NO_SUCH_ADDRESS : SLUICE_REASON_NO_EGRESS);
  }
  const Endpoint& endpoint = found->second;
  if (endpoint.holder == Holder::kRouter) {
    return packet.echo_request() ? answer_echo(packet) : drop(SLUICE_REASON_ROUTER_CLOSED);
  }
  if (endpoint.holder == Holder::kService) {
    if (tuple.protocol == 6 || tuple.protocol == 17) return refuse(packet);
    if (tuple.protocol == 1 && !packet.tracked) return drop(SLUICE_REASON_ICMP_ERROR);
    return drop(SLUICE_REASON_PROTOCOL);
  }
  if (!endpoint.attached) return drop(SLUICE_REASON_POD_DETACHED);
  if (tuple.protocol == 6 && (packet.flags & (kSyn | kAck)) == kSyn) {
    const Tuple answer{tuple.network, tuple.protocol,         tuple.destination,
                       tuple.source,  tuple.destination_port, tuple.source_port};
    const auto owner = flows.find(answer);
    if (owner != flows.end() && !owner->second.forward && !ended(owner->second)) {
      constexpr std::uint32_t kClosing = SLUICE_STATE_FIN | SLUICE_STATE_RST;
      const bool closing = ((owner->second.state | flows.at(owner->second.other).state) & kClosing) != 0;
      if (!closing) return drop(SLUICE_REASON_FLOW_COLLISION);
      erase_pair(answer);
    }
  }
  Bytes out = *packet.frame;
  if (read_mac(out, 0) != endpoint.mac) {
    write_mac(out, 0, endpoint.mac);
    write_mac(out, 6, kRouterMac);
  }
  return {SLUICE_REASON_TO_POD, out};
}

Verdict Model::refuse(const Parsed& packet) const {
  const std::uint8_t protocol = packet.tuple.protocol;
  if (protocol == 6 && (packet.flags & kRst) != 0) return drop(SLUICE_REASON_NO_CONNECTION);
  if (protocol == 1) return drop(SLUICE_REASON_PROTOCOL);
  if (!tables.refusals_allowed) return drop(SLUICE_REASON_REFUSAL_LIMITED);
  if (protocol == 6) return {SLUICE_REASON_REFUSED_TCP, reset_for(packet)};
  return {SLUICE_REASON_REFUSED_UNREACHABLE, unreachable_for(packet)};
}

Verdict Model::answer_echo(const Parsed& packet) const {
  if (!tables.refusals_allowed) return drop(SLUICE_REASON_REFUSAL_LIMITED);
  return {SLUICE_REASON_ECHO_ANSWERED, echo_answer(packet)};
}

sluice_reason Model::judge(const Frontend& frontend, const Backend& backend) const {
  if (backend.network != frontend.backend_network) return SLUICE_REASON_TABLE_CHANGED;
  const auto found = tables.endpoints.find({backend.network, backend.address});
  if (found == tables.endpoints.end() || found->second.holder != Holder::kPod) return SLUICE_REASON_STALE_ENDPOINT;
  const Endpoint& endpoint = found->second;
  const bool fits = endpoint.attached && endpoint.pod == backend.pod;
  return fits ? SLUICE_REASON_NONE : SLUICE_REASON_STALE_ENDPOINT;
}

/// Does somebody outside claim to be inside the network behind the floating IP?
bool Model::claims_inside(const Parsed& packet, const Frontend& frontend) const {
  if (!packet.uplink) return false;
  const std::uint32_t source = packet.tuple.source;
  return ((source ^ frontend.router) & frontend.mask) == 0 ||
         tables.endpoints.contains({frontend.backend_network, source});
}

/// Would a flow to this backend look like another one there, without a substitute?
bool Model::collides(const Parsed& packet, const Frontend& frontend, const Backend& backend) const {
  const Tuple& tuple = packet.tuple;
  if (claims_inside(packet, frontend)) return true;
  const bool hairpin = !packet.uplink && backend.network == tuple.network && backend.address == tuple.source;
  const std::uint32_t source = hairpin ? tuple.destination : tuple.source;
  const Tuple reverse{backend.network, tuple.protocol, backend.address, source, backend.port, tuple.source_port};
  const auto owner = flows.find(reverse);
  return reverse == tuple || (owner != flows.end() && !ended(owner->second));
}

/// The ready backend that the program has chosen, as far as its result tells; any that explains the result otherwise.
const Backend* Model::picked(const Parsed& packet, const Frontend& frontend, const Verdict& done) {
  const Backend* any = nullptr;
  for (const Backend& backend : frontend.backends) {
    if (!backend.ready) continue;
    const bool delivered = done.reason == SLUICE_REASON_TO_BACKEND && done.frame && done.frame->size() >= kL4 + 4;
    const sluice_reason verdict = judge(frontend, backend);
    const bool usable = verdict == SLUICE_REASON_NONE;
    const bool stale = done.reason == SLUICE_REASON_STALE_ENDPOINT || done.reason == SLUICE_REASON_TABLE_CHANGED;
    const bool explains = delivered                                     ? read32(*done.frame, 30) == backend.address
                          : done.reason == SLUICE_REASON_FLOW_COLLISION ? usable && collides(packet, frontend, backend)
                                                                        : (stale ? verdict == done.reason : usable);
    if (explains) any = &backend;
    if (any == nullptr) any = &backend;
    if (!explains) continue;
    if (!delivered || !frontend.sticky) return &backend;
    const auto [before, fresh] = chosen_.try_emplace(packet.tuple, backend.address);
    if (!fresh && before->second != backend.address) complaint_ = "the same tuple found another backend";
    return &backend;
  }
  return any;
}

Verdict Model::select(Parsed& packet, const Frontend& frontend, const Verdict& done) {
  packet.charged = frontend.slot;
  if (packet.tuple.protocol == 6 && (packet.flags & (kSyn | kAck)) != kSyn) {
    return packet.uplink ? drop(SLUICE_REASON_NO_CONNECTION) : refuse(packet);
  }
  const Backend* backend = picked(packet, frontend, done);
  if (backend == nullptr) return refuse(packet);
  const sluice_reason reason = judge(frontend, *backend);
  return reason == SLUICE_REASON_NONE ? remember(packet, frontend, *backend, done) : drop(reason);
}

sluice_reason Model::charge(const Parsed& packet, std::uint16_t slot) const {
  const Limits& limits = tables.limits.at(slot);
  if (packet.uplink && half_open(slot) >= limits.half_open) {
    return SLUICE_REASON_HALF_OPEN_CAP;
  }
  const std::uint32_t own = pairs(slot);
  std::uint32_t shared = 0;
  for (const auto& [other, its] : tables.limits) shared += excess(pairs(other), its.guaranteed);
  if (own >= limits.most) return SLUICE_REASON_NETWORK_CAP;
  if (own >= limits.guaranteed && shared >= tables.shared_pairs) return SLUICE_REASON_NETWORK_CAP;
  return flows.size() / 2 >= tables.max_pairs ? SLUICE_REASON_FLOW_TABLE_FULL : SLUICE_REASON_NONE;
}

Verdict Model::remember(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done) {
  const Tuple& tuple = packet.tuple;
  erase_pair(tuple);  // what stands here is ended, or this would not be a miss
  const sluice_reason reason = charge(packet, frontend.slot);
  if (reason != SLUICE_REASON_NONE) return drop(reason);

  Flow forward{.forward = true, .new_destination = backend.address, .new_destination_port = backend.port};
  const bool hairpin = !packet.uplink && backend.network == tuple.network && backend.address == tuple.source;
  forward.new_source = hairpin ? tuple.destination : tuple.source;
  forward.new_source_port = tuple.source_port;
  forward.receiver = tables.endpoints.at({backend.network, backend.address}).mac;
  forward.source = packet.port->pod;
  forward.endpoint = backend.pod;
  forward.frontend = frontend.ref;
  forward.slot = frontend.slot;
  if (tuple.protocol == 6) forward.state = SLUICE_STATE_SYN;
  if (packet.uplink) forward.state |= SLUICE_STATE_HALF_OPEN_CHARGED;
  const auto reverse_tuple = [&] {
    return Tuple{backend.network,    tuple.protocol, backend.address,
                 forward.new_source, backend.port,   forward.new_source_port};
  };
  const auto owner = flows.find(reverse_tuple());
  const bool barred = reverse_tuple() == tuple || claims_inside(packet, frontend);  // a hairpin can be its own reverse
  if (!barred && owner != flows.end() && ended(owner->second)) {
    erase_pair(owner->first);
  } else if (owner != flows.end() || barred) {
    if (tuple.protocol == 1) return drop(SLUICE_REASON_FLOW_COLLISION);
    forward.new_source = frontend.router;
    if (!done.frame || done.frame->size() < kL4 + 2) return drop(SLUICE_REASON_FLOW_COLLISION);
    forward.new_source_port = read16(*done.frame, kL4);
    if (forward.new_source_port < 61000) complaint_ = "a substitute port below 61000";
    if (flows.contains(reverse_tuple())) complaint_ = "a substitute port that another flow has";
  }
  forward.other = reverse_tuple();
  forward.packets = 1;
  forward.bytes = packet.frame->size();

  Flow reverse{.forward = false, .other = tuple, .new_source = tuple.destination, .new_destination = tuple.source};
  reverse.new_source_port = tuple.destination_port;
  reverse.new_destination_port = tuple.source_port;
  reverse.to_uplink = packet.uplink;
  reverse.receiver = packet.port->mac;
  reverse.source = backend.pod;
  reverse.endpoint = packet.port->pod;
  reverse.frontend = frontend.ref;
  reverse.slot = frontend.slot;
  flows[tuple] = forward;
  flows[forward.other] = reverse;
  return {SLUICE_REASON_TO_BACKEND, rewritten(*packet.frame, forward)};
}

}  // namespace model
