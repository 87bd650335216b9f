// SPDX-License-Identifier: Apache-2.0
#include "base/address.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace sluice {

Result<Ipv4> Ipv4::parse(std::string_view text) {
  in_addr parsed{};
  if (text.find('\0') != std::string_view::npos || inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) {
    return fail(ErrorCode::kInvalid, "'" + std::string(text) + "' is not an IPv4 address; write it like 172.16.0.2");
  }
  return from_wire(parsed.s_addr);
}

std::string Ipv4::text() const {
  std::array<char, INET_ADDRSTRLEN> buffer{};
  const std::uint32_t big_endian = wire();
  inet_ntop(AF_INET, &big_endian, buffer.data(), buffer.size());
  return buffer.data();
}

std::uint32_t Ipv4::wire() const {
  return htonl(value);
}
Ipv4 Ipv4::from_wire(std::uint32_t big_endian) {
  return Ipv4{ntohl(big_endian)};
}

Result<Cidr4> Cidr4::parse(std::string_view text) {
  const std::string shown = "'" + std::string(text) + "'";
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return fail(ErrorCode::kInvalid, shown + " has no prefix length; write it like 172.16.0.0/16");
  }
  Result<Ipv4> address = Ipv4::parse(text.substr(0, slash));
  if (!address) return std::unexpected(address.error());
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > 32) {
    return fail(ErrorCode::kInvalid, shown + " has a prefix length that is not 0 to 32");
  }
  Cidr4 cidr{*address, static_cast<std::uint8_t>(length)};
  const Ipv4 base{address->value & cidr.mask()};
  if (base != *address) {
    return fail(ErrorCode::kInvalid, shown + " has host bits set; the prefix is " + Cidr4{base, cidr.length}.text());
  }
  return cidr;
}

std::string Cidr4::text() const {
  return address.text() + "/" + std::to_string(length);
}
std::uint32_t Cidr4::mask() const {
  return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}
bool Cidr4::contains(Ipv4 candidate) const {
  return (candidate.value & mask()) == address.value;
}
Ipv4 Cidr4::first() const {
  return address;
}
Ipv4 Cidr4::last() const {
  return Ipv4{address.value | ~mask()};
}
bool Cidr4::overlaps(const Cidr4& other) const {
  return contains(other.address) || other.contains(address);
}

Result<Mac> Mac::parse(std::string_view text) {
  Mac mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; i++) {
    const char* begin = text.data() + i * 3;
    const auto [end, error] = std::from_chars(begin, begin + 2, mac.bytes.at(i), 16);
    good = error == std::errc{} && end == begin + 2 && (i == 5 || *end == ':');
  }
  if (!good) {
    return fail(ErrorCode::kInvalid,
                "'" + std::string(text) + "' is not a MAC address; write it like 02:00:00:00:00:01");
  }
  return mac;
}

std::string Mac::text() const {
  std::array<char, 18> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
                bytes[4], bytes[5]);
  return buffer.data();
}

std::uint16_t to_wire(std::uint16_t host_order_port) {
  return htons(host_order_port);
}
std::uint16_t from_wire(std::uint16_t wire_order_port) {
  return ntohs(wire_order_port);
}

}  // namespace sluice
