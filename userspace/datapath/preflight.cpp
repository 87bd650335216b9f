// SPDX-License-Identifier: Apache-2.0
#include "datapath/preflight.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sluice/abi.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <utility>

#include "datapath/firewall.hpp"
#include "datapath/hooks.hpp"
#include "datapath/kernel_check.hpp"
#include "datapath/memory_facts.hpp"
#include "datapath/pins.hpp"
#include "datapath/preflight_uplink.hpp"

namespace sluice::datapath {
namespace {

using State = Check::State;

Check from_status(std::string name, const Status& status, std::string good) {
  if (status) return {std::move(name), State::kOk, std::move(good), ""};
  return {std::move(name), State::kFailed, status.error().message, "see the message"};
}

Check check_jit() {
  std::ifstream file("/proc/sys/net/core/bpf_jit_enable");
  int enabled = 0;
  // Only the first network namespace shows the setting.
  if (!(file >> enabled)) return {"bpf jit", State::kOk, "the setting is not visible in this network namespace", ""};
  if (enabled != 0) return {"bpf jit", State::kOk, "the BPF JIT is on", ""};
  return {"bpf jit", State::kWarning, "the BPF JIT is off: every packet costs several times as much",
          "sysctl net.core.bpf_jit_enable=1"};
}

Check check_hook() {
  if (kernel_has_tcx()) return {"tcx", State::kOk, "programs attach as TCX links", ""};
  return {"tcx", State::kOk, "no TCX links (Linux 6.6): programs attach as clsact filters", ""};
}

std::uint64_t in_megabytes(std::uint64_t bytes) {
  return (bytes + (1U << 20) - 1) >> 20;
}

/// Fails where the first start could not make its maps; maps that are pinned already have their memory.
Check check_memory(const Options& options) {
  const auto needed = map_bytes(options);
  if (!needed) return {"memory", State::kWarning, needed.error().message, "see the message"};
  std::error_code ignored;
  const bool made = std::filesystem::exists(options.pin_root / fmt::format("abi-{}", SLUICE_ABI_VERSION), ignored);
  std::string found = fmt::format("the maps take {} MB with max_flows {}{}", in_megabytes(*needed), options.max_pairs,
                                  made ? ", which they have already" : "");
  const std::string remedy = "set a smaller max_flows, or ";
  const auto limit = memory_limit();
  if (limit) {
    found += fmt::format("; the control group {} is limited to {} MB and uses {}", limit->control_group,
                         in_megabytes(limit->limit), in_megabytes(limit->used));
    const std::uint64_t left = limit->limit - std::min(limit->limit, limit->used);
    if (!made && left < *needed) {
      return {"memory", State::kFailed, std::move(found), remedy + "raise the limit (MemoryMax= of the service)"};
    }
  } else {
    found += "; no control group limits it";
  }
  const auto available = available_memory();
  if (available) found += fmt::format("; {} MB are available", in_megabytes(*available));
  if (available && !made && *available < *needed) {
    return {"memory", State::kFailed, std::move(found), remedy + "give the machine more memory"};
  }
  return {"memory", State::kOk, std::move(found), ""};
}

/// Chains of the host see what is the host's own. Those of ARP matter: see check_uplink().
Check check_firewall(const Result<std::vector<FirewallChain>>& chains) {
  if (!chains) return {"firewall", State::kWarning, chains.error().message, "look by hand: nft list chains"};
  std::vector<std::string> found;
  bool arp = false;
  for (const FirewallChain& chain : *chains) {
    found.push_back(chain.text());
    arp = arp || chain.family == "arp";
  }
  for (const std::string& table : legacy_firewall_tables()) {
    found.push_back("table " + table + " of iptables");
    arp = arp || table.starts_with("arp ");
  }
  if (found.empty()) return {"firewall", State::kOk, "no hooks of nftables or iptables", ""};
  const std::string all = fmt::format("{}", fmt::join(found, "; "));
  if (!arp) return {"firewall", State::kOk, "packets of pods meet none of these hooks: " + all, ""};
  return {"firewall", State::kWarning, "some of these hooks see the host's ARP: " + all,
          "see that they let ARP pass on the uplinks: without it no answer finds the router in front"};
}

}  // namespace

std::vector<Check> preflight(const Options& options, const std::vector<std::string>& uplinks,
                             std::uint32_t mtu_reserve) {
  std::vector<Check> checks;
  const std::string release = kernel_release();
  checks.push_back(from_status("kernel", check_release(release), "Linux " + release));
  const Status privileges = check_privileges();
  checks.push_back(from_status("privileges", privileges, "all capabilities that are needed"));
  // Without privileges every feature looks missing.
  if (privileges) checks.push_back(from_status("features", check_features(), "all helpers that are needed"));
  checks.push_back(
      from_status("bpffs", check_bpffs(options.pin_root), options.pin_root.string() + " is on a BPF file system"));
  checks.push_back(check_jit());
  checks.push_back(check_hook());
  checks.push_back(check_memory(options));
  const auto chains = firewall_chains();
  checks.push_back(check_firewall(chains));
  for (const std::string& device : uplinks) check_uplink(device, mtu_reserve, chains, checks);
  return checks;
}

}  // namespace sluice::datapath
