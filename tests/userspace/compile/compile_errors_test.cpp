// SPDX-License-Identifier: Apache-2.0
// What compile() refuses; each message names resource, value and remedy.
#include <gtest/gtest.h>

#include "world.hpp"

namespace sluice::compile {
namespace {

void expect_mentions(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
}

World small() {
  World world;
  world.network("shop", 7);
  world.pod("shop", "web", "172.16.0.2", {{"app", "web"}});
  world.service("shop", "front", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  return world;
}

TEST(CompileRefuses, GuaranteesThatDoNotFitTheFlowTable) {
  World world = small();
  world.limits.max_pairs = 3000;
  world.state.networks["shop"].guaranteed_flows = 2000;
  world.network("blog", 8).guaranteed_flows = 1001;
  expect_mentions(world.error(), {"EXHAUSTED", "shop 2000", "blog 1001", "3001", "3000", "guaranteed_flows"});
  world.state.networks["blog"].guaranteed_flows = 1000;
  EXPECT_EQ(world.tables().settings.shared_pairs, 0U);
}

TEST(CompileRefuses, GuaranteesWhoseSumOverflowsThirtyTwoBits) {
  World world = small();
  world.state.networks["shop"].guaranteed_flows = 0x80000000;
  world.network("blog", 8).guaranteed_flows = 0x80000000;
  expect_mentions(world.error(), {"EXHAUSTED", "4294967296"});
}

TEST(CompileRefuses, AnAddressThatIsTakenAndNamesBothHolders) {
  World world = small();
  world.pod("shop", "other", "172.16.0.2", {});
  expect_mentions(world.error(), {"EXISTS", "pod shop/web", "pod shop/other", "172.16.0.2"});
  world = small();
  world.service("shop", "clash", "172.16.0.2", {{"app", "web"}}, {});
  expect_mentions(world.error(), {"EXISTS", "service shop/clash", "pod shop/web", "172.16.0.2"});
  world = small();
  world.pod("shop", "other", "172.16.0.1", {});
  expect_mentions(world.error(), {"EXISTS", "pod shop/other", "the router"});
}

TEST(CompileRefuses, APortClashOnAFloatingIp) {
  World world = small();
  world.floating_ip("public", "203.0.113.10");
  world.service("shop", "second", "172.16.0.101", {{"app", "web"}}, {tcp(80, 8080)}).floating_ip = "public";
  world.state.services[{"shop", "front"}].floating_ip = "public";
  expect_mentions(world.error(), {"EXISTS", "service shop/second", "port 80", "203.0.113.10"});
}

TEST(CompileRefuses, WhatHasNoAssignmentOrNoNetwork) {
  World world = small();
  world.assignments.network_ids.clear();
  expect_mentions(world.error(), {"PRECONDITION", "network shop"});
  world = small();
  world.assignments.pod_addresses.clear();
  expect_mentions(world.error(), {"PRECONDITION", "pod shop/web"});
  world = small();
  world.assignments.service_addresses.clear();
  expect_mentions(world.error(), {"PRECONDITION", "service shop/front"});
  world = small();
  world.pod("nowhere", "lost", "172.16.0.9", {});
  expect_mentions(world.error(), {"INVALID", "pod nowhere/lost", "network nowhere"});
  world = small();
  world.state.services[{"shop", "front"}].floating_ip = "missing";
  expect_mentions(world.error(), {"INVALID", "service shop/front", "missing"});
}

TEST(CompileRefuses, TwoNetworksWithOneIdOrOneSlot) {
  World world = small();
  world.network("blog", 7);
  world.assignments.network_slots["blog"] = 99;
  expect_mentions(world.error(), {"INVALID", "id 7", "blog", "shop"});
  world = small();
  world.network("blog", 8);
  world.assignments.network_slots["blog"] = world.assignments.network_slots["shop"];
  expect_mentions(world.error(), {"INVALID", "slot", "assigned twice"});
  world = small();
  world.assignments.network_slots["shop"] = SLUICE_MAX_NETWORK_SLOTS;
  expect_mentions(world.error(), {"EXHAUSTED", "network shop", "4096"});
}

TEST(CompileRefuses, OneDeviceForTwoPods) {
  World world = small();
  world.pod("shop", "other", "172.16.0.3", {});
  world.attach("shop", "web", 11);
  world.attach("shop", "other", 11);
  expect_mentions(world.error(), {"INVALID", "ifindex 11"});
}

TEST(CompileRefuses, MoreThanTheSlotsAndArenasHold) {
  World world = small();
  world.limits.max_endpoint_slots = 1;
  expect_mentions(world.error(), {"EXHAUSTED", "pod shop/web", "pod slots"});
  world = small();
  world.limits.max_frontend_slots = 2;
  expect_mentions(world.error(), {"EXHAUSTED", "service shop/front", "service port slots"});
  world = small();
  world.limits.backend_arena = 1;
  expect_mentions(world.error(), {"EXHAUSTED", "service shop/front", "backend elements"});
  world = small();
  for (int i = 0; i < 9; i++) {
    world.pod("shop", "web-" + std::to_string(i), "172.16.1." + std::to_string(i), {{"app", "web"}});
  }
  world.limits.ring_arena = 31;
  expect_mentions(world.error(), {"EXHAUSTED", "service shop/front", "32 ring blocks"});
  world.limits.ring_arena = 32;
  EXPECT_EQ(world.tables().rings.size(), 32U) << "exactly full";
}

}  // namespace
}  // namespace sluice::compile
