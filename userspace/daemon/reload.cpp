// SPDX-License-Identifier: Apache-2.0
#include "daemon/reload.hpp"

#include <array>

namespace sluice::daemon {
namespace {

struct Key {
  std::string_view name;
  bool live;
  bool (*same)(const Config&, const Config&);
};

bool same_timeouts(const sluice_settings& one, const sluice_settings& other) {
  return one.tcp_half_open == other.tcp_half_open && one.tcp_established == other.tcp_established &&
         one.tcp_closing == other.tcp_closing && one.tcp_closed == other.tcp_closed &&
         one.tcp_reset == other.tcp_reset && one.udp_new == other.udp_new && one.udp_stream == other.udp_stream &&
         one.icmp == other.icmp;
}

bool same_sweep(const sluice_settings& one, const sluice_settings& other) {
  return one.sweep_interval == other.sweep_interval && one.sweep_pairs == other.sweep_pairs &&
         one.delete_grace == other.delete_grace;
}

const api::SocketOptions& read_only(const Config& config) {
  static const api::SocketOptions kNone{};
  return config.api.read_only_socket ? *config.api.read_only_socket : kNone;
}

constexpr bool kLive = true;
constexpr bool kAtStart = false;

template <auto value_of>
bool same(const Config& one, const Config& other) {
  return value_of(one) == value_of(other);
}

constexpr std::array kKeys{
    Key{"state_dir", kAtStart, same<[](const Config& c) { return c.state_dir; }>},
    Key{"manifests", kAtStart, same<[](const Config& c) { return c.manifests; }>},
    Key{"socket", kAtStart, same<[](const Config& c) { return c.api.socket.path; }>},
    Key{"socket_owner", kAtStart, same<[](const Config& c) { return c.api.socket.owner; }>},
    Key{"socket_group", kAtStart, same<[](const Config& c) { return c.api.socket.group; }>},
    Key{"socket_mode", kAtStart, same<[](const Config& c) { return c.api.socket.mode; }>},
    Key{"read_only_socket", kAtStart, same<[](const Config& c) { return read_only(c).path; }>},
    Key{"read_only_group", kAtStart, same<[](const Config& c) { return read_only(c).group; }>},
    Key{"max_connections", kAtStart, same<[](const Config& c) { return c.api.limits.connections; }>},
    Key{"max_connections_per_user", kAtStart, same<[](const Config& c) { return c.api.limits.connections_of_user; }>},
    Key{"max_watches", kAtStart, same<[](const Config& c) { return c.api.limits.watches; }>},
    Key{"max_watches_per_user", kAtStart, same<[](const Config& c) { return c.api.limits.watches_of_user; }>},
    Key{"audit_log", kAtStart, same<[](const Config& c) { return c.audit_log; }>},
    Key{"floating_ip_pools", kLive, same<[](const Config& c) { return c.floating_ip_pools; }>},
    Key{"pin_root", kAtStart, same<[](const Config& c) { return c.pin_root; }>},
    Key{"uplinks", kAtStart, same<[](const Config& c) { return c.node.uplinks; }>},
    Key{"egress", kLive, same<[](const Config& c) { return c.node.egress; }>},
    Key{"device_prefix", kAtStart, same<[](const Config& c) { return c.node.device_prefix; }>},
    Key{"pod_mtu", kLive, same<[](const Config& c) { return c.node.mtu.fixed; }>},
    Key{"mtu_reserve", kLive, same<[](const Config& c) { return c.node.mtu.reserve; }>},
    Key{"max_flows", kAtStart, same<[](const Config& c) { return c.node.limits.max_pairs; }>},
    Key{"backend_arena", kAtStart, same<[](const Config& c) { return c.node.limits.backend_arena; }>},
    Key{"ring_arena", kAtStart, same<[](const Config& c) { return c.node.limits.ring_arena; }>},
    Key{"slots_per_backend", kAtStart, same<[](const Config& c) { return c.node.limits.slots_per_backend; }>},
    Key{"refusals_per_second", kLive, same<[](const Config& c) { return c.node.settings.refusals_per_second; }>},
    Key{"timeouts", kLive,
        [](const Config& a, const Config& b) { return same_timeouts(a.node.settings, b.node.settings); }},
    Key{"sweep", kLive, [](const Config& a, const Config& b) { return same_sweep(a.node.settings, b.node.settings); }},
    Key{"log_level", kLive, same<[](const Config& c) { return c.log_level; }>},
    Key{"force_clsact", kAtStart, same<[](const Config& c) { return c.force_clsact; }>},
    Key{"fault_injection_percent", kAtStart, same<[](const Config& c) { return c.fault_injection_percent; }>},
};

}  // namespace

Differences differences(const Config& running, const Config& read) {
  Differences found;
  for (const Key& key : kKeys) {
    if (!key.same(running, read)) (key.live ? found.live : found.needs_restart).push_back(key.name);
  }
  return found;
}

std::vector<std::string_view> compared_keys() {
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  return names;
}

}  // namespace sluice::daemon
