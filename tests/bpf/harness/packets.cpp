// SPDX-License-Identifier: Apache-2.0
#include "harness/packets.hpp"

#include <algorithm>

namespace bpftest {

namespace {

void put16(Bytes& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

void put32(Bytes& bytes, std::uint32_t value) {
  put16(bytes, static_cast<std::uint16_t>(value >> 16));
  put16(bytes, static_cast<std::uint16_t>(value));
}

void put(Bytes& bytes, const auto& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

Bytes header4(std::uint8_t protocol, std::size_t payload) {
  Bytes header = {0x45, 0};
  put16(header, static_cast<std::uint16_t>(20 + payload));
  put16(header, 0x1234);
  put16(header, 0x4000);
  header.push_back(64);
  header.push_back(protocol);
  put16(header, 0);
  return header;
}

Bytes header6(std::uint8_t protocol, std::size_t payload) {
  Bytes header = {0x60, 0, 0, 0};
  put16(header, static_cast<std::uint16_t>(payload));
  header.push_back(protocol);
  header.push_back(64);
  return header;
}

Bytes echo_body(std::uint16_t id, const Bytes& body) {
  Bytes rest;
  put16(rest, id);
  put(rest, body);
  return rest;
}

}  // namespace

Bytes text(const std::string& content) {
  return {content.begin(), content.end()};
}

Frame ethernet(const Link& link, std::uint16_t ethertype, const Bytes& payload) {
  Bytes bytes;
  put(bytes, link.destination);
  put(bytes, link.source);
  put16(bytes, ethertype);
  put(bytes, payload);
  return Frame(bytes);
}

Frame ip_packet(const Link& link, const Address& source, const Address& destination, std::uint8_t protocol,
                const Bytes& payload) {
  const bool six = source.family() == Family::kIpv6;
  Bytes packet = six ? header6(protocol, payload.size()) : header4(protocol, payload.size());
  put(packet, source);
  put(packet, destination);
  put(packet, payload);
  return ethernet(link, six ? 0x86dd : 0x0800, packet).fix_checksums();
}

Frame tcp(const Link& link, const Tuple& tuple, unsigned flags, const TcpFields& fields) {
  Bytes segment;
  put16(segment, tuple.source_port);
  put16(segment, tuple.destination_port);
  put32(segment, fields.sequence);
  put32(segment, fields.acknowledgement);
  segment.push_back(static_cast<std::uint8_t>((5 + fields.options.size() / 4) << 4));
  segment.push_back(static_cast<std::uint8_t>(flags));
  put16(segment, 0x7210);
  put32(segment, 0);
  put(segment, fields.options);
  put(segment, fields.payload);
  return ip_packet(link, tuple.source, tuple.destination, kTcp, segment);
}

Frame udp(const Link& link, const Tuple& tuple, const Bytes& payload) {
  Bytes datagram;
  put16(datagram, tuple.source_port);
  put16(datagram, tuple.destination_port);
  put16(datagram, static_cast<std::uint16_t>(8 + payload.size()));
  put16(datagram, 0xffff);  // not 0: "no checksum" would be kept
  put(datagram, payload);
  return ip_packet(link, tuple.source, tuple.destination, kUdp, datagram);
}

Frame icmp(const Link& link, const Address& source, const Address& destination, std::uint8_t type, std::uint8_t code,
           const Bytes& rest) {
  Bytes message = {type, code, 0, 0};
  put(message, rest);
  return ip_packet(link, source, destination, protocol_in(source.family(), kIcmp), message);
}

Frame echo_request(const Link& link, const Address& source, const Address& destination, std::uint16_t id,
                   const Bytes& body) {
  return icmp(link, source, destination, source.family() == Family::kIpv6 ? 128 : 8, 0, echo_body(id, body));
}

Frame echo_reply(const Link& link, const Address& source, const Address& destination, std::uint16_t id,
                 const Bytes& body) {
  return icmp(link, source, destination, source.family() == Family::kIpv6 ? 129 : 0, 0, echo_body(id, body));
}

Frame vlan(const Frame& inner, std::uint16_t tag_protocol, std::uint16_t tag) {
  Bytes bytes(inner.bytes.begin(), inner.bytes.begin() + 12);
  put16(bytes, tag_protocol);
  put16(bytes, tag);
  bytes.insert(bytes.end(), inner.bytes.begin() + 12, inner.bytes.end());
  return Frame(bytes);
}

Frame with_ip_options(const Frame& plain, const Bytes& options) {
  Frame frame = plain;
  frame.bytes.insert(frame.bytes.begin() + kL4, options.begin(), options.end());
  frame.set8(kIp, 0x40u | static_cast<unsigned>(5 + options.size() / 4));
  frame.set16(kIp + 2, frame.get16(kIp + 2) + static_cast<unsigned>(options.size()));
  return frame.fix_checksums();
}

Frame with_extension_headers(const Frame& plain, const ExtensionHeaders& headers) {
  Bytes chain;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    chain.push_back(i + 1 < headers.size() ? headers[i + 1].first : plain.protocol());
    put(chain, headers[i].second);
  }
  Frame frame = plain;
  if (!headers.empty()) frame.set8(kIp + 6, headers.front().first);
  frame.set16(kIp + 4, frame.get16(kIp + 4) + static_cast<unsigned>(chain.size()));
  frame.bytes.insert(frame.bytes.begin() + kL46, chain.begin(), chain.end());
  return frame.fix_checksums();
}

Frame icmp_error(const Frame& packet, const Address& from, std::uint8_t type, std::uint8_t code, std::uint32_t word) {
  Bytes rest;
  put32(rest, word);
  rest.insert(rest.end(), packet.bytes.begin() + kIp,
              packet.bytes.begin() + static_cast<std::ptrdiff_t>(packet.l4() + 8));
  Frame error = icmp({packet.mac(0), packet.mac(6)}, from, packet.source(), type, code, rest);
  if (error.family() == Family::kIpv4) error.set16(kIp + 4, 0);  // the identification
  return error.fix_checksums();
}

Frame reset(const Frame& packet, std::uint32_t sequence, std::uint32_t acknowledgement, unsigned flags) {
  const Link back = {packet.mac(0), packet.mac(6)};
  const std::size_t at = packet.l4();
  const Tuple tuple{packet.destination(), packet.get16(at + 2), packet.source(), packet.get16(at)};
  Frame made = tcp(back, tuple, flags, {.sequence = sequence, .acknowledgement = acknowledgement});
  made.set16(at + 14, 0);                                      // the window
  if (made.family() == Family::kIpv4) made.set16(kIp + 4, 0);  // the identification
  return made.fix_checksums();
}

Frame protocol_unreachable(const Frame& packet) {
  constexpr std::uint32_t kNextHeaderField = 6;
  if (packet.family() == Family::kIpv4) return icmp_error(packet, packet.destination(), 3, 2);
  return icmp_error(packet, packet.destination(), 4, 1, kNextHeaderField);
}

Frame translated(const Frame& input, const Link& link, const Tuple& tuple) {
  Frame frame = input;
  frame.set_mac(0, link.destination).set_mac(6, link.source);
  frame.set_source(tuple.source).set_destination(tuple.destination).set_hops(frame.hops() - 1U);
  const Transport transport = transport_of(frame);
  if (transport.protocol == kTcp || transport.protocol == kUdp || transport.protocol == kSctp) {
    frame.set16(transport.begin, tuple.source_port).set16(transport.begin + 2, tuple.destination_port);
  }
  return frame.fix_checksums();
}

Frame arp(const Link& link, std::uint16_t operation, const Mac& sender_mac, const Address& sender,
          const Mac& target_mac, const Address& target) {
  Bytes message;
  put16(message, 1);
  put16(message, 0x0800);
  message.push_back(6);
  message.push_back(4);
  put16(message, operation);
  put(message, sender_mac);
  put(message, sender);
  put(message, target_mac);
  put(message, target);
  return ethernet(link, 0x0806, message);
}

Frame nd(const Link& link, const Address& source, const Address& destination, std::uint8_t type, const Bytes& rest) {
  return icmp(link, source, destination, type, 0, rest).set_hops(255);
}

Bytes nd_body(std::uint32_t flags, const Address& target, std::uint8_t option, const Mac& mac) {
  Bytes body;
  put32(body, flags);
  put(body, target);
  if (option == 0) return body;
  body.push_back(option);
  body.push_back(1);
  put(body, mac);
  return body;
}

Address solicited_node(const Address& target) {
  std::uint8_t group[16] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  std::copy_n(target.begin() + 13, 3, group + 13);
  return Address::read(Family::kIpv6, group);
}

Mac group_mac(const Address& group) {
  Mac mac = {0x33, 0x33};
  std::copy_n(group.begin() + 12, 4, mac.begin() + 2);
  return mac;
}

Frame question(const Mac& asker_mac, const Address& asker, const Address& target) {
  if (target.family() == Family::kIpv4) return arp({asker_mac, kBroadcastMac}, 1, asker_mac, asker, {}, target);
  const Address group = solicited_node(target);
  return nd({asker_mac, group_mac(group)}, asker, group, kSolicitation, nd_body(0, target, 1, asker_mac));
}

Frame answer(const Mac& mac, const Address& target, const Mac& asker_mac, const Address& asker, bool router) {
  const Link back{mac, asker_mac};
  if (target.family() == Family::kIpv4) return arp(back, 2, mac, target, asker_mac, asker);
  constexpr std::uint32_t kRouterFlag = 1U << 31, kSolicitedFlag = 1U << 30, kOverrideFlag = 1U << 29;
  return nd(back, target, asker, kAdvertisement,
            nd_body(kSolicitedFlag | kOverrideFlag | (router ? kRouterFlag : 0), target, 2, mac));
}

}  // namespace bpftest
