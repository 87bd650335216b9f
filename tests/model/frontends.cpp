// SPDX-License-Identifier: Apache-2.0
// The stages of a packet that no flow carries: who has its destination, which backend gets it, what it is answered.
#include <algorithm>

#include "answer.hpp"
#include "bytes.hpp"
#include "egress.hpp"
#include "rewrite.hpp"

namespace model {

const Frontend* Model::find_frontend(const Parsed& packet) const {
  const Tuple& tuple = packet.tuple;
  const bool with_ports = tuple.protocol == kTcp || tuple.protocol == kUdp || tuple.protocol == kSctp;
  if (packet.later() || (!with_ports && !packet.echo_request())) return nullptr;
  auto found = tables.frontends.find({tuple.network, tuple.destination, tuple.destination_port, tuple.protocol});
  if (found != tables.frontends.end()) return &found->second;
  if (packet.uplink || packet.port->side(packet.v6).contains(tuple.destination)) return nullptr;
  found = tables.frontends.find({0, tuple.destination, tuple.destination_port, tuple.protocol});
  return found == tables.frontends.end() ? nullptr : &found->second;
}

bool Model::crosses(const Parsed& packet, const Frontend& frontend) const {
  return !packet.uplink && frontend.backend_network != packet.tuple.network;
}

Verdict Model::miss(Parsed& packet, const Verdict& done) {
  if (const Frontend* frontend = find_frontend(packet)) {
    const bool confined = crosses(packet, *frontend) && way_out(packet) == nullptr;
    return confined ? drop(SLUICE_REASON_NO_EGRESS) : select(packet, *frontend, done);
  }
  return packet.uplink ? to_floating(packet) : to_address(packet, done);
}

Verdict Model::to_floating(const Parsed& packet) const {
  if (packet.later()) return drop(SLUICE_REASON_FRAGMENT);
  if (packet.echo_request()) return answer_echo(packet);
  if (packet.icmp()) return drop(SLUICE_REASON_ICMP_ERROR);
  if (packet.of_ended_connection()) return refuse(packet);
  if (packet.tuple.protocol == kTcp && !packet.opening()) return drop(SLUICE_REASON_NO_CONNECTION);
  return refuse(packet);
}

Verdict Model::to_address(const Parsed& packet, const Verdict& done) {
  const Side& side = packet.port->side(packet.v6);
  const Tuple& tuple = packet.tuple;
  const auto found = tables.endpoints.find({tuple.network, tuple.destination});
  if (found == tables.endpoints.end()) {
    if (packet.of_ended_connection()) return refuse(packet);
    if (side.contains(tuple.destination)) return drop(SLUICE_REASON_NO_SUCH_ADDRESS);
    if (packet.echo_request() && is_ours(tuple.destination)) return answer_echo(packet);
    return to_outside(packet, done);
  }
  if (packet.later() && found->second.holder != Holder::kPod) return drop(SLUICE_REASON_FRAGMENT);
  if (found->second.holder == Holder::kRouter) {
    if (packet.of_ended_connection()) return refuse(packet);
    return packet.echo_request() ? answer_echo(packet) : drop(SLUICE_REASON_ROUTER_CLOSED);
  }
  return found->second.holder == Holder::kService ? to_service(packet) : to_pod(packet, found->second);
}

Verdict Model::to_service(const Parsed& packet) const {
  if (!packet.icmp()) return refuse(packet);
  return drop(packet.tracked ? SLUICE_REASON_PROTOCOL : SLUICE_REASON_ICMP_ERROR);
}

Verdict Model::to_pod(const Parsed& packet, const Endpoint& endpoint) {
  const Tuple& tuple = packet.tuple;
  if (endpoint.ifindex == 0) return drop(SLUICE_REASON_POD_DETACHED);
  const std::uint16_t server = packet.v6 ? 547 : 67, client = packet.v6 ? 546 : 68;
  if (tuple.protocol == kUdp && tuple.source_port == server && tuple.destination_port == client) {
    return drop(SLUICE_REASON_SPOOFED_DHCP);
  }
  if (packet.opening()) {
    const auto owner = flows.find(tuple.turned());
    if (owner != flows.end() && !owner->second.forward && !ended(owner->second)) {
      if (!closing(owner->second)) return drop(SLUICE_REASON_FLOW_COLLISION);
      erase_pair(tuple.turned());
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
  const Tuple& tuple = packet.tuple;
  if (tuple.protocol == kTcp && (packet.flags & kRst) != 0) return drop(SLUICE_REASON_NO_CONNECTION);
  if (tuple.protocol == kSctp && !packet.init) return drop(SLUICE_REASON_NO_CONNECTION);
  if (packet.icmp()) return drop(SLUICE_REASON_PROTOCOL);
  if (packet.has_extension_headers()) return drop(SLUICE_REASON_EXTENSION_HEADER);
  if (!tables.refusals_allowed) return drop(SLUICE_REASON_REFUSAL_LIMITED);
  if (tuple.protocol == kTcp) return {SLUICE_REASON_REFUSED_TCP, reset_for(packet)};
  if (tuple.protocol == kUdp) {
    return {SLUICE_REASON_REFUSED_UNREACHABLE,
            error_for(packet, tuple.destination, packet.v6 ? 1 : 3, packet.v6 ? 4 : 3)};
  }
  constexpr std::uint32_t kNextHeaderField = 6;
  return {SLUICE_REASON_REFUSED_PROTOCOL, packet.v6 ? error_for(packet, tuple.destination, 4, 1, kNextHeaderField)
                                                    : error_for(packet, tuple.destination, 3, 2)};
}

Verdict Model::expire(const Parsed& packet) const {
  if (packet.has_extension_headers()) return drop(SLUICE_REASON_EXTENSION_HEADER);
  if (!tables.refusals_allowed) return drop(SLUICE_REASON_REFUSAL_LIMITED);
  const Address& from = packet.uplink ? packet.tuple.destination : packet.port->side(packet.v6).router;
  return {SLUICE_REASON_TIME_EXCEEDED, error_for(packet, from, packet.v6 ? 3 : 11, 0)};
}

bool Model::too_long(const Parsed& packet, std::uint32_t ifindex) const {
  const std::size_t length = packet.frame->size() - kIp;
  return length > tables.smallest_mtu && length > tables.mtus.at(ifindex);
}

Verdict Model::too_big(const Parsed& packet, std::uint32_t ifindex) const {
  if (packet.has_extension_headers()) return drop(SLUICE_REASON_EXTENSION_HEADER);
  if (!tables.refusals_allowed) return drop(SLUICE_REASON_REFUSAL_LIMITED);
  const Address& from = packet.uplink ? packet.tuple.destination : packet.port->side(packet.v6).router;
  return {SLUICE_REASON_TOO_BIG,
          error_for(packet, from, packet.v6 ? 2 : 3, packet.v6 ? 0 : 4, tables.mtus.at(ifindex))};
}

/// The packet, rewritten; whoever opens a connection across the border is told what both devices carry.
Verdict Model::carried(const Parsed& packet, const Flow& flow, sluice_reason reason) const {
  if (packet.later()) return rewritten_later(packet, flow, reason);
  const bool opens = packet.tuple.protocol == kTcp && (packet.flags & kSyn) != 0;
  if (!opens || !(packet.uplink || flow.to_uplink())) return rewritten(packet, flow, reason, 0);
  const std::uint32_t mtu = std::min(tables.mtus.at(packet.port->ifindex), tables.mtus.at(flow.ifindex));
  return rewritten(packet, flow, reason, mtu - (packet.v6 ? 60 : 40));
}

Verdict Model::answer_echo(const Parsed& packet) const {
  if (packet.fragment) return drop(SLUICE_REASON_FRAGMENT);
  return tables.refusals_allowed ? echo_answer(packet) : drop(SLUICE_REASON_REFUSAL_LIMITED);
}

sluice_reason Model::judge(const Frontend& frontend, const Backend& backend) const {
  if (backend.network != frontend.backend_network) return SLUICE_REASON_TABLE_CHANGED;
  const auto found = tables.endpoints.find({backend.network, backend.address});
  if (found == tables.endpoints.end() || found->second.holder != Holder::kPod) return SLUICE_REASON_STALE_ENDPOINT;
  const Endpoint& endpoint = found->second;
  const bool fits = endpoint.ifindex != 0 && endpoint.pod == backend.pod;
  return fits ? SLUICE_REASON_NONE : SLUICE_REASON_STALE_ENDPOINT;
}

Model::Choice Model::settled(const Frontend& frontend, std::size_t first) const {
  const std::vector<Backend>& list = frontend.backends;
  sluice_reason reason = judge(frontend, list[first]);
  if (reason == SLUICE_REASON_NONE) return {reason, &list[first]};
  if (reason != SLUICE_REASON_STALE_ENDPOINT) return {reason};
  for (std::size_t step = 1; step < list.size(); ++step) {
    const Backend& next = list[(first + step) % list.size()];
    if (!next.ready) continue;
    reason = judge(frontend, next);
    return {reason, reason == SLUICE_REASON_NONE ? &next : nullptr};
  }
  return {reason};
}

/// Can this choice have led to what the program did?
bool Model::explains(const Parsed& packet, const Frontend& frontend, const Choice& choice, const Verdict& done) const {
  if (choice.backend == nullptr) return choice.reason == done.reason;
  if (done.reason == SLUICE_REASON_STALE_ENDPOINT || done.reason == SLUICE_REASON_TABLE_CHANGED) return false;
  if (done.reason == SLUICE_REASON_FLOW_COLLISION && !too_long(packet, device_of(*choice.backend)))
    return collides(packet, frontend, *choice.backend);
  if (done.reason == SLUICE_REASON_EGRESS_PORTS && !too_long(packet, device_of(*choice.backend)))
    return crosses(packet, frontend) &&
           !free_port(packet, way_across(packet, frontend), crossed(packet, *choice.backend));
  // Of two that the packet is too long for, the answer tells the MTU.
  const std::uint32_t ifindex = device_of(*choice.backend);
  if (too_long(packet, ifindex)) {
    const Verdict wanted = too_big(packet, ifindex);
    return wanted.reason == done.reason && (!wanted.frame || *wanted.frame == done.frame);
  }
  if (done.reason == SLUICE_REASON_TOO_BIG || done.reason == SLUICE_REASON_REFUSAL_LIMITED ||
      done.reason == SLUICE_REASON_EXTENSION_HEADER) {
    return false;
  }
  if (done.reason != SLUICE_REASON_TO_BACKEND) return true;
  const std::size_t at = destination_at(packet.v6);
  return done.frame->size() >= packet.l4 && read_address(*done.frame, at, packet.v6) == choice.backend->address;
}

/// What the program has chosen, as far as its result tells; anything that it may choose if nothing explains that.
Model::Choice Model::picked(const Parsed& packet, const Frontend& frontend, const Verdict& done) {
  Choice any;
  for (std::size_t first = 0; first < frontend.backends.size(); ++first) {
    if (!frontend.backends[first].ready) continue;
    any = settled(frontend, first);
    if (!explains(packet, frontend, any, done)) continue;
    if (done.reason != SLUICE_REASON_TO_BACKEND || !frontend.sticky) return any;
    const auto [before, fresh] = chosen_.try_emplace(packet.tuple, any.backend->address);
    if (!fresh && before->second != any.backend->address) complaint_ = "the same tuple found another backend";
    return any;
  }
  return any;
}

Verdict Model::select(Parsed& packet, const Frontend& frontend, const Verdict& done) {
  if (packet.hops <= 1) return expire(packet);
  if (packet.tuple.protocol == kTcp && !packet.opening()) {
    return packet.uplink && !packet.of_ended_connection() ? drop(SLUICE_REASON_NO_CONNECTION) : refuse(packet);
  }
  if (packet.tuple.protocol == kSctp && !packet.init) return drop(SLUICE_REASON_NO_CONNECTION);
  if (packet.tuple.protocol == kSctp && packet.fragment) return drop(SLUICE_REASON_FRAGMENT);
  const Choice choice = picked(packet, frontend, done);
  if (choice.backend != nullptr) {
    const std::uint32_t ifindex = device_of(*choice.backend);
    if (too_long(packet, ifindex)) return too_big(packet, ifindex);
    return remember(packet, frontend, *choice.backend, done);
  }
  return choice.reason == SLUICE_REASON_NONE ? refuse(packet) : drop(choice.reason);
}

}  // namespace model
