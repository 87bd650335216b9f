// SPDX-License-Identifier: Apache-2.0
#include "parse.hpp"

#include "bytes.hpp"

namespace model {

namespace {

constexpr unsigned kMostExtensionHeaders = 6;
constexpr std::size_t kMostBytesBeforeTransport = 200;
constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;

bool is_extension_header(std::uint8_t next) {
  return next == kHopByHop || next == kRouting || next == kFragment || next == kDestinationOptions;
}

/// Less than a whole header: a fragment would hide it in the next.
sluice_reason cut_off(const Parsed& packet) {
  return packet.fragment ? SLUICE_REASON_FRAGMENT_TINY : SLUICE_REASON_TRUNCATED;
}

sluice_reason tcp_header(Parsed& packet) {
  const Bytes& frame = *packet.frame;
  const std::size_t room = packet.end - packet.l4;
  if (room < 20) return cut_off(packet);
  const std::size_t offset = frame.at(packet.l4 + 12) / 16 * 4U;
  packet.flags = frame.at(packet.l4 + 13);
  if (offset < 20) return SLUICE_REASON_BAD_L4_HEADER;
  if ((packet.flags & kSyn) != 0 && (packet.flags & (kFin | kRst)) != 0) return SLUICE_REASON_BAD_L4_HEADER;
  if (offset > room) return packet.fragment ? SLUICE_REASON_FRAGMENT_TINY : SLUICE_REASON_BAD_L4_HEADER;
  packet.sequence = read32(frame, packet.l4 + 4);
  packet.acknowledgement = read32(frame, packet.l4 + 8);
  packet.payload = static_cast<std::uint32_t>(room - offset);
  return SLUICE_REASON_NONE;
}

sluice_reason udp_header(const Parsed& packet) {
  const std::size_t room = packet.end - packet.l4;
  if (room < 8) return cut_off(packet);
  const std::size_t length = read16(*packet.frame, packet.l4 + 4);
  const bool beyond = length > room && !packet.fragment;
  return length < 8 || beyond ? SLUICE_REASON_BAD_L4_HEADER : SLUICE_REASON_NONE;
}

sluice_reason sctp_header(Parsed& packet) {
  constexpr std::uint8_t kInit = 1;
  const std::size_t room = packet.end - packet.l4;
  if (room < 12) return cut_off(packet);
  packet.init = room > 12 && read32(*packet.frame, packet.l4 + 4) == 0 && packet.frame->at(packet.l4 + 12) == kInit;
  return SLUICE_REASON_NONE;
}

sluice_reason icmp_header(Parsed& packet) {
  if (packet.end - packet.l4 < 8) return cut_off(packet);
  packet.icmp_type = packet.frame->at(packet.l4);
  if (!packet.uplink && packet.has_extension_headers() && packet.icmp_type >= 133 && packet.icmp_type <= 137) {
    return SLUICE_REASON_SPOOFED_ND;
  }
  if (packet.frame->at(packet.l4 + 1) != 0) return SLUICE_REASON_NONE;
  const std::uint16_t id = read16(*packet.frame, packet.l4 + 4);
  const bool request = packet.icmp_type == echo_request_of(packet.v6);
  const bool reply = packet.icmp_type == echo_reply_of(packet.v6);
  if (request) packet.tuple.source_port = id;
  if (reply) packet.tuple.destination_port = id;
  packet.tracked = request || reply;
  return SLUICE_REASON_NONE;
}

/// The bytes behind `behind` are a fragment, with so many bytes of headers in front that count in the longest packet.
sluice_reason note_fragment(Parsed& packet, const Fragment& fragment, std::size_t before) {
  const std::size_t bytes = fragment.end - fragment.begin;
  const std::size_t header = packet.tuple.protocol == kTcp ? 20 : packet.tuple.protocol == kSctp ? 12 : 0;
  if (bytes == 0 || (fragment.more && bytes % 8 != 0)) return SLUICE_REASON_FRAGMENT_MALFORMED;
  if (fragment.end + before > 65535) return SLUICE_REASON_FRAGMENT_MALFORMED;
  if (fragment.begin != 0 && fragment.begin < header) return SLUICE_REASON_FRAGMENT_TINY;
  packet.fragment = fragment;
  return SLUICE_REASON_NONE;
}

sluice_reason ipv4_fragment(Parsed& packet) {
  const unsigned field = read16(*packet.frame, kIp + 6);
  if ((field & 0x3fff) == 0) return SLUICE_REASON_NONE;
  const std::size_t begin = (field & 0x1fff) * 8U;
  return note_fragment(packet,
                       {.more = (field & 0x2000) != 0,
                        .id = read16(*packet.frame, kIp + 4),
                        .begin = begin,
                        .end = begin + packet.end - packet.l4},
                       20);
}

/// The fragment header at l4.
sluice_reason ipv6_fragment(Parsed& packet) {
  const unsigned field = read16(*packet.frame, packet.l4 + 2);
  const std::size_t before = packet.l4 - kIp - 40;
  const std::uint32_t id = read32(*packet.frame, packet.l4 + 4);
  packet.tuple.protocol = packet.frame->at(packet.l4);
  packet.l4 += 8;
  if ((field & 0xfff9) == 0) return SLUICE_REASON_NONE;
  const std::size_t begin = field & 0xfff8;
  return note_fragment(
      packet, {.more = (field & 1) != 0, .id = id, .begin = begin, .end = begin + packet.end - packet.l4}, before);
}

/// Moves l4 behind the extension headers, and names what stands there in the tuple.
sluice_reason extension_headers(Parsed& packet) {
  const Bytes& frame = *packet.frame;
  bool seen = false;
  for (unsigned walked = 0; is_extension_header(packet.tuple.protocol) && !packet.later(); ++walked) {
    const std::uint8_t kind = packet.tuple.protocol;
    if (walked == kMostExtensionHeaders) return SLUICE_REASON_EXTENSION_HEADER;
    if (packet.end - packet.l4 < 8) return cut_off(packet);
    if (kind == kFragment) {
      if (seen) return SLUICE_REASON_EXTENSION_HEADER;
      seen = true;
      const sluice_reason reason = ipv6_fragment(packet);
      if (reason != SLUICE_REASON_NONE) return reason;
      if (packet.l4 > kMostBytesBeforeTransport) return SLUICE_REASON_EXTENSION_HEADER;
      continue;
    }
    const std::size_t behind = packet.l4 + 8 + frame.at(packet.l4 + 1) * 8U;
    if (behind > packet.end) return cut_off(packet);
    if (kind == kHopByHop && walked != 0) return SLUICE_REASON_EXTENSION_HEADER;
    if (kind == kRouting && frame.at(packet.l4 + 3) != 0) return SLUICE_REASON_EXTENSION_HEADER;
    packet.tuple.protocol = frame.at(packet.l4);
    packet.l4 = behind;
    if (packet.l4 > kMostBytesBeforeTransport) return SLUICE_REASON_EXTENSION_HEADER;
  }
  return SLUICE_REASON_NONE;
}

}  // namespace

sluice_reason header_shape(const Bytes& frame, bool v6) {
  if (v6) {
    if (frame.at(kIp) / 16 != 6) return SLUICE_REASON_BAD_IP_HEADER;
    const std::size_t length = read16(frame, kIp + 4);
    const bool jumbogram = length == 0 && frame.at(kIp + 6) == kHopByHop;
    return jumbogram || length + 40 > frame.size() - kIp ? SLUICE_REASON_BAD_IP_LENGTH : SLUICE_REASON_NONE;
  }
  const std::size_t header = frame.at(kIp) % 16 * 4U;
  if (frame.at(kIp) / 16 != 4 || header < 20) return SLUICE_REASON_BAD_IP_HEADER;
  const std::size_t total = read16(frame, kIp + 2);
  if (total < header || total > frame.size() - kIp) return SLUICE_REASON_BAD_IP_LENGTH;
  return header > 20 ? SLUICE_REASON_IP_OPTIONS : SLUICE_REASON_NONE;
}

Parsed parsed(const Bytes& frame, const Port& port, bool v6) {
  Parsed packet{.frame = &frame, .port = &port, .v6 = v6, .uplink = port.uplink};
  packet.l4 = kIp + header_size(v6);
  packet.end = v6 ? packet.l4 + read16(frame, kIp + 4) : kIp + read16(frame, kIp + 2);
  packet.hops = frame.at(hops_at(v6));
  packet.tuple.network = port.network;
  packet.tuple.protocol = frame.at(v6 ? kIp + 6 : kIp + 9);
  packet.tuple.source = read_address(frame, source_at(v6), v6);
  packet.tuple.destination = read_address(frame, destination_at(v6), v6);
  return packet;
}

bool is_icmp_error(const Parsed& packet) {
  if (!packet.icmp()) return false;
  if (packet.v6) return packet.icmp_type >= 1 && packet.icmp_type <= 4;
  return packet.icmp_type == 3 || packet.icmp_type == 11 || packet.icmp_type == 12;
}

sluice_reason transport(Parsed& packet) {
  sluice_reason reason = packet.v6 ? extension_headers(packet) : ipv4_fragment(packet);
  if (reason != SLUICE_REASON_NONE || packet.later()) return reason;
  const std::uint8_t protocol = packet.tuple.protocol;
  if (packet.icmp()) return icmp_header(packet);
  if (protocol != kTcp && protocol != kUdp && protocol != kSctp) return SLUICE_REASON_NONE;
  reason = protocol == kTcp ? tcp_header(packet) : protocol == kUdp ? udp_header(packet) : sctp_header(packet);
  if (reason != SLUICE_REASON_NONE) return reason;
  packet.tracked = true;
  packet.tuple.source_port = read16(*packet.frame, packet.l4);
  packet.tuple.destination_port = read16(*packet.frame, packet.l4 + 2);
  const bool zero = packet.tuple.source_port == 0 || packet.tuple.destination_port == 0;
  return zero ? SLUICE_REASON_ZERO_PORT : SLUICE_REASON_NONE;
}

bool martian_class(const Address& address) {
  if (!address.v6()) return address.bytes[0] == 0 || address.bytes[0] == 127 || address.bytes[0] >= 224;
  constexpr Address kMapped{16, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  return address.starts_with({16, {}}, 96) || address.starts_with(kMapped, 96) || address.link_local() ||
         address.group();
}

bool neighbour_discovery(const Bytes& frame) {
  if (frame.size() <= kIp + 40 || frame.at(kIp + 6) != icmp_of(true)) return false;
  return frame[kIp + 40] >= 133 && frame[kIp + 40] <= 137;
}

std::uint32_t pseudo_sum(const Bytes& bytes, std::size_t ip, bool v6, std::uint8_t protocol, std::size_t length) {
  const std::size_t addresses = ip + (v6 ? 8 : 12);
  const std::uint32_t sum = ones_add(protocol, static_cast<std::uint32_t>(length));
  return ones_sum(bytes, addresses, addresses + (v6 ? 32 : 8), sum);
}

}  // namespace model
