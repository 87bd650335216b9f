// SPDX-License-Identifier: Apache-2.0
// The map records in words: numbers to names, wire order to readable text, references against the generations.
#pragma once

#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "cli/pinned_maps.hpp"
#include "cli/report.hpp"

namespace sluice::cli {

/// One entry of SLUICE_REASONS.
struct Reason {
  std::uint32_t number = 0;
  std::string_view name;
  std::string_view verdict;  ///< the class: FORWARD, PASS, REPLY or DROP
  std::string_view help;
};
const std::vector<Reason>& reasons();

/// The entry points by number, e.g. "from_pod".
const std::vector<std::string_view>& entry_names();

// Names of the ABI's enumerators; a number without a name reads "unknown(N)".
std::string protocol_name(std::uint8_t protocol);
std::string port_kind_name(std::uint8_t kind);
std::string endpoint_kind_name(std::uint8_t kind);
std::string algorithm_name(std::uint8_t algorithm);
std::string backend_state_name(std::uint8_t state);
std::string delivery_name(std::uint8_t delivery);
std::string pair_state_name(std::uint32_t state);
/// The names of the bits of sluice_flow4.state, lowest bit first.
std::vector<std::string> flow_state_names(std::uint32_t state);

IpAddress ip_of(__be32 address);
IpAddress ip_of(const sluice_address6& address);
/// A backend's, of the family that it has.
IpAddress ip_of(const sluice_backend& backend);
std::string mac_text(const __u8 (&mac)[6]);
/// "172.16.0.0/16" from address and mask.
std::string prefix_text(__be32 address, __be32 mask);
/// "172.16.0.2:80", "[fd00::2]:80"; the port in host order.
std::string endpoint_text(const IpAddress& address, std::uint16_t port);
std::string hex_text(std::uint64_t value, int digits);  ///< "0x00ab", with that many digits
/// "slot/generation", or "-" for {0, 0}.
std::string ref_text(const sluice_ref& ref);
Json ref_json(const sluice_ref& ref);
/// Text or "-" when it is empty.
std::string or_dash(const std::string& text);

/// The name of a network device of the caller's network namespace; empty if there is none.
std::string device_name(std::uint32_t ifindex);
/// A duration as "850ms", "12s", "5m12s", "2h30m" or "3d4h".
std::string age_text(std::uint64_t nanoseconds);
/// Coarse monotonic time in nanoseconds: the clock of sluice_flow4.last_seen.
std::uint64_t coarse_now();

/// A frontend of either family; ports in host order.
struct Frontend {
  std::uint32_t network = 0;
  IpAddress address;
  std::uint16_t port = 0;
  std::uint8_t protocol = 0;
  std::uint32_t backend_network = 0;
  sluice_ref ref{};
  std::uint32_t backend_base = 0;
  std::uint32_t backend_count = 0;
  std::uint32_t ready_count = 0;
  std::uint32_t ring_base = 0;
  std::uint32_t ring_size = 0;
  IpAddress router;
  std::uint16_t network_slot = 0;
  std::uint8_t algorithm = 0;
  std::uint32_t owner = 0;
  std::uint64_t fingerprint = 0;
  std::uint32_t affinity = 0;
};
Frontend frontend_of(const sluice_frontend4& record);
Frontend frontend_of(const sluice_frontend6& record);

/// The generations of all slots, for telling live records from ended ones.
class Generations {
 public:
  static Result<Generations> read(const PinnedMaps& maps);
  [[nodiscard]] bool endpoint_is_current(const sluice_ref& ref) const { return is_current(endpoints_, ref); }
  [[nodiscard]] bool frontend_is_current(const sluice_ref& ref) const { return is_current(frontends_, ref); }

 private:
  static bool is_current(const std::vector<std::uint32_t>& generations, const sluice_ref& ref) {
    return ref.slot < generations.size() && generations[ref.slot] == ref.generation;
  }
  std::vector<std::uint32_t> endpoints_;
  std::vector<std::uint32_t> frontends_;
};

/// "current" or "ended".
std::string validity(bool current);

}  // namespace sluice::cli
