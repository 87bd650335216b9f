// SPDX-License-Identifier: Apache-2.0
// Ways out: which networks have one, and what ends the flows that leave by it.
#include <gtest/gtest.h>

#include "compile/family.hpp"
#include "world.hpp"

namespace sluice::compile {
namespace {

World leaving() {
  World world;
  world.network("blog", 7).cidr6 = world.network("shop", 8).cidr6 = Cidr6::parse("fd00::/64").value();
  world.egress = give_egress();
  return world;
}

bool is_current(const Tables& tables, const sluice_ref& ref) {
  const auto found = tables.frontend_generations.find(ref.slot);
  return ref.slot != 0 && found != tables.frontend_generations.end() && found->second == ref.generation;
}

TEST(CompileEgress, WithoutAnUplinkNobodyLeaves) {
  World world = leaving();
  world.egress.ifindex = 0;
  const Tables tables = world.tables();
  EXPECT_TRUE(tables.egress.empty());
  EXPECT_TRUE(tables.denied4.empty());
  EXPECT_EQ(tables.settings.shared4, 0U);
  EXPECT_EQ(endpoint(tables, 0, "192.0.2.1"), nullptr);
}

TEST(CompileEgress, EveryNetworkLeavesThatIsNotToldOtherwise) {
  World world = leaving();
  world.state.networks.at("shop").egress = model::EgressWay::kNone;
  const Tables tables = world.tables();
  ASSERT_EQ(tables.egress.size(), 1U);
  const sluice_egress& way = tables.egress.at(7);
  EXPECT_EQ(way.self, 7U);
  EXPECT_EQ(way.self_end, 7U);
  EXPECT_EQ(way.address4, wire("192.0.2.1"));
  EXPECT_EQ(Six::from_wire(way.address6).text(), "2001:db8::1");
  EXPECT_EQ(way.ifindex, 2U);
  EXPECT_EQ(way.quota, 100U);
  EXPECT_EQ(way.first4, 16384U);
  EXPECT_EQ(way.last4, 29999U);
  EXPECT_EQ(way.first6, 1024U);
  EXPECT_EQ(way.last6, 65535U);
  EXPECT_TRUE(is_current(tables, way.ref4));
  EXPECT_TRUE(is_current(tables, way.ref6));
  EXPECT_NE(way.ref4.slot, way.ref6.slot) << "one family's flows end without the other's";
}

TEST(CompileEgress, TheNodesOwnAddressIsSharedAndAnotherIsNot) {
  const Tables tables = leaving().tables();
  const sluice_endpoint4* shared = endpoint(tables, 0, "192.0.2.1");
  ASSERT_NE(shared, nullptr);
  EXPECT_EQ(shared->kind, SLUICE_ENDPOINT_SHARED);
  EXPECT_EQ(tables.settings.shared4, wire("192.0.2.1"));
  EXPECT_EQ(tables.settings.shared_first, 16384U);
  EXPECT_EQ(tables.settings.shared_last, 29999U);
  const Ipv6 own = Ipv6::parse("2001:db8::1").value();
  const auto key = endpoint_key<Six>(0, own);
  EXPECT_EQ(tables.endpoints6.at(key).kind, SLUICE_ENDPOINT_EGRESS);
  EXPECT_EQ(Six::from_wire(tables.settings.shared6), Ipv6{}) << "all of its ports are ours";
  for (const std::uint32_t bit : {sluice_filter_bit(0, wire("192.0.2.1")), Six::filter_bit(key)}) {
    ASSERT_TRUE(tables.frontend_filter.contains(bit / 64));
    EXPECT_NE(tables.frontend_filter.at(bit / 64) & std::uint64_t{1} << (bit % 64), 0U);
  }
}

TEST(CompileEgress, DeniedPrefixesStandOnceHoweverOftenTheyAreNamed) {
  World world = leaving();
  world.egress.denied4 = {Cidr4::parse("10.0.0.0/8").value(), Cidr4::parse("192.0.2.1/32").value(),
                          Cidr4::parse("10.0.0.0/8").value()};
  world.egress.denied6 = {Cidr6::parse("2001:db8:1::/48").value()};
  const Tables tables = world.tables();
  EXPECT_EQ(tables.denied4.size(), 2U);
  EXPECT_TRUE(tables.denied4.contains({8, wire("10.0.0.0")}));
  EXPECT_TRUE(tables.denied4.contains({32, wire("192.0.2.1")}));
  EXPECT_TRUE(tables.denied6.contains(Six::prefix(Cidr6::parse("2001:db8:1::/48").value())));
}

TEST(CompileEgress, NothingNewWhenNothingChanges) {
  World world = leaving();
  const Tables before = world.tables();
  EXPECT_TRUE(equal(before, world.tables(before)));
  world.egress.flows_per_pod = 5;
  world.egress.denied4.push_back(Cidr4::parse("10.0.0.0/8").value());
  const Tables after = world.tables(before);
  EXPECT_EQ(after.egress.at(7).quota, 5U);
  EXPECT_EQ(after.egress.at(7).ref4, before.egress.at(7).ref4) << "flows go on";
  EXPECT_EQ(after.egress.at(7).ref6, before.egress.at(7).ref6);
}

TEST(CompileEgress, WhatTheTablesHoldCanBeReadBack) {
  World world = leaving();
  world.egress.denied4 = {Cidr4::parse("10.0.0.0/8").value(), Cidr4::parse("192.0.2.1/32").value()};
  world.egress.denied6 = {Cidr6::parse("2001:db8:1::/48").value()};
  EXPECT_EQ(egress_of(world.tables()), world.egress);
  std::swap(world.egress.v4->shared, world.egress.v6->shared);
  world.egress.v4.reset();
  EXPECT_EQ(egress_of(world.tables()), world.egress);
  EXPECT_EQ(egress_of({}), Egress{});
}

TEST(CompileEgress, AnotherAddressPortsOrDeviceEndFlowsOfThatFamily) {
  const World world = leaving();
  const Tables before = world.tables();
  const auto expect_ended = [&](const World& changed, bool four, bool six, const char* what) {
    const Tables after = changed.tables(before);
    const sluice_egress &old = before.egress.at(7), &now = after.egress.at(7);
    EXPECT_EQ(is_current(after, old.ref4), !four) << what;
    EXPECT_EQ(is_current(after, old.ref6), !six) << what;
    EXPECT_TRUE(is_current(after, now.ref4) && is_current(after, now.ref6)) << what;
  };
  World changed = world;
  changed.egress.v4->address = Ipv4::parse("192.0.2.9").value();
  expect_ended(changed, true, false, "address");
  changed = world;
  changed.egress.v6->ports.last = 65000;
  expect_ended(changed, false, true, "ports");
  changed = world;
  changed.egress.ifindex = 3;
  expect_ended(changed, true, true, "device");
}

TEST(CompileEgress, ANetworkThatMayNoLongerLeaveLosesItsFlows) {
  World world = leaving();
  const Tables before = world.tables();
  world.state.networks.at("blog").egress = model::EgressWay::kNone;
  const Tables after = world.tables(before);
  EXPECT_FALSE(after.egress.contains(7));
  EXPECT_FALSE(is_current(after, before.egress.at(7).ref4));
  EXPECT_FALSE(is_current(after, before.egress.at(7).ref6));
  EXPECT_EQ(after.egress.at(8).ref4, before.egress.at(8).ref4) << "the other's go on";
}

TEST(CompileEgress, AFloatingIpWithTheSameAddressIsRefused) {
  World world = leaving();
  world.floating_ip("public", "192.0.2.1");
  EXPECT_EQ(world.error(), "EXISTS: the node's egress: address 192.0.2.1 is taken by floating IP public");
}

TEST(CompileEgress, TheWayIsSwitchedWhenItsGenerationStandsAndWhatIsDeniedStandsBefore) {
  World world = leaving();
  world.egress.denied4 = {Cidr4::parse("10.0.0.0/8").value()};
  const Plan plan = diff(Tables{}, world.tables());
  const auto first_of = [&plan](Table table) {
    for (std::size_t step = 0; step < plan.steps.size(); ++step) {
      for (const Write& write : plan.steps[step]) {
        if (write.table == table) return step;
      }
    }
    return plan.steps.size();
  };
  EXPECT_LT(first_of(Table::kDenied4), first_of(Table::kEgress));
  EXPECT_LT(first_of(Table::kFrontendGenerations), first_of(Table::kEgress));
  EXPECT_LT(first_of(Table::kEndpoints4), first_of(Table::kEgress));
  EXPECT_LT(first_of(Table::kFrontendFilter), first_of(Table::kEgress)) << "answers find their way before questions";
}

}  // namespace
}  // namespace sluice::compile
