// SPDX-License-Identifier: Apache-2.0
// The model's own view of bytes: big-endian fields and checksums, apart from the test harness.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.hpp"

namespace model {

inline std::uint16_t read16(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes.at(at) * 256 + bytes.at(at + 1));
}
inline std::uint32_t read32(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint32_t>(read16(bytes, at)) * 65536 + read16(bytes, at + 2);
}
inline void write16(Bytes& bytes, std::size_t at, std::uint32_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8 & 255);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value & 255);
}
inline void write32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  write16(bytes, at, value >> 16);
  write16(bytes, at + 2, value & 65535);
}
inline Mac read_mac(const Bytes& bytes, std::size_t at) {
  Mac mac{};
  for (std::size_t i = 0; i < 6; ++i) mac[i] = bytes.at(at + i);
  return mac;
}
inline void write_mac(Bytes& bytes, std::size_t at, const Mac& mac) {
  for (std::size_t i = 0; i < 6; ++i) bytes.at(at + i) = mac[i];
}

inline Address read_address(const Bytes& bytes, std::size_t at, bool v6) {
  Address address{static_cast<std::uint8_t>(v6 ? 16 : 4)};
  for (std::size_t i = 0; i < address.size; ++i) address.bytes[i] = bytes.at(at + i);
  return address;
}
inline void write_address(Bytes& bytes, std::size_t at, const Address& address) {
  for (std::size_t i = 0; i < address.size; ++i) bytes.at(at + i) = address.bytes[i];
}

/// One's complement sum of 16-bit words.
inline std::uint32_t ones_add(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t sum = a + b;
  return (sum & 65535) + (sum >> 16);
}
inline std::uint32_t ones_sum(const Bytes& bytes, std::size_t from, std::size_t to, std::uint32_t sum = 0) {
  for (std::size_t at = from; at < to; at += 2) {
    sum = ones_add(sum, bytes.at(at) * 256U + (at + 1 < to ? bytes.at(at + 1) : 0U));
  }
  return sum;
}
/// RFC 9260 appendix A, bit by bit: of the SCTP packet from `l4` to `end`, whose checksum counts as 0.
inline std::uint32_t sctp_crc(const Bytes& bytes, std::size_t l4, std::size_t end) {
  std::uint32_t crc = ~0U;
  for (std::size_t at = l4; at < end; ++at) {
    crc ^= at >= l4 + 8 && at < l4 + 12 ? 0U : bytes.at(at);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}
/// RFC 1624, equation 3: what `checksum` becomes when the 16-bit word `before` becomes `after`.
inline std::uint16_t updated(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) {
  return static_cast<std::uint16_t>(~ones_add(ones_add(~checksum & 65535, ~before & 65535), after));
}

}  // namespace model
