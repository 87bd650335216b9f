// SPDX-License-Identifier: Apache-2.0
#include "frame.hpp"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace sluice::benchmark {

namespace {

constexpr std::size_t kIpOffset = sizeof(ethhdr);

// RFC 1071 over an even number of bytes; the sum is kept in wire order, so the result needs no conversion.
std::uint32_t sum(std::span<const std::uint8_t> bytes, std::uint32_t start = 0) {
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, &bytes[at], sizeof(word));
    start += word;
  }
  return start;
}

std::uint16_t finish(std::uint32_t total) {
  while ((total >> 16) != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(~total);
}

template <typename Header>
void put(std::vector<std::uint8_t>& bytes, std::size_t offset, const Header& header) {
  std::memcpy(&bytes[offset], &header, sizeof(header));
}

// The IP header; what the pseudo header adds to the transport checksum, but for protocol and length.
std::uint32_t put_ipv4(std::vector<std::uint8_t>& bytes, const TcpFrame& frame) {
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.tot_len = to_wire(kFrameLength - kIpOffset);
  ip.frag_off = to_wire(0x4000);
  ip.protocol = IPPROTO_TCP;
  ip.saddr = frame.source.wire4();
  ip.daddr = frame.destination.wire4();
  put(bytes, kIpOffset, ip);
  ip.check = finish(sum(std::span(bytes).subspan(kIpOffset, sizeof(ip))));
  put(bytes, kIpOffset, ip);
  return sum(std::span(bytes).subspan(kIpOffset + offsetof(iphdr, saddr), 8));
}

std::uint32_t put_ipv6(std::vector<std::uint8_t>& bytes, const TcpFrame& frame) {
  ipv6hdr ip{};
  ip.version = 6;
  ip.payload_len = to_wire(kFrameLength - kIpOffset - sizeof(ip));
  ip.nexthdr = IPPROTO_TCP;
  ip.hop_limit = 64;
  const sluice_address6 source = frame.source.wire6();
  const sluice_address6 destination = frame.destination.wire6();
  std::memcpy(&ip.saddr, &source, sizeof(source));
  std::memcpy(&ip.daddr, &destination, sizeof(destination));
  put(bytes, kIpOffset, ip);
  return sum(std::span(bytes).subspan(kIpOffset + offsetof(ipv6hdr, saddr), 32));
}

void put_tcp(std::vector<std::uint8_t>& bytes, std::size_t offset, const TcpFrame& frame, std::uint32_t addresses) {
  tcphdr tcp{};
  tcp.source = to_wire(frame.source_port);
  tcp.dest = to_wire(frame.destination_port);
  tcp.seq = Ipv4{frame.sequence}.wire();
  tcp.ack_seq = Ipv4{frame.acknowledgement}.wire();
  tcp.doff = sizeof(tcp) / 4;
  tcp.syn = (frame.flags & kSyn) != 0;
  tcp.ack = (frame.flags & kAck) != 0;
  tcp.window = 0xffff;
  put(bytes, offset, tcp);
  const auto length = static_cast<std::uint16_t>(kFrameLength - offset);
  tcp.check = finish(sum(std::span(bytes).subspan(offset), addresses + to_wire(IPPROTO_TCP) + to_wire(length)));
  put(bytes, offset, tcp);
}

}  // namespace

std::vector<std::uint8_t> build(const TcpFrame& frame) {
  const bool six = frame.source.family == Family::kIpv6;
  std::vector<std::uint8_t> bytes(kFrameLength, 0x5a);
  std::ranges::copy(frame.destination_mac.bytes, bytes.begin());
  std::ranges::copy(frame.source_mac.bytes, bytes.begin() + ETH_ALEN);
  put(bytes, 2 * ETH_ALEN, to_wire(six ? ETH_P_IPV6 : ETH_P_IP));
  const std::uint32_t addresses = six ? put_ipv6(bytes, frame) : put_ipv4(bytes, frame);
  put_tcp(bytes, kIpOffset + (six ? sizeof(ipv6hdr) : sizeof(iphdr)), frame, addresses);
  return bytes;
}

}  // namespace sluice::benchmark
