// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace sluice::daemon {
namespace {

Result<Config> parse(const std::string& text) {
  return parse_config("sluiced.yaml", text);
}

/// The message of a configuration that must be refused.
std::string refusal(const std::string& text) {
  const auto config = parse("manifests: /etc/sluice/manifests\n" + text);
  if (config) {
    ADD_FAILURE() << "was accepted: " << text;
    return "";
  }
  EXPECT_EQ(config.error().code, ErrorCode::kInvalid) << config.error().message;
  return config.error().message;
}

void expect_refused(const std::string& text, const std::string& part) {
  const std::string message = refusal(text);
  EXPECT_NE(message.find(part), std::string::npos) << "for: " << text << "\nsaid: " << message;
}

constexpr __u64 kSecond = 1'000'000'000;

TEST(Config, NeedsNothingAndFillsInTheRest) {
  const auto config = parse("{}\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->manifests, "") << "the state comes by the API";
  EXPECT_EQ(config->state_dir, "/var/lib/sluice");
  EXPECT_EQ(config->api.socket.path, "/run/sluice/sluice.sock");
  EXPECT_EQ(config->api.socket.mode, 0600U);
  EXPECT_FALSE(config->api.socket.owner);
  EXPECT_FALSE(config->api.socket.group);
  ASSERT_TRUE(config->api.read_only_socket);
  EXPECT_EQ(config->api.read_only_socket->path, "/run/sluice/sluice.sock.ro");
  EXPECT_EQ(config->api.read_only_socket->mode, 0600U);
  EXPECT_EQ(config->audit_log, "");
  EXPECT_EQ(config->api.limits.connections, 1024U);
  EXPECT_EQ(config->api.limits.connections_of_user, 64U);
  EXPECT_EQ(config->api.limits.watches, 1024U);
  EXPECT_EQ(config->api.limits.watches_of_user, 256U);
  EXPECT_TRUE(config->floating_ip_pools.empty());
  EXPECT_EQ(config->pin_root, "/sys/fs/bpf/sluice");
  EXPECT_EQ(config->log_level, "info");
  EXPECT_FALSE(config->force_clsact);
  EXPECT_EQ(config->fault_injection_percent, 0U);
  const node::Options& node = config->node;
  EXPECT_TRUE(node.uplinks.empty());
  EXPECT_EQ(node.device_prefix, "slc");
  EXPECT_EQ(node.mtu, node::MtuPolicy{}) << "what the uplinks leave";
  EXPECT_EQ(node.limits.max_pairs, 262144U);
  EXPECT_EQ(node.limits.backend_arena, 1048576U);
  EXPECT_EQ(node.limits.ring_arena, 262144U);
  EXPECT_EQ(node.limits.slots_per_backend, 100U);
  EXPECT_EQ(node.settings.refusals_per_second, 100U);
  EXPECT_EQ(node.settings.tcp_half_open, 30 * kSecond);
  EXPECT_EQ(node.settings.tcp_established, 7440 * kSecond);
  EXPECT_EQ(node.settings.tcp_closing, 240 * kSecond);
  EXPECT_EQ(node.settings.tcp_closed, 240 * kSecond);
  EXPECT_EQ(node.settings.tcp_reset, 10 * kSecond);
  EXPECT_EQ(node.settings.udp_new, 30 * kSecond);
  EXPECT_EQ(node.settings.udp_stream, 180 * kSecond);
  EXPECT_EQ(node.settings.icmp, 30 * kSecond);
  EXPECT_EQ(node.settings.sweep_interval, kSecond / 10);
  EXPECT_EQ(node.settings.sweep_pairs, 2622U) << "a round over max_flows in 10 s";
  EXPECT_EQ(node.settings.delete_grace, kSecond);
}

TEST(Config, TakesEveryKey) {
  const auto config = parse(R"(
state_dir: /srv/state
manifests: /srv/manifests/all.yaml
socket: /srv/sluice.sock
socket_owner: nobody
socket_group: "12345"
socket_mode: "0640"
read_only_socket: /srv/read.sock
read_only_group: nogroup
audit_log: /srv/audit.log
max_connections: 50
max_connections_per_user: 40
max_watches: 30
max_watches_per_user: 20
floating_ip_pools:
  - {name: east, prefixes: [203.0.113.0/28, 198.51.100.7/32]}
pin_root: /sys/fs/bpf/other
uplinks:
  - {device: eth0, xdp: native}
  - {device: bond0.7}
device_prefix: abc
pod_mtu: 9000
mtu_reserve: encryption
max_flows: 4096
backend_arena: 1000
ring_arena: 2000
slots_per_backend: 32
refusals_per_second: 7
timeouts: {tcp_half_open: 10ms, tcp_established: 2h, tcp_closing: 3m, tcp_closed: 4s, tcp_reset: 3s, udp_new: 5s,
           udp_stream: 6s, icmp: 7s}
sweep: {interval: 50ms, pairs: 99, delete_grace: 2s}
log_level: debug
force_clsact: true
fault_injection_percent: 10
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->state_dir, "/srv/state");
  EXPECT_EQ(config->manifests, "/srv/manifests/all.yaml");
  EXPECT_EQ(config->api.socket.path, "/srv/sluice.sock");
  EXPECT_EQ(config->api.socket.owner, 65534U);
  EXPECT_EQ(config->api.socket.group, 12345U);
  EXPECT_EQ(config->api.socket.mode, 0640U);
  ASSERT_TRUE(config->api.read_only_socket);
  EXPECT_EQ(config->api.read_only_socket->path, "/srv/read.sock");
  EXPECT_EQ(config->api.read_only_socket->group, 65534U);
  EXPECT_EQ(config->api.read_only_socket->mode, 0660U);
  EXPECT_EQ(config->audit_log, "/srv/audit.log");
  EXPECT_EQ(config->api.limits.connections, 50U);
  EXPECT_EQ(config->api.limits.connections_of_user, 40U);
  EXPECT_EQ(config->api.limits.watches, 30U);
  EXPECT_EQ(config->api.limits.watches_of_user, 20U);
  ASSERT_EQ(config->floating_ip_pools.size(), 1U);
  EXPECT_EQ(config->floating_ip_pools[0].name, "east");
  EXPECT_EQ(config->floating_ip_pools[0].prefixes.size(), 2U);
  EXPECT_EQ(config->pin_root, "/sys/fs/bpf/other");
  EXPECT_EQ(config->log_level, "debug");
  EXPECT_TRUE(config->force_clsact);
  EXPECT_EQ(config->fault_injection_percent, 10U);
  const node::Options& node = config->node;
  ASSERT_EQ(node.uplinks.size(), 2U);
  EXPECT_EQ(node.uplinks[0], (node::UplinkConfig{"eth0", datapath::XdpMode::kNative}));
  EXPECT_EQ(node.uplinks[1], (node::UplinkConfig{"bond0.7", datapath::XdpMode::kOff}));
  EXPECT_EQ(node.device_prefix, "abc");
  EXPECT_EQ(node.mtu.fixed, 9000U);
  EXPECT_EQ(node.mtu.reserve, 150U);
  EXPECT_EQ(node.limits.max_pairs, 4096U);
  EXPECT_EQ(node.limits.backend_arena, 1000U);
  EXPECT_EQ(node.limits.ring_arena, 2000U);
  EXPECT_EQ(node.limits.slots_per_backend, 32U);
  EXPECT_EQ(node.settings.refusals_per_second, 7U);
  EXPECT_EQ(node.settings.tcp_half_open, kSecond / 100);
  EXPECT_EQ(node.settings.tcp_established, 7200 * kSecond);
  EXPECT_EQ(node.settings.tcp_closing, 180 * kSecond);
  EXPECT_EQ(node.settings.tcp_closed, 4 * kSecond);
  EXPECT_EQ(node.settings.tcp_reset, 3 * kSecond);
  EXPECT_EQ(node.settings.udp_new, 5 * kSecond);
  EXPECT_EQ(node.settings.udp_stream, 6 * kSecond);
  EXPECT_EQ(node.settings.icmp, 7 * kSecond);
  EXPECT_EQ(node.settings.sweep_interval, kSecond / 20);
  EXPECT_EQ(node.settings.sweep_pairs, 99U);
  EXPECT_EQ(node.settings.delete_grace, 2 * kSecond);
}

TEST(Config, TakesEveryXdpMode) {
  const auto config = parse(
      "manifests: /m\n"
      "uplinks: [{device: a, xdp: off}, {device: b, xdp: auto}, {device: c, xdp: native}, {device: d, xdp: generic}]");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->node.uplinks.size(), 4U);
  EXPECT_EQ(config->node.uplinks[0].xdp, datapath::XdpMode::kOff);
  EXPECT_EQ(config->node.uplinks[1].xdp, datapath::XdpMode::kAuto);
  EXPECT_EQ(config->node.uplinks[2].xdp, datapath::XdpMode::kNative);
  EXPECT_EQ(config->node.uplinks[3].xdp, datapath::XdpMode::kGeneric);
}

TEST(Config, RefusesUnknownKeysAndSuggestsTheRightOne) {
  expect_refused("state_dri: /x\n", "did you mean 'state_dir'?");
  expect_refused("timeouts: {tcp_establishd: 5s}\n", "did you mean 'tcp_established'?");
  expect_refused("sweep: {pair: 5}\n", "did you mean 'pairs'?");
  expect_refused("uplinks: [{device: eth0, xpd: off}]\n", "did you mean 'xdp'?");
}

TEST(Config, NamesFileAndLineOfAProblem) {
  EXPECT_NE(refusal("log_level: info\nmax_flows: 1\n").find("sluiced.yaml:3:"), std::string::npos);
}

TEST(Config, TellsAllProblemsAtOnce) {
  const std::string message = refusal("max_flows: 1\nlog_level: loud\n");
  EXPECT_NE(message.find("max_flows"), std::string::npos) << message;
  EXPECT_NE(message.find("log_level"), std::string::npos) << message;
}

TEST(Config, RefusesValuesOutOfTheirRange) {
  expect_refused("max_flows: 63\n", "max_flows");
  expect_refused("max_flows: 16777217\n", "max_flows");
  expect_refused("backend_arena: 0\n", "backend_arena");
  expect_refused("ring_arena: -1\n", "ring_arena");
  expect_refused("slots_per_backend: 31\n", "slots_per_backend");
  expect_refused("slots_per_backend: 1001\n", "slots_per_backend");
  expect_refused("refusals_per_second: many\n", "refusals_per_second");
  expect_refused("pod_mtu: 1279\n", "pod_mtu");
  expect_refused("mtu_reserve: some\n", "mtu_reserve");
  expect_refused("pod_mtu: 65536\n", "pod_mtu");
  expect_refused("sweep: {pairs: 0}\n", "sweep.pairs");
  expect_refused("sweep: {interval: 0ms}\n", "sweep.interval");
  expect_refused("timeouts: {icmp: 9ms}\n", "timeouts.icmp");
  expect_refused("timeouts: {icmp: 721h}\n", "timeouts.icmp");
  expect_refused("fault_injection_percent: 91\n", "fault_injection_percent");
  expect_refused("log_level: verbose\n", "log_level");
  expect_refused("force_clsact: maybe\n", "force_clsact");
}

TEST(Config, RefusesSocketsThatOthersCouldWriteTo) {
  expect_refused("socket_mode: \"0666\"\n", "socket_mode");
  expect_refused("socket_mode: \"0602\"\n", "socket_mode");
  expect_refused("socket_mode: \"0060\"\n", "socket_mode");
  expect_refused("socket_mode: \"0890\"\n", "socket_mode");
  expect_refused("socket_owner: no-such-user\n", "socket_owner");
  expect_refused("socket_group: no-such-group\n", "socket_group");
  expect_refused("read_only_group: no-such-group\n", "read_only_group");
  expect_refused("socket: /a.sock\nread_only_socket: /a.sock\n", "read_only_socket");
  EXPECT_FALSE(parse("read_only_socket: none\n")->api.read_only_socket);
}

TEST(Config, RefusesLimitsOfOneUserAboveThoseOfAll) {
  expect_refused("max_connections: 0\n", "max_connections");
  expect_refused("max_connections: 16385\n", "max_connections");
  expect_refused("max_connections_per_user: 0\n", "max_connections_per_user");
  expect_refused("max_watches: 65537\n", "max_watches");
  expect_refused("max_watches_per_user: 0\n", "max_watches_per_user");
  expect_refused("max_connections: 10\nmax_connections_per_user: 11\n", "is more than max_connections, which is 10");
  expect_refused("max_watches_per_user: 2000\n", "is more than max_watches, which is 1024");
  const auto fewer = parse("max_connections: 10\nmax_watches: 20\n");
  ASSERT_TRUE(fewer) << fewer.error().message;
  EXPECT_EQ(fewer->api.limits.connections_of_user, 10U) << "what was not chosen follows";
  EXPECT_EQ(fewer->api.limits.watches_of_user, 20U);
}

TEST(Config, RefusesPoolsThatCannotBe) {
  expect_refused("floating_ip_pools: [{prefixes: [203.0.113.0/28]}]\n", "name");
  expect_refused("floating_ip_pools: [{name: East, prefixes: [203.0.113.0/28]}]\n", "name");
  expect_refused("floating_ip_pools: [{name: east}]\n", "prefixes");
  expect_refused("floating_ip_pools: [{name: east, prefixes: []}]\n", "prefixes");
  expect_refused("floating_ip_pools: [{name: east, prefixes: [203.0.113.1/28]}]\n", "prefixes");
  expect_refused("floating_ip_pools: [{name: east, prefixes: [127.0.0.0/8]}]\n", "prefixes");
  expect_refused("floating_ip_pools: [{name: east, prefixes: [[a]]}]\n", "prefixes");
  const auto twice =
      parse("floating_ip_pools: [{name: a, prefixes: [203.0.113.0/28]}, {name: a, prefixes: [1.2.3.4/32]}]\n");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kExists);
  expect_refused("floating_ip_pools: [{name: a, prefixes: [203.0.113.0/28]}, {name: b, prefixes: [203.0.113.4/32]}]\n",
                 "overlaps");
}

TEST(Config, RefusesPathsThatAreNotAbsolute) {
  for (const char* key : {"state_dir", "socket", "pin_root"}) {
    expect_refused(std::string(key) + ": relative/path\n", key);
    expect_refused(std::string(key) + ": \"\"\n", key);
  }
  EXPECT_FALSE(parse("manifests: here\n"));
}

TEST(Config, RefusesDevicesThatCannotBe) {
  expect_refused("uplinks: [{device: sixteen-letters-}]\n", "device");
  expect_refused("uplinks: [{device: a/b}]\n", "device");
  expect_refused("uplinks: [{device: ..}]\n", "device");
  expect_refused("uplinks: [{xdp: off}]\n", "device");
  expect_refused("uplinks: [{device: eth0, xdp: fast}]\n", "xdp");
  expect_refused("uplinks: eth0\n", "uplinks");
  expect_refused("device_prefix: 1ab\n", "device_prefix");
  expect_refused("device_prefix: toolongg\n", "device_prefix");
  expect_refused("device_prefix: \"\"\n", "device_prefix");
  expect_refused("device_prefix: a-b\n", "device_prefix");
}

TEST(Config, RefusesAnUplinkThatStandsTwice) {
  const auto config = parse("manifests: /m\nuplinks: [{device: eth0}, {device: eth0}]\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kExists);
}

// ---- egress ---------------------------------------------------------------------------------------------------------

constexpr const char* kUplinks = "uplinks: [{device: eth0}, {device: eth1}]\n";

std::optional<node::EgressConfig> egress_of(const std::string& text) {
  const auto config = parse(text);
  EXPECT_TRUE(config) << config.error().message;
  return config ? config->node.egress : std::nullopt;
}

TEST(ConfigEgress, IsNoneWithoutTheKey) {
  EXPECT_FALSE(egress_of(kUplinks));
}

TEST(ConfigEgress, TakesTheFirstUplinkAndTheNodesOwnAddressesByDefault) {
  const auto egress = egress_of(std::string("egress: {}\n") + kUplinks);
  ASSERT_TRUE(egress);
  EXPECT_EQ(egress->device, "eth0");
  EXPECT_EQ(egress->address4, node::EgressWish<Ipv4>{});
  EXPECT_EQ(egress->address6, node::EgressWish<Ipv6>{});
  EXPECT_EQ(egress->address4.kind, node::EgressWish<Ipv4>::Kind::kNode);
  EXPECT_FALSE(egress->address6.asked);
  EXPECT_EQ(egress->ports, (compile::PortRange{16384, 29999}));
  EXPECT_EQ(egress->flows_per_pod, 4096U);
  EXPECT_TRUE(egress->deny4.empty() && egress->deny6.empty());
}

TEST(ConfigEgress, TakesEveryKey) {
  const auto egress = egress_of(std::string(kUplinks) +
                                "egress:\n  device: eth1\n  address4: 203.0.113.5\n  address6: none\n"
                                "  ports: 1024-1087\n  flows_per_pod: 1000000\n"
                                "  deny: [10.0.0.0/8, \"fd00::/8\", 192.0.2.1/32]\n");
  ASSERT_TRUE(egress);
  EXPECT_EQ(egress->device, "eth1");
  EXPECT_EQ(egress->address4.kind, node::EgressWish<Ipv4>::Kind::kDedicated);
  EXPECT_EQ(egress->address4.address.text(), "203.0.113.5");
  EXPECT_EQ(egress->address6.kind, node::EgressWish<Ipv6>::Kind::kNone);
  EXPECT_EQ(egress->ports, (compile::PortRange{1024, 1087}));
  EXPECT_EQ(egress->flows_per_pod, 1'000'000U);
  ASSERT_EQ(egress->deny4.size(), 2U);
  EXPECT_EQ(egress->deny4[1].text(), "192.0.2.1/32");
  ASSERT_EQ(egress->deny6.size(), 1U);
  EXPECT_EQ(egress->deny6[0].text(), "fd00::/8");
  EXPECT_TRUE(egress_of(std::string(kUplinks) + "egress: {address6: node}\n")->address6.asked);
}

TEST(ConfigEgress, RefusesWhatCannotBe) {
  const auto refused = [](const std::string& egress, const std::string& part) {
    expect_refused(kUplinks + ("egress: " + egress) + "\n", part);
  };
  expect_refused("egress: {}\n", "egress: there is no uplink to leave by; list a device under uplinks");
  refused("eth0", "egress: is a single value, must be a mapping");
  refused("{adress4: node}", "did you mean 'address4'?");
  refused("{device: eth2}", "egress.device: 'eth2' is none of uplinks; list it there, or choose: eth0, eth1");
  refused("{address4: floating}", "egress.address4: 'floating' is no unicast address of its family; write: node, none");
  refused("{address4: 127.0.0.1}", "egress.address4");
  refused("{address4: \"2001:db8::5\"}", "egress.address4");
  refused("{address6: 203.0.113.5}", "egress.address6");
  refused("{address6: \"ff02::1\"}", "egress.address6");
  refused("{address4: none, address6: none}", "both address4 and address6 are none");
  for (const char* ports :
       {"1023-2000", "2000", "2000-2062", "3000-2000", "2000-65536", "2000-3000,4000-5000", "a-b"}) {
    refused("{ports: \"" + std::string(ports) + "\"}", "egress.ports: '" + std::string(ports) + "' is no range");
  }
  EXPECT_TRUE(egress_of(std::string(kUplinks) + "egress: {ports: 2000-2063}\n"));
  refused("{flows_per_pod: 0}", "egress.flows_per_pod");
  refused("{flows_per_pod: 1000001}", "egress.flows_per_pod");
  refused("{deny: 10.0.0.0/8}", "egress.deny");
  refused("{deny: [10.0.0.1/8]}", "egress.deny: '10.0.0.1/8' has host bits set; the prefix is 10.0.0.0/8");
  refused("{deny: [\"fd00::\"]}", "egress.deny");
  refused("{deny: [[10.0.0.0/8]]}", "egress.deny: an entry is no text");
}

TEST(ConfigEgress, DeniesNoMoreThan256Prefixes) {
  const auto denying = [](int count) {
    std::string list;
    for (int i = 0; i < count; i++) list += "10.0." + std::to_string(i) + ".0/32, ";
    return kUplinks + ("egress: {deny: [" + list + "]}\n");
  };
  EXPECT_EQ(egress_of(denying(256))->deny4.size(), 256U);
  expect_refused(denying(257), "egress.deny: 257 prefixes; at most 256 are allowed");
}

TEST(ConfigEgress, RefusesAnAddressThatAFloatingIpMayGet) {
  const std::string pool = "floating_ip_pools: [{name: east, prefixes: [203.0.113.0/28, \"2001:db8::/64\"]}]\n";
  expect_refused(pool + kUplinks + "egress: {address4: 203.0.113.5}\n", "egress.address4: 203.0.113.5 may be given to");
  expect_refused(pool + kUplinks + "egress: {address6: \"2001:db8::5\"}\n", "floating IP from pool east");
  EXPECT_TRUE(egress_of(pool + kUplinks + "egress: {address4: 203.0.113.16}\n"));
}

TEST(Config, RefusesWhatIsNoMappingOrNoYaml) {
  EXPECT_FALSE(parse(""));
  EXPECT_FALSE(parse("- a\n"));
  EXPECT_FALSE(parse("just text\n"));
  EXPECT_FALSE(parse("manifests: [\n"));
  EXPECT_FALSE(parse("manifests: /a\n---\nmanifests: /b\n"));
  EXPECT_FALSE(parse("manifests: /a\nmanifests: /b\n"));
}

TEST(Config, RefusesAFileThatIsNotThere) {
  const auto config = load_config("/nonexistent/sluiced.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kNotFound);
  EXPECT_NE(config.error().message.find("/nonexistent/sluiced.yaml"), std::string::npos);
}

TEST(Duration, ReadsAWholeNumberAndAUnit) {
  using std::chrono::nanoseconds;
  EXPECT_EQ(parse_duration("100ms").value(), nanoseconds(100'000'000));
  EXPECT_EQ(parse_duration("30s").value(), nanoseconds(30'000'000'000));
  EXPECT_EQ(parse_duration("5m").value(), nanoseconds(300'000'000'000));
  EXPECT_EQ(parse_duration("2h").value(), nanoseconds(7'200'000'000'000));
  EXPECT_EQ(parse_duration("0s").value(), nanoseconds(0));
}

TEST(Duration, RefusesEverythingElse) {
  for (const char* text : {"", "s", "30", "30 s", "1.5s", "-1s", "30S", "30sec", "4294967296s", "4294967295h", "ms"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

}  // namespace
}  // namespace sluice::daemon
