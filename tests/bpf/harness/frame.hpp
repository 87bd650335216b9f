// SPDX-License-Identifier: Apache-2.0
// Builds Ethernet frames byte by byte. Everything in a Frame's interface is in host byte order; checksums are
// computed in full, from the bytes, never incrementally: that is what the programs' incremental ones are held to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace bpftest {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t kEthernet = 14;
inline constexpr std::size_t kIp = kEthernet;       ///< offset of the IPv4 header
inline constexpr std::size_t kL4 = kEthernet + 20;  ///< offset behind an IPv4 header without options
inline constexpr Mac kBroadcastMac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/// Parses dotted-quad text to a host-order address; a wrong text ends the test program.
std::uint32_t ip(const std::string& text);
std::uint32_t be(std::uint32_t host_order);
std::uint16_t be(std::uint16_t host_order);

inline constexpr unsigned kFin = 1, kSyn = 2, kRst = 4, kPush = 8, kAck = 16;
inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kSctp = 132;

struct Link {
  Mac source;
  Mac destination;
};

struct Tuple {
  std::uint32_t source = 0;
  std::uint16_t source_port = 0;
  std::uint32_t destination = 0;
  std::uint16_t destination_port = 0;
  bool operator==(const Tuple&) const = default;
  [[nodiscard]] Tuple reversed() const { return {destination, destination_port, source, source_port}; }
};

struct TcpFields {
  std::uint32_t sequence = 1000;
  std::uint32_t acknowledgement = 0;
  Bytes payload = {};
  Bytes options = {};  ///< a multiple of four bytes
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
  /// Recomputes the IPv4 header checksum and, if the packet is whole, TCP's, UDP's (unless 0) or ICMP's.
  Frame& fix_checksums();

  Bytes bytes;
};

void PrintTo(const Frame& frame, std::ostream* out);

/// The Internet checksum (RFC 1071) over `size` bytes at `data`, folded and complemented.
std::uint16_t checksum(const std::uint8_t* data, std::size_t size, std::uint32_t initial = 0);

Bytes text(const std::string& content);
Frame ethernet(const Link& link, std::uint16_t ethertype, const Bytes& payload);
/// IPv4 with TTL 64 and DF; `payload` is what follows the header, checksums inside it are computed.
Frame ipv4(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint8_t protocol,
           const Bytes& payload);
Frame tcp(const Link& link, const Tuple& tuple, unsigned flags, const TcpFields& fields = {});
Frame udp(const Link& link, const Tuple& tuple, const Bytes& payload = {1, 2, 3, 4});
Frame icmp(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint8_t type, std::uint8_t code,
           const Bytes& rest);
Frame echo_request(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint16_t id);
Frame echo_reply(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint16_t id);
Frame arp(const Link& link, std::uint16_t operation, const Mac& sender_mac, std::uint32_t sender, const Mac& target_mac,
          std::uint32_t target);
/// `inner` with a VLAN tag between the MAC addresses and the ethertype.
Frame vlan(const Frame& inner, std::uint16_t tag_protocol, std::uint16_t tag);
/// An IPv6 header with next header UDP and `payload` bytes of zeros.
Frame ipv6(const Link& link, std::size_t payload);
/// IPv4 with `options` (a multiple of four bytes) behind the header of `plain`.
Frame with_ip_options(const Frame& plain, const Bytes& options);

/// `input` as the rewrite stage leaves it: new MAC addresses, addresses and ports, every checksum right.
Frame translated(const Frame& input, const Link& link, const Tuple& tuple);

}  // namespace bpftest
