// SPDX-License-Identifier: Apache-2.0
// An address of either family, as the model has it: bytes as they stand in a packet.
#pragma once

#include <sluice/abi.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace model {

/// None (size 0) is the address that a pod does not have.
struct Address {
  std::uint8_t size = 0;
  std::array<std::uint8_t, 16> bytes = {};
  auto operator<=>(const Address&) const = default;

  [[nodiscard]] bool none() const { return size == 0; }
  [[nodiscard]] bool v6() const { return size == 16; }
  [[nodiscard]] bool starts_with(const Address& prefix, unsigned bits) const {
    for (unsigned bit = 0; bit < bits; ++bit) {
      if (((bytes[bit / 8] ^ prefix.bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
    }
    return size == prefix.size;
  }
  /// With every bit behind the first `bits` set.
  [[nodiscard]] Address last_of(unsigned bits) const {
    Address last = *this;
    for (unsigned bit = bits; bit < size * 8U; ++bit) last.bytes[bit / 8] |= static_cast<std::uint8_t>(128 >> bit % 8);
    return last;
  }
  /// :: or 0.0.0.0
  [[nodiscard]] bool unspecified() const { return bytes == std::array<std::uint8_t, 16>{}; }
  /// ff00::/8 or 224.0.0.0/4
  [[nodiscard]] bool group() const { return v6() ? bytes[0] == 0xff : bytes[0] >> 4 == 14; }
  /// fe80::/10
  [[nodiscard]] bool link_local() const { return v6() && bytes[0] == 0xfe && bytes[1] >> 6 == 2; }
};

inline constexpr Address kRouterLinkLocal{16, SLUICE_ROUTER_LINK_LOCAL};
/// ff02::1
inline constexpr Address kAllNodes{16, {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

}  // namespace model
