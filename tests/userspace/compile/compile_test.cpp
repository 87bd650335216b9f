// SPDX-License-Identifier: Apache-2.0
// What one state compiles to, field by field.
#include "compile/compile.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "compile/hashing.hpp"
#include "world.hpp"

namespace sluice::compile {
namespace {

constexpr std::uint8_t kRouterMac[6] = SLUICE_ROUTER_MAC;

World shop_of_three() {
  World world;
  world.network("shop", 7);
  world.pod("shop", "web-1", "172.16.0.2", {{"app", "web"}});
  world.pod("shop", "web-2", "172.16.0.3", {{"app", "web"}, {"tier", "front"}});
  world.pod("shop", "database", "172.16.0.4", {{"app", "database"}});
  world.attach("shop", "web-1", 11);
  world.attach("shop", "database", 13);
  world.service("shop", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080), udp(53, 5353)});
  world.uplinks.push_back({2, Mac{{2, 9, 9, 9, 9, 9}}});
  return world;
}

TEST(Compile, OfNothingIsTheSettingsAlone) {
  const World world;
  const Tables tables = world.tables();
  EXPECT_EQ(tables.settings.secret[1], world.settings.secret[1]);
  EXPECT_EQ(tables.settings.tcp_established, world.settings.tcp_established);
  EXPECT_EQ(tables.settings.max_pairs, 262144U);
  EXPECT_EQ(tables.settings.shared_pairs, 262144U);
  EXPECT_TRUE(tables.network_limits.empty() && tables.ports.empty() && tables.endpoints4.empty() &&
              tables.frontends4.empty() && tables.backends.empty() && tables.rings.empty() &&
              tables.endpoint_generations.empty() && tables.frontend_generations.empty() &&
              tables.frontend_filter.empty());
}

TEST(Compile, MakesOneLimitRecordANetworkAndSharesTheRest) {
  World world;
  model::Network& network = world.network("shop", 7);
  network.guaranteed_flows = 2000;
  network.max_flows = 9000000;
  network.max_half_open_flows = 77;
  world.network("blog", 8);
  const Tables tables = world.tables();
  ASSERT_EQ(tables.network_limits.size(), 2U);
  const sluice_network_limits& limits = tables.network_limits.at(8);
  EXPECT_EQ(limits.network, 7U);
  EXPECT_EQ(limits.guaranteed_pairs, 2000U);
  EXPECT_EQ(limits.max_pairs, 262144U) << "never above the table's size";
  EXPECT_EQ(limits.max_half_open_pairs, 77U);
  EXPECT_EQ(tables.settings.shared_pairs, 262144U - 2000U - 1024U);
}

TEST(Compile, MakesPortAndEndpointOfAnAttachedPod) {
  const Tables tables = shop_of_three().tables();
  ASSERT_TRUE(tables.ports.contains(11));
  const sluice_port& port = tables.ports.at(11);
  EXPECT_EQ(port.self, 11U);
  EXPECT_EQ(port.network, 7U);
  EXPECT_EQ(port.network_slot, 8U);
  EXPECT_EQ(port.kind, SLUICE_PORT_POD);
  EXPECT_EQ(port.address4, wire("172.16.0.2"));
  EXPECT_EQ(port.cidr4, wire("172.16.0.0"));
  EXPECT_EQ(port.mask4, wire("255.255.0.0"));
  EXPECT_EQ(port.router4, wire("172.16.0.1"));
  EXPECT_EQ(port.mac[5], 2);
  const sluice_endpoint4* pod = endpoint(tables, 7, "172.16.0.2");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(pod->self.address, wire("172.16.0.2"));
  EXPECT_EQ(pod->ifindex, 11U);
  EXPECT_EQ(pod->kind, SLUICE_ENDPOINT_POD_PEER);
  EXPECT_EQ(std::memcmp(pod->mac, port.mac, 6), 0);
  EXPECT_EQ(pod->ref, port.endpoint);
  EXPECT_NE(pod->ref.slot, 0U) << "slot 0 means nobody";
  EXPECT_EQ(tables.endpoint_generations.at(pod->ref.slot), pod->ref.generation);
}

TEST(Compile, KeepsARecordOfAPodThatIsNotAttached) {
  const Tables tables = shop_of_three().tables();
  const sluice_endpoint4* pod = endpoint(tables, 7, "172.16.0.3");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(pod->ifindex, 0U);
  EXPECT_NE(pod->ref.slot, 0U);
  EXPECT_EQ(tables.ports.size(), 3U) << "two pods and the uplink";
}

TEST(Compile, DeliversToATapWithPlainRedirect) {
  World world = shop_of_three();
  world.attach("shop", "web-1", 11, true);
  EXPECT_EQ(endpoint(world.tables(), 7, "172.16.0.2")->kind, SLUICE_ENDPOINT_POD_DEVICE);
}

TEST(Compile, MakesEndpointsOfRouterAndServiceWithTheRoutersMac) {
  World world = shop_of_three();
  world.state.networks["shop"].router4 = Ipv4::parse("172.16.255.1").value();
  const Tables tables = world.tables();
  for (const auto& [address, kind] :
       {std::pair{"172.16.255.1", SLUICE_ENDPOINT_ROUTER}, std::pair{"172.16.0.100", SLUICE_ENDPOINT_SERVICE}}) {
    const sluice_endpoint4* record = endpoint(tables, 7, address);
    ASSERT_NE(record, nullptr) << address;
    EXPECT_EQ(record->kind, kind);
    EXPECT_EQ(std::memcmp(record->mac, kRouterMac, 6), 0);
    EXPECT_EQ(record->ref, (sluice_ref{0, 0}));
  }
  EXPECT_EQ(tables.ports.at(11).router4, wire("172.16.255.1"));
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 80)->router4, wire("172.16.255.1"));
}

TEST(Compile, MakesAPortOfAnUplink) {
  const Tables tables = shop_of_three().tables();
  const sluice_port& port = tables.ports.at(2);
  EXPECT_EQ(port.kind, SLUICE_PORT_UPLINK);
  EXPECT_EQ(port.network, 0U);
  EXPECT_EQ(port.network_slot, 0U);
  EXPECT_EQ(port.endpoint, (sluice_ref{0, 0}));
  EXPECT_EQ(port.mac[1], 9);
}

TEST(Compile, MakesAFrontendOfEveryServicePortWithReadyAndConfiguredBackends) {
  const Tables tables = shop_of_three().tables();
  const sluice_frontend4* record = frontend(tables, 7, "172.16.0.100", 80);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->backend_network, 7U);
  EXPECT_EQ(record->backend_count, 2U) << "attached or not";
  EXPECT_EQ(record->ready_count, 1U) << "web-2 is not attached";
  EXPECT_EQ(record->ring_size, 0U);
  EXPECT_EQ(record->network_slot, 8U);
  EXPECT_EQ(record->algorithm, SLUICE_ALGORITHM_HASH);
  EXPECT_EQ(record->owner, service_owner(7, "web"));
  EXPECT_EQ(tables.frontend_generations.at(record->ref.slot), record->ref.generation);
  const sluice_backend ready = backend(tables, *record, "172.16.0.2");
  EXPECT_EQ(ready.network, 7U);
  EXPECT_EQ(ready.port, to_wire(8080));
  EXPECT_EQ(ready.state, SLUICE_BACKEND_READY);
  EXPECT_EQ(ready.identity, backend_identity(7, "web-1", 8080));
  EXPECT_EQ(ready.endpoint, endpoint(tables, 7, "172.16.0.2")->ref);
  EXPECT_EQ(backend(tables, *record, "172.16.0.3").state, SLUICE_BACKEND_DOWN);
  ASSERT_NE(frontend(tables, 7, "172.16.0.100", 53, 17), nullptr);
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 53, 6), nullptr);
}

TEST(Compile, AnswersPingToAServiceFromTheBackendsOfItsFirstPort) {
  const Tables tables = shop_of_three().tables();
  const sluice_frontend4* echo = frontend(tables, 7, "172.16.0.100", 0, 1);
  ASSERT_NE(echo, nullptr);
  EXPECT_EQ(echo->backend_count, 2U);
  const sluice_backend target = backend(tables, *echo, "172.16.0.2");
  EXPECT_EQ(target.port, 0);
  EXPECT_EQ(target.identity, backend_identity(7, "web-1", 8080));
}

TEST(Compile, TakesADrainingPodOutOfRotationAndKeepsItConfigured) {
  World world = shop_of_three();
  world.state.pods[{"shop", "web-1"}].draining = true;
  const Tables tables = world.tables();
  const sluice_frontend4* record = frontend(tables, 7, "172.16.0.100", 80);
  EXPECT_EQ(record->backend_count, 2U);
  EXPECT_EQ(record->ready_count, 0U);
  EXPECT_NE(endpoint(tables, 7, "172.16.0.2")->ifindex, 0U) << "old flows go on";
}

TEST(Compile, ResolvesNamedPortsPerPodAndSkipsPodsWithoutThem) {
  World world = shop_of_three();
  world.pod("shop", "web-3", "172.16.0.5", {{"app", "web"}}).ports["http"] = {1, model::Protocol::kUdp};
  world.state.pods[{"shop", "web-1"}].ports["http"] = {8081, model::Protocol::kTcp};
  world.state.pods[{"shop", "web-2"}].ports["http"] = {8082, model::Protocol::kTcp};
  world.service("shop", "named", "172.16.0.101", {{"app", "web"}}, {tcp_named(80, "http")});
  const Tables tables = world.tables();
  const sluice_frontend4* record = frontend(tables, 7, "172.16.0.101", 80);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->backend_count, 2U) << "web-3 has the name with another protocol";
  EXPECT_EQ(backend(tables, *record, "172.16.0.2").port, to_wire(8081));
  EXPECT_EQ(backend(tables, *record, "172.16.0.3").port, to_wire(8082));
}

TEST(Compile, MatchesAllLabelsOfASelector) {
  World world = shop_of_three();
  world.service("shop", "front", "172.16.0.101", {{"app", "web"}, {"tier", "front"}}, {tcp(80, 80)});
  world.service("shop", "nobody", "172.16.0.102", {{"app", "web"}, {"tier", "back"}}, {tcp(80, 80)});
  const Tables tables = world.tables();
  EXPECT_EQ(frontend(tables, 7, "172.16.0.101", 80)->backend_count, 1U);
  const sluice_frontend4* none = frontend(tables, 7, "172.16.0.102", 80);
  ASSERT_NE(none, nullptr) << "a selector that matches nothing is legal";
  EXPECT_EQ(none->backend_count, 0U);
  EXPECT_EQ(none->ready_count, 0U);
}

TEST(Compile, BindsServicePortsToAFloatingIpInNetworkZero) {
  World world = shop_of_three();
  world.floating_ip("public", "203.0.113.10");
  world.floating_ip("idle", "203.0.113.11");
  world.state.services[{"shop", "web"}].floating_ip = "public";
  const Tables tables = world.tables();
  const sluice_frontend4* inside = frontend(tables, 7, "172.16.0.100", 80);
  const sluice_frontend4* outside = frontend(tables, 0, "203.0.113.10", 80);
  ASSERT_NE(outside, nullptr);
  EXPECT_EQ(outside->backend_network, 7U);
  EXPECT_EQ(outside->network_slot, 8U);
  EXPECT_EQ(outside->backend_base, inside->backend_base) << "one region for both";
  EXPECT_NE(outside->ref.slot, inside->ref.slot) << "a binding ends on its own";
  EXPECT_NE(frontend(tables, 0, "203.0.113.10", 53, 17), nullptr);
  EXPECT_EQ(frontend(tables, 0, "203.0.113.10", 0, 1), nullptr) << "the datapath answers ping to a floating IP";
  for (const std::string address : {"203.0.113.10", "203.0.113.11"}) {
    ASSERT_NE(endpoint(tables, 0, address), nullptr) << address;
    EXPECT_EQ(endpoint(tables, 0, address)->kind, SLUICE_ENDPOINT_FLOATING);
    const std::uint32_t bit = sluice_filter_bit(0, wire(address));
    EXPECT_TRUE(tables.frontend_filter.at(bit / 64) >> (bit % 64) & 1);
  }
}

TEST(Compile, KeepsNetworksWithTheSameCidrApart) {
  World world = shop_of_three();
  world.network("blog", 8);
  world.pod("blog", "web-1", "172.16.0.2", {{"app", "web"}});
  world.attach("blog", "web-1", 21);
  world.service("blog", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  const Tables tables = world.tables();
  EXPECT_EQ(endpoint(tables, 7, "172.16.0.2")->ifindex, 11U);
  EXPECT_EQ(endpoint(tables, 8, "172.16.0.2")->ifindex, 21U);
  for (const std::uint32_t network : {7U, 8U}) {
    for (const sluice_backend& target : backends(tables, *frontend(tables, network, "172.16.0.100", 80))) {
      EXPECT_EQ(target.network, network);
    }
  }
  EXPECT_EQ(frontend(tables, 8, "172.16.0.100", 80)->backend_count, 1U);
}

TEST(Compile, BuildsARingAboveEightBackendsThatPingAndFloatingIpShare) {
  World world = shop_of_three();
  for (int i = 0; i < 7; i++) {
    world.pod("shop", "more-" + std::to_string(i), "172.16.1." + std::to_string(i), {{"app", "web"}});
  }
  world.floating_ip("public", "203.0.113.10");
  world.state.services[{"shop", "web"}].floating_ip = "public";
  const Tables tables = world.tables();
  const sluice_frontend4* record = frontend(tables, 7, "172.16.0.100", 80);
  ASSERT_EQ(record->backend_count, 9U);
  EXPECT_EQ(record->ring_size, 1021U);
  const std::vector<sluice_backend> list = backends(tables, *record);
  EXPECT_TRUE(std::ranges::is_sorted(list, {}, &sluice_backend::identity));
  std::vector<RingMember> members;
  for (const sluice_backend& target : list) members.push_back({target.identity, 1});
  const Secret secret = {world.settings.secret[0], world.settings.secret[1]};
  EXPECT_EQ(record->fingerprint, fingerprint(members, 1021, secret));
  const auto blocks = pack_ring(build_ring(members, 1021, secret));
  for (std::uint32_t i = 0; i < blocks.size(); i++) {
    ASSERT_EQ(std::memcmp(&tables.rings.at(record->ring_base + i), &blocks[i], sizeof(blocks[i])), 0);
  }
  EXPECT_EQ(frontend(tables, 0, "203.0.113.10", 80)->ring_base, record->ring_base);
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 0, 1)->ring_base, record->ring_base);
  EXPECT_NE(frontend(tables, 7, "172.16.0.100", 53, 17)->ring_base, record->ring_base) << "another target port";
}

TEST(Compile, CarriesTheAlgorithm) {
  World world = shop_of_three();
  world.state.services[{"shop", "web"}].algorithm = model::Algorithm::kSource;
  EXPECT_EQ(frontend(world.tables(), 7, "172.16.0.100", 80)->algorithm, SLUICE_ALGORITHM_SOURCE);
  world.state.services[{"shop", "web"}].algorithm = model::Algorithm::kRandom;
  EXPECT_EQ(frontend(world.tables(), 7, "172.16.0.100", 80)->algorithm, SLUICE_ALGORITHM_RANDOM);
  world.state.services[{"shop", "web"}].algorithm = model::Algorithm::kLeastConnections;
  EXPECT_EQ(frontend(world.tables(), 7, "172.16.0.100", 80)->algorithm, SLUICE_ALGORITHM_LEAST_CONNECTIONS);
}

TEST(Compile, RoundRobinGoesByTheRingOnlyIfWeightsDiffer) {
  World world = shop_of_three();
  world.state.services[{"shop", "web"}].algorithm = model::Algorithm::kRoundRobin;
  EXPECT_EQ(frontend(world.tables(), 7, "172.16.0.100", 80)->algorithm, SLUICE_ALGORITHM_ROUND_ROBIN);
  world.state.pods[{"shop", "web-1"}].weight = 5;
  const Tables tables = world.tables();
  const auto* record = frontend(tables, 7, "172.16.0.100", 80);
  EXPECT_EQ(record->algorithm, SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN);
  EXPECT_GT(record->ring_size, 0U);
  unsigned heavy = 0;
  for (std::uint32_t i = 0; i < record->backend_count; i++) {
    heavy += tables.backends.at(record->backend_base + i).weight == 4 ? 1 : 0;
  }
  EXPECT_EQ(heavy, 1U) << "least connections reads it there, less one";
}

TEST(Compile, CarriesTheTimeOfAffinityToEveryPort) {
  World world = shop_of_three();
  world.state.services[{"shop", "web"}].affinity = 300;
  const Tables tables = world.tables();
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 80)->affinity, 300U);
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 53, 17)->affinity, 300U);
  EXPECT_EQ(frontend(tables, 7, "172.16.0.100", 80)->owner, frontend(tables, 7, "172.16.0.100", 53, 17)->owner);
}

TEST(Compile, OfAThousandServicesAndThreeThousandPodsIsFastAndStable) {
  World world;
  world.network("big", 9, "10.0.0.0/8");
  for (int i = 0; i < 3000; i++) {
    const std::string name = "pod-" + std::to_string(i);
    world.pod("big", name, "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250),
              {{"app", "app-" + std::to_string(i % 1000)}, {"tier", "all"}});
    if (i % 10 == 0) world.attach("big", name, 100 + static_cast<std::uint32_t>(i));
  }
  for (int i = 0; i < 1000; i++) {
    world.service("big", "service-" + std::to_string(i),
                  "10.2." + std::to_string(i / 250) + "." + std::to_string(i % 250),
                  {{"app", "app-" + std::to_string(i)}, {"tier", "all"}}, {tcp(80, 8080)});
  }
  const auto begin = std::chrono::steady_clock::now();
  const Tables tables = world.tables();
  const Tables again = world.tables(tables);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(tables.endpoints4.size(), 4001U);
  EXPECT_EQ(tables.frontends4.size(), 2000U);
  EXPECT_EQ(tables.backends.size(), 6000U);
  EXPECT_TRUE(equal(tables, again));
  EXPECT_TRUE(diff(tables, again).empty());
  // Aimed at 50 ms each; the bound leaves room for sanitizers and a loaded machine, not for a quadratic loop.
  EXPECT_LT(took, std::chrono::seconds(2));
  RecordProperty("milliseconds", static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
}

World two(std::uint16_t first, std::uint16_t second) {
  World world;
  world.network("shop", 7);
  world.pod("shop", "a", "172.16.0.2", {{"app", "web"}}).weight = first;
  world.pod("shop", "b", "172.16.0.3", {{"app", "web"}}).weight = second;
  world.attach("shop", "a", 11);
  world.attach("shop", "b", 12);
  world.service("shop", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  return world;
}

TEST(CompileWeights, MakeARingOfAnyTwoBackendsThatDiffer) {
  EXPECT_EQ(frontend(two(1, 1).tables(), 7, "172.16.0.100", 80)->ring_size, 0U);
  EXPECT_EQ(frontend(two(200, 200).tables(), 7, "172.16.0.100", 80)->ring_size, 0U);
  const Tables tables = two(1, 3).tables();
  const sluice_frontend4* web = frontend(tables, 7, "172.16.0.100", 80);
  ASSERT_EQ(web->ring_size, 251U);
  const std::uint32_t heavy = backends(tables, *web)[0].address4 == wire("172.16.0.3") ? 0 : 1;
  std::uint32_t share = 0;
  for (std::uint32_t slot = 0; slot < web->ring_size; slot++) {
    share += tables.rings.at(web->ring_base + slot / 32).entries[slot % 32] == heavy ? 1 : 0;
  }
  EXPECT_NEAR(share, 251 * 0.75, 1.5);
}

TEST(CompileWeights, MayFillABlockWithZerosWhichIsWrittenBeforeTheSwitch) {
  std::size_t zero_blocks = 0;
  for (const World& world : {two(1, 256), two(256, 1)}) {
    Tables actual;
    for (std::uint32_t index = 0; index < 512; index++) std::ranges::fill(actual.rings[index].entries, 9);
    const Tables wanted = world.tables(actual);
    zero_blocks += 512 - wanted.rings.size();
    for (const Plan& write : single_writes(diff(actual, wanted))) {
      apply(write, actual);
      if (frontend(actual, 7, "172.16.0.100", 80) == nullptr) continue;
      for (const auto& [index, block] : actual.rings) ASSERT_NE(block.entries[0], 9) << index;
    }
    EXPECT_TRUE(equal(actual, wanted));
  }
  EXPECT_GT(zero_blocks, 100U) << "some were zero";
}

TEST(CompileWeights, TakeABackendOfWeightZeroForOneThatDrains) {
  const Tables before = two(1, 1).tables();
  World world = two(1, 0);
  const Tables tables = world.tables(before);
  const sluice_frontend4* web = frontend(tables, 7, "172.16.0.100", 80);
  EXPECT_EQ(web->backend_count, 2U);
  EXPECT_EQ(web->ready_count, 1U);
  EXPECT_EQ(web->ring_size, 0U);
  EXPECT_EQ(backend(tables, *web, "172.16.0.3").state, SLUICE_BACKEND_DOWN);
  EXPECT_EQ(web->backend_base, frontend(before, 7, "172.16.0.100", 80)->backend_base) << "in place";
  EXPECT_EQ(web->ref, frontend(before, 7, "172.16.0.100", 80)->ref);
  EXPECT_EQ(frontend(two(0, 0).tables(), 7, "172.16.0.100", 80)->ready_count, 0U);
}

}  // namespace
}  // namespace sluice::compile
