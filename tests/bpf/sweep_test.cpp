// SPDX-License-Identifier: Apache-2.0
// The sweep: idle limits by state, deletion in two phases, ended flows, repair of orphans and of counts.
#include "harness/healing_test.hpp"

namespace bpftest {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint32_t kOpen = SLUICE_STATE_SYN | SLUICE_STATE_SYNACK;
constexpr std::uint32_t kDone = kOpen | SLUICE_STATE_ESTABLISHED;

class SweepTest : public HealingTest {
 protected:
  explicit SweepTest(Family its_family) : HealingTest(its_family) {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
    change_settings([](sluice_settings& s) { s.delete_grace = 20'000'000; });
  }

  /// Lets the sweep finish `rounds` whole rounds from now on.
  bool rounds(std::uint64_t rounds) {
    const std::uint64_t before = datapath.totals().rounds;
    return eventually([&] { return datapath.totals().rounds > before + rounds; });
  }
  /// Makes both sides of every flow look `idle` nanoseconds old.
  void age(std::uint64_t idle) {
    for (FlowRecord flow : datapath.flows()) {
      flow.last_seen = coarse_now() - idle;
      datapath.put_flow(flow);
    }
  }
  void set_state(std::uint8_t role, std::uint32_t state) {
    for (FlowRecord flow : datapath.flows()) {
      if (flow.role != role) continue;
      flow.state = state;
      datapath.put_flow(flow);
    }
  }
  void open(std::uint8_t protocol, std::uint16_t port = 40000) {
    const Tuple tuple{client.address, port, ip("172.16.1.1"), static_cast<std::uint16_t>(protocol == kTcp ? 80 : 53)};
    const Link link = client.to_router();
    const Frame frame = protocol == kTcp   ? tcp(link, tuple, kSyn)
                        : protocol == kUdp ? udp(link, tuple)
                                           : echo_request(link, client.address, ip("172.16.1.1"), port);
    ASSERT_EQ(send(client, frame).reason, SLUICE_REASON_TO_BACKEND);
  }
};

using Sweep = InEachFamily<SweepTest>;

struct Life {
  const char* what;
  std::uint8_t protocol;
  std::uint32_t forward;
  std::uint32_t reverse;
  __u64 sluice_settings::* limit;
};

void PrintTo(const Life& life, std::ostream* out) {
  *out << life.what;
}

class SweepLife : public SweepTest, public ::testing::WithParamInterface<std::tuple<Family, Life>> {
 protected:
  SweepLife() : SweepTest(std::get<Family>(GetParam())) {}
};

TEST_P(SweepLife, APairLivesForItsStatesLimitAndNoLonger) {
  const Life& life = std::get<Life>(GetParam());
  const std::uint64_t unit = coarse_now() / 8;  // nothing can be older than the machine, and a VM is young
  change_settings([&](sluice_settings& s) {
    for (auto limit : {&sluice_settings::tcp_half_open, &sluice_settings::tcp_established,
                       &sluice_settings::tcp_closing, &sluice_settings::tcp_closed, &sluice_settings::tcp_reset,
                       &sluice_settings::udp_new, &sluice_settings::udp_stream, &sluice_settings::icmp}) {
      s.*limit = unit;
    }
    s.*life.limit = 1000000 * kSecond;  // its own is the longest: no other limit keeps it
  });
  open(life.protocol);
  set_state(SLUICE_FLOW_FORWARD, life.forward);
  set_state(SLUICE_FLOW_REVERSE, life.reverse);
  age(4 * unit);
  datapath.start_sweep();
  ASSERT_TRUE(rounds(40)) << "the sweep runs";
  EXPECT_EQ(datapath.flows().size(), 2U) << "not before its limit";
  change_settings([&](sluice_settings& s) { s.*life.limit = 3 * unit; });
  EXPECT_TRUE(eventually([&] { return datapath.flows().empty(); })) << "but after it";
  EXPECT_TRUE(eventually([&] { return datapath.totals().expired == 1; }));
  EXPECT_EQ(datapath.usage(network.slot).pairs, 0U);
}

constexpr Life kLives[] = {
    {"syn", kTcp, SLUICE_STATE_SYN, 0, &sluice_settings::tcp_half_open},
    {"synack", kTcp, kOpen, 0, &sluice_settings::tcp_half_open},
    {"established", kTcp, kDone, 0, &sluice_settings::tcp_established},
    {"client_fin", kTcp, kDone | SLUICE_STATE_FIN, 0, &sluice_settings::tcp_closing},
    {"server_fin", kTcp, kDone, SLUICE_STATE_FIN, &sluice_settings::tcp_closing},
    {"both_fin", kTcp, kDone | SLUICE_STATE_FIN, SLUICE_STATE_FIN, &sluice_settings::tcp_closed},
    {"client_rst", kTcp, kDone | SLUICE_STATE_RST, 0, &sluice_settings::tcp_reset},
    {"server_rst", kTcp, kDone, SLUICE_STATE_RST, &sluice_settings::tcp_reset},
    {"udp_new", kUdp, 0, 0, &sluice_settings::udp_new},
    {"udp_stream", kUdp, 0, SLUICE_STATE_ESTABLISHED, &sluice_settings::udp_stream},
    {"icmp", kIcmp, 0, 0, &sluice_settings::icmp},
    {"icmp_answered", kIcmp, 0, SLUICE_STATE_ESTABLISHED, &sluice_settings::icmp},
};

std::string name_of_life(const ::testing::TestParamInfo<SweepLife::ParamType>& run) {
  return std::string(name_of(std::get<Family>(run.param))) + "_" + std::get<Life>(run.param).what;
}

INSTANTIATE_TEST_SUITE_P(, SweepLife, ::testing::Combine(::testing::ValuesIn(kFamilies), ::testing::ValuesIn(kLives)),
                         name_of_life);

TEST_P(Sweep, ClosedFlowsGoSoonerWhileTheNetworkIsShortOfPairs) {
  const std::uint64_t unit = coarse_now() / 8;
  change_settings([&](sluice_settings& s) {
    s.tcp_closed = 1000000 * kSecond;
    s.tcp_reset = unit;
  });
  for (std::uint16_t port = 1; port <= 4; ++port) open(kTcp, port);
  set_state(SLUICE_FLOW_FORWARD, kDone | SLUICE_STATE_FIN);
  set_state(SLUICE_FLOW_REVERSE, SLUICE_STATE_FIN);
  age(4 * unit);
  datapath.start_sweep();
  ASSERT_TRUE(rounds(40));
  EXPECT_EQ(datapath.flows().size(), 8U) << "there is room";
  world.limits(network, 0, 6, 6);
  EXPECT_TRUE(eventually([&] { return datapath.flows().size() <= 6; }));
  ASSERT_TRUE(rounds(40));
  EXPECT_FALSE(datapath.flows().empty()) << "not below half of what it may have";
}

TEST_P(Sweep, APairIsAsYoungAsItsYoungerSide) {
  open(kUdp);
  for (std::uint8_t old : {SLUICE_FLOW_FORWARD, SLUICE_FLOW_REVERSE}) {
    for (FlowRecord flow : datapath.flows()) {
      flow.last_seen = flow.role == old ? 1 : coarse_now();
      datapath.put_flow(flow);
    }
    datapath.start_sweep();
    ASSERT_TRUE(rounds(40));
    EXPECT_EQ(datapath.flows().size(), 2U);
  }
}

TEST_P(Sweep, AMarkedPairThatIsUsedAgainLives) {
  const std::uint64_t unit = coarse_now() / 4;
  change_settings([&](sluice_settings& s) {
    s.delete_grace = 1000000 * kSecond;
    s.udp_new = unit;
  });
  open(kUdp);
  age(2 * unit);
  datapath.start_sweep();
  const auto mark = [&] { return datapath.element<sluice_pair>("pairs", 0).mark; };
  ASSERT_TRUE(eventually([&] { return mark() != 0; })) << "first marked";
  ASSERT_TRUE(rounds(10));
  EXPECT_EQ(datapath.flows().size(), 2U) << "not deleted before the grace period ends";
  open(kUdp);
  EXPECT_TRUE(eventually([&] { return mark() == 0; })) << "a hit clears the mark";
  EXPECT_EQ(datapath.flows().size(), 2U);
}

TEST_P(Sweep, EndedFlowsGoWhateverTheirAge) {
  const Frontend frontend = world.service(network, "172.16.1.9", 80, kTcp, {{server, 80}});
  send(client, tcp(client.to_router(), {client.address, 1, ip("172.16.1.9"), 80}, kSyn));
  open(kTcp);
  world.bump(frontend);
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return datapath.totals().ended == 1; }));
  EXPECT_EQ(datapath.flows().size(), 2U) << "the other one stays";
  world.remove(client);
  EXPECT_TRUE(eventually([&] { return datapath.totals().ended == 2; }));
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Sweep, OrphansAreFoundAndRepaired) {
  for (std::uint16_t port = 1; port <= 6; ++port) open(kTcp, port);
  for (const FlowRecord& flow : datapath.flows()) {
    const bool lose = flow.role == (flow.pair % 2 == 0 ? SLUICE_FLOW_FORWARD : SLUICE_FLOW_REVERSE);
    if (lose && flow.pair < 4) datapath.remove_flow(flow.self);
  }
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return datapath.totals().orphans == 4; }));
  EXPECT_TRUE(eventually([&] { return datapath.flows().size() == 4; })) << "two whole pairs are left";
  EXPECT_TRUE(eventually([&] { return inconsistency(datapath).empty(); })) << inconsistency(datapath);
}

TEST_P(Sweep, WrongCountsAreRepaired) {
  open(kTcp, 1);
  open(kUdp, 2);
  sluice_network_usage usage = datapath.usage(network.slot);
  usage.pairs = 40;
  usage.half_open = 9;
  datapath.put("network_usage", std::uint32_t{network.slot}, usage);
  sluice_flow_totals totals = datapath.totals();
  totals.shared_used = 50;
  datapath.put("flow_totals", std::uint32_t{0}, totals);
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return inconsistency(datapath).empty(); })) << inconsistency(datapath);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 2U);
  EXPECT_EQ(datapath.totals().shared_used, 2U);
}

TEST_P(Sweep, ItGoesOnWhenItIsStartedAgain) {
  datapath.start_sweep();
  ASSERT_TRUE(rounds(2));
  datapath.start_sweep();
  ASSERT_TRUE(rounds(5));
  const std::uint64_t slice = datapath.totals().last_slice;
  EXPECT_TRUE(eventually([&] { return datapath.totals().last_slice > slice; }));
}

TEST_P(Sweep, FreedPairsAreUsedAgain) {
  const std::uint64_t unit = coarse_now() / 4;
  change_settings([&](sluice_settings& s) { s.tcp_half_open = unit; });
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t port = 1; port <= 64; ++port) open(kTcp, port);
    age(2 * unit);
    datapath.start_sweep();
    ASSERT_TRUE(eventually([&] { return datapath.flows().empty() && datapath.usage(network.slot).pairs == 0; }));
  }
  EXPECT_EQ(datapath.totals().high_water, 64U);
}

IN_BOTH_FAMILIES(Sweep);

}  // namespace
}  // namespace bpftest
