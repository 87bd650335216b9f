// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "daemon/config_api.hpp"
#include "daemon/config_egress.hpp"
#include "datapath/pod_mtu.hpp"
#include "model/names.hpp"
#include "store/fields.hpp"
#include "store/manifest.hpp"
#include "store/yaml.hpp"

namespace sluice::daemon {
namespace {

using std::chrono::nanoseconds;
using std::chrono::operator""ms;
using std::chrono::operator""s;
using std::chrono::operator""h;

struct DurationField {
  std::string_view name;
  __u64 sluice_settings::* target;
  nanoseconds standard;
  nanoseconds lowest;
  nanoseconds highest;
};

constexpr nanoseconds kShortestTimeout = 10ms;
constexpr nanoseconds kLongestTimeout = 720h;

// RFC 5382 asks for at least 2 h 4 min of an established connection, RFC 4787 for 2 min of UDP.
constexpr std::array kTimeouts{
    DurationField{"tcp_half_open", &sluice_settings::tcp_half_open, 30s, kShortestTimeout, kLongestTimeout},
    DurationField{"tcp_established", &sluice_settings::tcp_established, 7440s, kShortestTimeout, kLongestTimeout},
    DurationField{"tcp_closing", &sluice_settings::tcp_closing, 240s, kShortestTimeout, kLongestTimeout},
    DurationField{"tcp_closed", &sluice_settings::tcp_closed, 240s, kShortestTimeout, kLongestTimeout},
    DurationField{"tcp_reset", &sluice_settings::tcp_reset, 10s, kShortestTimeout, kLongestTimeout},
    DurationField{"udp_new", &sluice_settings::udp_new, 30s, kShortestTimeout, kLongestTimeout},
    DurationField{"udp_stream", &sluice_settings::udp_stream, 180s, kShortestTimeout, kLongestTimeout},
    DurationField{"icmp", &sluice_settings::icmp, 30s, kShortestTimeout, kLongestTimeout},
};
constexpr std::array kSweep{
    DurationField{"interval", &sluice_settings::sweep_interval, 100ms, 1ms, 60s},
    DurationField{"delete_grace", &sluice_settings::delete_grace, 1s, 10ms, 60s},
};

constexpr std::array<std::string_view, 2> kUplinkKeys{"device", "xdp"};
constexpr std::array<std::string_view, 3> kSweepKeys{"interval", "pairs", "delete_grace"};

std::string text_of(nanoseconds value) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(value).count();
  if (milliseconds % 1000 != 0) return std::to_string(milliseconds) + "ms";
  const auto seconds = milliseconds / 1000;
  return seconds % 3600 == 0 && seconds != 0 ? std::to_string(seconds / 3600) + "h" : std::to_string(seconds) + "s";
}

void read_duration(const store::Fields& fields, const DurationField& field, sluice_settings& settings) {
  settings.*field.target = static_cast<__u64>(field.standard.count());
  const auto value = fields.text(field.name);
  if (!value) return;
  auto duration = parse_duration(*value);
  if (!duration) {
    fields.problem(field.name, duration.error().message);
  } else if (*duration < field.lowest || *duration > field.highest) {
    fields.problem(field.name, model::in_quotes(*value) + " is not between " + text_of(field.lowest) + " and " +
                                   text_of(field.highest));
  } else {
    settings.*field.target = static_cast<__u64>(duration->count());
  }
}

template <typename Target>
void read_number(const store::Fields& fields, std::string_view name, std::uint32_t lowest, std::uint32_t highest,
                 Target& target) {
  if (const auto value = fields.number(name, lowest, highest)) target = *value;
}

void read_path(const store::Fields& fields, std::string_view name, bool required, std::filesystem::path& target) {
  const auto value = fields.text(name, required);
  if (!value) return;
  if (!value->starts_with('/') || value->size() > 4095 || value->find('\0') != std::string::npos) {
    fields.problem(name, model::in_quotes(*value) + " is not an absolute path");
  } else {
    target = *value;
  }
}

void read_bool(const store::Fields& fields, std::string_view name, bool& target) {
  static constexpr std::array<std::string_view, 2> kChoices{"true", "false"};
  if (const auto value = fields.choice(name, kChoices)) target = *value == "true";
}

/// RFC: none; the kernel's rule for an interface name (15 characters, no '/', no white space).
bool is_device_name(std::string_view name) {
  return !name.empty() && name.size() <= 15 && name != "." && name != ".." &&
         std::ranges::all_of(name, [](const char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':'; });
}

void read_uplinks(const store::Fields& fields, const store::Context& context,
                  std::vector<node::UplinkConfig>& uplinks) {
  static constexpr std::array<std::string_view, 4> kModes{"off", "auto", "native", "generic"};
  static constexpr std::array kValues{datapath::XdpMode::kOff, datapath::XdpMode::kAuto, datapath::XdpMode::kNative,
                                      datapath::XdpMode::kGeneric};
  const store::YamlNode* list = fields.list_of_maps("uplinks");
  if (list == nullptr) return;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const store::Fields item(list->items[i], context, "uplinks[" + std::to_string(i) + "].");
    item.check({.known = {kUplinkKeys.begin(), kUplinkKeys.end()}, .later = {"role"}});
    const auto device = item.text("device", true);
    const auto mode = item.choice("xdp", kModes);
    if (!device) continue;
    if (!is_device_name(*device)) {
      item.problem("device", model::in_quotes(*device) + " is no device name of 1 to 15 characters, e.g. eth0");
    } else if (!seen.insert(*device).second) {
      item.problem("device", model::in_quotes(*device) + " stands twice; remove one", ErrorCode::kExists);
    } else {
      const auto index = mode ? static_cast<std::size_t>(std::ranges::find(kModes, *mode) - kModes.begin()) : 0;
      uplinks.push_back({*device, kValues[index]});
    }
  }
}

void read_prefix(const store::Fields& fields, std::string& prefix) {
  const auto value = fields.text("device_prefix");
  if (!value) return;
  const bool plain =
      std::ranges::all_of(*value, [](const char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (value->empty() || value->size() > 7 || !plain || value->front() <= '9') {
    fields.problem("device_prefix",
                   model::in_quotes(*value) + " must be 1 to 7 characters a-z and 0-9, with a letter first, e.g. slc");
  } else {
    prefix = *value;
  }
}

void read_mtu(const store::Fields& fields, node::MtuPolicy& policy) {
  if (const auto value = fields.text("pod_mtu"); value && *value != "auto") {
    read_number(fields, "pod_mtu", datapath::kSmallestPodMtu, datapath::kLargestPodMtu, policy.fixed);
  }
  if (const auto reserve = fields.choice("mtu_reserve", datapath::kMtuReserveNames)) {
    policy.reserve = datapath::mtu_reserve(*reserve);
  }
}

void read_sizes(const store::Fields& fields, node::Options& options) {
  read_number(fields, "max_flows", 64, 1U << 24, options.limits.max_pairs);
  read_number(fields, "backend_arena", 64, 1U << 24, options.limits.backend_arena);
  read_number(fields, "ring_arena", 64, 1U << 24, options.limits.ring_arena);
  read_number(fields, "slots_per_backend", 32, 1000, options.limits.slots_per_backend);
  options.settings.refusals_per_second = 100;
  read_number(fields, "refusals_per_second", 0, 1'000'000, options.settings.refusals_per_second);
}

constexpr std::uint32_t kMostSweepPairs = 65535;
constexpr nanoseconds kSweepRound = 10s;

/// So many pairs in a slice that a round over the whole table takes no longer than kSweepRound, but not too few.
std::uint32_t slice_for(std::uint32_t max_pairs, std::uint64_t interval) {
  const auto round = static_cast<std::uint64_t>(kSweepRound.count());
  const std::uint64_t pairs = (max_pairs * std::min(interval, round) + round - 1) / round;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pairs, 2048, kMostSweepPairs));
}

void read_timeouts(const store::Fields& fields, const store::Context& context, std::uint32_t max_pairs,
                   sluice_settings& settings) {
  static const store::YamlNode kNothing{.kind = store::YamlNode::Kind::kMap, .text = {}, .items = {}};
  const store::YamlNode* timeouts = fields.map("timeouts");
  const store::Fields timeout(timeouts == nullptr ? kNothing : *timeouts, context, "timeouts.");
  store::FieldNames names;
  for (const DurationField& field : kTimeouts) {
    names.known.push_back(field.name);
    read_duration(timeout, field, settings);
  }
  timeout.check(names);

  const store::YamlNode* sweep_map = fields.map("sweep");
  const store::Fields sweep(sweep_map == nullptr ? kNothing : *sweep_map, context, "sweep.");
  sweep.check({.known = {kSweepKeys.begin(), kSweepKeys.end()}, .later = {}});
  for (const DurationField& field : kSweep) read_duration(sweep, field, settings);
  settings.sweep_pairs = slice_for(max_pairs, settings.sweep_interval);
  read_number(sweep, "pairs", 1, kMostSweepPairs, settings.sweep_pairs);
}

const store::FieldNames& known_keys() {
  static const store::FieldNames kNames{.known = {"state_dir",
                                                  "manifests",
                                                  "socket",
                                                  "socket_owner",
                                                  "socket_group",
                                                  "socket_mode",
                                                  "read_only_socket",
                                                  "read_only_group",
                                                  "audit_log",
                                                  "max_connections",
                                                  "max_connections_per_user",
                                                  "max_watches",
                                                  "max_watches_per_user",
                                                  "floating_ip_pools",
                                                  "pin_root",
                                                  "uplinks",
                                                  "egress",
                                                  "device_prefix",
                                                  "pod_mtu",
                                                  "mtu_reserve",
                                                  "max_flows",
                                                  "backend_arena",
                                                  "ring_arena",
                                                  "slots_per_backend",
                                                  "refusals_per_second",
                                                  "timeouts",
                                                  "sweep",
                                                  "log_level",
                                                  "force_clsact",
                                                  "fault_injection_percent"},
                                        .later = {"store"}};
  return kNames;
}

void read_config(const store::Fields& fields, const store::Context& context, Config& config) {
  static constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warn", "error"};
  fields.check(known_keys());
  read_path(fields, "state_dir", false, config.state_dir);
  read_path(fields, "manifests", false, config.manifests);
  read_path(fields, "audit_log", false, config.audit_log);
  read_sockets(fields, config.api);
  read_limits(fields, config.api.limits);
  read_pools(fields, context, config.floating_ip_pools);
  read_path(fields, "pin_root", false, config.pin_root);
  read_uplinks(fields, context, config.node.uplinks);
  read_egress(fields, context, config.node.uplinks, config.floating_ip_pools, config.node.egress);
  read_prefix(fields, config.node.device_prefix);
  read_mtu(fields, config.node.mtu);
  read_sizes(fields, config.node);
  read_timeouts(fields, context, config.node.limits.max_pairs, config.node.settings);
  if (const auto level = fields.choice("log_level", kLevels)) config.log_level = *level;
  read_bool(fields, "force_clsact", config.force_clsact);
  read_number(fields, "fault_injection_percent", 0, 90, config.fault_injection_percent);
}

}  // namespace

std::vector<std::string> config_keys() {
  std::vector<std::string> keys(known_keys().known.begin(), known_keys().known.end());
  const auto add = [&keys](const std::string& of, std::string_view name) {
    keys.push_back(of + "." + std::string(name));
  };
  for (const std::string_view name : kPoolKeys) add("floating_ip_pools", name);
  for (const std::string_view name : kUplinkKeys) add("uplinks", name);
  for (const std::string_view name : kEgressKeys) add("egress", name);
  for (const DurationField& field : kTimeouts) add("timeouts", field.name);
  for (const std::string_view name : kSweepKeys) add("sweep", name);
  return keys;
}

Result<Config> parse_config(const std::string& file, std::string_view text) {
  store::Report report;
  store::Context context{.file = file, .resource = "config", .report = &report};
  std::vector<store::YamlNode> documents;
  const auto problem = store::read_yaml(text, [&documents](store::YamlNode&& document) {
    documents.push_back(std::move(document));
    return documents.size() < 2;
  });
  if (problem) report.add(ErrorCode::kInvalid, {file, problem->line}, "config: " + problem->message);
  Config config;
  if (!problem && (documents.size() != 1 || documents.front().kind != store::YamlNode::Kind::kMap)) {
    report.add(ErrorCode::kInvalid, {file, 0}, "config: must be one mapping of keys to values");
  } else if (!problem) {
    read_config(store::Fields(documents.front(), context), context, config);
  }
  if (!report.empty()) return std::unexpected(store::summarize(report.take()));
  return config;
}

Result<Config> load_config(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail_errno("open the configuration " + file.string());
  std::ostringstream text;
  text << stream.rdbuf();
  if (stream.bad()) return fail_errno("read the configuration " + file.string());
  return parse_config(file.string(), text.str());
}

}  // namespace sluice::daemon
