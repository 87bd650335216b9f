// SPDX-License-Identifier: Apache-2.0
// Random changes of two tenants with the same addresses.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "world.hpp"

namespace sluice::compile {

inline const std::vector<std::string> kNetworks = {"blog", "shop"};

/// Changes a world at random, within what validation admits.
class RandomWorld {
 public:
  explicit RandomWorld(unsigned seed) : random_(seed) {
    world.network("blog", 7).guaranteed_flows = 10;
    world.network("shop", 8).guaranteed_flows = 20;
    for (auto& [name, network] : world.state.networks) network.cidr6 = Cidr6{kPrefix6, 64};
    for (int i = 0; i < 3; i++) world.floating_ip("public-" + std::to_string(i), "203.0.113." + std::to_string(i));
    world.uplinks.push_back({2, {}});
    world.egress = give_egress();
  }

  void change() {
    switch (pick(18)) {
      case 0:
      case 1:
      case 2:
        return toggle_pod();
      case 3:
      case 4:
      case 5:
        return toggle_attachment();
      case 6:
      case 7:
        return toggle_service();
      case 8:
        return toggle_binding();
      case 9:
        return swap_addresses();
      case 10:
      case 11:
        return drain_or_relabel();
      case 12:
      case 13:
      case 14:
        return edit_service();
      case 15:
        return weigh();
      case 16:
        return change_floating_ip();
      default:
        return change_network();
    }
  }

  /// Attaches, moves or detaches up to three pods and names them; nothing else changes. Sometimes a device goes from
  /// one pod to another, or all stays as it was.
  std::set<model::Name> change_attachments() {
    std::set<model::Name> pods;
    if (world.state.pods.empty()) return pods;
    for (std::uint32_t i = pick(3) + 1; i > 0; i--) {
      auto pod = world.state.pods.begin();
      std::advance(pod, pick(static_cast<std::uint32_t>(world.state.pods.size())));
      pods.insert(pod->first);
    }
    model::Attachments devices;
    for (const model::Name& name : pods) devices.merge(take_attachment(name));
    for (const model::Name& name : pods) {
      if (pick(3) == 0) continue;
      if (!devices.empty() && pick(3) == 0) {
        model::Attachment moved = devices.extract(devices.begin()).mapped();
        moved.mac.bytes[2]++;  // no pod has another's MAC, also where it has taken over the address in the same step
        world.attachments[name] = moved;
      } else {
        world.attach(name.network, name.name, next_ifindex_++, pick(4) == 0);
      }
    }
    return pods;
  }

  World world;

 private:
  model::Attachments take_attachment(const model::Name& name) {
    model::Attachments taken;
    if (auto node = world.attachments.extract(name); !node.empty()) taken.insert(std::move(node));
    return taken;
  }

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }

  static constexpr Ipv6 kPrefix6{0xfd00ULL << 48U, 0};
  static Ipv6 six(Ipv4 four) { return {kPrefix6.high, four.value}; }
  static bool holds(const model::Addresses& addresses, const std::string& address) {
    const Ipv4 four = Ipv4::parse(address).value();
    return addresses.v4 == four || addresses.v6 == six(four);
  }
  /// One of three has both families, one of three IPv6 alone.
  void draw_families(model::Addresses& addresses) {
    const std::uint32_t drawn = pick(3);
    if (drawn != 0) addresses.v6 = six(*addresses.v4);
    if (drawn == 2) addresses.v4.reset();
  }
  static std::string pod_address(std::uint32_t i) { return "172.16.1." + std::to_string(i); }
  /// Most pods and services have the first label, so that many services have a ring.
  model::Labels label() { return {{"app", pick(4) == 0 ? "rare" : "usual"}}; }
  const std::string& network() { return kNetworks[pick(2)]; }

  void toggle_pod() {
    const model::Name name{network(), "pod-" + std::to_string(pick(24))};
    if (!world.state.networks.contains(name.network)) return;
    if (world.state.pods.erase(name) != 0) {
      world.attachments.erase(name);
      world.assignments.pod_addresses.erase(name);
      return;
    }
    // Any free address: often one that another pod had a moment ago.
    for (std::uint32_t i = pick(24); i < 48; i++) {
      bool taken = false;
      for (const auto& [other, address] : world.assignments.pod_addresses) {
        taken = taken || (other.network == name.network && holds(address, pod_address(i)));
      }
      if (taken) continue;
      world.pod(name.network, name.name, pod_address(i), label()).ports["web"] = {8080, model::Protocol::kTcp};
      draw_families(world.assignments.pod_addresses.at(name));
      if (pick(3) != 0) world.attach(name.network, name.name, next_ifindex_++);
      return;
    }
  }

  void toggle_attachment() {
    if (world.state.pods.empty()) return;
    auto pod = world.state.pods.begin();
    std::advance(pod, pick(static_cast<std::uint32_t>(world.state.pods.size())));
    if (pick(3) == 0 && world.attachments.erase(pod->first) != 0) return;
    world.attach(pod->first.network, pod->first.name, next_ifindex_++, pick(4) == 0);
  }

  void toggle_service() {
    const model::Name name{network(), "service-" + std::to_string(pick(5))};
    if (!world.state.networks.contains(name.network)) return;
    if (world.state.services.erase(name) != 0) {
      world.assignments.service_addresses.erase(name);
      return;
    }
    for (std::uint32_t i = pick(5); i < 10; i++) {
      bool taken = false;
      const std::string address = "172.16.0." + std::to_string(100 + i);
      for (const auto& [other, held] : world.assignments.service_addresses) {
        taken = taken || (other.network == name.network && holds(held, address));
      }
      if (taken) continue;
      std::vector<model::ServicePort> ports = {pick(2) == 0 ? tcp(80, 8080) : tcp_named(80, "web")};
      if (pick(2) == 0) ports.push_back(udp(53, 5353));
      world.service(name.network, name.name, address, label(), ports);
      draw_families(world.assignments.service_addresses.at(name));
      return;
    }
  }

  void toggle_binding() {
    if (world.state.services.empty()) return;
    auto service = world.state.services.begin();
    std::advance(service, pick(static_cast<std::uint32_t>(world.state.services.size())));
    const std::string floating = "public-" + std::to_string(pick(3));
    for (auto& [name, other] : world.state.services) {
      if (other.floating_ip == floating) other.floating_ip.reset();
    }
    if (pick(4) != 0 && world.state.floating_ips.contains(floating)) service->second.floating_ip = floating;
  }

  /// Two pods of a network exchange their addresses in one change.
  void swap_addresses() {
    std::vector<model::Name> names;
    const std::string& chosen = network();
    for (const auto& [name, pod] : world.state.pods) {
      if (name.network == chosen) names.push_back(name);
    }
    if (names.size() < 2) return;
    auto& addresses = world.assignments.pod_addresses;
    std::swap(addresses[names[pick(static_cast<std::uint32_t>(names.size()))]], addresses[names[0]]);
  }

  void drain_or_relabel() {
    if (world.state.pods.empty()) return;
    auto pod = world.state.pods.begin();
    std::advance(pod, pick(static_cast<std::uint32_t>(world.state.pods.size())));
    if (pick(2) == 0) {
      pod->second.draining = !pod->second.draining;
    } else {
      pod->second.labels = label();
    }
  }

  void edit_service() {
    if (world.state.services.empty()) return;
    auto it = world.state.services.begin();
    std::advance(it, pick(static_cast<std::uint32_t>(world.state.services.size())));
    model::Service& service = it->second;
    switch (pick(5)) {
      case 0:
        service.selector = label();
        return;
      case 1:
        service.ports = {tcp(static_cast<std::uint16_t>(80 + pick(2)), 8080)};
        return;
      case 2:
        service.ports.push_back(udp(static_cast<std::uint16_t>(9000 + service.ports.size()), 9000));
        if (service.ports.size() > 4) service.ports.clear();
        return;
      case 3:
        service.algorithm = pick(2) == 0 ? model::Algorithm::kSource : model::Algorithm::kHash;
        return;
      default:  // an address that nothing else ever has
        world.assignments.service_addresses[it->first] =
            Ipv4{Ipv4::parse("172.16.8.0").value().value + next_address_++};
        draw_families(world.assignments.service_addresses[it->first]);
    }
  }

  void weigh() {
    if (world.state.pods.empty()) return;
    auto pod = world.state.pods.begin();
    std::advance(pod, pick(static_cast<std::uint32_t>(world.state.pods.size())));
    constexpr std::array<std::uint16_t, 5> kWeights = {1, 1, 1, 0, 3};
    pod->second.weight = kWeights[pick(kWeights.size())];
  }

  /// Made, given another address (sometimes one that another had before), or released.
  void change_floating_ip() {
    const std::string name = "public-" + std::to_string(pick(3));
    if (pick(3) == 0 && world.state.floating_ips.erase(name) != 0) {
      for (auto& [service_name, service] : world.state.services) {
        if (service.floating_ip == name) service.floating_ip.reset();
      }
      return;
    }
    const std::string address = "203.0.113." + std::to_string(pick(6));
    for (const auto& [other, floating] : world.state.floating_ips) {
      if (holds(floating.addresses(), address)) return;
    }
    world.floating_ip(name, address);
    model::Addresses addresses(Ipv4::parse(address).value());
    draw_families(addresses);
    world.state.floating_ips.at(name).address = addresses.v4;
    world.state.floating_ips.at(name).address6 = addresses.v6;
  }

  void change_network() {
    if (pick(3) == 0) return toggle_network();
    const auto found = world.state.networks.find(network());
    if (found == world.state.networks.end()) return;
    found->second.guaranteed_flows = 1 + pick(100);
    if (pick(3) == 0) found->second.egress = pick(2) == 0 ? model::EgressWay::kNone : model::EgressWay::kNode;
    found->second.domain = "domain-" + std::to_string(pick(3));
    if (pick(4) == 0) found->second.cidr4.length = pick(2) == 0 ? 15 : 16;
    if (pick(8) == 0) found->second.cidr6->length = pick(2) == 0 ? 64 : 63;
  }

  void toggle_network() {
    for (const std::string& name : kNetworks) {
      if (world.state.networks.contains(name)) continue;
      world.network(name, next_network_++).cidr6 = Cidr6{kPrefix6, 64};
    }
    if (pick(4) != 0) return;
    const std::string& name = network();
    const auto inside = [&name](const auto& entry) { return entry.first.network == name; };
    std::erase_if(world.state.pods, inside);
    std::erase_if(world.state.services, inside);
    std::erase_if(world.attachments, inside);
    std::erase_if(world.assignments.pod_addresses, inside);
    std::erase_if(world.assignments.service_addresses, inside);
    world.state.networks.erase(name);
    world.assignments.network_ids.erase(name);
    world.assignments.network_slots.erase(name);
  }

  std::mt19937 random_;
  std::uint32_t next_ifindex_ = 100;
  std::uint32_t next_network_ = 100;
  std::uint32_t next_address_ = 1;
};

}  // namespace sluice::compile
