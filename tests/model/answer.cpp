// SPDX-License-Identifier: Apache-2.0
#include "answer.hpp"

#include <algorithm>

#include "bytes.hpp"

namespace model {

namespace {

/// Ethernet and IP with `room` zero bytes behind them: back to where `frame` came from, IPv4 with DF and id 0.
Bytes header(const Bytes& frame, bool v6, const Address& from, const Address& to, std::uint8_t protocol,
             std::size_t room) {
  Bytes answer(kIp + header_size(v6) + room);
  write_mac(answer, 0, read_mac(frame, 6));
  write_mac(answer, 6, read_mac(frame, 0));
  write16(answer, 12, v6 ? 0x86dd : 0x0800);
  write16(answer, kIp, v6 ? 0x6000 : 0x4500);
  write_address(answer, source_at(v6), from);
  write_address(answer, destination_at(v6), to);
  answer.at(hops_at(v6)) = 64;
  if (v6) {
    write16(answer, kIp + 4, static_cast<std::uint32_t>(room));
    answer.at(kIp + 6) = protocol;
  } else {
    write16(answer, kIp + 2, static_cast<std::uint32_t>(20 + room));
    write16(answer, kIp + 6, 0x4000);
    answer.at(kIp + 9) = protocol;
    write16(answer, kIp + 10, ~ones_sum(answer, kIp, kIp + 20) & 65535);
  }
  return answer;
}

/// Writes the checksum of a whole answer, `at` bytes behind its IP header.
void seal(Bytes& answer, bool v6, std::uint8_t protocol, std::size_t at) {
  const std::size_t l4 = kIp + header_size(v6);
  const bool plain = !v6 && protocol == icmp_of(false);
  const std::uint32_t pseudo = plain ? 0 : pseudo_sum(answer, kIp, v6, protocol, answer.size() - l4);
  write16(answer, l4 + at, ~ones_sum(answer, l4, answer.size(), pseudo) & 65535);
}

/// Ethernet and IPv6 of an answer to a solicitation.
Bytes discovery_header(const Bytes& solicitation, const Mac& mac, const Address& from, std::size_t room) {
  const Address asker = read_address(solicitation, source_at(true), true);
  const bool nobody = asker.unspecified();
  Bytes answer = header(solicitation, true, from, nobody ? kAllNodes : asker, icmp_of(true), room);
  if (nobody) write_mac(answer, 0, {0x33, 0x33, 0, 0, 0, 1});
  write_mac(answer, 6, mac);
  answer.at(hops_at(true)) = 255;
  return answer;
}

}  // namespace

Bytes reset_for(const Parsed& packet) {
  Bytes answer = header(*packet.frame, packet.v6, packet.tuple.destination, packet.tuple.source, kTcp, 20);
  const std::size_t l4 = kIp + header_size(packet.v6);
  write16(answer, l4, packet.tuple.destination_port);
  write16(answer, l4 + 2, packet.tuple.source_port);
  if ((packet.flags & kAck) != 0) {
    write32(answer, l4 + 4, packet.acknowledgement);
    write16(answer, l4 + 12, 0x5000 | kRst);
  } else {
    const std::uint32_t length =
        packet.payload + ((packet.flags & kSyn) != 0 ? 1 : 0) + ((packet.flags & kFin) != 0 ? 1 : 0);
    write32(answer, l4 + 8, packet.sequence + length);
    write16(answer, l4 + 12, 0x5000 | kRst | kAck);
  }
  seal(answer, packet.v6, kTcp, 16);
  return answer;
}

Bytes error_for(const Parsed& packet, const Address& from, std::uint8_t type, std::uint8_t code, std::uint32_t unused) {
  const std::size_t quoted = header_size(packet.v6) + 8;
  const std::uint8_t protocol = icmp_of(packet.v6);
  Bytes answer = header(*packet.frame, packet.v6, from, packet.tuple.source, protocol, 8 + quoted);
  const std::size_t l4 = kIp + header_size(packet.v6);
  write16(answer, l4, type * 256U + code);
  write32(answer, l4 + 4, unused);
  const std::size_t there = std::min(quoted, packet.frame->size() - kIp);
  std::copy_n(packet.frame->begin() + kIp, there, answer.begin() + static_cast<std::ptrdiff_t>(l4 + 8));
  seal(answer, packet.v6, protocol, 2);
  return answer;
}

Verdict echo_answer(const Parsed& packet) {
  Bytes answer = *packet.frame;
  write_mac(answer, 0, read_mac(*packet.frame, 6));
  write_mac(answer, 6, read_mac(*packet.frame, 0));
  write_address(answer, source_at(packet.v6), packet.tuple.destination);
  write_address(answer, destination_at(packet.v6), packet.tuple.source);
  answer.at(hops_at(packet.v6)) = 64;
  if (!packet.v6) {
    write16(answer, kIp + 10, 0);
    write16(answer, kIp + 10, ~ones_sum(answer, kIp, kIp + 20) & 65535);
  }
  const std::uint16_t before = read16(answer, packet.l4);
  answer.at(packet.l4) = echo_reply_of(packet.v6);
  write16(answer, packet.l4 + 2, updated(read16(answer, packet.l4 + 2), before, read16(answer, packet.l4)));
  return {SLUICE_REASON_ECHO_ANSWERED, answer, {kIp + 10, packet.l4 + 2}};
}

Bytes arp_reply(const Bytes& question, const Mac& mac) {
  Bytes answer = question;
  write_mac(answer, 0, read_mac(question, 6));
  write_mac(answer, 6, mac);
  write16(answer, 20, 2);
  write_mac(answer, 22, mac);
  write32(answer, 28, read32(question, 38));
  write_mac(answer, 32, read_mac(question, 22));
  write32(answer, 38, read32(question, 28));
  return answer;
}

Bytes advertisement(const Bytes& solicitation, const Mac& mac, bool router) {
  constexpr std::size_t kL4 = kIp + 40;
  const Address target = read_address(solicitation, kL4 + 8, true);
  Bytes answer = discovery_header(solicitation, mac, target, 32);
  const bool solicited = !read_address(solicitation, source_at(true), true).unspecified();
  answer.at(kL4) = 136;
  answer.at(kL4 + 4) = static_cast<std::uint8_t>((router ? 0x80 : 0) | (solicited ? 0x40 : 0) | 0x20);
  write_address(answer, kL4 + 8, target);
  write16(answer, kL4 + 24, 0x0201);
  write_mac(answer, kL4 + 26, mac);
  seal(answer, true, icmp_of(true), 2);
  return answer;
}

Bytes router_advertisement(const Bytes& solicitation) {
  constexpr std::size_t kL4 = kIp + 40;
  Bytes answer = discovery_header(solicitation, kRouterMac, kRouterLinkLocal, 24);
  answer.at(kL4) = 134;
  answer.at(kL4 + 4) = 64;
  write16(answer, kL4 + 6, 1800);
  write16(answer, kL4 + 16, 0x0101);
  write_mac(answer, kL4 + 18, kRouterMac);
  seal(answer, true, icmp_of(true), 2);
  return answer;
}

}  // namespace model
