// SPDX-License-Identifier: Apache-2.0
#include "model/names.hpp"

#include <algorithm>
#include <cstdio>

#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::model {
namespace {

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_printable(char c) {
  return c >= 0x20 && c <= 0x7e;
}

}  // namespace

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

bool is_dns_name(std::string_view text) {
  if (text.size() > 253) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_dns_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_label_key(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  return std::ranges::all_of(text, [](char c) {
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '/' || c == '-';
  });
}

bool is_label_value(std::string_view text) {
  return text.size() <= 63 && std::ranges::all_of(text, is_printable);
}

std::string escaped(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (is_printable(c)) {
      result += c;
      continue;
    }
    char buffer[5];
    std::snprintf(buffer, sizeof(buffer), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    result += buffer;
  }
  return result;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  return escaped(text.substr(0, kLongest)) + (text.size() > kLongest ? "..." : "");
}

std::string in_quotes(std::string_view text) {
  return "'" + printable(text) + "'";
}

std::string_view name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "TCP";
    case Protocol::kUdp:
      return "UDP";
    case Protocol::kSctp:
      return "SCTP";
  }
  return "?";
}

std::string_view name(Families families) {
  switch (families) {
    case Families::kAll:
      return "";
    case Families::kIpv4:
      return "IPv4";
    case Families::kIpv6:
      return "IPv6";
    case Families::kDual:
      return "IPv4, IPv6";
  }
  return "unknown";
}

std::string Addresses::text() const {
  if (!v4) return v6 ? v6->text() : "";
  return v4->text() + (v6 ? ", " + v6->text() : "");
}

std::string_view name(EgressWay way) {
  switch (way) {
    case EgressWay::kNode:
      return "node";
    case EgressWay::kNone:
      return "none";
  }
  return "unknown";
}

std::string_view name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kHash:
      return "hash";
    case Algorithm::kSource:
      return "source";
    case Algorithm::kRandom:
      return "random";
    case Algorithm::kRoundRobin:
      return "round_robin";
    case Algorithm::kLeastConnections:
      return "least_connections";
  }
  return "unknown";
}

// The whole IPv4 address stands in the MAC, so two pods of one network never share one. A pod without IPv4 has bit 7
// of the first byte set and the last four bytes of its IPv6 address, the others folded in: those that Sluice gives out
// differ there. Two pods that chose addresses which fold alike would share a MAC, which hurts nobody: packets are
// delivered by address. Of the network id the low 12 bits fit; they only help people who read captures, because a MAC
// never leaves its network. Bit 2 of the first byte is set for pods and clear in SLUICE_ROUTER_MAC, so a pod never has
// the router's.
Mac pod_mac(std::uint32_t network_id, const Addresses& addresses) {
  std::uint32_t number = addresses.v4 ? addresses.v4->value : 0;
  std::uint32_t first = 0x06U | (network_id >> 8U & 0x0fU) << 3U;
  if (!addresses.v4 && addresses.v6) {
    first |= 0x80U;
    number = static_cast<std::uint32_t>(addresses.v6->low ^ (addresses.v6->low >> 32U));
  }
  Mac mac;
  mac.bytes[0] = static_cast<std::uint8_t>(first);
  mac.bytes[1] = static_cast<std::uint8_t>(network_id & 0xffU);
  for (unsigned i = 0; i < 4; i++) mac.bytes.at(2 + i) = static_cast<std::uint8_t>(number >> (24U - 8U * i));
  return mac;
}

}  // namespace sluice::model
