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

sluice_reason tcp_header(Parsed& packet) {
  const Bytes& frame = *packet.frame;
  const std::size_t room = packet.end - packet.l4;
  if (room < 20) return SLUICE_REASON_TRUNCATED;
  const std::size_t offset = frame.at(packet.l4 + 12) / 16 * 4U;
  packet.flags = frame.at(packet.l4 + 13);
  if (offset < 20 || offset > room) return SLUICE_REASON_BAD_L4_HEADER;
  if ((packet.flags & kSyn) != 0 && (packet.flags & (kFin | kRst)) != 0) return SLUICE_REASON_BAD_L4_HEADER;
  packet.sequence = read32(frame, packet.l4 + 4);
  packet.acknowledgement = read32(frame, packet.l4 + 8);
  packet.payload = static_cast<std::uint32_t>(room - offset);
  return SLUICE_REASON_NONE;
}

sluice_reason udp_header(const Parsed& packet) {
  const std::size_t room = packet.end - packet.l4;
  if (room < 8) return SLUICE_REASON_TRUNCATED;
  const std::size_t length = read16(*packet.frame, packet.l4 + 4);
  return length < 8 || length > room ? SLUICE_REASON_BAD_L4_HEADER : SLUICE_REASON_NONE;
}

sluice_reason icmp_header(Parsed& packet) {
  if (packet.end - packet.l4 < 8) return SLUICE_REASON_TRUNCATED;
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

/// Moves l4 behind the extension headers, and names what stands there in the tuple.
sluice_reason extension_headers(Parsed& packet) {
  const Bytes& frame = *packet.frame;
  for (unsigned walked = 0; is_extension_header(packet.tuple.protocol); ++walked) {
    const std::uint8_t kind = packet.tuple.protocol;
    if (walked == kMostExtensionHeaders) return SLUICE_REASON_EXTENSION_HEADER;
    if (kind == kFragment) return SLUICE_REASON_FRAGMENT;
    if (packet.end - packet.l4 < 8) return SLUICE_REASON_TRUNCATED;
    const std::size_t behind = packet.l4 + 8 + frame.at(packet.l4 + 1) * 8U;
    if (behind > packet.end) return SLUICE_REASON_TRUNCATED;
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

bool ipv4_fragment(const Bytes& frame) {
  return (read16(frame, kIp + 6) & 0x3fff) != 0;
}

sluice_reason transport(Parsed& packet) {
  if (!packet.v6 && ipv4_fragment(*packet.frame)) return SLUICE_REASON_FRAGMENT;
  sluice_reason reason = packet.v6 ? extension_headers(packet) : SLUICE_REASON_NONE;
  if (reason != SLUICE_REASON_NONE) return reason;
  if (packet.icmp()) return icmp_header(packet);
  if (packet.tuple.protocol != kTcp && packet.tuple.protocol != kUdp) return SLUICE_REASON_NONE;
  reason = packet.tuple.protocol == kTcp ? tcp_header(packet) : udp_header(packet);
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
