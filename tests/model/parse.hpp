// SPDX-License-Identifier: Apache-2.0
// A frame's fields as the model reads them, and the shape checks of docs/datapath.md.
#pragma once

#include "model.hpp"

namespace model {

inline constexpr std::size_t kIp = 14;
inline constexpr unsigned kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
inline constexpr std::uint8_t kTcp = 6, kUdp = 17, kSctp = 132;
inline constexpr Mac kRouterMac = SLUICE_ROUTER_MAC;

/// Where the families differ.
constexpr std::size_t header_size(bool v6) {
  return v6 ? 40 : 20;
}
constexpr std::size_t source_at(bool v6) {
  return v6 ? kIp + 8 : kIp + 12;
}
constexpr std::size_t destination_at(bool v6) {
  return v6 ? kIp + 24 : kIp + 16;
}
constexpr std::size_t hops_at(bool v6) {
  return v6 ? kIp + 7 : kIp + 8;
}
constexpr std::uint8_t icmp_of(bool v6) {
  return v6 ? 58 : 1;
}
constexpr std::uint8_t echo_request_of(bool v6) {
  return v6 ? 128 : 8;
}
constexpr std::uint8_t echo_reply_of(bool v6) {
  return v6 ? 129 : 0;
}

/// A part of a datagram: its bytes behind the header that says so.
struct Fragment {
  bool more = false;
  std::uint32_t id = 0;
  std::size_t begin = 0, end = 0;
};

struct Parsed {
  const Bytes* frame = nullptr;
  const Port* port = nullptr;
  bool v6 = false;
  bool uplink = false;
  std::size_t l4 = 0;   ///< offset of the transport header
  std::size_t end = 0;  ///< of the packet; the frame may be longer
  Tuple tuple = {};     ///< ports: ICMP echo as the specification maps them
  bool tracked = false;
  unsigned flags = 0;
  std::uint8_t hops = 0;
  std::uint8_t icmp_type = 0;
  bool ended = false;  ///< a record that a generation has ended stands under its tuple
  bool init = false;   ///< SCTP that asks for an association
  std::optional<Fragment> fragment = {};
  std::uint32_t sequence = 0, acknowledgement = 0, payload = 0;

  [[nodiscard]] bool icmp() const { return tuple.protocol == icmp_of(v6); }
  [[nodiscard]] bool echo_request() const { return icmp() && tracked && icmp_type == echo_request_of(v6); }
  [[nodiscard]] bool echo_reply() const { return icmp() && tracked && icmp_type == echo_reply_of(v6) && !later(); }
  /// A fragment without a transport header.
  [[nodiscard]] bool later() const { return fragment && fragment->begin != 0; }
  /// TCP of a connection that is over, of which the record still stands.
  [[nodiscard]] bool of_ended_connection() const { return ended && tuple.protocol == kTcp && !opening() && !later(); }
  /// TCP that opens a connection.
  [[nodiscard]] bool opening() const { return tuple.protocol == kTcp && (flags & (kSyn | kAck)) == kSyn; }
  [[nodiscard]] bool has_extension_headers() const { return v6 && l4 != kIp + header_size(true); }
};

/// Version, header length, lengths, options. SLUICE_REASON_NONE: good.
sluice_reason header_shape(const Bytes& frame, bool v6);
/// Of a frame whose header_shape is good: the addresses, where the packet ends, and what it carries directly.
Parsed parsed(const Bytes& frame, const Port& port, bool v6);
/// Fragments, extension headers, rows 15 and 16, and the fields that the later stages want.
sluice_reason transport(Parsed& packet);
bool is_icmp_error(const Parsed& packet);
bool martian_class(const Address& address);
/// ICMPv6 of type 133 to 137 directly behind the header.
bool neighbour_discovery(const Bytes& frame);
/// The sum of a pseudo-header of `length` bytes of `protocol`, over the addresses of the IP header at `ip`.
std::uint32_t pseudo_sum(const Bytes& bytes, std::size_t ip, bool v6, std::uint8_t protocol, std::size_t length);

}  // namespace model
