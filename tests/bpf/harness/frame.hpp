// SPDX-License-Identifier: Apache-2.0
// Ethernet frames, byte by byte. Everything in a Frame's interface is in host byte order; checksums are computed in
// full, from the bytes, never incrementally: that is what the programs' incremental ones are held to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "harness/address.hpp"

namespace bpftest {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t kEthernet = 14;
inline constexpr std::size_t kIp = kEthernet;        ///< offset of the IP header
inline constexpr std::size_t kL4 = kEthernet + 20;   ///< offset behind an IPv4 header without options
inline constexpr std::size_t kL46 = kEthernet + 40;  ///< offset behind the IPv6 header
inline constexpr Mac kBroadcastMac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

inline constexpr unsigned kFin = 1, kSyn = 2, kRst = 4, kPush = 8, kAck = 16;
inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kSctp = 132, kIcmp6 = 58;
inline constexpr std::uint8_t kExperiment = 253;  ///< nobody's protocol (RFC 3692)
inline constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;

/// What a test names kIcmp is ICMPv6 where it speaks of IPv6; every other protocol is itself.
constexpr std::uint8_t protocol_in(Family family, std::uint8_t protocol) {
  return family == Family::kIpv6 && protocol == kIcmp ? kIcmp6 : protocol;
}
constexpr std::size_t l4_offset(Family family) {
  return family == Family::kIpv6 ? kL46 : kL4;
}
constexpr bool is_extension_header(std::uint8_t next) {
  return next == kHopByHop || next == kRouting || next == kFragment || next == kDestinationOptions;
}

struct Link {
  Mac source;
  Mac destination;
};

struct Tuple {
  Address source;
  std::uint16_t source_port = 0;
  Address destination;
  std::uint16_t destination_port = 0;
  auto operator<=>(const Tuple&) const = default;
  [[nodiscard]] Tuple reversed() const { return {destination, destination_port, source, source_port}; }
};

/// A frame with typed access at offsets. Access beyond the end ends the test program.
class Frame {
 public:
  Frame() = default;
  explicit Frame(Bytes raw) : bytes(std::move(raw)) {}
  bool operator==(const Frame&) const = default;

  [[nodiscard]] std::uint8_t get8(std::size_t offset) const { return bytes.at(offset); }
  [[nodiscard]] std::uint16_t get16(std::size_t offset) const;
  [[nodiscard]] std::uint32_t get32(std::size_t offset) const;
  Frame& set8(std::size_t offset, unsigned value);
  Frame& set16(std::size_t offset, unsigned value);
  Frame& set32(std::size_t offset, std::uint32_t value);
  Frame& set_mac(std::size_t offset, const Mac& mac);
  Frame& resize(std::size_t size);
  [[nodiscard]] Mac mac(std::size_t offset) const;
  [[nodiscard]] std::size_t size() const { return bytes.size(); }

  /// Of the packet inside, by its ethertype; what is neither is taken for IPv4.
  [[nodiscard]] Family family() const;
  [[nodiscard]] Address source() const;
  [[nodiscard]] Address destination() const;
  Frame& set_source(const Address& address);
  Frame& set_destination(const Address& address);
  /// Protocol, or next header of the IPv6 header.
  [[nodiscard]] std::uint8_t protocol() const { return get8(family() == Family::kIpv6 ? kIp + 6 : kIp + 9); }
  /// Time to live or hop limit.
  [[nodiscard]] std::uint8_t hops() const { return get8(family() == Family::kIpv6 ? kIp + 7 : kIp + 8); }
  Frame& set_hops(unsigned hops) { return set8(family() == Family::kIpv6 ? kIp + 7 : kIp + 8, hops); }
  /// Total or payload length: what the IP header says of `l4` bytes behind it.
  Frame& set_length(unsigned l4) { return family() == Family::kIpv6 ? set16(kIp + 4, l4) : set16(kIp + 2, 20 + l4); }
  /// Offset behind the IP header (IPv4: with its options).
  [[nodiscard]] std::size_t l4() const;
  /// Recomputes the IPv4 header checksum and, if the packet is whole, TCP's, UDP's (unless 0) or ICMP's.
  Frame& fix_checksums();

  Bytes bytes;
};

void PrintTo(const Frame& frame, std::ostream* out);

/// Where the transport header lies and what it is; behind extension headers, if the packet has some.
struct Transport {
  std::uint8_t protocol = 0;
  std::size_t begin = 0;  ///< offset; 0: there is none, the packet is not whole or a fragment
  std::size_t end = 0;    ///< of the packet, as the IP header has it
};
Transport transport_of(const Frame& frame);

/// The Internet checksum (RFC 1071) over `size` bytes at `data`, folded and complemented.
std::uint16_t checksum(const std::uint8_t* data, std::size_t size, std::uint32_t initial = 0);

}  // namespace bpftest
