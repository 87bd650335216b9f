// SPDX-License-Identifier: Apache-2.0
// An address of either family, so that one test can speak of both.
#pragma once

#include <sluice/abi.h>

#include <array>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace bpftest {

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

std::uint32_t be(std::uint32_t host_order);
std::uint16_t be(std::uint16_t host_order);

/// An IPv4 or an IPv6 address. The default is none: no address of any family.
class Address {
 public:
  Address() = default;
  static Address of4(std::uint32_t host_order);
  static Address of6(const sluice_address6& wire);
  /// The address whose bytes (4 or 16) stand at `bytes`.
  static Address read(Family family, const std::uint8_t* bytes);

  [[nodiscard]] bool none() const { return size_ == 0; }
  [[nodiscard]] Family family() const { return size_ == 16 ? Family::kIpv6 : Family::kIpv4; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const std::uint8_t* begin() const { return bytes_.data(); }
  [[nodiscard]] const std::uint8_t* end() const { return bytes_.data() + size_; }

  /// In host order; 0 for what is no IPv4 address.
  [[nodiscard]] std::uint32_t v4() const;
  /// As records hold them; zero for what is of the other family.
  [[nodiscard]] __be32 wire4() const { return be(v4()); }
  [[nodiscard]] sluice_address6 wire6() const;

  [[nodiscard]] std::string text() const;
  auto operator<=>(const Address&) const = default;

 private:
  std::size_t size_ = 0;
  std::array<std::uint8_t, 16> bytes_{};
};

/// `address` plus `steps`, as the next hosts of a network are counted.
Address operator+(Address address, unsigned steps);
void PrintTo(const Address& address, std::ostream* out);

/// Parses the text of an address of either family; a wrong text ends the test program.
Address ip(const std::string& text);

/// The address that stands in tests of `family` for that of `text`. An IPv6 text is itself. An IPv4 text a.b.c.d is in
/// IPv6 fd00:<ab>::<cd> if it is private (RFC 1918), 2001:db8:<ab>::<cd> if not: what lies in one /16 there lies in one
/// /64 here, and equal sums stay equal.
Address ip(const std::string& text, Family family);
/// The length that a prefix of ip(text, family) has where the IPv4 text has `length`, 8, 16 or 32.
unsigned prefix_length(unsigned length, Family family);

}  // namespace bpftest
