// SPDX-License-Identifier: Apache-2.0
#include "frame.hpp"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace sluice::benchmark {

namespace {

constexpr std::size_t kIpOffset = sizeof(ethhdr);
constexpr std::size_t kTcpOffset = kIpOffset + sizeof(iphdr);

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

}  // namespace

std::vector<std::uint8_t> build(const TcpFrame& frame) {
  std::vector<std::uint8_t> bytes(kFrameLength, 0x5a);
  std::ranges::copy(frame.destination_mac.bytes, bytes.begin());
  std::ranges::copy(frame.source_mac.bytes, bytes.begin() + ETH_ALEN);
  const std::uint16_t ethertype = to_wire(ETH_P_IP);
  std::memcpy(&bytes[2 * ETH_ALEN], &ethertype, sizeof(ethertype));

  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.tot_len = to_wire(kFrameLength - kIpOffset);
  ip.frag_off = to_wire(0x4000);
  ip.protocol = IPPROTO_TCP;
  ip.saddr = frame.source.wire();
  ip.daddr = frame.destination.wire();
  std::memcpy(&bytes[kIpOffset], &ip, sizeof(ip));
  ip.check = finish(sum(std::span(bytes).subspan(kIpOffset, sizeof(ip))));
  std::memcpy(&bytes[kIpOffset], &ip, sizeof(ip));

  tcphdr tcp{};
  tcp.source = to_wire(frame.source_port);
  tcp.dest = to_wire(frame.destination_port);
  tcp.seq = Ipv4{frame.sequence}.wire();
  tcp.ack_seq = Ipv4{frame.acknowledgement}.wire();
  tcp.doff = sizeof(tcp) / 4;
  tcp.syn = (frame.flags & kSyn) != 0;
  tcp.ack = (frame.flags & kAck) != 0;
  tcp.window = 0xffff;
  std::memcpy(&bytes[kTcpOffset], &tcp, sizeof(tcp));
  const std::uint32_t pseudo = sum(std::span(bytes).subspan(kIpOffset + offsetof(iphdr, saddr), 8)) +
                               to_wire(IPPROTO_TCP) + to_wire(kFrameLength - kTcpOffset);
  tcp.check = finish(sum(std::span(bytes).subspan(kTcpOffset), pseudo));
  std::memcpy(&bytes[kTcpOffset], &tcp, sizeof(tcp));
  return bytes;
}

}  // namespace sluice::benchmark
