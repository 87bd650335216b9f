// SPDX-License-Identifier: Apache-2.0
// Thousands of random changes of two tenants with the same addresses. After every single write of every plan the maps
// are checked; some plans stop half-way, as a crash would.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "compile/slots.hpp"
#include "safety.hpp"

namespace sluice::compile {
namespace {

const std::vector<std::string> kNetworks = {"blog", "shop"};

/// Changes a world at random, within what validation admits.
class RandomWorld {
 public:
  explicit RandomWorld(unsigned seed) : random_(seed) {
    world.network("blog", 7).guaranteed_flows = 10;
    world.network("shop", 8).guaranteed_flows = 20;
    for (int i = 0; i < 3; i++) world.floating_ip("public-" + std::to_string(i), "203.0.113." + std::to_string(i));
    world.uplinks.push_back({2, {}});
  }

  void change() {
    switch (pick(12)) {
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
        return drain_or_relabel();
      default:
        return toggle_network();
    }
  }

  World world;

 private:
  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }

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
        taken = taken || (other.network == name.network && address.wire() == wire(pod_address(i)));
      }
      if (taken) continue;
      world.pod(name.network, name.name, pod_address(i), label()).ports["web"] = {8080, model::Protocol::kTcp};
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
        taken = taken || (other.network == name.network && held.wire() == wire(address));
      }
      if (taken) continue;
      std::vector<model::ServicePort> ports = {pick(2) == 0 ? tcp(80, 8080) : tcp_named(80, "web")};
      if (pick(2) == 0) ports.push_back(udp(53, 5353));
      world.service(name.network, name.name, address, label(), ports);
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
    if (pick(4) != 0) service->second.floating_ip = floating;
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

  void toggle_network() {
    for (const std::string& name : kNetworks) {
      if (!world.state.networks.contains(name)) world.network(name, next_network_++);
    }
    if (pick(12) != 0) return;
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
};

/// Rings over few slots, so that a check after every write is affordable.
void shrink(World& world) {
  world.limits.slots_per_backend = 10;
}

void expect_no_former_holder(const Tables& tables) {
  std::set<std::uint32_t> pods;
  std::set<std::uint32_t> services;
  for (const auto& [key, record] : tables.endpoints4) pods.insert(record.ref.slot);
  for (const auto& [key, record] : tables.frontends4) services.insert(record.ref.slot);
  for (const auto& [slot, generation] : tables.endpoint_generations) {
    ASSERT_EQ((generation & kFreedSlot) == 0, pods.contains(slot)) << "pod slot " << slot;
  }
  for (const auto& [slot, generation] : tables.frontend_generations) {
    ASSERT_EQ((generation & kFreedSlot) == 0, services.contains(slot)) << "service port slot " << slot;
  }
}

bool diff_touches_rings(const Plan& plan) {
  return std::ranges::any_of(plan.steps, [](const auto& step) {
    return std::ranges::any_of(step, [](const Write& write) { return write.table == Table::kRings; });
  });
}

/// One history. With `crash_every` n one plan in n stops after a random number of writes.
void run(unsigned seed, int changes, unsigned crash_every) {
  std::size_t rings_changed = 0;
  std::size_t crashes = 0;
  RandomWorld random(seed);
  shrink(random.world);
  std::mt19937 chance(seed + 1);
  Holders holders;
  Tables actual;
  for (int i = 0; i < changes; i++) {
    const auto burst = 1 + chance() % 3;
    for (std::size_t j = 0; j < burst; j++) random.change();
    const Tables wanted = random.world.tables(actual);
    ASSERT_EQ(holders.learn(random.world, wanted), "") << "change " << i;
    ASSERT_TRUE(equal(wanted, random.world.tables(wanted))) << "change " << i << ": compile is not idempotent";
    expect_no_former_holder(wanted);
    const Plan plan = diff(actual, wanted);
    const std::vector<Plan> writes = single_writes(plan);
    const bool crash = crash_every != 0 && chance() % crash_every == 0 && !writes.empty();
    const std::size_t stop = crash ? chance() % writes.size() : writes.size();
    for (std::size_t j = 0; j < stop; j++) {
      apply(writes[j], actual);
      ASSERT_EQ(broken(actual, holders), "") << "change " << i << ", after write " << j + 1 << " of " << writes.size();
    }
    if (diff_touches_rings(plan)) rings_changed++;
    if (crash) {
      crashes++;
      holders.forget_unwritten(actual);
      continue;
    }
    ASSERT_TRUE(equal(actual, wanted)) << "change " << i << ": apply(diff) did not reach what was wanted";
    ASSERT_TRUE(diff(actual, wanted).empty());
  }
  EXPECT_GT(rings_changed, 10U) << "the history is worth something";
  EXPECT_TRUE(crash_every == 0 || crashes > 50);
}

TEST(RandomHistory, IsSafeAfterEveryWrite) {
  for (unsigned seed = 0; seed < 5; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_NO_FATAL_FAILURE(run(seed, 400, 0));
  }
}

TEST(RandomHistory, IsSafeWhenPlansStopHalfWay) {
  for (unsigned seed = 100; seed < 105; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_NO_FATAL_FAILURE(run(seed, 400, 3));
  }
}

TEST(RandomHistory, NeverMixesTheTenants) {
  RandomWorld random(77);
  Tables tables;
  std::size_t both = 0;
  for (int i = 0; i < 1000; i++) {
    random.change();
    tables = random.world.tables(tables);
    std::map<std::uint32_t, std::uint32_t> device_network;
    for (const auto& [name, attachment] : random.world.attachments) {
      device_network[attachment.ifindex] = random.world.assignments.network_ids.at(name.network);
    }
    for (const auto& [key, record] : tables.endpoints4) {
      ASSERT_TRUE(record.ifindex == 0 || device_network.at(record.ifindex) == key.network);
      for (const auto& [name, other] : random.world.assignments.network_ids) {
        if (other != key.network && tables.endpoints4.contains({other, key.address})) both++;
      }
    }
    for (const auto& [ifindex, port] : tables.ports) {
      ASSERT_TRUE(port.kind == SLUICE_PORT_UPLINK || device_network.at(ifindex) == port.network);
    }
    for (const auto& [key, record] : tables.frontends4) {
      for (const sluice_backend& target : backends(tables, record)) {
        ASSERT_EQ(target.network, record.backend_network);
        const auto pod = tables.endpoints4.find({target.network, target.address4});
        ASSERT_NE(pod, tables.endpoints4.end());
        ASSERT_EQ(pod->second.ref, target.endpoint);
      }
    }
  }
  EXPECT_GT(both, 1000U) << "the same addresses were really in use in both networks";
}

}  // namespace
}  // namespace sluice::compile
