// SPDX-License-Identifier: Apache-2.0
// Addresses as values in HOST byte order; abi.h holds the wire order. The conversion is here and nowhere else.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"

namespace sluice {

/// An IPv4 address; value is in host byte order.
struct Ipv4 {
  std::uint32_t value = 0;
  auto operator<=>(const Ipv4&) const = default;

  /// Parses dotted-quad text ("172.16.0.2"); leading zeros and short forms are refused.
  static Result<Ipv4> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  /// Network byte order, as in the maps and in packets.
  [[nodiscard]] std::uint32_t wire() const;
  static Ipv4 from_wire(std::uint32_t big_endian);
};

/// An IPv4 prefix without host bits.
struct Cidr4 {
  Ipv4 address;
  std::uint8_t length = 0;
  auto operator<=>(const Cidr4&) const = default;

  /// Parses "172.16.0.0/16"; an address with host bits is kInvalid and the message names the right prefix.
  static Result<Cidr4> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint32_t mask() const;  ///< host byte order
  [[nodiscard]] bool contains(Ipv4 candidate) const;
  [[nodiscard]] Ipv4 first() const;  ///< the network address
  [[nodiscard]] Ipv4 last() const;   ///< the broadcast address
  [[nodiscard]] bool overlaps(const Cidr4& other) const;
};

/// An IPv6 address as two numbers in host byte order: `high` holds the first eight bytes.
struct Ipv6 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Ipv6&) const = default;

  /// Parses RFC 4291 text ("fd00::2"); zones ("%eth0") are refused.
  static Result<Ipv6> parse(std::string_view text);
  /// The form of RFC 5952.
  [[nodiscard]] std::string text() const;
  /// As in the maps and in packets.
  [[nodiscard]] std::array<std::uint8_t, 16> wire() const;
  static Ipv6 from_wire(const std::array<std::uint8_t, 16>& bytes);
  /// The address `distance` further on, around the end.
  [[nodiscard]] Ipv6 plus(std::uint64_t distance) const;
};

/// An IPv6 prefix without host bits.
struct Cidr6 {
  Ipv6 address;
  std::uint8_t length = 0;
  auto operator<=>(const Cidr6&) const = default;

  /// Parses "fd00:1::/64"; an address with host bits is kInvalid and the message names the right prefix.
  static Result<Cidr6> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] Ipv6 mask() const;
  [[nodiscard]] bool contains(Ipv6 candidate) const;
  [[nodiscard]] Ipv6 first() const;  ///< the subnet-router anycast address (RFC 4291, 2.6.1)
  [[nodiscard]] Ipv6 last() const;
  [[nodiscard]] bool overlaps(const Cidr6& other) const;
};

/// An address of either family; IPv4 orders before IPv6.
using IpAddress = std::variant<Ipv4, Ipv6>;
Result<IpAddress> parse_ip(std::string_view text);
std::string text_of(const IpAddress& address);

/// An Ethernet address.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};
  auto operator<=>(const Mac&) const = default;

  static Result<Mac> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

/// Ports are host order in the model and wire order in the maps.
std::uint16_t to_wire(std::uint16_t host_order_port);
std::uint16_t from_wire(std::uint16_t wire_order_port);

}  // namespace sluice
