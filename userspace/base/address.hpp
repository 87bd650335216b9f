// SPDX-License-Identifier: Apache-2.0
// Addresses as values in HOST byte order; abi.h holds the wire order. The conversion is here and nowhere else.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

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
