// SPDX-License-Identifier: Apache-2.0
#include "harness/frame.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <iomanip>
#include <iostream>

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

/// Offset of the checksum field in the L4 header, or 0 if the protocol has none that we compute.
std::size_t checksum_offset(std::uint8_t protocol) {
  switch (protocol) {
    case kTcp:
      return 16;
    case kUdp:
      return 6;
    case kIcmp:
      return 2;
    default:
      return 0;
  }
}

std::uint32_t pseudo_header(const Frame& frame, std::size_t length) {
  const std::uint32_t source = frame.get32(kIp + 12);
  const std::uint32_t destination = frame.get32(kIp + 16);
  return (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + frame.get8(kIp + 9) +
         static_cast<std::uint32_t>(length);
}

}  // namespace

std::uint32_t ip(const std::string& text) {
  in_addr parsed{};
  if (inet_pton(AF_INET, text.c_str(), &parsed) != 1) {
    std::cerr << "not an address: " << text << "\n";
    std::abort();
  }
  return ntohl(parsed.s_addr);
}

std::uint32_t be(std::uint32_t host_order) {
  return htonl(host_order);
}
std::uint16_t be(std::uint16_t host_order) {
  return htons(host_order);
}

std::uint16_t Frame::get16(std::size_t offset) const {
  return static_cast<std::uint16_t>(bytes.at(offset) << 8 | bytes.at(offset + 1));
}

std::uint32_t Frame::get32(std::size_t offset) const {
  return static_cast<std::uint32_t>(get16(offset)) << 16 | get16(offset + 2);
}

Frame& Frame::set8(std::size_t offset, unsigned value) {
  bytes.at(offset) = static_cast<std::uint8_t>(value);
  return *this;
}

Frame& Frame::set16(std::size_t offset, unsigned value) {
  return set8(offset, value >> 8).set8(offset + 1, value);
}

Frame& Frame::set32(std::size_t offset, std::uint32_t value) {
  return set16(offset, value >> 16).set16(offset + 2, value & 0xffff);
}

Frame& Frame::set_mac(std::size_t offset, const Mac& mac) {
  for (std::size_t i = 0; i < mac.size(); ++i) set8(offset + i, mac[i]);
  return *this;
}

Frame& Frame::resize(std::size_t size) {
  bytes.resize(size);
  return *this;
}

Mac Frame::mac(std::size_t offset) const {
  Mac mac{};
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = get8(offset + i);
  return mac;
}

Frame& Frame::fix_checksums() {
  const std::size_t header = (get8(kIp) & 0x0fu) * 4;
  const std::size_t total = get16(kIp + 2);
  if (header < 20 || kIp + header > size()) return *this;
  set16(kIp + 10, 0);
  set16(kIp + 10, checksum(bytes.data() + kIp, header));

  const std::uint8_t protocol = get8(kIp + 9);
  const std::size_t field = checksum_offset(protocol);
  if (field == 0 || total < header || kIp + total > size() || total - header < field + 2) return *this;
  const std::size_t at = kIp + header + field;
  if (protocol == kUdp && get16(at) == 0) return *this;
  const std::size_t length = total - header;
  set16(at, 0);
  std::uint16_t sum =
      checksum(bytes.data() + kIp + header, length, protocol == kIcmp ? 0 : pseudo_header(*this, length));
  if (protocol == kUdp && sum == 0) sum = 0xffff;
  return set16(at, sum);
}

void PrintTo(const Frame& frame, std::ostream* out) {
  *out << frame.size() << " bytes:" << std::hex << std::setfill('0');
  for (std::size_t i = 0; i < frame.size() && i < 160; ++i) {
    if (i % 16 == 0) *out << "\n    ";
    *out << std::setw(2) << static_cast<unsigned>(frame.bytes[i]) << " ";
  }
  *out << std::dec << std::setfill(' ');
}

std::uint16_t checksum(const std::uint8_t* data, std::size_t size, std::uint32_t initial) {
  std::uint64_t sum = initial;
  for (std::size_t i = 0; i + 1 < size; i += 2) sum += static_cast<std::uint64_t>(data[i] << 8 | data[i + 1]);
  if (size % 2 != 0) sum += static_cast<std::uint64_t>(data[size - 1] << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

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

Frame ipv4(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint8_t protocol,
           const Bytes& payload) {
  Bytes packet = {0x45, 0};
  put16(packet, static_cast<std::uint16_t>(20 + payload.size()));
  put16(packet, 0x1234);
  put16(packet, 0x4000);
  packet.push_back(64);
  packet.push_back(protocol);
  put16(packet, 0);
  put32(packet, source);
  put32(packet, destination);
  put(packet, payload);
  return ethernet(link, 0x0800, packet).fix_checksums();
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
  return ipv4(link, tuple.source, tuple.destination, kTcp, segment);
}

Frame udp(const Link& link, const Tuple& tuple, const Bytes& payload) {
  Bytes datagram;
  put16(datagram, tuple.source_port);
  put16(datagram, tuple.destination_port);
  put16(datagram, static_cast<std::uint16_t>(8 + payload.size()));
  put16(datagram, 0xffff);  // not 0: "no checksum" would be kept
  put(datagram, payload);
  return ipv4(link, tuple.source, tuple.destination, kUdp, datagram);
}

Frame icmp(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint8_t type, std::uint8_t code,
           const Bytes& rest) {
  Bytes message = {type, code, 0, 0};
  put(message, rest);
  return ipv4(link, source, destination, kIcmp, message);
}

Frame echo_request(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint16_t id) {
  return icmp(link, source, destination, 8, 0,
              {static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id), 0, 1, 'p', 'i', 'n', 'g', '!'});
}

Frame echo_reply(const Link& link, std::uint32_t source, std::uint32_t destination, std::uint16_t id) {
  Frame frame = echo_request(link, source, destination, id);
  return frame.set8(kL4, 0).fix_checksums();
}

Frame arp(const Link& link, std::uint16_t operation, const Mac& sender_mac, std::uint32_t sender, const Mac& target_mac,
          std::uint32_t target) {
  Bytes message;
  put16(message, 1);
  put16(message, 0x0800);
  message.push_back(6);
  message.push_back(4);
  put16(message, operation);
  put(message, sender_mac);
  put32(message, sender);
  put(message, target_mac);
  put32(message, target);
  return ethernet(link, 0x0806, message);
}

Frame vlan(const Frame& inner, std::uint16_t tag_protocol, std::uint16_t tag) {
  Bytes bytes(inner.bytes.begin(), inner.bytes.begin() + 12);
  put16(bytes, tag_protocol);
  put16(bytes, tag);
  bytes.insert(bytes.end(), inner.bytes.begin() + 12, inner.bytes.end());
  return Frame(bytes);
}

Frame ipv6(const Link& link, std::size_t payload) {
  Bytes packet = {0x60, 0, 0, 0};
  put16(packet, static_cast<std::uint16_t>(payload));
  packet.push_back(kUdp);
  packet.push_back(64);
  packet.resize(40 + payload, 0);
  packet[8] = 0xfe;
  packet[9] = 0x80;
  packet[24] = 0xfe;
  packet[25] = 0x80;
  packet[39] = 1;
  return ethernet(link, 0x86dd, packet);
}

Frame with_ip_options(const Frame& plain, const Bytes& options) {
  Frame frame = plain;
  frame.bytes.insert(frame.bytes.begin() + kL4, options.begin(), options.end());
  frame.set8(kIp, 0x40u | static_cast<unsigned>(5 + options.size() / 4));
  frame.set16(kIp + 2, frame.get16(kIp + 2) + static_cast<unsigned>(options.size()));
  return frame.fix_checksums();
}

Frame translated(const Frame& input, const Link& link, const Tuple& tuple) {
  Frame frame = input;
  frame.set_mac(0, link.destination).set_mac(6, link.source);
  frame.set32(kIp + 12, tuple.source).set32(kIp + 16, tuple.destination);
  if (frame.get8(kIp + 9) == kTcp || frame.get8(kIp + 9) == kUdp) {
    frame.set16(kL4, tuple.source_port).set16(kL4 + 2, tuple.destination_port);
  }
  return frame.fix_checksums();
}

}  // namespace bpftest
