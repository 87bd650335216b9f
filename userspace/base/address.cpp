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

namespace {

/// `example`: how such a prefix is written.
template <typename Cidr, typename Address>
Result<Cidr> parse_prefix(std::string_view text, unsigned longest, const char* example) {
  const std::string shown = "'" + std::string(text) + "'";
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return fail(ErrorCode::kInvalid, shown + " has no prefix length; write it like " + example);
  }
  const Result<Address> address = Address::parse(text.substr(0, slash));
  if (!address) return std::unexpected(address.error());
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > longest) {
    return fail(ErrorCode::kInvalid, shown + " has a prefix length that is not 0 to " + std::to_string(longest));
  }
  return Cidr{*address, static_cast<std::uint8_t>(length)};
}

template <typename Cidr>
std::unexpected<Error> has_host_bits(std::string_view text, const Cidr& right) {
  return fail(ErrorCode::kInvalid, "'" + std::string(text) + "' has host bits set; the prefix is " + right.text());
}

}  // namespace

Result<Cidr4> Cidr4::parse(std::string_view text) {
  const Result<Cidr4> cidr = parse_prefix<Cidr4, Ipv4>(text, 32, "172.16.0.0/16");
  if (!cidr) return cidr;
  const Cidr4 base{Ipv4{cidr->address.value & cidr->mask()}, cidr->length};
  if (base != *cidr) return has_host_bits(text, base);
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

Result<Ipv6> Ipv6::parse(std::string_view text) {
  std::array<std::uint8_t, 16> bytes{};
  if (text.find('\0') != std::string_view::npos || inet_pton(AF_INET6, std::string(text).c_str(), bytes.data()) != 1) {
    return fail(ErrorCode::kInvalid, "'" + std::string(text) + "' is not an IPv6 address; write it like fd00::2");
  }
  return from_wire(bytes);
}

std::string Ipv6::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const auto bytes = wire();
  inet_ntop(AF_INET6, bytes.data(), buffer.data(), buffer.size());
  return buffer.data();
}

std::array<std::uint8_t, 16> Ipv6::wire() const {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); i++) {
    bytes.at(i) = static_cast<std::uint8_t>((i < 8 ? high : low) >> (56 - i % 8 * 8));
  }
  return bytes;
}

Ipv6 Ipv6::from_wire(const std::array<std::uint8_t, 16>& bytes) {
  Ipv6 address;
  for (std::size_t i = 0; i < bytes.size(); i++) {
    std::uint64_t& half = i < 8 ? address.high : address.low;
    half = half << 8 | bytes.at(i);
  }
  return address;
}

Ipv6 Ipv6::plus(std::uint64_t distance) const {
  const std::uint64_t sum = low + distance;
  return {high + (sum < low ? 1 : 0), sum};
}

Result<Cidr6> Cidr6::parse(std::string_view text) {
  const Result<Cidr6> cidr = parse_prefix<Cidr6, Ipv6>(text, 128, "fd00:1::/64");
  if (!cidr) return cidr;
  const Ipv6 mask = cidr->mask();
  const Cidr6 base{{cidr->address.high & mask.high, cidr->address.low & mask.low}, cidr->length};
  if (base != *cidr) return has_host_bits(text, base);
  return cidr;
}

std::string Cidr6::text() const {
  return address.text() + "/" + std::to_string(length);
}
Ipv6 Cidr6::mask() const {
  const auto bits = [](unsigned set) { return set == 0 ? 0 : ~std::uint64_t{0} << (64 - set); };
  return {bits(length < 64 ? length : 64), bits(length > 64 ? length - 64U : 0)};
}
bool Cidr6::contains(Ipv6 candidate) const {
  const Ipv6 bits = mask();
  return (candidate.high & bits.high) == address.high && (candidate.low & bits.low) == address.low;
}
Ipv6 Cidr6::first() const {
  return address;
}
Ipv6 Cidr6::last() const {
  const Ipv6 bits = mask();
  return {address.high | ~bits.high, address.low | ~bits.low};
}
bool Cidr6::overlaps(const Cidr6& other) const {
  return contains(other.address) || other.contains(address);
}

Result<IpAddress> parse_ip(std::string_view text) {
  if (const auto four = Ipv4::parse(text)) return IpAddress(*four);
  if (const auto six = Ipv6::parse(text)) return IpAddress(*six);
  return fail(ErrorCode::kInvalid,
              "'" + std::string(text) + "' is not an IP address; write it like 172.16.0.2 or fd00::2");
}

std::string text_of(const IpAddress& address) {
  return std::visit([](const auto& one) { return one.text(); }, address);
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
