// SPDX-License-Identifier: Apache-2.0
// Plans: what they hold and in which order.
#include <gtest/gtest.h>

#include <algorithm>

#include "world.hpp"

namespace sluice::compile {
namespace {

World small_shop() {
  World world;
  world.network("shop", 7);
  for (int i = 0; i < 2; i++) {
    const std::string name = "web-" + std::to_string(i);
    world.pod("shop", name, "172.16.1." + std::to_string(i), {{"app", "web"}});
    world.attach("shop", name, 100 + static_cast<std::uint32_t>(i));
  }
  world.floating_ip("public", "203.0.113.10");
  world.service("shop", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)}).floating_ip = "public";
  return world;
}

/// The step of the first and the last write to a table; deletions or puts alone.
struct Range {
  std::size_t first = SIZE_MAX;
  std::size_t last = 0;
};
enum class Kind { kPut, kDelete };
Range steps_of(const Plan& plan, Table table, Kind kind) {
  Range range;
  for (std::size_t step = 0; step < plan.steps.size(); step++) {
    for (const Write& write : plan.steps[step]) {
      if (write.table != table || write.value.empty() != (kind == Kind::kDelete)) continue;
      range.first = std::min(range.first, step);
      range.last = step;
    }
  }
  EXPECT_NE(range.first, SIZE_MAX) << "no such write";
  return range;
}

TEST(Diff, OfEqualTablesIsEmpty) {
  const Tables tables = small_shop().tables();
  EXPECT_TRUE(diff(tables, tables).empty());
  Tables zeros = tables;
  zeros.backends[999] = {};
  EXPECT_TRUE(diff(tables, zeros).empty()) << "absent means zero";
  EXPECT_TRUE(diff(zeros, tables).empty());
}

TEST(Diff, WritesOnlyWhatChanged) {
  World world = small_shop();
  const Tables before = world.tables();
  world.state.pods[{"shop", "web-1"}].draining = true;
  const Plan plan = diff(before, world.tables(before));
  // The element of the port and of ping go down, three frontends count one ready backend less.
  EXPECT_EQ(plan.size(), 5U);
}

TEST(Diff, AddsInTheOrderInWhichRecordsReferToEachOther) {
  const Plan plan = diff(Tables{}, small_shop().tables());
  const auto step = [&plan](Table table) { return steps_of(plan, table, Kind::kPut); };
  const Range frontends = step(Table::kFrontends4);
  for (const Table table :
       {Table::kSettings, Table::kNetworkLimits, Table::kEndpointGenerations, Table::kFrontendGenerations,
        Table::kBackends, Table::kEndpoints4, Table::kPorts, Table::kFrontendFilter}) {
    EXPECT_LT(step(table).last, frontends.first) << static_cast<int>(table);
  }
  EXPECT_LT(step(Table::kEndpointGenerations).last, step(Table::kEndpoints4).first);
  EXPECT_LT(step(Table::kEndpoints4).last, step(Table::kPorts).first);
  EXPECT_EQ(frontends.first, frontends.last);
}

TEST(Diff, RemovesInTheOppositeOrder) {
  const Tables before = small_shop().tables();
  const World empty;
  const Plan plan = diff(before, empty.tables(before));
  const Range frontends = steps_of(plan, Table::kFrontends4, Kind::kDelete);
  const Range ends = steps_of(plan, Table::kEndpointGenerations, Kind::kPut);
  EXPECT_LT(frontends.last, ends.first);
  EXPECT_LT(ends.last, steps_of(plan, Table::kEndpoints4, Kind::kDelete).first);
  EXPECT_LT(ends.last, steps_of(plan, Table::kPorts, Kind::kDelete).first);
  const Range filter = steps_of(plan, Table::kFrontendFilter, Kind::kPut);
  EXPECT_LT(frontends.last, filter.first);
  EXPECT_LT(steps_of(plan, Table::kEndpoints4, Kind::kDelete).last, steps_of(plan, Table::kBackends, Kind::kPut).first);
  EXPECT_EQ(steps_of(plan, Table::kNetworkLimits, Kind::kPut).first, plan.steps.size() - 1);
}

TEST(Diff, RaisesABackendAfterItsEndpointAndBeforeItsFrontend) {
  World world = small_shop();
  const model::Attachment kept = world.attachments.at({"shop", "web-1"});
  world.attachments.erase({"shop", "web-1"});
  const Tables before = world.tables();
  world.attachments[{"shop", "web-1"}] = kept;
  const Plan plan = diff(before, world.tables(before));
  const Range raise = steps_of(plan, Table::kBackends, Kind::kPut);
  EXPECT_GT(raise.first, steps_of(plan, Table::kEndpoints4, Kind::kPut).last);
  EXPECT_LT(raise.last, steps_of(plan, Table::kFrontends4, Kind::kPut).first);
}

TEST(Diff, LowersABackendAfterItsFrontendAndBeforeItsEndpoint) {
  World world = small_shop();
  const Tables before = world.tables();
  world.attachments.erase({"shop", "web-1"});
  const Plan plan = diff(before, world.tables(before));
  const Range lower = steps_of(plan, Table::kBackends, Kind::kPut);
  EXPECT_GT(lower.first, steps_of(plan, Table::kFrontends4, Kind::kPut).last);
  EXPECT_LT(lower.last, steps_of(plan, Table::kEndpoints4, Kind::kPut).first);
}

TEST(Diff, SetsFilterBitsBeforeItClearsOthersOfTheSameWord) {
  // Two addresses whose bits stand in one word, found by search.
  std::uint32_t other = 1;
  const std::uint32_t word = sluice_filter_bit(0, wire("203.0.113.10")) / 64;
  while (sluice_filter_bit(0, Ipv4{other}.wire()) / 64 != word ||
         sluice_filter_bit(0, Ipv4{other}.wire()) == sluice_filter_bit(0, wire("203.0.113.10"))) {
    other++;
  }
  World world = small_shop();
  const Tables before = world.tables();
  world.state.floating_ips["public"].address = Ipv4{other};
  const Tables after = world.tables(before);
  const Plan plan = diff(before, after);
  const Range filter = steps_of(plan, Table::kFrontendFilter, Kind::kPut);
  EXPECT_LT(filter.first, steps_of(plan, Table::kFrontends4, Kind::kPut).first);
  EXPECT_GT(filter.last, steps_of(plan, Table::kFrontends4, Kind::kDelete).last);
  Tables applied = before;
  apply(plan, applied);
  EXPECT_TRUE(equal(applied, after));
}

TEST(Apply, ReachesWhatDiffWanted) {
  World world = small_shop();
  const Tables empty;
  const Tables first = world.tables();
  world.pod("shop", "web-2", "172.16.1.2", {{"app", "web"}});
  const Tables second = world.tables(first);
  for (const auto& [from, to] : {std::pair{&empty, &first}, std::pair{&first, &second}, std::pair{&second, &empty}}) {
    Tables tables = *from;
    apply(diff(*from, *to), tables);
    EXPECT_TRUE(equal(tables, *to));
  }
}

TEST(Apply, RefusesAWriteOfTheWrongSize) {
  Plan plan{{{{Table::kBackends, std::vector<std::byte>(4), std::vector<std::byte>(3)}}}};
  Tables tables;
  EXPECT_THROW(apply(plan, tables), std::logic_error);
}

}  // namespace
}  // namespace sluice::compile
