// SPDX-License-Identifier: Apache-2.0
#include "daemon/reload.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <string>

namespace sluice::daemon {
namespace {

using Names = std::vector<std::string_view>;

Config config_of(const std::string& text) {
  auto config = parse_config("sluiced.yaml", text);
  EXPECT_TRUE(config) << config.error().message;
  return config ? std::move(*config) : Config{};
}

Differences from_nothing_to(const std::string& text) {
  return differences(config_of("{}"), config_of(text));
}

TEST(Reload, FindsNoDifferenceWhereTheValuesAreTheSame) {
  const Differences found = from_nothing_to(
      "log_level: info\ntimeouts: {icmp: 30s}\nsocket: /run/sluice/sluice.sock\nmax_flows: 262144\npod_mtu: auto\n"
      "mtu_reserve: none\n");
  EXPECT_EQ(found.live, Names{});
  EXPECT_EQ(found.needs_restart, Names{});
}

TEST(Reload, TellsWhatCanChangeWhileTheDaemonRuns) {
  const Differences found = from_nothing_to(
      "log_level: warn\nrefusals_per_second: 5\ntimeouts: {udp_new: 9s}\nsweep: {interval: 1s}\n"
      "floating_ip_pools: [{name: east, prefixes: [203.0.113.0/28]}]\npod_mtu: 9000\nmtu_reserve: tunnel\n");
  EXPECT_EQ(found.live, (Names{"floating_ip_pools", "pod_mtu", "mtu_reserve", "refusals_per_second", "timeouts",
                               "sweep", "log_level"}));
  EXPECT_EQ(found.needs_restart, Names{});
}

TEST(Reload, TellsThatTheWayOutHasChanged) {
  const std::string uplinks = "uplinks: [{device: eth0}, {device: eth1}]\n";
  const Config none = config_of(uplinks);
  const Config standard = config_of(uplinks + "egress: {}\n");
  EXPECT_EQ(differences(none, standard).live, Names{"egress"});
  EXPECT_EQ(differences(standard, none).live, Names{"egress"});
  EXPECT_EQ(differences(standard, config_of(uplinks + "egress: {device: eth0}\n")).live, Names{});
  for (const std::string other : {"{device: eth1}", "{address4: none}", "{address6: node}", "{ports: 2000-3000}",
                                  "{flows_per_pod: 7}", "{deny: [10.0.0.0/8]}"}) {
    EXPECT_EQ(differences(standard, config_of(uplinks + "egress: " + other + "\n")).live, Names{"egress"}) << other;
  }
}

TEST(Reload, NoticesEveryOtherKey) {
  const std::vector<std::pair<std::string, std::string>> others{
      {"state_dir", "/srv/state"},     {"manifests", "/srv/manifests"}, {"socket_owner", "nobody"},
      {"socket_mode", "\"0640\""},     {"read_only_socket", "none"},    {"read_only_group", "nogroup"},
      {"audit_log", "/srv/audit.log"}, {"max_connections", "100"},      {"max_connections_per_user", "10"},
      {"max_watches", "300"},          {"max_watches_per_user", "10"},  {"pin_root", "/sys/fs/bpf/other"},
      {"uplinks", "[{device: eth0}]"}, {"device_prefix", "abc"},        {"backend_arena", "1000"},
      {"ring_arena", "2000"},          {"slots_per_backend", "32"},     {"force_clsact", "true"},
      {"fault_injection_percent", "1"}};
  for (const auto& [key, value] : others) {
    const Differences found = from_nothing_to(key + ": " + value + "\n");
    EXPECT_EQ(found.needs_restart, Names{key});
    EXPECT_EQ(found.live, Names{}) << key;
  }
  // These have others in their train: defaults that follow them.
  for (const std::string text : {"socket: /srv/sluice.sock", "socket_group: nogroup", "max_flows: 4096"}) {
    const Names found = from_nothing_to(text + "\n").needs_restart;
    EXPECT_NE(std::ranges::find(found, text.substr(0, text.find(':'))), found.end()) << text;
  }
}

TEST(Reload, ComparesEveryKeyOfTheFile) {
  std::set<std::string> known;
  for (const std::string& key : config_keys()) known.insert(key.substr(0, key.find('.')));
  const Names compared = compared_keys();
  EXPECT_EQ(std::set<std::string>(compared.begin(), compared.end()), known);
}

// ---- what docs/ say of the keys -------------------------------------------------------------------------------------

std::vector<std::string> lines_of(const std::string& name) {
  std::ifstream file(std::string(DOCUMENTATION_FOLDER) + "/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

std::set<std::string> all_keys() {
  const std::vector<std::string> keys = config_keys();
  return {keys.begin(), keys.end()};
}

TEST(ConfigDocumentation, TablesListEveryKeyAndNoOther) {
  std::set<std::string> documented;
  std::set<std::string> reloadable;
  std::string section;
  const std::regex row("\\| `([a-z0-9_]+)` \\|.*");
  for (const std::string& line : lines_of("config.md")) {
    std::smatch match;
    if (line.starts_with("## ")) section = line.substr(3);
    if (!std::regex_match(line, match, row)) continue;
    const bool nested = all_keys().contains(section);
    EXPECT_TRUE(documented.insert((nested ? section + "." : "") + match[1].str()).second) << line << " stands twice";
    if (line.find("**R**") != std::string::npos) reloadable.insert(match[1].str());
  }
  EXPECT_EQ(documented, all_keys()) << "docs/config.md";
  const Differences live = from_nothing_to(
      "log_level: warn\npod_mtu: 1400\nmtu_reserve: tunnel\nrefusals_per_second: 5\ntimeouts: {udp_new: 9s}\nsweep: "
      "{interval: 1s}\n"
      "floating_ip_pools: [{name: east, prefixes: [203.0.113.0/28]}]\n");
  std::set<std::string> marked(live.live.begin(), live.live.end());
  marked.insert("egress");  // needs an uplink, which a reload does not take
  EXPECT_EQ(reloadable, marked) << "marks of docs/config.md";
}

TEST(ConfigDocumentation, ManualPageListsEveryKeyAndNoOther) {
  std::set<std::string> documented;
  std::string section;
  const std::regex key("\\.B ([a-z0-9_]+)");
  for (const std::string& line : lines_of("man/sluiced.yaml.5")) {
    if (line.starts_with(".SS ")) section = line.substr(4) + ".";
    if (line.starts_with(".SH ")) section.clear();
    if (std::smatch match; std::regex_match(line, match, key)) documented.insert(section + match[1].str());
  }
  EXPECT_EQ(documented, all_keys()) << "docs/man/sluiced.yaml.5";
}

}  // namespace
}  // namespace sluice::daemon
