// SPDX-License-Identifier: Apache-2.0
// The host's firewall hooks in this network namespace, asked without changing them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sluice::datapath {

/// A chain of nftables that the kernel calls: a base chain.
struct FirewallChain {
  std::string family;  ///< "inet", "ip", "ip6", "arp", "bridge", "netdev"
  std::string table;
  std::string name;
  std::string hook;  ///< "input", "ingress", ...
  std::int32_t priority = 0;
  bool drops = false;                ///< its policy
  std::vector<std::string> devices;  ///< netdev and inet ingress; a '*' at the end stands for any ending
  [[nodiscard]] bool is_on(const std::string& device) const;
  /// "netdev guard/in (hook ingress, priority 0, policy drop)"
  [[nodiscard]] std::string text() const;
};

/// None where the kernel has no nftables.
Result<std::vector<FirewallChain>> firewall_chains();

/// Tables that the older iptables, ip6tables and arptables have loaded: "ip filter", "arp filter", ...
std::vector<std::string> legacy_firewall_tables();

}  // namespace sluice::datapath
