// SPDX-License-Identifier: Apache-2.0
#include "cli/filters.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "cli/records.hpp"

namespace sluice::cli {
namespace {

std::string as_typed(std::string_view text) {
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
    return fail(ErrorCode::kInvalid, as_typed(text) +
                                         " is not a network id: write a number from 0 (the public side) to " +
                                         "16777215, as the NETWORK columns show");
  }
  return *number;
}

Result<std::uint32_t> parse_slot(std::string_view text) {
  const std::optional<std::uint32_t> number = parse_number(text, 0xFFFFFFFF);
  if (!number)
    return fail(ErrorCode::kInvalid, as_typed(text) + " is not a slot: write a number, as the SLOT columns show");
  return *number;
}

Result<std::uint16_t> parse_port(std::string_view text) {
  const std::optional<std::uint32_t> number = parse_number(text, 65535);
  if (!number) return fail(ErrorCode::kInvalid, as_typed(text) + " is not a port: write a number from 0 to 65535");
  return static_cast<std::uint16_t>(*number);
}

Result<std::uint8_t> parse_protocol(std::string_view text) {
  std::string name(text);
  std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::tolower(letter); });
  if (name == "tcp") return std::uint8_t{IPPROTO_TCP};
  if (name == "udp") return std::uint8_t{IPPROTO_UDP};
  if (name == "sctp") return std::uint8_t{IPPROTO_SCTP};
  if (name == "icmp") return std::uint8_t{IPPROTO_ICMP};
  if (name == "icmpv6") return std::uint8_t{IPPROTO_ICMPV6};
  return fail(ErrorCode::kInvalid,
              as_typed(text) + " is not a protocol that flows and services have: write tcp, udp, sctp, icmp or icmpv6");
}

Result<ServiceFilter> parse_service(std::string_view text) {
  const auto wrong = [text] {
    return fail(ErrorCode::kInvalid, as_typed(text) + " is not a service port: write ADDRESS:PORT or " +
                                         "ADDRESS:PORT/PROTOCOL, like 172.16.0.10:80/tcp or [fd00::10]:80");
  };
  const bool six = text.starts_with('[');
  const std::size_t end = six ? text.find("]:") : text.find(':');
  if (end == std::string_view::npos) return wrong();
  const std::string_view host = six ? text.substr(1, end - 1) : text.substr(0, end);
  const std::string_view rest = text.substr(end + (six ? 2 : 1));
  const std::size_t slash = rest.find('/');
  const Result<IpAddress> address = parse_ip(host);
  const Result<std::uint16_t> port = parse_port(rest.substr(0, slash));
  if (!address || !port || std::holds_alternative<Ipv6>(*address) != six) return wrong();
  ServiceFilter service{*address, *port, std::nullopt};
  if (slash == std::string_view::npos) return service;
  const Result<std::uint8_t> protocol = parse_protocol(rest.substr(slash + 1));
  if (!protocol) return wrong();
  service.protocol = *protocol;
  return service;
}

Result<std::uint32_t> parse_entry(std::string_view text) {
  const auto& names = entry_names();
  const auto found = std::ranges::find(names, text);
  if (found != names.end()) return static_cast<std::uint32_t>(found - names.begin());
  std::string list;
  for (const std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return fail(ErrorCode::kInvalid, as_typed(text) + " is not an entry point: write one of " + list);
}

Result<std::uint32_t> parse_reason(std::string_view text) {
  const auto found = std::ranges::find(reasons(), text, &Reason::name);
  if (found != reasons().end()) return found->number;
  return fail(ErrorCode::kInvalid, as_typed(text) + " is not a reason: 'sluicectl reasons' lists them");
}

bool matches(const ServiceFilter& service, const IpAddress& address, std::uint16_t port, std::uint8_t protocol) {
  return service.address == address && service.port == port && service.protocol.value_or(protocol) == protocol;
}

bool matches(const Filters& filters, const Frontend& frontend) {
  if (filters.network && *filters.network != frontend.network && *filters.network != frontend.backend_network) {
    return false;
  }
  if (filters.address && *filters.address != frontend.address) return false;
  if (filters.port && *filters.port != frontend.port) return false;
  if (filters.protocol && *filters.protocol != frontend.protocol) return false;
  if (filters.slot && *filters.slot != frontend.ref.slot) return false;
  return !filters.service || matches(*filters.service, frontend.address, frontend.port, frontend.protocol);
}

}  // namespace sluice::cli
