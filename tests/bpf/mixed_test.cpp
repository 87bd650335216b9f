// SPDX-License-Identifier: Apache-2.0
// Both families at once: pods with an address of each, and one table of pairs that the flows of both share.
#include "harness/healing_test.hpp"

namespace bpftest {
namespace {

/// A client and a server with both families, and a service with both; `of` picks a family's address.
class Mixed : public HealingTest {
 protected:
  Mixed() : HealingTest(Family::kIpv4) {
    world.add_subnet(both, bpftest::ip("fd00:9::"), 64);
    client = world.pod(both, bpftest::ip("10.9.0.10"), bpftest::ip("fd00:9::10"));
    server = world.pod(both, bpftest::ip("10.9.0.20"), bpftest::ip("fd00:9::20"));
    for (const char* service : {kService4, kService6}) {
      services.push_back(world.service(both, service, 80, kTcp, {{server, 8080}}));
      world.service(both, service, 53, kUdp, {{server, 5353}});
    }
    for (const char* floating : {kFloating4, kFloating6}) world.floating(floating, 80, kTcp, both, {{server, 8080}});
  }

  static constexpr const char *kService4 = "10.9.1.1", *kService6 = "fd00:9::1:1";
  static constexpr const char *kFloating4 = "192.0.2.1", *kFloating6 = "2001:db8::1";

  [[nodiscard]] static Address service(Family of) { return bpftest::ip(of == Family::kIpv4 ? kService4 : kService6); }
  [[nodiscard]] Tuple there(Family of, std::uint16_t port) const { return {client.in(of), port, service(of), 80}; }
  [[nodiscard]] Tuple behind(Family of, std::uint16_t port) const { return {client.in(of), port, server.in(of), 8080}; }
  Outcome open(Family of, std::uint16_t port, unsigned flags = kSyn) {
    return send(client, tcp(client.to_router(), there(of, port), flags));
  }
  Outcome from_internet(Family of, std::uint16_t port) {
    const Address source = bpftest::ip(of == Family::kIpv4 ? "203.0.113.9" : "2001:db8:9::9");
    const Address floating = bpftest::ip(of == Family::kIpv4 ? kFloating4 : kFloating6);
    return receive(tcp(kInbound, {source, port, floating, 80}, kSyn));
  }
  [[nodiscard]] std::uint32_t pair_of(Family of, std::uint16_t port) const {
    return flow(both.id, kTcp, there(of, port)).value().pair;
  }
  [[nodiscard]] unsigned family_of(std::uint32_t pair) const {
    return datapath.element<sluice_pair>("pairs", pair).family;
  }

  Network both = world.network(9, 3, "10.9.0.0", 16);
  Pod client, server;
  std::vector<Frontend> services;  ///< IPv4's, IPv6's
};

constexpr Family kFour = Family::kIpv4, kSix = Family::kIpv6;

TEST_F(Mixed, APodSpeaksBothFamilies) {
  for (const Family of : kFamilies) {
    SCOPED_TRACE(name_of(of));
    EXPECT_EQ(send(client, question(client.mac, client.in(of), server.in(of))).frame,
              answer(server.mac, server.in(of), client.mac, client.in(of)));
    const Frame direct = udp(client.to(server), {client.in(of), 1, server.in(of), 2});
    EXPECT_EQ(send(client, direct).frame, direct);
    const Frame syn = tcp(client.to_router(), there(of, 40000), kSyn);
    EXPECT_EQ(send(client, syn).frame, translated(syn, to_pod(server), behind(of, 40000)));
    const Frame answer = tcp(server.to_router(), behind(of, 40000).reversed(), kSyn | kAck);
    EXPECT_EQ(send(server, answer).frame, translated(answer, to_pod(client), there(of, 40000).reversed()));
    EXPECT_EQ(family_of(pair_of(of, 40000)), static_cast<unsigned>(of));
  }
  EXPECT_EQ(datapath.usage(both.slot).pairs, 2U) << "one network, one share";
}

TEST_F(Mixed, NeitherFamilyLendsTheOtherAnAddress) {
  const Frame four = udp(client.to(server), {client.in(kFour), 1, server.in(kFour), 2});
  EXPECT_EQ(send(client, Frame(four).set_source(server.in(kFour))).reason, SLUICE_REASON_SPOOFED_IP);
  const Frame six = udp(client.to(server), {client.in(kSix), 1, server.in(kSix), 2});
  EXPECT_EQ(send(client, Frame(six).set_source(server.in(kSix))).reason, SLUICE_REASON_SPOOFED_IP);
  // IPv4 behind an IPv6 ethertype and the other way round is judged by the ethertype.
  EXPECT_EQ(send(client, Frame(four).set16(12, 0x86dd).resize(80)).reason, SLUICE_REASON_BAD_IP_HEADER);
  EXPECT_EQ(send(client, Frame(six).set16(12, 0x0800)).reason, SLUICE_REASON_BAD_IP_HEADER);
}

TEST_F(Mixed, APodOfOneFamilyHasNoneOfTheOther) {
  const Pod old = world.pod(both, "10.9.0.30"), modern = world.pod(both, "fd00:9::40");
  EXPECT_EQ(send(old, udp(old.to(server), {client.in(kSix), 1, server.in(kSix), 2})).reason, SLUICE_REASON_NO_FAMILY);
  EXPECT_EQ(send(old, question(old.mac, bpftest::ip("fe80::1"), both.v6.router)).reason, SLUICE_REASON_NO_FAMILY);
  EXPECT_EQ(send(modern, udp(modern.to(server), {client.in(kFour), 1, server.in(kFour), 2})).reason,
            SLUICE_REASON_NO_FAMILY);
  EXPECT_EQ(send(modern, question(modern.mac, client.in(kFour), both.v4.router)).reason, SLUICE_REASON_NO_FAMILY);
  for (const Pod& pod : {old, modern}) {
    const Frame frame = udp(pod.to(server), {pod.address, 1, server.in(pod.address.family()), 2});
    EXPECT_EQ(send(pod, frame).frame, frame) << "its own it has";
  }
}

TEST_F(Mixed, ARemovedPodEndsItsFlowsOfBoth) {
  for (const Family of : kFamilies) ASSERT_EQ(open(of, 1).reason, SLUICE_REASON_TO_BACKEND);
  world.remove(server);
  for (const Family of : kFamilies) {
    EXPECT_EQ(open(of, 1, kAck).reason, SLUICE_REASON_REFUSED_TCP) << name_of(of);
    EXPECT_EQ(send(client, udp(client.to(server), {client.in(of), 1, server.in(of), 2})).reason,
              SLUICE_REASON_NO_SUCH_ADDRESS);
  }
}

TEST_F(Mixed, AServicesFamiliesEndApart) {
  for (const Family of : kFamilies) ASSERT_EQ(open(of, 1).reason, SLUICE_REASON_TO_BACKEND);
  world.bump(services[1]);
  EXPECT_EQ(open(kFour, 1, kAck).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(open(kSix, 1, kAck).reason, SLUICE_REASON_REFUSED_TCP);
}

TEST_F(Mixed, AnIndexThatOneFamilyGaveBackIsTheOthersNext) {
  Family first = kFour, second = kSix;
  for (std::uint16_t round = 1; round <= 4; ++round, std::swap(first, second)) {
    ASSERT_EQ(open(first, round).reason, SLUICE_REASON_TO_BACKEND);
    const std::uint32_t index = pair_of(first, round);
    ASSERT_EQ(open(first, round, kRst).reason, SLUICE_REASON_TO_BACKEND);
    // A direct SYN of the same tuple deletes the closing pair.
    ASSERT_EQ(send(client, tcp(client.to(server), behind(first, round), kSyn)).reason, SLUICE_REASON_TO_POD);
    ASSERT_EQ(open(second, round).reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(pair_of(second, round), index);
    EXPECT_EQ(family_of(index), static_cast<unsigned>(second));
    expect_consistent(datapath);
    // The first family's flow is made anew elsewhere, though the index still has its old keys.
    ASSERT_EQ(open(first, round).reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_NE(pair_of(first, round), index);
    for (const Family of : kFamilies) {
      EXPECT_EQ(open(of, round, kAck).reason, SLUICE_REASON_TO_BACKEND);
      ASSERT_EQ(open(of, round, kRst).reason, SLUICE_REASON_TO_BACKEND);
      ASSERT_EQ(send(client, tcp(client.to(server), behind(of, round), kSyn)).reason, SLUICE_REASON_TO_POD);
    }
  }
  EXPECT_EQ(datapath.totals().high_water, 2U);
  EXPECT_TRUE(datapath.flows().empty());
}

/// A record that a failed deletion has left names an index that is the other family's by now, with its old keys there.
class MixedLeftover : public Mixed, public ::testing::WithParamInterface<Family> {
 protected:
  MixedLeftover() {
    left = GetParam();
    other = left == kFour ? kSix : kFour;
    EXPECT_EQ(open(left, 1).reason, SLUICE_REASON_TO_BACKEND);
    forward = flow(both.id, kTcp, there(left, 1)).value();
    reverse = flow(both.id, kTcp, behind(left, 1).reversed()).value();
    open(left, 1, kRst);
    send(client, tcp(client.to(server), behind(left, 1), kSyn));
    EXPECT_TRUE(datapath.flows().empty());
    EXPECT_EQ(open(other, 1).reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(pair_of(other, 1), forward.pair);
  }
  void expect_other_alive() {
    EXPECT_EQ(pair_of(other, 1), forward.pair);
    EXPECT_EQ(open(other, 1, kAck).reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(send(server, tcp(server.to_router(), behind(other, 1).reversed(), kAck)).reason, SLUICE_REASON_TO_CLIENT);
  }
  Family left = kFour, other = kSix;
  FlowRecord forward, reverse;
};

TEST_P(MixedLeftover, AClosingForwardRecordGoesAlone) {
  forward.state |= SLUICE_STATE_FIN;
  datapath.put_flow(forward);
  EXPECT_EQ(open(left, 1).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_NE(pair_of(left, 1), forward.pair);
  expect_other_alive();
}

TEST_P(MixedLeftover, AnEndedForwardRecordGoesAlone) {
  --forward.frontend.generation;
  datapath.put_flow(forward);
  EXPECT_EQ(open(left, 1).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_NE(pair_of(left, 1), forward.pair);
  expect_other_alive();
}

TEST_P(MixedLeftover, AReverseRecordMakesRoom) {
  datapath.put_flow(reverse);
  const Outcome outcome = open(left, 1);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame.get16(outcome.frame.l4()), 1U) << "without a substitute port";
  EXPECT_NE(pair_of(left, 1), forward.pair);
  expect_other_alive();
}

IN_BOTH_FAMILIES(MixedLeftover);

TEST_F(Mixed, TheShareIsOneForBoth) {
  world.limits(both, 0, 3, 100);
  EXPECT_EQ(open(kFour, 1).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(open(kSix, 1).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(open(kSix, 2).reason, SLUICE_REASON_TO_BACKEND);
  for (const Family of : kFamilies) EXPECT_EQ(open(of, 9).reason, SLUICE_REASON_NETWORK_CAP) << name_of(of);
  EXPECT_EQ(datapath.totals().shared_used, 3U);
}

TEST_F(Mixed, TheHalfOpenCapIsOneForBoth) {
  world.limits(both, 0, 100, 2);
  EXPECT_EQ(from_internet(kFour, 1).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(from_internet(kSix, 1).reason, SLUICE_REASON_TO_BACKEND);
  for (const Family of : kFamilies) EXPECT_EQ(from_internet(of, 2).reason, SLUICE_REASON_HALF_OPEN_CAP) << name_of(of);
  EXPECT_EQ(datapath.usage(both.slot).half_open, 2U);
}

TEST_F(Mixed, TheRateOfRefusalsIsOneForBoth) {
  change_settings([](sluice_settings& s) { s.refusals_per_second = 1; });
  sluice_network_usage usage = datapath.usage(both.slot);
  usage.inside.began = coarse_now();
  usage.inside.answers = 1;
  datapath.put("network_usage", std::uint32_t{both.slot}, usage);
  for (const Family of : kFamilies) EXPECT_EQ(open(of, 1, kAck).reason, SLUICE_REASON_REFUSAL_LIMITED) << name_of(of);
}

TEST_F(Mixed, AFullTableIsFullForBoth) {
  for (std::uint16_t port = 1; port <= datapath.pairs() / 2; ++port) {
    for (const Family of : kFamilies) ASSERT_EQ(open(of, port).reason, SLUICE_REASON_TO_BACKEND);
  }
  change_settings([](sluice_settings& s) { s.shared_pairs = 1000; });
  world.limits(both, 0, 1000, 1000);
  for (const Family of : kFamilies) EXPECT_EQ(open(of, 1000).reason, SLUICE_REASON_FLOW_TABLE_FULL);
  for (const Family of : kFamilies) EXPECT_EQ(open(of, 1, kAck).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_F(Mixed, TheSweepEndsIdlePairsOfBoth) {
  const std::uint64_t unit = coarse_now() / 8;
  change_settings([&](sluice_settings& s) {
    s.tcp_half_open = unit;
    s.delete_grace = 1;
  });
  for (std::uint16_t port = 1; port <= 10; ++port) {
    for (const Family of : kFamilies) ASSERT_EQ(open(of, port).reason, SLUICE_REASON_TO_BACKEND);
  }
  for (FlowRecord record : datapath.flows()) {
    if (record.pair % 4 < 2) continue;  // two of four, one of each family
    record.last_seen = coarse_now() - 4 * unit;
    datapath.put_flow(record);
  }
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return datapath.totals().expired == 10; }));
  EXPECT_TRUE(eventually([&] { return datapath.usage(both.slot).pairs == 10; }));
  std::map<Family, unsigned> left;
  for (const FlowRecord& record : datapath.flows()) ++left[record.self.family()];
  EXPECT_EQ(left[kFour], 10U);
  EXPECT_EQ(left[kSix], 10U);
}

TEST_F(Mixed, TheSweepRepairsOrphansAndEndedPairsOfBoth) {
  change_settings([](sluice_settings& s) { s.delete_grace = 1; });
  for (std::uint16_t port = 1; port <= 3; ++port) {
    for (const Family of : kFamilies) ASSERT_EQ(open(of, port).reason, SLUICE_REASON_TO_BACKEND);
  }
  for (const Family of : kFamilies) {
    datapath.remove_flow({both.id, kTcp, there(of, 1)});
    FlowRecord ended = flow(both.id, kTcp, there(of, 2)).value();
    --ended.frontend.generation;
    datapath.put_flow(ended);
  }
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return datapath.totals().orphans == 2 && datapath.totals().ended == 2; }));
  EXPECT_TRUE(eventually([&] { return datapath.flows().size() == 4; })) << "the third of each";
}

}  // namespace
}  // namespace bpftest
