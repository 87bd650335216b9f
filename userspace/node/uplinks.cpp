// SPDX-License-Identifier: Apache-2.0
#include "node/uplinks.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "datapath/pod_mtu.hpp"
#include "node/log.hpp"

namespace sluice::node {

Uplinks::Uplinks(datapath::Datapath& datapath, std::vector<UplinkConfig> wanted, const MtuPolicy& policy)
    : datapath_(datapath), wanted_(std::move(wanted)), policy_(policy) {
  for (const UplinkConfig& uplink : wanted_) devices_[uplink.device];
}

Result<bool> Uplinks::refresh() {
  auto links = datapath::list_links();
  if (!links) return std::unexpected(links.error());
  // A list may lack a device; before one is let go of, it is asked for by its name.
  for (const auto& [name, device] : devices_) {
    if (device.ifindex == 0 || std::ranges::find(*links, name, &datapath::LinkInfo::name) != links->end()) continue;
    auto link = datapath::find_link(name);
    if (!link) return std::unexpected(link.error());
    if (link->has_value()) links->push_back(std::move(**link));
  }
  const auto named = [&links](const std::string& name) -> const datapath::LinkInfo* {
    const auto link = std::ranges::find(*links, name, &datapath::LinkInfo::name);
    return link == links->end() ? nullptr : &*link;
  };
  // All that changed are let go of before any is taken: two uplinks may have swapped their names, and letting go of
  // the second would take the program from the device that is the first by now.
  for (auto& [name, device] : devices_) {
    const datapath::LinkInfo* link = named(name);
    if (device.ifindex != 0 && (link == nullptr || link->ifindex != device.ifindex)) let_go(name, device);
  }
  std::vector<compile::Uplink> now;
  for (const UplinkConfig& wanted : wanted_) {
    Device& device = devices_[wanted.device];
    refresh(wanted, named(wanted.device), device);
    if (device.ifindex != 0) now.push_back({.ifindex = device.ifindex, .mac = device.mac});
  }
  const bool changed = !std::ranges::equal(now, current_, [](const compile::Uplink& a, const compile::Uplink& b) {
    return a.ifindex == b.ifindex && a.mac == b.mac;
  });
  current_ = std::move(now);
  return changed;
}

void Uplinks::refresh(const UplinkConfig& wanted, const datapath::LinkInfo* link, Device& device) {
  const std::string before = device.problem;
  device.problem.clear();
  if (link == nullptr) {
    device.problem = "uplink " + wanted.device + ": no such device; it is taken into use when it appears";
    // Also if it is attached: somebody may have taken our program from it.
  } else if (auto attached = datapath_.attach_uplink(link->ifindex, wanted.xdp); attached) {
    if (device.ifindex == 0) {
      spdlog::info("event=uplink_attached device={} ifindex={} mac={}", link->name, link->ifindex, link->mac.text());
    }
    device.ifindex = link->ifindex;
    device.mac = link->mac;
    if (device.mtu != 0 && device.mtu != link->mtu) {
      spdlog::info("event=uplink_mtu device={} mtu={} before={}", link->name, link->mtu, device.mtu);
    }
    device.mtu = link->mtu;
  } else {
    device.problem = "uplink " + wanted.device + ": " + attached.error().message;
  }
  if (!device.problem.empty() && device.problem != before) {
    spdlog::warn("event=uplink_missing device={} error={}", wanted.device, quote(device.problem));
  }
}

void Uplinks::let_go(const std::string& name, Device& device) {
  spdlog::warn("event=uplink_gone device={} ifindex={}", name, device.ifindex);
  // The kernel has removed the programs of a device that has gone; what is left is the pin.
  if (auto detached = datapath_.detach_uplink(device.ifindex); !detached) {
    spdlog::warn("event=uplink_detach_failed device={} error={}", name, quote(detached.error().message));
  }
  device.ifindex = 0;
  device.mtu = 0;
}

std::vector<std::string> Uplinks::problems() const {
  std::vector<std::string> found;
  for (const auto& [name, device] : devices_) {
    if (!device.problem.empty()) found.push_back(device.problem);
    if (device.ifindex != 0 && device.mtu < pod_mtu() + policy_.reserve) {
      found.push_back("uplink " + name + ": its MTU " + std::to_string(device.mtu) + " is below the pods' " +
                      std::to_string(pod_mtu()) +
                      (policy_.reserve == 0 ? "" : " and the " + std::to_string(policy_.reserve) + " of mtu_reserve") +
                      ", pods are told that large packets do not fit; raise it" +
                      (policy_.fixed ? ", or set pod_mtu: auto" : ""));
    }
  }
  return found;
}

bool Uplinks::concerns(const datapath::LinkInfo& link) const {
  return devices_.contains(link.name) || holds(link.ifindex);
}

bool Uplinks::holds(std::uint32_t ifindex) const {
  return std::ranges::any_of(devices_, [ifindex](const auto& entry) { return entry.second.ifindex == ifindex; });
}

std::uint32_t Uplinks::mtu_of(const std::string& device) const {
  const auto found = devices_.find(device);
  return found == devices_.end() ? 0 : found->second.mtu;
}

std::optional<std::uint32_t> Uplinks::smallest_mtu() const {
  std::optional<std::uint32_t> smallest;
  for (const auto& [name, device] : devices_) {
    if (device.ifindex != 0) smallest = std::min(smallest.value_or(device.mtu), device.mtu);
  }
  return smallest;
}

std::uint32_t Uplinks::pod_mtu() const {
  if (policy_.fixed) return *policy_.fixed;
  const std::uint32_t path = std::min(smallest_mtu().value_or(datapath::kUsualMtu), datapath::kLargestPodMtu);
  return std::max(path, datapath::kSmallestPodMtu + policy_.reserve) - policy_.reserve;
}

std::uint32_t Uplinks::ifindex_of(const std::string& device) const {
  const auto found = devices_.find(device);
  return found == devices_.end() ? 0 : found->second.ifindex;
}

}  // namespace sluice::node
