// SPDX-License-Identifier: Apache-2.0
#include "parse.hpp"

#include <algorithm>

#include "bytes.hpp"

namespace model {

namespace {

constexpr std::size_t kIp = 14;
constexpr std::size_t kL4 = 34;

sluice_reason tcp_header(const Bytes& frame, std::uint32_t total, Parsed& packet) {
  if (total < 40) return SLUICE_REASON_TRUNCATED;
  const std::uint32_t offset = frame.at(kL4 + 12) / 16 * 4U;
  packet.flags = frame.at(kL4 + 13);
  if (offset < 20 || 20 + offset > total) return SLUICE_REASON_BAD_L4_HEADER;
  if ((packet.flags & kSyn) != 0 && (packet.flags & (kFin | kRst)) != 0) return SLUICE_REASON_BAD_L4_HEADER;
  packet.sequence = read32(frame, kL4 + 4);
  packet.acknowledgement = read32(frame, kL4 + 8);
  packet.payload = total - 20 - offset;
  return SLUICE_REASON_NONE;
}

sluice_reason udp_header(const Bytes& frame, std::uint32_t total) {
  if (total < 28) return SLUICE_REASON_TRUNCATED;
  const std::uint32_t length = read16(frame, kL4 + 4);
  return length < 8 || length > total - 20 ? SLUICE_REASON_BAD_L4_HEADER : SLUICE_REASON_NONE;
}

sluice_reason icmp_header(const Bytes& frame, std::uint32_t total, Parsed& packet) {
  if (total < 28) return SLUICE_REASON_TRUNCATED;
  packet.icmp_type = frame.at(kL4);
  if (frame.at(kL4 + 1) != 0) return SLUICE_REASON_NONE;
  const std::uint16_t id = read16(frame, kL4 + 4);
  if (packet.icmp_type == 8) packet.tuple.source_port = id;
  if (packet.icmp_type == 0) packet.tuple.destination_port = id;
  packet.tracked = packet.icmp_type == 8 || packet.icmp_type == 0;
  return SLUICE_REASON_NONE;
}

/// Ethernet and IPv4 of an answer: back to where the packet came from, TTL 64, DF, id 0.
Bytes answer_header(const Parsed& packet, std::uint32_t total, std::uint8_t protocol) {
  const Bytes& frame = *packet.frame;
  Bytes answer(14 + total);
  write_mac(answer, 0, read_mac(frame, 6));
  write_mac(answer, 6, read_mac(frame, 0));
  write16(answer, 12, 0x0800);
  write16(answer, kIp, 0x4500);
  write16(answer, kIp + 2, total);
  write16(answer, kIp + 6, 0x4000);
  write16(answer, kIp + 8, 64U * 256 + protocol);
  write32(answer, kIp + 12, packet.tuple.destination);
  write32(answer, kIp + 16, packet.tuple.source);
  write16(answer, kIp + 10, ~ones_sum(answer, kIp, kL4) & 65535);
  return answer;
}

}  // namespace

sluice_reason header_shape(const Bytes& frame) {
  const std::uint32_t header = frame.at(kIp) % 16 * 4U;
  if (frame.at(kIp) / 16 != 4 || header < 20) return SLUICE_REASON_BAD_IP_HEADER;
  const std::uint32_t total = read16(frame, kIp + 2);
  if (total < header || total > frame.size() - 14) return SLUICE_REASON_BAD_IP_LENGTH;
  return header > 20 ? SLUICE_REASON_IP_OPTIONS : SLUICE_REASON_NONE;
}

bool is_fragment(const Bytes& frame) {
  return (read16(frame, kIp + 6) & 0x3fff) != 0;
}

sluice_reason transport(const Bytes& frame, Parsed& packet) {
  const std::uint32_t total = read16(frame, kIp + 2);
  const std::uint8_t protocol = frame.at(kIp + 9);
  if (protocol == 1) return icmp_header(frame, total, packet);
  if (protocol != 6 && protocol != 17) return SLUICE_REASON_NONE;
  const sluice_reason reason = protocol == 6 ? tcp_header(frame, total, packet) : udp_header(frame, total);
  if (reason != SLUICE_REASON_NONE) return reason;
  packet.tracked = true;
  packet.tuple.source_port = read16(frame, kL4);
  packet.tuple.destination_port = read16(frame, kL4 + 2);
  const bool zero = packet.tuple.source_port == 0 || packet.tuple.destination_port == 0;
  return zero ? SLUICE_REASON_ZERO_PORT : SLUICE_REASON_NONE;
}

bool martian_class(std::uint32_t address) {
  const std::uint32_t first = address >> 24;
  return first == 0 || first == 127 || first >= 224;
}

Bytes rewritten(const Bytes& frame, const Flow& flow) {
  Bytes out = frame;
  const std::uint8_t protocol = frame.at(kIp + 9);
  const std::size_t sum_at = protocol == 6 ? kL4 + 16 : kL4 + 6;
  const bool has_ports = protocol != 1;
  const bool has_sum = has_ports && !(protocol == 17 && read16(frame, sum_at) == 0);
  const auto replace = [&](std::size_t at, std::uint16_t value, bool in_ip_header) {
    const std::uint16_t before = read16(out, at);
    if (in_ip_header) write16(out, kIp + 10, updated(read16(out, kIp + 10), before, value));
    if (has_sum) write16(out, sum_at, updated(read16(out, sum_at), before, value));
    write16(out, at, value);
  };
  replace(kIp + 12, static_cast<std::uint16_t>(flow.new_source >> 16), true);
  replace(kIp + 14, static_cast<std::uint16_t>(flow.new_source), true);
  replace(kIp + 16, static_cast<std::uint16_t>(flow.new_destination >> 16), true);
  replace(kIp + 18, static_cast<std::uint16_t>(flow.new_destination), true);
  if (has_ports) {
    replace(kL4, flow.new_source_port, false);
    replace(kL4 + 2, flow.new_destination_port, false);
  }
  if (has_sum && protocol == 17 && read16(out, sum_at) == 0) write16(out, sum_at, 0xffff);
  if (!flow.to_uplink) {
    write_mac(out, 0, flow.receiver);
    write_mac(out, 6, SLUICE_ROUTER_MAC);
  }
  return out;
}

Bytes reset_for(const Parsed& packet) {
  Bytes answer = answer_header(packet, 40, 6);
  write16(answer, kL4, packet.tuple.destination_port);
  write16(answer, kL4 + 2, packet.tuple.source_port);
  if ((packet.flags & kAck) != 0) {
    write32(answer, kL4 + 4, packet.acknowledgement);
    write16(answer, kL4 + 12, 0x5000 | kRst);
  } else {
    const std::uint32_t length =
        packet.payload + ((packet.flags & kSyn) != 0 ? 1 : 0) + ((packet.flags & kFin) != 0 ? 1 : 0);
    write32(answer, kL4 + 8, packet.sequence + length);
    write16(answer, kL4 + 12, 0x5000 | kRst | kAck);
  }
  const std::uint32_t pseudo = ones_sum(answer, kIp + 12, kL4, 6 + 20);
  write16(answer, kL4 + 16, ~ones_sum(answer, kL4, answer.size(), pseudo) & 65535);
  return answer;
}

Bytes unreachable_for(const Parsed& packet) {
  Bytes answer = answer_header(packet, 20 + 8 + 28, 1);
  write16(answer, kL4, 3 * 256 + 3);
  std::copy_n(packet.frame->begin() + kIp, 28, answer.begin() + kL4 + 8);
  write16(answer, kL4 + 2, ~ones_sum(answer, kL4, answer.size()) & 65535);
  return answer;
}

Bytes echo_answer(const Parsed& packet) {
  Bytes answer = *packet.frame;
  write_mac(answer, 0, read_mac(*packet.frame, 6));
  write_mac(answer, 6, read_mac(*packet.frame, 0));
  write32(answer, kIp + 12, packet.tuple.destination);
  write32(answer, kIp + 16, packet.tuple.source);
  answer.at(kIp + 8) = 64;
  write16(answer, kIp + 10, 0);
  write16(answer, kIp + 10, ~ones_sum(answer, kIp, kL4) & 65535);
  answer.at(kL4) = 0;
  write16(answer, kL4 + 2, updated(read16(answer, kL4 + 2), 0x0800, 0));
  return answer;
}

}  // namespace model
