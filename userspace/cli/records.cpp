// SPDX-License-Identifier: Apache-2.0
#include "cli/records.hpp"

#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <ctime>

#include "base/address.hpp"

namespace sluice::cli {
namespace {

std::string unknown(std::uint32_t number) {
  return "unknown(" + std::to_string(number) + ")";
}

}  // namespace

const std::vector<Reason>& reasons() {
  static const std::vector<Reason> list = {
#define SLUICE_REASON_ROW(NAME, name, verdict, help) Reason{SLUICE_REASON_##NAME, #name, #verdict, help},
      SLUICE_REASONS(SLUICE_REASON_ROW)
#undef SLUICE_REASON_ROW
  };
  return list;
}

const std::vector<std::string_view>& entry_names() {
  static const std::vector<std::string_view> names = {"from_pod", "from_uplink", "uplink_xdp", "from_host",
                                                      "from_overlay"};
  return names;
}
static_assert(SLUICE_ENTRY_COUNT == 5, "entry_names() lists every entry point");

std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_ICMP:
      return "ICMP";
    case IPPROTO_ICMPV6:
      return "ICMPv6";
    case IPPROTO_TCP:
      return "TCP";
    case IPPROTO_UDP:
      return "UDP";
    case IPPROTO_SCTP:
      return "SCTP";
    default:
      return unknown(protocol);
  }
}

std::string port_kind_name(std::uint8_t kind) {
  switch (kind) {
    case SLUICE_PORT_POD:
      return "pod";
    case SLUICE_PORT_UPLINK:
      return "uplink";
    default:
      return unknown(kind);
  }
}

std::string endpoint_kind_name(std::uint8_t kind) {
  switch (kind) {
    case SLUICE_ENDPOINT_POD_PEER:
      return "pod_peer";
    case SLUICE_ENDPOINT_POD_DEVICE:
      return "pod_device";
    case SLUICE_ENDPOINT_ROUTER:
      return "router";
    case SLUICE_ENDPOINT_SERVICE:
      return "service";
    case SLUICE_ENDPOINT_FLOATING:
      return "floating";
    case SLUICE_ENDPOINT_POD_REMOTE:
      return "pod_remote";
    case SLUICE_ENDPOINT_EGRESS:
      return "egress";
    case SLUICE_ENDPOINT_SHARED:
      return "shared";
    default:
      return unknown(kind);
  }
}

std::string algorithm_name(std::uint8_t algorithm) {
  switch (algorithm) {
    case SLUICE_ALGORITHM_HASH:
      return "hash";
    case SLUICE_ALGORITHM_SOURCE:
      return "source";
    case SLUICE_ALGORITHM_RANDOM:
      return "random";
    case SLUICE_ALGORITHM_ROUND_ROBIN:
      return "round_robin";
    case SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN:
      return "weighted_round_robin";
    case SLUICE_ALGORITHM_LEAST_CONNECTIONS:
      return "least_connections";
    default:
      return unknown(algorithm);
  }
}

std::string backend_state_name(std::uint8_t state) {
  switch (state) {
    case SLUICE_BACKEND_DOWN:
      return "down";
    case SLUICE_BACKEND_READY:
      return "ready";
    default:
      return unknown(state);
  }
}

std::string delivery_name(std::uint8_t delivery) {
  switch (delivery) {
    case SLUICE_DELIVER_PEER:
      return "peer";
    case SLUICE_DELIVER_DEVICE:
      return "device";
    case SLUICE_DELIVER_UPLINK:
      return "uplink";
    case SLUICE_DELIVER_NODE:
      return "node";
    case SLUICE_DELIVER_HOST:
      return "host";
    default:
      return unknown(delivery);
  }
}

std::string pair_state_name(std::uint32_t state) {
  switch (state) {
    case SLUICE_PAIR_FREE:
      return "free";
    case SLUICE_PAIR_LIVE:
      return "live";
    case SLUICE_PAIR_DYING:
      return "dying";
    case SLUICE_PAIR_KEPT:
      return "kept";
    default:
      return unknown(state);
  }
}

std::vector<std::string> flow_state_names(std::uint32_t state) {
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 6> kBits = {{
      {SLUICE_STATE_SYN, "syn"},
      {SLUICE_STATE_SYNACK, "synack"},
      {SLUICE_STATE_ESTABLISHED, "established"},
      {SLUICE_STATE_FIN, "fin"},
      {SLUICE_STATE_RST, "rst"},
      {SLUICE_STATE_HALF_OPEN_CHARGED, "half_open_charged"},
  }};
  std::vector<std::string> names;
  for (const auto& [bit, name] : kBits) {
    if ((state & bit) != 0) names.emplace_back(name);
    state &= ~bit;
  }
  if (state != 0) names.push_back("unknown(" + hex_text(state, 1) + ")");
  return names;
}

IpAddress ip_of(__be32 address) {
  return Ipv4::from_wire(address);
}

IpAddress ip_of(const sluice_address6& address) {
  return Ipv6::from_wire(std::bit_cast<std::array<std::uint8_t, 16>>(address));
}

IpAddress ip_of(const sluice_backend& backend) {
  const IpAddress six = ip_of(backend.address6);
  return six == IpAddress(Ipv6{}) ? ip_of(backend.address4) : six;
}

namespace {

template <typename Record>
Frontend common_frontend(const Record& record, const IpAddress& router) {
  return {.network = record.self.network,
          .address = ip_of(record.self.address),
          .port = from_wire(record.self.port),
          .protocol = record.self.protocol,
          .backend_network = record.backend_network,
          .ref = record.ref,
          .backend_base = record.backend_base,
          .backend_count = record.backend_count,
          .ready_count = record.ready_count,
          .ring_base = record.ring_base,
          .ring_size = record.ring_size,
          .router = router,
          .network_slot = record.network_slot,
          .algorithm = record.algorithm,
          .owner = record.owner,
          .fingerprint = record.fingerprint,
          .affinity = record.affinity};
}

}  // namespace

Frontend frontend_of(const sluice_frontend4& record) {
  return common_frontend(record, ip_of(record.router4));
}
Frontend frontend_of(const sluice_frontend6& record) {
  return common_frontend(record, ip_of(record.router6));
}

std::string mac_text(const __u8 (&mac)[6]) {
  Mac value;
  std::ranges::copy(mac, value.bytes.begin());
  return value.text();
}

std::string prefix_text(__be32 address, __be32 mask) {
  return text_of(ip_of(address)) + "/" + std::to_string(std::popcount(static_cast<std::uint32_t>(mask)));
}

std::string endpoint_text(const IpAddress& address, std::uint16_t port) {
  const std::string text = text_of(address);
  const bool six = std::holds_alternative<Ipv6>(address);
  return (six ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

std::string hex_text(std::uint64_t value, int digits) {
  std::array<char, 24> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "0x%0*llx", digits, static_cast<unsigned long long>(value));
  return buffer.data();
}

std::string ref_text(const sluice_ref& ref) {
  if (ref.slot == 0 && ref.generation == 0) return "-";
  return std::to_string(ref.slot) + "/" + std::to_string(ref.generation);
}

Json ref_json(const sluice_ref& ref) {
  return {{"slot", ref.slot}, {"generation", ref.generation}};
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : text;
}

std::string device_name(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> buffer{};
  if (ifindex == 0 || ::if_indextoname(ifindex, buffer.data()) == nullptr) return {};
  return buffer.data();
}

std::string age_text(std::uint64_t nanoseconds) {
  const std::uint64_t seconds = nanoseconds / 1'000'000'000;
  if (seconds == 0) return std::to_string(nanoseconds / 1'000'000) + "ms";
  const std::uint64_t minutes = seconds / 60;
  if (minutes == 0) return std::to_string(seconds) + "s";
  const std::uint64_t hours = minutes / 60;
  if (hours == 0) return std::to_string(minutes) + "m" + std::to_string(seconds % 60) + "s";
  if (hours < 24) return std::to_string(hours) + "h" + std::to_string(minutes % 60) + "m";
  return std::to_string(hours / 24) + "d" + std::to_string(hours % 24) + "h";
}

std::uint64_t coarse_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

Result<Generations> Generations::read(const PinnedMaps& maps) {
  Generations generations;
  Result<std::vector<std::uint32_t>> endpoints = maps.read_array<std::uint32_t>("endpoint_generations");
  if (!endpoints) return std::unexpected(endpoints.error());
  Result<std::vector<std::uint32_t>> frontends = maps.read_array<std::uint32_t>("frontend_generations");
  if (!frontends) return std::unexpected(frontends.error());
  generations.endpoints_ = std::move(*endpoints);
  generations.frontends_ = std::move(*frontends);
  return generations;
}

std::string validity(bool current) {
  return current ? "current" : "ended";
}

}  // namespace sluice::cli
