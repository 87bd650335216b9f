// SPDX-License-Identifier: Apache-2.0
// A 64-bit checksum against damaged disks and memory, not against people. Any change of a single word changes the sum
// for certain, because every step is a bijection; everything else does with all but a chance of 2^-64.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::store {

class Checksum {
 public:
  Checksum& add(std::uint64_t word) {
    sum_ = (sum_ ^ word) * 0x9E3779B97F4A7C15ULL;  // odd, so it has an inverse
    sum_ ^= sum_ >> 32U;
    return *this;
  }
  /// The length goes first, so that neighbouring texts cannot trade bytes.
  Checksum& add(std::string_view bytes) {
    add(static_cast<std::uint64_t>(bytes.size()));
    for (; bytes.size() >= sizeof(std::uint64_t); bytes.remove_prefix(sizeof(std::uint64_t))) add(word(bytes));
    if (!bytes.empty()) add(word(bytes));
    return *this;
  }
  [[nodiscard]] std::uint64_t value() const { return sum_; }
  /// As SQLite keeps numbers.
  [[nodiscard]] std::int64_t number() const { return static_cast<std::int64_t>(sum_); }

 private:
  /// The first eight bytes, little-endian on every machine: the file may move to another.
  static std::uint64_t word(std::string_view bytes) {
    std::uint64_t result = 0;
    std::memcpy(&result, bytes.data(), bytes.size() < sizeof(result) ? bytes.size() : sizeof(result));
    if constexpr (std::endian::native == std::endian::big) result = __builtin_bswap64(result);
    return result;
  }

  std::uint64_t sum_ = 0x5375696365313031ULL;
};

}  // namespace sluice::store
