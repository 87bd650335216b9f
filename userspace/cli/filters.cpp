// SPDX-License-Identifier: Apache-2.0
#include "cli/filters.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "cli/records.hpp"

namespace sluice::cli {
namespace {

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

/// Decimal digits only, at most `maximum`.
std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t maximum) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > maximum) return std::nullopt;
  return number;
}

}  // namespace

Result<std::uint32_t> parse_network(std::string_view text) {
  const std::optional<std::uint32_t> number = parse_number(text, 0xFFFFFF);
  if (!number) {
    return fail(ErrorCode::kInvalid, quoted(text) +
                                         " is not a network id: write a number from 0 (the public side) to " +
                                         "16777215, as the NETWORK columns show");
  }
  return *number;
}

Result<std::uint32_t> parse_slot(std::string_view text) {
  const std::optional<std::uint32_t> number = parse_number(text, 0xFFFFFFFF);
  if (!number)
    return fail(ErrorCode::kInvalid, quoted(text) + " is not a slot: write a number, as the SLOT columns show");
  return *number;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  const std::optional<std::uint32_t> number = parse_number(text, 65535);
  if (!number) return fail(ErrorCode::kInvalid, quoted(text) + " is not a port: write a number from 0 to 65535");
  return static_cast<std::uint16_t>(*number);
}

Result<std::uint8_t> parse_protocol(std::string_view text) {
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::tolower(letter); });
  if (name == "tcp") return std::uint8_t{IPPROTO_TCP};
  if (name == "udp") return std::uint8_t{IPPROTO_UDP};
  if (name == "sctp") return std::uint8_t{IPPROTO_SCTP};
  if (name == "icmp") return std::uint8_t{IPPROTO_ICMP};
  return fail(ErrorCode::kInvalid,
              quoted(text) + " is not a protocol that flows and services have: write tcp, udp, sctp or icmp");
}

Result<ServiceFilter> parse_service(std::string_view text) {
  const std::string expected = quoted(text) + " is not a service port: write ADDRESS:PORT or ADDRESS:PORT/PROTOCOL, " +
                               "like 172.16.0.10:80/tcp";
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return fail(ErrorCode::kInvalid, expected);
  const std::size_t slash = text.find('/', colon);
  const Result<Ipv4> address = Ipv4::parse(text.substr(0, colon));
  const std::size_t port_length = slash == std::string_view::npos ? slash : slash - colon - 1;
  const Result<std::uint16_t> port = parse_port(text.substr(colon + 1, port_length));
  if (!address || !port) return fail(ErrorCode::kInvalid, expected);
  ServiceFilter service{*address, *port, std::nullopt};
  if (slash == std::string_view::npos) return service;
  const Result<std::uint8_t> protocol = parse_protocol(text.substr(slash + 1));
  if (!protocol) return fail(ErrorCode::kInvalid, expected);
  service.protocol = *protocol;
  return service;
}

Result<std::uint32_t> parse_entry(std::string_view text) {
  const auto& names = entry_names();
  const auto found = std::ranges::find(names, text);
  if (found != names.end()) return static_cast<std::uint32_t>(found - names.begin());
  std::string list;
  for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return fail(ErrorCode::kInvalid, quoted(text) + " is not an entry point: write one of " + list);
}

Result<std::uint32_t> parse_reason(std::string_view text) {
  const auto found = std::ranges::find(reasons(), text, &Reason::name);
  if (found != reasons().end()) return found->number;
  return fail(ErrorCode::kInvalid, quoted(text) + " is not a reason: 'sluicectl reasons' lists them");
}

bool matches(const ServiceFilter& service, const sluice_frontend4_key& key) {
  return service.address == Ipv4::from_wire(key.address) && service.port == from_wire(key.port) &&
         service.protocol.value_or(key.protocol) == key.protocol;
}

bool matches(const Filters& filters, const sluice_frontend4& frontend) {
  const sluice_frontend4_key& key = frontend.self;
  if (filters.network && *filters.network != key.network && *filters.network != frontend.backend_network) return false;
  if (filters.address && *filters.address != Ipv4::from_wire(key.address)) return false;
  if (filters.port && *filters.port != from_wire(key.port)) return false;
  if (filters.protocol && *filters.protocol != key.protocol) return false;
  if (filters.slot && *filters.slot != frontend.ref.slot) return false;
  return !filters.service || matches(*filters.service, key);
}

}  // namespace sluice::cli
