// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

#include <algorithm>
#include <iterator>

#include "bytes.hpp"
#include "harness/devices.hpp"
#include "harness/fragments.hpp"

namespace model {

using bpftest::Family;
using bpftest::Frame;
using bpftest::ip;
using bpftest::Link;

namespace {

constexpr std::uint16_t kClientPorts[] = {40000, 40001, 40002, 40003};
constexpr std::size_t kReplayed = 256;
constexpr std::uint8_t kQuoted[] = {bpftest::kTcp, bpftest::kUdp, bpftest::kSctp};

Family family_of(bool v6) {
  return v6 ? Family::kIpv6 : Family::kIpv4;
}

bool is_v6(const bpftest::Address& address) {
  return address.family() == Family::kIpv6;
}

bpftest::Tuple ends_of(const Tuple& tuple) {
  return {from_model(tuple.source), tuple.source_port, from_model(tuple.destination), tuple.destination_port};
}

}  // namespace

bpftest::Bytes Traffic::noise(std::size_t most) {
  return bpftest::Bytes(below(random_, most + 1), static_cast<std::uint8_t>(random_()));
}

/// None, some as hosts send them, or bytes that look like some.
bpftest::Bytes Traffic::tcp_options() {
  if (chance(random_, 60)) return {};
  bpftest::Bytes options;
  while (chance(random_, 75)) {
    switch (below(random_, 6)) {
      case 0:
        options.push_back(1);
        break;
      case 1:
        options.insert(options.end(), {8, 10, 0, 0, 0, 1, 2, 4, 255, 255});
        break;
      case 2:
        options.push_back(static_cast<std::uint8_t>(below(random_, 6)));
        break;
      default:
        options.insert(options.end(), {2, 4, static_cast<std::uint8_t>(below(random_, 8)),
                                       static_cast<std::uint8_t>(below(random_, 256))});
    }
  }
  options.resize(std::min<std::size_t>(40, (options.size() + 3) / 4 * 4));
  return options;
}

const bpftest::Address& Traffic::destination(bool v6, bool from_uplink) {
  const auto& floating = configuration_.floating(v6);
  return from_uplink && !floating.empty() && chance(random_, 85) ? any_of(random_, floating)
                                                                 : any_of(random_, configuration_.targets(v6));
}

Traffic::Sender Traffic::pod(bool v6) {
  const bpftest::Pod& pod = any_of(random_, configuration_.pods());
  bpftest::Address address = pod.in(family_of(v6));
  if (address.none() && chance(random_, 80)) address = pod.address;
  if (address.none()) address = any_of(random_, configuration_.targets(v6));
  if (chance(random_, 2)) address = any_of(random_, configuration_.targets(is_v6(address)));
  const Mac next_hop = chance(random_, 80) ? bpftest::kRouterMac : any_of(random_, configuration_.pods()).mac;
  return {{.ifindex = pod.ifindex}, {pod.mac, next_hop}, address};
}

Traffic::Sender Traffic::internet(bool v6) {
  const auto& clients = configuration_.clients(v6);
  const bpftest::Address& address =
      chance(random_, 90) ? any_of(random_, clients) : destination(v6, chance(random_, 50));
  const sluice_entry entry = chance(random_, 20) ? SLUICE_ENTRY_UPLINK_XDP : SLUICE_ENTRY_FROM_UPLINK;
  const Mac mac = chance(random_, 97) ? bpftest::kUplinkMac : any_of(random_, configuration_.pods()).mac;
  return {{.entry = entry, .ifindex = configuration_.uplink()}, {bpftest::kGatewayMac, mac}, address};
}

/// Who sends packets with this tuple.
Traffic::Sender Traffic::sender_of(const Tuple& tuple) {
  const bpftest::Address source = from_model(tuple.source);
  if (tuple.network == 0) {
    Sender sender = internet(tuple.source.v6());
    return {{.entry = SLUICE_ENTRY_FROM_UPLINK, .ifindex = sender.packet.ifindex}, sender.link, source};
  }
  const auto& pods = configuration_.pods();
  const auto pod = std::ranges::find_if(pods, [&](const bpftest::Pod& candidate) {
    return candidate.network.id == tuple.network && candidate.in(source.family()) == source;
  });
  if (pod == pods.end()) return this->pod(tuple.source.v6());
  return {{.ifindex = pod->ifindex}, pod->to_router(), source};
}

Frame Traffic::transport(const Link& link, const bpftest::Address& source, const bpftest::Address& destination) {
  const bpftest::Tuple tuple{source, any_of(random_, kClientPorts), destination, any_of(random_, kServicePorts)};
  switch (below(random_, 14)) {
    case 12:
      return sctp(link, tuple, true);
    case 13:
      return sctp(link, tuple, chance(random_, 50));
    case 0:
    case 1:
      return bpftest::echo_request(
          link, source, destination,
          chance(random_, 50) ? tuple.source_port : static_cast<std::uint16_t>(below(random_, 4)));
    case 2:
      return bpftest::icmp(link, source, destination,
                           static_cast<std::uint8_t>(below(random_, is_v6(source) ? 140 : 20)),
                           static_cast<std::uint8_t>(below(random_, 3)), bpftest::Bytes(4 + below(random_, 64)));
    case 3:
      return bpftest::ip_packet(link, source, destination, static_cast<std::uint8_t>(random_()), noise(60));
    case 4:
    case 5:
      return bpftest::udp(link, tuple, noise(64));
    case 6:
      return bpftest::tcp(link, tuple, below(random_, 256), {.payload = noise(64)});
    case 7:
      return bpftest::echo_reply(link, source, destination, static_cast<std::uint16_t>(below(random_, 4)));
    default:
      return bpftest::tcp(link, tuple, bpftest::kSyn, {.payload = noise(64), .options = tcp_options()});
  }
}

Packet Traffic::opening(Sender sender, const bpftest::Address& destination) {
  sender.packet.frame = transport(sender.link, sender.address, destination);
  return sender.packet;
}

/// To somebody outside, mostly one of few.
Packet Traffic::leaving() {
  const bool v6 = chance(random_, 50);
  const Sender sender = pod(v6);
  const auto& remotes = configuration_.remotes(is_v6(sender.address));
  if (remotes.empty()) return any_opening();
  if (chance(random_, configuration_.crowded() ? 20 : 70)) return opening(sender, any_of(random_, remotes));
  Packet packet = sender.packet;
  packet.frame = bpftest::udp(sender.link, {sender.address, any_of(random_, kClientPorts), remotes.front(), 53});
  return packet;
}

/// One of the clients' ports, or one at the beginning of a range.
std::uint16_t Traffic::port_near(std::uint16_t first) {
  return chance(random_, 30) ? any_of(random_, kClientPorts)
                             : static_cast<std::uint16_t>(first - 2 + below(random_, 20));
}

/// From outside to an address that pods leave by: what nobody has asked for, and what is the host's.
Packet Traffic::to_egress() {
  const bool v6 = chance(random_, 50);
  Sender sender = internet(v6);
  const auto& addresses = configuration_.egress(is_v6(sender.address));
  if (addresses.empty()) return any_opening();
  const bpftest::Address& to = any_of(random_, addresses);
  const std::uint16_t port = port_near(configuration_.shared_first());
  const bpftest::Tuple ends{sender.address, any_of(random_, kServicePorts), to, port};
  Frame& frame = sender.packet.frame;
  switch (below(random_, 8)) {
    case 0:
      frame = bpftest::tcp(sender.link, ends, below(random_, 64), {.payload = noise(64)});
      break;
    case 1:
      frame = bpftest::udp(sender.link, ends, noise(64));
      break;
    case 2:
      frame = bpftest::echo_reply(sender.link, sender.address, to, port, noise(40));
      break;
    case 3:
      frame = sctp(sender.link, ends, chance(random_, 50));
      break;
    case 4:  // what a pod may have sent, or the host
      return error_about(sender, to,
                         quoted_of({0, any_of(random_, kQuoted), to_model(to), to_model(sender.address), port,
                                    any_of(random_, kServicePorts)}));
    default:
      frame = transport(sender.link, sender.address, to);
  }
  return sender.packet;
}

Packet Traffic::any_opening() {
  const bool uplink = chance(random_, 45);
  const bool v6 = chance(random_, 50);
  const Sender sender = uplink ? internet(v6) : pod(v6);
  return opening(sender, destination(is_v6(sender.address), uplink));
}

Frame Traffic::tcp_of(const Link& link, const bpftest::Tuple& ends, const Flow& flow) {
  constexpr unsigned kFlags[] = {
      bpftest::kAck, bpftest::kAck, bpftest::kSyn | bpftest::kAck, bpftest::kFin | bpftest::kAck,
      bpftest::kRst, bpftest::kSyn};
  const std::uint32_t acknowledgement =
      flow.acknowledged + (chance(random_, 80) ? below(random_, 1000) : below(random_, ~0U));
  // Mostly what the other side has acknowledged, sometimes just beside the window, sometimes a blind guess.
  const std::uint32_t expected = model_.flows.at(flow.other).acknowledged;
  const std::uint32_t sequence = chance(random_, 70)   ? expected + below(random_, 1000) - 2
                                 : chance(random_, 50) ? expected + (1U << 24) - 3 + below(random_, 5)
                                                       : below(random_, ~0U);
  return bpftest::tcp(
      link, ends, any_of(random_, kFlags),
      {.sequence = sequence, .acknowledgement = acknowledgement, .payload = noise(100), .options = tcp_options()});
}

/// With a right CRC as a rule; other chunks than INIT, and other tags, unless it is one.
Frame Traffic::sctp(const Link& link, const bpftest::Tuple& tuple, bool init) {
  bpftest::Bytes packet(12 + 4 + below(random_, 100), static_cast<std::uint8_t>(random_()));
  write16(packet, 0, tuple.source_port);
  write16(packet, 2, tuple.destination_port);
  write32(packet, 4, init || chance(random_, 5) ? 0 : below(random_, ~0U));
  packet[12] = static_cast<std::uint8_t>(init ? 1 : below(random_, 15));
  if (chance(random_, 2)) packet.resize(12);  // no chunk at all
  const std::uint32_t crc = chance(random_, 90) ? sctp_crc(packet, 0, packet.size()) : below(random_, ~0U);
  for (std::size_t i = 0; i < 4; ++i) packet[8 + i] = static_cast<std::uint8_t>(crc >> 8 * i);
  return bpftest::ip_packet(link, tuple.source, tuple.destination, bpftest::kSctp, packet);
}

/// Makes the checksum of a datagram, once it is translated, the one whose other form says that there is none.
void Traffic::aim_at_zero(Frame& frame, const Flow& flow) {
  const std::size_t l4 = frame.l4();
  if (frame.size() < l4 + 10) return;
  frame.set16(l4 + 8, 0).fix_checksums();
  const bpftest::Tuple ends{from_model(flow.new_source), flow.new_source_port, from_model(flow.new_destination),
                            flow.new_destination_port};
  const Frame there = bpftest::translated(frame, {}, ends);
  frame.set16(l4 + 8, there.get16(l4 + 6)).fix_checksums();
}

Packet Traffic::of_flow() {
  const auto& [tuple, flow] = *std::next(model_.flows.begin(), below(random_, model_.flows.size()));
  Sender sender = sender_of(tuple);
  const bpftest::Tuple ends = ends_of(tuple);
  if (tuple.protocol == bpftest::kTcp) {
    sender.packet.frame = tcp_of(sender.link, ends, flow);
  } else if (tuple.protocol == bpftest::kUdp) {
    sender.packet.frame = bpftest::udp(sender.link, ends, noise(100));
    if (chance(random_, 10)) aim_at_zero(sender.packet.frame, flow);
    if (chance(random_, 20)) sender.packet.frame.set16(sender.packet.frame.l4() + 6, 0);
  } else if (tuple.protocol == bpftest::kSctp) {
    sender.packet.frame = sctp(sender.link, ends, chance(random_, 10));
  } else if (ends.destination_port == 0) {
    sender.packet.frame = bpftest::echo_request(sender.link, ends.source, ends.destination, ends.source_port);
  } else {
    sender.packet.frame = bpftest::echo_reply(sender.link, ends.source, ends.destination, ends.destination_port);
  }
  return sender.packet;
}

/// A packet that may have been sent with this tuple, as an error quotes it.
Frame Traffic::quoted_of(const Tuple& tuple) {
  const bpftest::Tuple ends = ends_of(tuple);
  const Link link{};
  if (tuple.protocol == bpftest::kTcp) return bpftest::tcp(link, ends, bpftest::kAck, {.payload = noise(40)});
  if (tuple.protocol == bpftest::kUdp) {
    Frame frame = bpftest::udp(link, ends, noise(40));
    if (chance(random_, 30)) frame.set16(frame.l4() + 6, 0);
    return frame;
  }
  if (tuple.protocol == bpftest::kSctp) return sctp(link, ends, chance(random_, 30));
  if (ends.destination_port == 0) return bpftest::echo_request(link, ends.source, ends.destination, ends.source_port);
  return bpftest::echo_reply(link, ends.source, ends.destination, ends.destination_port);
}

/// The bytes of a quote: more or less of the packet, at times with options, as a fragment or damaged.
bpftest::Bytes Traffic::quote(Frame packet) {
  if (packet.family() == Family::kIpv4 && chance(random_, 15)) {
    packet = bpftest::with_ip_options(packet, bpftest::Bytes(4 * (1 + below(random_, 10)), 1));
  }
  if (packet.family() == Family::kIpv6 && chance(random_, 5)) packet = with_headers(packet);
  packet.set_hops(1 + below(random_, 64));
  if (packet.family() == Family::kIpv4 && chance(random_, 5))
    packet.set16(bpftest::kIp + 6, 0x2000U + below(random_, 2));
  if (chance(random_, 5)) packet.set8(bpftest::kIp + below(random_, packet.size() - bpftest::kIp), below(random_, 256));
  const std::size_t l4 = packet.family() == Family::kIpv6 ? bpftest::kL46 : packet.l4();
  const std::size_t wanted = chance(random_, 50)   ? l4 + 8
                             : chance(random_, 60) ? packet.size()
                                                   : bpftest::kIp + below(random_, packet.size() - bpftest::kIp + 1);
  bpftest::Bytes bytes(packet.bytes.begin() + bpftest::kIp, packet.bytes.end());
  bytes.resize(std::min(bytes.size(), wanted - bpftest::kIp));
  return bytes;
}

Packet Traffic::error_about(Sender sender, const bpftest::Address& destination, const Frame& quoted) {
  constexpr std::uint8_t kTypes4[] = {3, 3, 3, 11, 12, 5, 4};
  constexpr std::uint8_t kTypes6[] = {1, 2, 2, 3, 4, 5, 100};
  const std::uint8_t type = is_v6(destination) ? any_of(random_, kTypes6) : any_of(random_, kTypes4);
  bpftest::Bytes rest = {0, 0, 5, static_cast<std::uint8_t>(random_())};
  std::ranges::copy(quote(quoted), std::back_inserter(rest));
  sender.packet.frame =
      bpftest::icmp(sender.link, sender.address, destination, type, static_cast<std::uint8_t>(below(random_, 6)), rest);
  return sender.packet;
}

/// An error about a packet of a flow, from who received it or from a router on its way; at times a forged one.
Packet Traffic::error() {
  if (model_.flows.empty() || chance(random_, 15)) {
    const bool uplink = chance(random_, 50);
    const bool v6 = chance(random_, 50);
    const Sender sender = uplink ? internet(v6) : pod(v6);
    const bpftest::Address& to = destination(is_v6(sender.address), uplink);
    const bpftest::Address& about = chance(random_, 80) ? to : any_of(random_, configuration_.targets(is_v6(to)));
    return error_about(sender, to, transport({}, about, sender.address));
  }
  const auto& [tuple, flow] = *std::next(model_.flows.begin(), below(random_, model_.flows.size()));
  Sender sender = chance(random_, 95) ? sender_of(tuple) : pod(tuple.source.v6());
  if (is_v6(sender.address) != tuple.source.v6()) sender = sender_of(tuple);
  if (tuple.network == 0 && chance(random_, 40)) sender.address = internet(tuple.source.v6()).address;
  if (is_v6(sender.address) != tuple.source.v6()) return any_opening();
  return error_about(sender, from_model(tuple.destination), quoted_of(tuple.turned()));
}

Packet Traffic::dhcp() {
  const bool v6 = chance(random_, 50);
  Sender sender = pod(v6);
  const bool six = is_v6(sender.address);
  const bpftest::Pod& other = any_of(random_, configuration_.pods());
  const bpftest::Address to =
      other.in(sender.address.family()).none() ? sender.address : other.in(sender.address.family());
  const std::uint16_t server = six ? 547 : 67, client = six ? 546 : 68;
  const bool plays_server = chance(random_, 70);
  sender.packet.frame =
      bpftest::udp(sender.link, {sender.address, plays_server ? server : client, to, plays_server ? client : server});
  return sender.packet;
}

/// ARP, or a solicitation as a kernel sends it.
Packet Traffic::question() {
  const bool v6 = chance(random_, 50);
  const bool uplink = chance(random_, 30);
  Sender sender = uplink ? internet(v6) : pod(v6);
  const bool six = is_v6(sender.address);
  const bpftest::Address& target = destination(six, uplink);
  const Mac mac = sender.link.source;
  if (six || chance(random_, 60)) {
    const bpftest::Address nobody = chance(random_, 90) ? sender.address : ip(six ? "::" : "0.0.0.0");
    sender.packet.frame = bpftest::question(mac, nobody, target);
  } else {
    sender.packet.frame = bpftest::arp({mac, chance(random_, 90) ? bpftest::kBroadcastMac : bpftest::kUplinkMac},
                                       static_cast<std::uint16_t>(1 + below(random_, 2)),
                                       chance(random_, 95) ? mac : bpftest::kRouterMac, sender.address, {}, target);
  }
  return sender.packet;
}

/// Neighbour discovery with fields of every kind, allowed or not.
Packet Traffic::discovery() {
  const bool uplink = chance(random_, 30);
  Sender sender = uplink ? internet(true) : pod(true);
  if (!is_v6(sender.address)) return question();
  constexpr std::uint8_t kTypes[] = {133, 134, 135, 135, 135, 136, 136, 137};
  const std::uint8_t type = any_of(random_, kTypes);
  const bpftest::Address target = chance(random_, 25)   ? sender.address
                                  : chance(random_, 15) ? ip("fe80::73:6cff:fe63:1")
                                                        : destination(true, uplink);
  const std::uint32_t where = below(random_, 10);
  const bpftest::Address source = where == 0   ? ip("::")
                                  : where == 1 ? ip("fe80::1234")
                                  : where == 2 ? any_of(random_, configuration_.targets(true))
                                               : sender.address;
  const bpftest::Address to = chance(random_, 60) ? bpftest::solicited_node(target) : target;
  const Mac mac = chance(random_, 85) ? sender.link.source : bpftest::kRouterMac;
  bpftest::Bytes body = bpftest::nd_body(static_cast<std::uint32_t>(random_()), target,
                                         static_cast<std::uint8_t>(below(random_, 4)), mac);
  if (type == 133) body = {0, 0, 0, 0};
  if (type == 133 && chance(random_, 60)) {
    body.insert(body.end(), {1, 1});
    body.insert(body.end(), mac.begin(), mac.end());
  }
  if (chance(random_, 10)) body.resize(body.size() + 8 * below(random_, 3));
  if (to.begin()[0] == 0xff) sender.link.destination = bpftest::group_mac(to);
  sender.packet.frame = bpftest::nd(sender.link, source, to, type, body);
  if (chance(random_, 5)) sender.packet.frame.set_hops(64 + below(random_, 192));
  return sender.packet;
}

/// A frame once more, in its place or in another, so that it is somebody else's.
Packet Traffic::replayed() {
  if (sent_.empty()) return any_opening();
  Packet packet = any_of(random_, sent_);
  if (chance(random_, 40)) return packet;
  const Sender sender = chance(random_, 30) ? internet(chance(random_, 50)) : pod(chance(random_, 50));
  packet.entry = sender.packet.entry;
  packet.ifindex = sender.packet.ifindex;
  if (chance(random_, 70)) packet.frame.set_mac(0, sender.link.destination).set_mac(6, sender.link.source);
  return packet;
}

/// Many datagrams of one sender that stay unfinished, more than are remembered.
void Traffic::flood() {
  const bool uplink = chance(random_, 40);
  const bool v6 = chance(random_, 50);
  const Sender sender = uplink ? internet(v6) : pod(v6);
  const bpftest::Address& to = destination(is_v6(sender.address), uplink);
  const bpftest::Tuple ends{sender.address, any_of(random_, kClientPorts), to, any_of(random_, kServicePorts)};
  for (int i = 0; i < 80; ++i) {
    Packet packet = sender.packet;
    packet.frame = bpftest::fragment(bpftest::udp(sender.link, ends, bpftest::Bytes(24)), below(random_, ~0U), 0, 16);
    pieces_.push_back(packet);
  }
}

/// A packet of any kind in pieces: mostly as its sender makes them, at times as nobody should.
void Traffic::divide(const Packet& packet) {
  // Few, so that datagrams meet.
  const std::uint32_t id = chance(random_, 80) ? below(random_, 6) : below(random_, ~0U);
  const Frame whole = bpftest::divisible(packet.frame, id);
  const std::size_t length = whole.size() - whole.l4();
  const std::size_t unit = 8 * (chance(random_, 15) ? 1 : 2 + below(random_, 5));
  std::vector<Packet> pieces;
  for (std::size_t begin = 0; begin < length; begin += unit) {
    std::size_t from = begin, to = std::min(begin + unit, length);
    if (begin >= 8 && chance(random_, 4)) from -= 8;
    if (chance(random_, 4)) to = std::min(to + 8, length);
    if (chance(random_, 2)) to -= 1 + below(random_, to - from);
    if (from == to) continue;
    Packet piece = packet;
    piece.frame = bpftest::fragment(whole, chance(random_, 97) ? id : id ^ 1, from, to);
    if (chance(random_, 95)) pieces.push_back(piece);
    if (chance(random_, 4)) pieces.push_back(piece);
    if (chance(random_, 1)) {  // as if there were much more before it
      piece.frame = bpftest::fragment(whole, id, from, to);
      const bool v6 = piece.frame.family() == Family::kIpv6;
      const std::uint32_t offset = 8 * (8170 + below(random_, 22));
      const std::size_t at = v6 ? bpftest::kL46 + 2 : bpftest::kIp + 6;
      piece.frame.set16(at,
                        v6 ? offset | (chance(random_, 50) ? 1 : 0) : offset / 8 | (chance(random_, 50) ? 0x2000 : 0));
      pieces.push_back({packet.entry, packet.ifindex, piece.frame.fix_checksums()});
    }
  }
  if (pieces.size() > 1 && chance(random_, 15)) std::swap(pieces.front(), pieces[below(random_, pieces.size())]);
  if (chance(random_, 5)) std::ranges::shuffle(pieces, random_);
  std::ranges::copy(pieces, std::back_inserter(pieces_));
}

Packet Traffic::fragment() {
  if (pieces_.empty() && chance(random_, 1)) flood();
  if (pieces_.empty()) {
    Packet packet = chance(random_, 20)                           ? leaving()
                    : chance(random_, 20)                         ? to_egress()
                    : model_.flows.empty() || chance(random_, 40) ? any_opening()
                                                                  : of_flow();
    if (packet.frame.family() == Family::kIpv6 && chance(random_, 10)) packet.frame = with_headers(packet.frame);
    divide(packet);
  }
  if (pieces_.empty()) return any_opening();
  Packet piece = pieces_.front();
  pieces_.pop_front();
  return piece;
}

Packet Traffic::next() {
  if (!pieces_.empty() && chance(random_, 70)) {
    Packet piece = fragment();
    if (chance(random_, 15)) decorate(piece);
    sent_.push_back(piece);
    if (sent_.size() > kReplayed) sent_.pop_front();
    return piece;
  }
  const std::uint32_t what = below(random_, configuration_.crowded() ? 200 : 133);
  Packet packet = what >= 117                          ? leaving()
                  : what >= 105                        ? to_egress()
                  : what >= 100                        ? fragment()
                  : what < 38 && !model_.flows.empty() ? of_flow()
                  : what < 70                          ? any_opening()
                  : what < 82                          ? error()
                  : what < 86                          ? question()
                  : what < 91                          ? discovery()
                  : what < 92                          ? dhcp()
                                                       : replayed();
  decorate(packet);
  sent_.push_back(packet);
  if (sent_.size() > kReplayed) sent_.pop_front();
  return packet;
}

}  // namespace model
