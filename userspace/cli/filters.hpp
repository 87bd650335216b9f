// SPDX-License-Identifier: Apache-2.0
// What the `sluicectl bpf` commands can be narrowed to.
#pragma once

#include <sluice/abi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "base/result.hpp"
#include "cli/records.hpp"

namespace sluice::cli {

/// ADDRESS:PORT or ADDRESS:PORT/PROTOCOL of a service port, an IPv6 address in brackets. Host byte order.
struct ServiceFilter {
  IpAddress address;
  std::uint16_t port = 0;
  std::optional<std::uint8_t> protocol;
};

/// Absent means any. Addresses and ports in host byte order.
struct Filters {
  std::optional<std::uint32_t> network;
  std::optional<IpAddress> address;
  std::optional<std::uint16_t> port;
  std::optional<std::uint8_t> protocol;
  std::optional<std::uint32_t> slot;
  std::optional<std::string> device;
  std::optional<ServiceFilter> service;
  std::optional<std::uint32_t> entry;
  std::optional<std::uint32_t> reason;
  bool nonzero = false;  ///< counters: only those that count something
  bool ended = false;    ///< flows: only those that a generation has ended
  bool slots = false;    ///< rings: every slot
  bool verify = false;   ///< rings: build them anew and compare

  /// Whether something was named that must exist, so that no match is worth an exit status.
  [[nodiscard]] bool names_something() const {
    return network || address || port || protocol || slot || device || service || entry || reason;
  }
};

// Each parser says what a right value looks like when it refuses one.
Result<std::uint32_t> parse_network(std::string_view text);
Result<std::uint32_t> parse_slot(std::string_view text);
Result<std::uint16_t> parse_port(std::string_view text);
Result<std::uint8_t> parse_protocol(std::string_view text);
Result<ServiceFilter> parse_service(std::string_view text);
Result<std::uint32_t> parse_entry(std::string_view text);
Result<std::uint32_t> parse_reason(std::string_view text);

/// Whether a service port or floating IP port is the one that `--service` names.
bool matches(const ServiceFilter& service, const IpAddress& address, std::uint16_t port, std::uint8_t protocol);
/// Whether a frontend passes network (its own or its backends'), address, port, protocol, slot and service.
bool matches(const Filters& filters, const Frontend& frontend);

}  // namespace sluice::cli
