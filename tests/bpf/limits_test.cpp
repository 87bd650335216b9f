// SPDX-License-Identifier: Apache-2.0
// Shares of the flow table: caps by network, guarantees, the shared pool, a full table. Live flows never suffer.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Limits : public FamilyTest {
 protected:
  explicit Limits(const Sizes& sizes = {.pairs = 16}) : FamilyTest(sizes) {}

  struct Tenant {
    Network network;
    Pod client;
    Pod server;
  };
  Tenant tenant(std::uint32_t id, std::uint16_t slot) {
    Tenant made;
    made.network = world.network(id, slot);
    made.client = world.pod(made.network, "172.16.0.10");
    made.server = world.pod(made.network, "172.16.0.20");
    world.service(made.network, "172.16.1.1", 80, kTcp, {{made.server, 8080}});
    return made;
  }
  sluice_reason open(const Tenant& tenant, std::uint16_t port, unsigned flags = kSyn) {
    return send(tenant.client,
                tcp(tenant.client.to_router(), {tenant.client.address, port, ip("172.16.1.1"), 80}, flags))
        .reason;
  }
  /// Opens flows until one is refused; gives their number.
  unsigned fill(const Tenant& tenant, sluice_reason expected) {
    for (unsigned made = 0; made < 100; ++made) {
      const sluice_reason reason = open(tenant, static_cast<std::uint16_t>(1000 + made));
      if (reason == SLUICE_REASON_TO_BACKEND) continue;
      EXPECT_EQ(reason, expected);
      return made;
    }
    return 100;
  }
  void expect_alive(const Tenant& tenant, unsigned flows) {
    for (unsigned i = 0; i < flows; ++i) {
      EXPECT_EQ(open(tenant, static_cast<std::uint16_t>(1000 + i), kAck), SLUICE_REASON_TO_BACKEND) << i;
    }
  }
};

TEST_P(Limits, ANetworkStopsAtItsMaximum) {
  const Tenant red = tenant(7, 1);
  world.limits(red.network, 2, 5, 100);
  EXPECT_EQ(fill(red, SLUICE_REASON_NETWORK_CAP), 5U);
  expect_alive(red, 5);
  EXPECT_EQ(datapath.usage(1).pairs, 5U);
  EXPECT_EQ(datapath.totals().shared_used, 3U);
  const Tenant blue = tenant(8, 2);
  EXPECT_EQ(open(blue, 1), SLUICE_REASON_TO_BACKEND) << "its neighbour is not concerned";
}

TEST_P(Limits, AGuaranteeHoldsWhenOthersHaveUsedUpTheSharedPool) {
  change_settings([](sluice_settings& s) { s.shared_pairs = 6; });  // 16 - 5 - 5
  const Tenant red = tenant(7, 1);
  const Tenant blue = tenant(8, 2);
  world.limits(red.network, 5, 100, 100);
  world.limits(blue.network, 5, 100, 100);
  EXPECT_EQ(fill(red, SLUICE_REASON_NETWORK_CAP), 11U) << "its guarantee and all of the pool";
  EXPECT_EQ(fill(blue, SLUICE_REASON_NETWORK_CAP), 5U) << "its guarantee";
  expect_alive(red, 11);
  expect_alive(blue, 5);
  EXPECT_EQ(datapath.totals().shared_used, 6U);
}

TEST_P(Limits, AMaximumBelowTheGuaranteeIsTheMaximum) {
  const Tenant red = tenant(7, 1);
  world.limits(red.network, 10, 3, 100);
  EXPECT_EQ(fill(red, SLUICE_REASON_NETWORK_CAP), 3U);
}

TEST_P(Limits, ANetworkWithoutLimitsMakesNoFlows) {
  const Tenant red = tenant(7, 1);
  world.limits(red.network, 0, 0, 0);
  EXPECT_EQ(open(red, 1), SLUICE_REASON_NETWORK_CAP);
}

TEST_P(Limits, AFullTableRefusesNewFlowsAndCarriesLiveOnes) {
  const Tenant red = tenant(7, 1);
  world.limits(red.network, 0, 1000, 1000);
  change_settings([](sluice_settings& s) { s.shared_pairs = 1000; });
  EXPECT_EQ(fill(red, SLUICE_REASON_FLOW_TABLE_FULL), 16U);
  EXPECT_EQ(fill(red, SLUICE_REASON_FLOW_TABLE_FULL), 16U) << "again: SYNs of the live flows still pass";
  expect_alive(red, 16);
  // One ends; its place is taken by exactly one other.
  EXPECT_EQ(open(red, 1003, kRst), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(open(red, 1003), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(open(red, 2000), SLUICE_REASON_FLOW_TABLE_FULL);
}

class HashFull : public Limits {
 protected:
  HashFull() : Limits({.pairs = 64, .flows = 9}) {}
};

TEST_P(HashFull, AFullHashUndoesWhatWasDone) {
  const Tenant red = tenant(7, 1);
  // The kernel may keep a few elements per CPU in hand; what counts is that a refused flow leaves nothing behind.
  const unsigned made = fill(red, SLUICE_REASON_FLOW_TABLE_FULL);
  EXPECT_EQ(made, 4U) << "two records each, the ninth is of no use";
  expect_alive(red, made);
  EXPECT_EQ(datapath.flows().size(), 8U);
}

class HalfOpen : public Limits {
 protected:
  HalfOpen() : red(tenant(7, 1)) {
    world.limits(red.network, 0, 16, 3);
    world.floating("192.0.2.1", 80, kTcp, red.network, {{red.server, 8080}});
    world.floating("192.0.2.1", 53, kUdp, red.network, {{red.server, 5353}});
  }
  sluice_reason from_internet(std::uint16_t port, unsigned flags, std::uint32_t acknowledgement = 0) {
    const Tuple tuple{ip("203.0.113.9"), port, ip("192.0.2.1"), 80};
    return receive(tcp(kInbound, tuple, flags, {.acknowledgement = acknowledgement})).reason;
  }
  Tenant red;
};

TEST_P(HalfOpen, AFloodFromTheInternetStopsAtItsOwnLimit) {
  for (std::uint16_t port = 1; port <= 3; ++port) EXPECT_EQ(from_internet(port, kSyn), SLUICE_REASON_TO_BACKEND);
  for (std::uint16_t port = 4; port <= 20; ++port) EXPECT_EQ(from_internet(port, kSyn), SLUICE_REASON_HALF_OPEN_CAP);
  EXPECT_EQ(datapath.usage(1).half_open, 3U);
  EXPECT_EQ(datapath.usage(1).pairs, 3U);
  EXPECT_EQ(open(red, 1000), SLUICE_REASON_TO_BACKEND) << "the tenant's own pods are not concerned";
  EXPECT_EQ(receive(udp(kInbound, {ip("203.0.113.9"), 9, ip("192.0.2.1"), 53})).reason, SLUICE_REASON_HALF_OPEN_CAP)
      << "UDP from outside is";
  const Tuple behind{red.server.address, 8080, ip("203.0.113.9"), 2};
  send(red.server, tcp(red.server.to_router(), behind, kSyn | kAck, {.sequence = 99}));
  EXPECT_EQ(from_internet(2, kAck, 100), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(from_internet(4, kSyn), SLUICE_REASON_TO_BACKEND) << "a finished handshake makes room";
  EXPECT_EQ(from_internet(5, kSyn), SLUICE_REASON_HALF_OPEN_CAP);
}

TEST_P(HalfOpen, UdpFromTheInternetCountsUntilItsFirstAnswer) {
  const auto question = [&](std::uint16_t port) {
    return receive(udp(kInbound, {ip("203.0.113.9"), port, ip("192.0.2.1"), 53})).reason;
  };
  for (std::uint16_t port = 1; port <= 3; ++port) EXPECT_EQ(question(port), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(question(4), SLUICE_REASON_HALF_OPEN_CAP);
  EXPECT_EQ(question(2), SLUICE_REASON_TO_BACKEND) << "what is there goes on";
  EXPECT_EQ(datapath.usage(1).half_open, 3U);
  for (int i = 0; i < 2; ++i) {  // once, not for every answer
    send(red.server, udp(red.server.to_router(), {red.server.address, 5353, ip("203.0.113.9"), 2}));
    EXPECT_EQ(datapath.usage(1).half_open, 2U);
  }
  EXPECT_EQ(question(4), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(question(5), SLUICE_REASON_HALF_OPEN_CAP);
}

TEST_P(HalfOpen, AboveHalfOfTheLimitTheyLiveShort) {
  world.limits(red.network, 0, 16, 4);
  change_settings([](sluice_settings& s) {
    s.delete_grace = 1;
    s.sweep_interval = 1'000'000;
  });
  if (coarse_now() < 8'000'000'000) GTEST_FAIL() << "the machine is younger than the age that the test gives a flow";
  const auto age = [&] {
    for (FlowRecord record : datapath.flows()) {
      record.last_seen = coarse_now() - 6'000'000'000;
      datapath.put_flow(record);
    }
  };
  for (std::uint16_t port = 1; port <= 2; ++port) ASSERT_EQ(from_internet(port, kSyn), SLUICE_REASON_TO_BACKEND);
  age();
  datapath.start_sweep();
  const auto swept = [&](std::uint64_t more) {
    const std::uint64_t before = datapath.totals().rounds;
    while (datapath.totals().rounds < before + more) continue;
  };
  swept(5);
  EXPECT_EQ(datapath.flows().size(), 4U) << "half of it: the usual 30 s";
  ASSERT_EQ(receive(udp(kInbound, {ip("203.0.113.9"), 9, ip("192.0.2.1"), 53})).reason, SLUICE_REASON_TO_BACKEND);
  ASSERT_EQ(open(red, 1000), SLUICE_REASON_TO_BACKEND);
  age();
  swept(5);
  EXPECT_LE(datapath.usage(1).half_open, 2U) << "above: until it is half again";
  EXPECT_GE(datapath.usage(1).pairs, 1U) << "the tenant's own half-open flow has the usual limit";
}

TEST_P(HalfOpen, TheNetworksShareCountsForFloatingIpsAndLeavesNoHalfOpenCharge) {
  world.limits(red.network, 0, 2, 100);
  EXPECT_EQ(from_internet(1, kSyn), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(from_internet(2, kSyn), SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(from_internet(3, kSyn), SLUICE_REASON_NETWORK_CAP);
  EXPECT_EQ(datapath.usage(1).half_open, 2U);
}

IN_BOTH_FAMILIES(Limits);
IN_BOTH_FAMILIES(HashFull);
IN_BOTH_FAMILIES(HalfOpen);

}  // namespace
}  // namespace bpftest
