// SPDX-License-Identifier: Apache-2.0
// Builds packets: of the family that their addresses have, with every checksum right.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "harness/frame.hpp"

namespace bpftest {

struct TcpFields {
  std::uint32_t sequence = 1000;
  std::uint32_t acknowledgement = 0;
  Bytes payload = {};
  Bytes options = {};  ///< a multiple of four bytes
};

Bytes text(const std::string& content);
Frame ethernet(const Link& link, std::uint16_t ethertype, const Bytes& payload);
/// TTL or hop limit 64; IPv4 with DF. `payload` is what follows the header, checksums inside it are computed.
/// `protocol` is taken as it is: 1 in IPv6 is a next header that nobody knows.
Frame ip_packet(const Link& link, const Address& source, const Address& destination, std::uint8_t protocol,
                const Bytes& payload);
Frame tcp(const Link& link, const Tuple& tuple, unsigned flags, const TcpFields& fields = {});
Frame udp(const Link& link, const Tuple& tuple, const Bytes& payload = {1, 2, 3, 4});
/// ICMP or ICMPv6, whose types are others.
Frame icmp(const Link& link, const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
           const Bytes& rest);
Frame echo_request(const Link& link, const Address& source, const Address& destination, std::uint16_t id,
                   const Bytes& body = {0, 1, 'p', 'i', 'n', 'g', '!'});
Frame echo_reply(const Link& link, const Address& source, const Address& destination, std::uint16_t id,
                 const Bytes& body = {0, 1, 'p', 'i', 'n', 'g', '!'});
/// `inner` with a VLAN tag between the MAC addresses and the ethertype.
Frame vlan(const Frame& inner, std::uint16_t tag_protocol, std::uint16_t tag);
/// IPv4 with `options` (a multiple of four bytes) behind the header of `plain`.
Frame with_ip_options(const Frame& plain, const Bytes& options);
/// IPv6 with extension headers behind the header of `plain`, in this order: the number of each, and its bytes from the
/// length field on (a multiple of eight less one).
using ExtensionHeaders = std::vector<std::pair<std::uint8_t, Bytes>>;
Frame with_extension_headers(const Frame& plain, const ExtensionHeaders& headers);

/// What the datapath answers to `packet` with an ICMP error in the name of `from`: the IP header and 8 bytes quoted;
/// `word` is what stands before the quote.
Frame icmp_error(const Frame& packet, const Address& from, std::uint8_t type, std::uint8_t code,
                 std::uint32_t word = 0);

/// The reset that RFC 9293 3.10.7.1 asks for, as the answer to `packet`.
Frame reset(const Frame& packet, std::uint32_t sequence, std::uint32_t acknowledgement, unsigned flags);

/// The answer of a service to what it does not speak: protocol unreachable, or parameter problem.
Frame protocol_unreachable(const Frame& packet);

/// `input` as the rewrite stage leaves it: new MAC addresses, addresses and ports, one hop less, every checksum right.
Frame translated(const Frame& input, const Link& link, const Tuple& tuple);

// ---- who has an address: ARP and neighbour discovery --------------------------------------------------------------

Frame arp(const Link& link, std::uint16_t operation, const Mac& sender_mac, const Address& sender,
          const Mac& target_mac, const Address& target);

inline constexpr std::uint8_t kRouterSolicitation = 133, kRouterAdvertisement = 134, kSolicitation = 135,
                              kAdvertisement = 136, kRedirect = 137;
/// ICMPv6 with hop limit 255, as neighbour discovery has it; `rest` is what follows the checksum.
Frame nd(const Link& link, const Address& source, const Address& destination, std::uint8_t type, const Bytes& rest);
/// What follows the checksum of a solicitation or an advertisement; `option` 0: without one.
Bytes nd_body(std::uint32_t flags, const Address& target, std::uint8_t option, const Mac& mac);
/// The group, and its MAC, that a solicitation for `target` goes to (RFC 4291 2.7.1, RFC 2464 7).
Address solicited_node(const Address& target);
Mac group_mac(const Address& group);

/// "Who has `target`?" by ARP or by a solicitation, to everybody whom it concerns.
Frame question(const Mac& asker_mac, const Address& asker, const Address& target);
/// The answer to question(): `target` is at `mac`, which is a router's or not.
Frame answer(const Mac& mac, const Address& target, const Mac& asker_mac, const Address& asker, bool router = false);

}  // namespace bpftest
