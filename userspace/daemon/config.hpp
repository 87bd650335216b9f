// SPDX-License-Identifier: Apache-2.0
// The daemon's configuration file (docs/config.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "api/server.hpp"
#include "base/result.hpp"
#include "model/times.hpp"
#include "model/world.hpp"
#include "node/types.hpp"

namespace sluice::daemon {

struct Config {
  std::filesystem::path state_dir = "/var/lib/sluice";
  std::filesystem::path manifests;  ///< empty: the state comes by the API
  api::ServerOptions api;
  std::filesystem::path audit_log;  ///< empty: into the log
  std::vector<model::Pool> floating_ip_pools;
  std::filesystem::path pin_root = "/sys/fs/bpf/sluice";
  std::string log_level = "info";
  bool force_clsact = false;                  ///< tests: do not use TCX links
  std::uint32_t fault_injection_percent = 0;  ///< tests: so many of 100 map writes fail
  node::Options node;
};

/// Every key is checked; all problems come back in one error, each with file and line.
Result<Config> parse_config(const std::string& file, std::string_view text);
Result<Config> load_config(const std::filesystem::path& file);

/// Every key that a file may have, those of mappings as "timeouts.icmp" and of lists of mappings as "uplinks.device".
std::vector<std::string> config_keys();

using model::parse_duration;

}  // namespace sluice::daemon
