// SPDX-License-Identifier: Apache-2.0
// Thousands of random changes of two tenants with the same addresses. After every single write of every plan the maps
// are checked; some plans stop half-way, as a crash would.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "compile/family.hpp"
#include "compile/hashing.hpp"
#include "compile/slots.hpp"
#include "random_world.hpp"
#include "safety.hpp"

namespace sluice::compile {
namespace {

/// Rings over few slots, so that a check after every write is affordable.
void shrink(World& world) {
  world.limits.slots_per_backend = 10;
}

void expect_no_former_holder(const Tables& tables) {
  std::set<std::uint32_t> pods;
  std::set<std::uint32_t> services;
  each_family([&]<typename F>(F) {
    for (const auto& [key, record] : tables.*F::kEndpoints) pods.insert(record.ref.slot);
    for (const auto& [key, record] : tables.*F::kFrontends) services.insert(record.ref.slot);
  });
  for (const auto& [network, way] : tables.egress) services.insert({way.ref4.slot, way.ref6.slot});
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

/// The World refuses what services need by its own count of it, before anything is compiled.
TEST(RandomHistory, TakesOfEmptyTablesWhatTheWorldCounts) {
  RandomWorld random(43);
  shrink(random.world);
  std::size_t with_rings = 0;
  for (int i = 0; i < 600; i++) {
    random.change();
    const Tables tables = random.world.tables();
    std::map<std::uint32_t, std::uint32_t> backends;
    std::map<std::uint32_t, std::uint32_t> rings;
    each_family([&]<typename F>(F) {
      for (const auto& [key, frontend] : tables.*F::kFrontends) {
        if (frontend.backend_count != 0) backends[frontend.backend_base] = frontend.backend_count;
        if (frontend.ring_size != 0) rings[frontend.ring_base] = ring_blocks(frontend.ring_size);
      }
    });
    model::TableElements taken{.service_port_slots = tables.frontends4.size() + tables.frontends6.size()};
    for (const auto& [base, count] : backends) taken.backends += count;
    for (const auto& [base, count] : rings) taken.ring_blocks += count;
    ASSERT_EQ(model::TableRoom(table_sizes(random.world.limits), random.world.state, random.world.assignments).sum(),
              taken)
        << "change " << i;
    with_rings += rings.empty() ? 0 : 1;
  }
  EXPECT_GT(with_rings, 100U);
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
