// SPDX-License-Identifier: Apache-2.0
#include "datapath/preflight.hpp"

#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "datapath/datapath.hpp"
#include "datapath/hooks.hpp"
#include "datapath/kernel_check.hpp"
#include "datapath/links.hpp"
#include "datapath/pins.hpp"
#include "datapath/uplink_facts.hpp"

namespace sluice::datapath {
namespace {

using State = Check::State;

// Native XDP without fragments support takes one page less headroom and the skb tail.
constexpr std::uint32_t kLargestXdpMtu = 3506;

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

Check check_xdp(const std::string& name, std::uint32_t ifindex) {
  auto program = xdp_program(ifindex);
  if (!program) return {name + ": xdp", State::kWarning, program.error().message, "none needed while xdp is off"};
  if (*program == 0) return {name + ": xdp", State::kOk, "no XDP program", ""};
  if (is_ours(*program)) return {name + ": xdp", State::kOk, "runs our " + describe_program(*program), ""};
  return {name + ": xdp", State::kWarning, "runs another XDP program: " + describe_program(*program),
          "keep xdp: off for this uplink, or remove it: ip link set dev DEVICE xdp off"};
}

Check check_tc(const std::string& name, std::uint32_t ifindex) {
  auto programs = tc_ingress_programs(ifindex);
  if (!programs) return {name + ": tc", State::kWarning, programs.error().message, "none needed"};
  std::string foreign;
  for (const std::uint32_t id : *programs) {
    if (!is_ours(id)) foreign += (foreign.empty() ? "" : ", ") + describe_program(id);
  }
  if (foreign.empty()) return {name + ": tc", State::kOk, "no other TCX program on its ingress", ""};
  return {name + ": tc", State::kWarning, "other programs on its ingress: " + foreign,
          "nothing, if they may miss the packets of floating IPs: ours runs first"};
}

Check check_lro(const std::string& name, const std::string& device) {
  auto enabled = lro_enabled(device);
  if (!enabled) return {name + ": lro", State::kOk, "the driver has no LRO setting", ""};
  if (!*enabled) return {name + ": lro", State::kOk, "LRO is off", ""};
  return {name + ": lro", State::kWarning, "LRO merges packets in a way that cannot be undone when they are forwarded",
          "ethtool -K " + device + " lro off"};
}

Check check_mtu(const std::string& name, std::uint32_t mtu) {
  if (mtu <= kLargestXdpMtu) return {name + ": mtu", State::kOk, fmt::format("MTU {}", mtu), ""};
  return {name + ": mtu", State::kWarning,
          fmt::format("MTU {} is above {}, which most drivers allow with native XDP", mtu, kLargestXdpMtu),
          "nothing while xdp is off or generic; otherwise lower the MTU"};
}

void check_uplink(const std::string& device, std::vector<Check>& checks) {
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
  checks.push_back(check_tc(name, found.ifindex));
  checks.push_back(check_lro(name, device));
  checks.push_back(check_mtu(name, found.mtu));
}

}  // namespace

std::vector<Check> preflight(const std::filesystem::path& pin_root, const std::vector<std::string>& uplinks) {
  std::vector<Check> checks;
  const std::string release = kernel_release();
  checks.push_back(from_status("kernel", check_release(release), "Linux " + release));
  const Status privileges = check_privileges();
  checks.push_back(from_status("privileges", privileges, "all capabilities that are needed"));
  // Without privileges every feature looks missing.
  if (privileges) checks.push_back(from_status("features", check_features(), "all helpers that are needed"));
  checks.push_back(from_status("bpffs", check_bpffs(pin_root), pin_root.string() + " is on a BPF file system"));
  checks.push_back(check_jit());
  checks.push_back(check_hook());
  for (const std::string& device : uplinks) check_uplink(device, checks);
  return checks;
}

}  // namespace sluice::datapath
