// SPDX-License-Identifier: Apache-2.0
#include "harness/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace bpftest {

namespace {

[[noreturn]] void give_up(const std::string& complaint) {
  std::cerr << complaint << "\n";
  std::abort();
}

bool is_private(const std::uint8_t* address) {
  return address[0] == 10 || (address[0] == 172 && address[1] / 16 == 1) || (address[0] == 192 && address[1] == 168);
}

}  // namespace

std::uint32_t be(std::uint32_t host_order) {
  return htonl(host_order);
}
std::uint16_t be(std::uint16_t host_order) {
  return htons(host_order);
}

Address Address::read(Family family, const std::uint8_t* bytes) {
  Address address;
  address.size_ = family == Family::kIpv6 ? 16 : 4;
  std::copy_n(bytes, address.size_, address.bytes_.begin());
  return address;
}

Address Address::of4(std::uint32_t host_order) {
  const std::uint32_t wire = be(host_order);
  std::uint8_t bytes[4];
  std::memcpy(bytes, &wire, sizeof(wire));
  return read(Family::kIpv4, bytes);
}

Address Address::of6(const sluice_address6& wire) {
  std::uint8_t bytes[16];
  std::memcpy(bytes, &wire, sizeof(wire));
  return read(Family::kIpv6, bytes);
}

std::uint32_t Address::v4() const {
  std::uint32_t wire = 0;
  if (size_ == sizeof(wire)) std::memcpy(&wire, bytes_.data(), sizeof(wire));
  return be(wire);
}

sluice_address6 Address::wire6() const {
  sluice_address6 wire{};
  if (size_ == sizeof(wire)) std::memcpy(&wire, bytes_.data(), sizeof(wire));
  return wire;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "none";
  if (!none()) inet_ntop(size_ == 16 ? AF_INET6 : AF_INET, bytes_.data(), buffer, sizeof(buffer));
  return buffer;
}

Address operator+(Address address, unsigned steps) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy(address.begin(), address.end(), bytes.begin());
  for (std::size_t at = address.size(); at > 0 && steps != 0; --at) {
    steps += bytes[at - 1];
    bytes[at - 1] = static_cast<std::uint8_t>(steps);
    steps >>= 8;
  }
  return Address::read(address.family(), bytes.data());
}

void PrintTo(const Address& address, std::ostream* out) {
  *out << address.text();
}

Address ip(const std::string& text) {
  std::uint8_t bytes[16];
  if (inet_pton(AF_INET, text.c_str(), bytes) == 1) return Address::read(Family::kIpv4, bytes);
  if (inet_pton(AF_INET6, text.c_str(), bytes) == 1) return Address::read(Family::kIpv6, bytes);
  give_up("not an address: " + text);
}

Address ip(const std::string& text, Family family) {
  const Address literal = ip(text);
  if (family == Family::kIpv4 || literal.family() == Family::kIpv6) return literal;
  const std::uint8_t* from = literal.begin();
  std::uint8_t bytes[16] = {0xfd, 0x00, from[0], from[1]};
  if (!is_private(from)) {
    const std::uint8_t documentation[] = {0x20, 0x01, 0x0d, 0xb8, from[0], from[1]};
    std::ranges::copy(documentation, bytes);
  }
  bytes[14] = from[2];
  bytes[15] = from[3];
  return Address::read(Family::kIpv6, bytes);
}

unsigned prefix_length(unsigned length, Family family) {
  if (family == Family::kIpv4) return length;
  switch (length) {
    case 8:
      return 24;
    case 16:
      return 64;
    case 32:
      return 128;
    default:
      give_up("no IPv6 prefix stands for /" + std::to_string(length));
  }
}

}  // namespace bpftest
