// SPDX-License-Identifier: Apache-2.0
#include "datapath/preflight_uplink.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "datapath/hooks.hpp"
#include "datapath/links.hpp"
#include "datapath/pod_mtu.hpp"
#include "datapath/uplink_facts.hpp"

namespace sluice::datapath {
namespace {

using State = Check::State;

// Native XDP without fragments support takes one page less headroom and the skb tail.
constexpr std::uint32_t kLargestXdpMtu = 3506;

Check check_xdp(const std::string& name, std::uint32_t ifindex) {
  auto program = xdp_program(ifindex);
  if (!program) return {name + ": xdp", State::kWarning, program.error().message, "none needed while xdp is off"};
  if (*program == 0) return {name + ": xdp", State::kOk, "no XDP program", ""};
  if (is_ours(*program)) return {name + ": xdp", State::kOk, "runs our " + describe_program(*program), ""};
  return {name + ": xdp", State::kWarning,
          "runs another XDP program, which sees every packet before Sluice: " + describe_program(*program),
          "keep xdp: off for this uplink, or remove it: ip link set dev DEVICE xdp off"};
}

/// Native XDP that sends (XDP_TX, XDP_REDIRECT) does so on send queues of its own.
Check check_queues(const std::string& name, const std::string& device) {
  static constexpr std::array<std::string_view, 3> kTwice{"ena", "gve", "virtio_net"};
  const std::string title = name + ": xdp queues";
  const auto queues = queues_of(device);
  if (!queues) return {title, State::kOk, "the driver does not tell its queues", ""};
  const std::string driver = driver_of(device);
  // These drivers refuse native XDP, or share queues under a lock, unless half of their queues are free for it.
  const bool twice = std::ranges::find(kTwice, driver) != kTwice.end();
  const std::uint32_t needed = twice ? queues->send + queues->receive : queues->receive;
  std::string found = fmt::format("{} receive and {} send queues in use, at most {} to send with", queues->receive,
                                  queues->send, queues->most_send);
  if (queues->most_send >= needed) return {title, State::kOk, std::move(found), ""};
  return {title, State::kWarning,
          fmt::format("{}; native XDP needs {} ({})", found, needed,
                      twice ? "as many again as are in use with driver " + driver : "one for each receive queue"),
          "nothing while xdp is off or generic; otherwise use fewer queues: ethtool -L " + device +
              (twice ? " combined N" : " rx N")};
}

Check check_tc(const std::string& name, std::uint32_t ifindex, Direction direction) {
  const bool ingress = direction == Direction::kIngress;
  const std::string title = name + (ingress ? ": tc" : ": tc egress");
  const auto programs = foreign_tc_programs(ifindex, direction);
  if (!programs) return {title, State::kWarning, programs.error().message, "none needed"};
  if (programs->empty()) return {title, State::kOk, "no other program or filter", ""};
  return {title, State::kWarning, fmt::format("others on the hook: {}", fmt::join(*programs, "; ")),
          ingress ? "nothing, if they may miss the packets of floating IPs: ours runs first; a clsact filter that "
                    "holds priority 1 must give it up on kernels without TCX"
                  : "see that they let the packets of floating IPs pass: they see each that leaves by this uplink"};
}

/// tc comes before nftables' ingress, and what tc redirects is not shown to its egress: no packet of a pod meets these
/// chains. The host's own ARP does, and without it no answer finds the router in front.
Check check_firewall(const std::string& name, const std::string& device,
                     const Result<std::vector<FirewallChain>>& chains) {
  const std::string title = name + ": firewall";
  if (!chains) return {title, State::kWarning, chains.error().message, "look by hand: nft list chains netdev"};
  std::vector<std::string> here;
  for (const FirewallChain& chain : *chains) {
    if (chain.is_on(device)) here.push_back(chain.text());
  }
  if (here.empty()) return {title, State::kOk, "no chain of nftables on this device", ""};
  return {title, State::kWarning, fmt::format("chains of nftables on this device: {}", fmt::join(here, "; ")),
          "see that their rules and policies let ARP pass: the packets of pods do not meet them, but the host finds "
          "the routers and hosts in front of a floating IP by ARP"};
}

Check check_lro(const std::string& name, const std::string& device) {
  auto enabled = lro_enabled(device);
  if (!enabled) return {name + ": lro", State::kOk, "the driver has no LRO setting", ""};
  if (!*enabled) return {name + ": lro", State::kOk, "LRO is off", ""};
  return {name + ": lro", State::kWarning, "LRO merges packets in a way that cannot be undone when they are forwarded",
          "ethtool -K " + device + " lro off"};
}

Check check_mtu(const std::string& name, std::uint32_t mtu, std::uint32_t reserve) {
  if (mtu < kSmallestPodMtu + reserve) {
    return {name + ": mtu", State::kWarning,
            fmt::format("MTU {} is below {}, the least that pods have, and {} of mtu_reserve: pods are told that large "
                        "packets do not fit, and IPv6 stops at them",
                        mtu, kSmallestPodMtu, reserve),
            fmt::format("raise it to {} or more", kSmallestPodMtu + reserve)};
  }
  if (mtu <= kLargestXdpMtu) {
    return {name + ": mtu", State::kOk, fmt::format("MTU {}, which leaves pods {}", mtu, mtu - reserve), ""};
  }
  return {name + ": mtu", State::kWarning,
          fmt::format("MTU {} is above {}, which most drivers allow with native XDP", mtu, kLargestXdpMtu),
          "nothing while xdp is off or generic; otherwise lower the MTU"};
}

}  // namespace

void check_uplink(const std::string& device, std::uint32_t mtu_reserve,
                  const Result<std::vector<FirewallChain>>& chains, std::vector<Check>& checks) {
  const std::string name = "uplink " + device;
  auto link = find_link(device);
  if (!link) {
    checks.push_back({name, State::kFailed, link.error().message, "see the message"});
    return;
  }
  if (!link->has_value()) {
    checks.push_back({name, State::kWarning, "there is no such device",
                      "correct uplinks in the configuration, or make the device: it is used when it appears"});
    return;
  }
  const LinkInfo& found = **link;
  checks.push_back(found.up ? Check{name, State::kOk, "the device is up", ""}
                            : Check{name, State::kWarning, "the device is down", "ip link set dev " + device + " up"});
  checks.push_back(check_xdp(name, found.ifindex));
  checks.push_back(check_queues(name, device));
  checks.push_back(check_tc(name, found.ifindex, Direction::kIngress));
  checks.push_back(check_tc(name, found.ifindex, Direction::kEgress));
  checks.push_back(check_firewall(name, device, chains));
  checks.push_back(check_lro(name, device));
  checks.push_back(check_mtu(name, found.mtu, mtu_reserve));
}

}  // namespace sluice::datapath
