// SPDX-License-Identifier: Apache-2.0
#include "harness/frame.hpp"

#include <algorithm>
#include <iomanip>
#include <ostream>

namespace bpftest {

namespace {

constexpr unsigned kIpv6Ethertype = 0x86dd;

/// Offset of the checksum field in the L4 header, or 0 if the protocol has none that we compute.
std::size_t checksum_offset(Family family, std::uint8_t protocol) {
  if (protocol == protocol_in(family, kIcmp)) return 2;
  if (protocol == kTcp) return 16;
  return protocol == kUdp ? 6 : 0;
}

std::size_t source_offset(Family family) {
  return family == Family::kIpv6 ? kIp + 8 : kIp + 12;
}
std::size_t destination_offset(Family family) {
  return family == Family::kIpv6 ? kIp + 24 : kIp + 16;
}

std::uint32_t sum_of(const Address& address) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < address.size(); i += 2) sum += address.begin()[i] * 256U + address.begin()[i + 1];
  return sum;
}

/// Sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1); ICMP has none.
std::uint32_t pseudo_header(const Frame& frame, const Transport& transport) {
  if (frame.family() == Family::kIpv4 && transport.protocol == kIcmp) return 0;
  return sum_of(frame.source()) + sum_of(frame.destination()) + transport.protocol +
         static_cast<std::uint32_t>(transport.end - transport.begin);
}

Transport transport4(const Frame& frame) {
  const std::size_t header = (frame.get8(kIp) & 0x0fu) * 4;
  const std::size_t total = frame.get16(kIp + 2);
  if (header < 20 || total < header || kIp + total > frame.size()) return {};
  if ((frame.get16(kIp + 6) & 0x3fffU) != 0) return {};
  return {frame.get8(kIp + 9), kIp + header, kIp + total};
}

Transport transport6(const Frame& frame) {
  if (frame.size() < kL46) return {};
  Transport found{frame.get8(kIp + 6), kL46, kL46 + frame.get16(kIp + 4)};
  if (found.end > frame.size()) return {};
  while (is_extension_header(found.protocol)) {
    if (found.end - found.begin < 8) return {};
    if (found.protocol == kFragment && (frame.get16(found.begin + 2) & 0xfff9U) != 0) return {};
    found.protocol = frame.get8(found.begin);
    found.begin += 8 + 8U * frame.get8(found.begin + 1);
    if (found.begin > found.end) return {};
  }
  return found;
}

}  // namespace

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

Family Frame::family() const {
  return size() >= kIp && get16(12) == kIpv6Ethertype ? Family::kIpv6 : Family::kIpv4;
}

Address Frame::source() const {
  return Address::read(family(), &bytes.at(source_offset(family())));
}

Address Frame::destination() const {
  return Address::read(family(), &bytes.at(destination_offset(family())));
}

Frame& Frame::set_source(const Address& address) {
  std::ranges::copy(address, &bytes.at(source_offset(family())));
  return *this;
}

Frame& Frame::set_destination(const Address& address) {
  std::ranges::copy(address, &bytes.at(destination_offset(family())));
  return *this;
}

std::size_t Frame::l4() const {
  return family() == Family::kIpv6 ? kL46 : kIp + (get8(kIp) & 0x0fu) * 4;
}

Transport transport_of(const Frame& frame) {
  return frame.family() == Family::kIpv6 ? transport6(frame) : transport4(frame);
}

Frame& Frame::fix_checksums() {
  if (family() == Family::kIpv4) {
    const std::size_t header = (get8(kIp) & 0x0fu) * 4;
    if (header < 20 || kIp + header > size()) return *this;
    set16(kIp + 10, 0);
    set16(kIp + 10, checksum(bytes.data() + kIp, header));
  }
  const Transport transport = transport_of(*this);
  const std::size_t field = checksum_offset(family(), transport.protocol);
  if (transport.begin == 0 || field == 0 || transport.end - transport.begin < field + 2) return *this;
  const std::size_t at = transport.begin + field;
  if (transport.protocol == kUdp && get16(at) == 0) return *this;
  set16(at, 0);
  std::uint16_t sum =
      checksum(bytes.data() + transport.begin, transport.end - transport.begin, pseudo_header(*this, transport));
  if (transport.protocol == kUdp && sum == 0) sum = 0xffff;
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

}  // namespace bpftest
