// SPDX-License-Identifier: Apache-2.0
// Packets that are longer than the MTU of where they go, and the maximum segment size of TCP connections that cross
// the network's border.
#include <map>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr unsigned kUsual = 1500;

class Mtu : public FamilyTest {
 protected:
  Mtu() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
    world.floating("192.0.2.1", 53, kUdp, network, {{server, 5353}});
  }
  void TearDown() override {
    for (const std::uint32_t ifindex : changed_) bpftest::set_mtu(ifindex, kUsual);
    FamilyTest::TearDown();
  }
  void set_mtu(std::uint32_t ifindex, unsigned mtu) {
    changed_.push_back(ifindex);
    bpftest::set_mtu(ifindex, mtu);
  }

  /// A payload that makes a packet of `length` bytes, its IP header included.
  [[nodiscard]] Bytes payload(unsigned length, unsigned transport) const {
    return Bytes(length - (l4 - kIp) - transport, 0x5a);
  }
  [[nodiscard]] Frame to_service(unsigned length) const {
    return udp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 53}, payload(length, 8));
  }
  [[nodiscard]] Frame to_floating(unsigned length) const {
    return udp(kInbound, {outside, 40000, ip("192.0.2.1"), 53}, payload(length, 8));
  }
  [[nodiscard]] Frame answer(const Address& client_address, unsigned length) const {
    return udp(server.to_router(), {server.address, 5353, client_address, 40000}, payload(length, 8));
  }
  /// Fragmentation needed, or packet too big.
  [[nodiscard]] Frame too_big(const Frame& frame, const Address& from, unsigned mtu) const {
    return icmp_error(frame, from, pick<std::uint8_t>(3, 2), pick<std::uint8_t>(4, 0), mtu);
  }
  [[nodiscard]] std::uint64_t packets_seen() const {
    std::uint64_t packets = 0;
    for (const FlowRecord& record : datapath.flows()) packets += record.packets;
    return packets;
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Address outside = ip("203.0.113.9");

 private:
  std::vector<std::uint32_t> changed_;
};

TEST_P(Mtu, TheRouterTellsOfAPacketThatIsTooLongForItsBackend) {
  set_mtu(server.ifindex, 1400);
  const Frame frame = to_service(1401);
  const Outcome outcome = send(client, frame);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(frame, network.router, 1400));
  EXPECT_TRUE(datapath.flows().empty()) << "it makes no flow";
  EXPECT_EQ(send(client, to_service(1400)).reason, SLUICE_REASON_TO_BACKEND) << "one byte less fits";
}

TEST_P(Mtu, AnEstablishedFlowIsToldInBothDirections) {
  ASSERT_EQ(send(client, to_service(100)).reason, SLUICE_REASON_TO_BACKEND);
  set_mtu(server.ifindex, 1400);
  set_mtu(client.ifindex, 1300);
  Outcome outcome = send(client, to_service(1401));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(to_service(1401), network.router, 1400));
  outcome = send(server, answer(client.address, 1301));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(answer(client.address, 1301), network.router, 1300));
  EXPECT_EQ(packets_seen(), 1U) << "the flow has not seen them";
  EXPECT_EQ(send(client, to_service(1400)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(send(server, answer(client.address, 1300)).reason, SLUICE_REASON_TO_CLIENT);
}

TEST_P(Mtu, TheFloatingIpTellsOutside) {
  set_mtu(server.ifindex, 1400);
  Outcome outcome = receive(to_floating(1401));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(to_floating(1401), ip("192.0.2.1"), 1400));
  ASSERT_EQ(receive(to_floating(1400)).reason, SLUICE_REASON_TO_BACKEND);
  outcome = receive(to_floating(1401));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG) << "an established flow";
  EXPECT_EQ(outcome.frame, too_big(to_floating(1401), ip("192.0.2.1"), 1400));
}

TEST_P(Mtu, TheRouterTellsAPodOfTheUplink) {
  ASSERT_EQ(receive(to_floating(100)).reason, SLUICE_REASON_TO_BACKEND);
  set_mtu(world.uplink(), 1280);
  const Outcome outcome = send(server, answer(outside, 1281));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(answer(outside, 1281), network.router, 1280));
  EXPECT_EQ(send(server, answer(outside, 1280)).reason, SLUICE_REASON_TO_UPLINK);
}

TEST_P(Mtu, OfGsoTheSegmentsAreMeasured) {
  const unsigned headers = static_cast<unsigned>(l4 - kIp);
  const Tuple tuple{client.address, 40000, ip("172.16.1.1"), 80};
  ASSERT_EQ(send(client, tcp(client.to_router(), tuple, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  set_mtu(server.ifindex, 1300);
  const Frame segments = tcp(client.to_router(), tuple, kAck,
                             {.payload = Bytes(2600, 7), .options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}});
  const auto run = [&](const Frame& frame, unsigned gso_size) {
    return datapath.run(SLUICE_ENTRY_FROM_POD, client.ifindex, frame, gso_size);
  };
  EXPECT_EQ(run(segments, 1300 - headers - 32).reason, SLUICE_REASON_TO_BACKEND);
  const Outcome outcome = run(segments, 1300 - headers - 32 + 1);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, too_big(segments, network.router, 1300));
  const Frame datagrams = to_service(2800);
  EXPECT_EQ(run(datagrams, 1300 - headers - 8).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(run(datagrams, 1300 - headers - 8 + 1).reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(run(to_service(1300), 4000).reason, SLUICE_REASON_TO_BACKEND) << "one segment, and it is shorter";
}

TEST_P(Mtu, WhatFitsEverywhereIsNotMeasured) {
  set_mtu(server.ifindex, 1400);
  change_settings([](sluice_settings& settings) { settings.smallest_mtu = 1450; });
  EXPECT_EQ(send(client, to_service(1450)).reason, SLUICE_REASON_TO_BACKEND) << "the daemon said that it would fit";
  EXPECT_EQ(send(client, to_service(1451)).reason, SLUICE_REASON_TOO_BIG);
}

TEST_P(Mtu, IsRateLimited) {
  set_mtu(server.ifindex, 1400);
  change_settings([](sluice_settings& settings) { settings.refusals_per_second = 1; });
  EXPECT_EQ(send(client, to_service(1401)).reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(send(client, to_service(1401)).reason, SLUICE_REASON_REFUSAL_LIMITED);
  EXPECT_EQ(receive(to_floating(1401)).reason, SLUICE_REASON_TOO_BIG) << "outside has a rate of its own";
  EXPECT_EQ(receive(to_floating(1401)).reason, SLUICE_REASON_REFUSAL_LIMITED);
}

TEST_P(Mtu, HopsAreCountedFirst) {
  set_mtu(server.ifindex, 1400);
  EXPECT_EQ(send(client, to_service(1401).set_hops(1).fix_checksums()).reason, SLUICE_REASON_TIME_EXCEEDED);
}

TEST_P(Mtu, NothingIsSaidOfAnErrorThatIsTooLong) {
  ASSERT_EQ(receive(to_floating(100)).reason, SLUICE_REASON_TO_BACKEND);
  set_mtu(world.uplink(), 1280);
  const Frame received = udp(to_pod(server), {outside, 40000, server.address, 5353}, payload(1280, 8));
  const auto error = [&](std::size_t quoted) {
    Bytes rest(4);
    rest.insert(rest.end(), received.bytes.begin() + kIp, received.bytes.begin() + static_cast<int>(kIp + quoted));
    return icmp(server.to_router(), server.address, outside, pick<std::uint8_t>(3, 1), pick<std::uint8_t>(3, 4), rest);
  };
  const std::size_t most = 1280 - (l4 - kIp) - 8;
  EXPECT_EQ(send(server, error(most)).reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(send(server, error(most + 1)).reason, SLUICE_REASON_ICMP_ERROR);
}

TEST_P(Mtu, BetweenPodsNothingIsRouted) {
  set_mtu(server.ifindex, 1400);
  const Frame frame = udp(client.to(server), {client.address, 1, server.address, 2}, payload(1500, 8));
  const Outcome outcome = send(client, frame);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, frame);
}

IN_BOTH_FAMILIES(Mtu);

using Mtu4 = InIpv4<ProgramTest>;

TEST_F(Mtu4, ADatagramThatMayBeFragmentedIsToldAsWell) {
  const Network network = world.network(7, 1);
  const Pod client = world.pod(network, "172.16.0.10"), server = world.pod(network, "172.16.0.20");
  world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
  set_mtu(server.ifindex, 1400);
  Frame frame = udp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 53}, Bytes(1400, 1));
  frame.set16(kIp + 6, 0).fix_checksums();
  const Outcome outcome = send(client, frame);
  set_mtu(server.ifindex, kUsual);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TOO_BIG);
  EXPECT_EQ(outcome.frame, icmp_error(frame, network.router, 3, 4, 1400));
}

// ---- maximum segment size -------------------------------------------------------------------------------------------

class Mss : public Mtu {
 protected:
  [[nodiscard]] unsigned headers() const { return pick(40U, 60U); }
  [[nodiscard]] static Bytes mss(unsigned value) {
    return {2, 4, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
  }
  [[nodiscard]] Tuple there() const { return {outside, 40000, ip("192.0.2.1"), 80}; }
  [[nodiscard]] Tuple behind() const { return {outside, 40000, server.address, 8080}; }
  [[nodiscard]] Frame syn(const Bytes& options, const Bytes& data = {}) const {
    return tcp(kInbound, there(), kSyn, {.payload = data, .options = options});
  }
  /// What the backend gets of syn(options), where the options are to become `changed`.
  [[nodiscard]] Frame received(const Bytes& changed, const Bytes& data = {}) const {
    return translated(syn(changed, data), to_pod(server), behind());
  }
};

TEST_P(Mss, IsNoMoreThanBothDevicesCarry) {
  const auto sent = [this](unsigned of_uplink, unsigned of_pod) {
    set_mtu(world.uplink(), of_uplink);
    set_mtu(server.ifindex, of_pod);
    return receive(syn(mss(9000))).frame;
  };
  EXPECT_EQ(sent(1400, 1500), received(mss(1400 - headers())));
  EXPECT_EQ(sent(1500, 1400), received(mss(1400 - headers()))) << "of a flow that is there already";
  EXPECT_EQ(sent(1450, 1450), received(mss(1450 - headers())));
}

TEST_P(Mss, OfTheAnswerIsClampedToo) {
  ASSERT_EQ(receive(syn(mss(1460))).reason, SLUICE_REASON_TO_BACKEND);
  set_mtu(world.uplink(), 1400);
  const auto answer = [&](const Bytes& options) {
    return tcp(server.to_router(), behind().reversed(), kSyn | kAck, {.options = options});
  };
  const Outcome outcome = send(server, answer(mss(1460)));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
  EXPECT_EQ(outcome.frame, translated(answer(mss(1400 - headers())), server.to_router(), there().reversed()));
}

TEST_P(Mss, IsChangedWhereverItStands) {
  set_mtu(world.uplink(), 1400);
  const unsigned most = 1400 - headers();
  const auto around = [](const Bytes& before, const Bytes& option, const Bytes& after) {
    Bytes all = before;
    all.insert(all.end(), option.begin(), option.end());
    all.insert(all.end(), after.begin(), after.end());
    return all;
  };
  const std::pair<Bytes, Bytes> places[] = {
      {{}, {}},
      {{}, {4, 2, 1, 1}},
      {{1}, {1, 1, 1}},
      {{1, 1, 1}, {0}},
      {{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, {1, 3, 3, 7}},
      {{3, 3, 7}, {1}},
      {Bytes(36, 1), {}},
      {{2, 3, 9}, {1}},              // an MSS of another length is none
      {{2, 6, 9, 9, 9, 9}, {1, 1}},  // likewise
      {{253, 16, 2, 4, 255, 255, 2, 4, 255, 255, 2, 4, 255, 255, 2, 4}, {}},
  };
  for (const auto& [before, after] : places) {
    for (const unsigned value : {most + 1, 0xffffU}) {
      const Outcome outcome = receive(syn(around(before, mss(value), after), {9, 9, 9}));
      ASSERT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
      EXPECT_EQ(outcome.frame, received(around(before, mss(most), after), {9, 9, 9})) << before.size();
    }
    for (const unsigned value : {most, most - 1, 0U}) {
      const Bytes options = around(before, mss(value), after);
      EXPECT_EQ(receive(syn(options)).frame, received(options)) << before.size() << " small enough";
    }
  }
}

TEST_P(Mss, IsChangedAsOftenAsItStands) {
  set_mtu(world.uplink(), 1400);
  const unsigned most = 1400 - headers();
  Bytes options, expected;
  for (unsigned i = 0; i < 10; ++i) {
    const Bytes large = mss(most + i), small = mss(most);
    options.insert(options.end(), large.begin(), large.end());
    expected.insert(expected.end(), small.begin(), small.end());
  }
  EXPECT_EQ(receive(syn(options)).frame, received(expected));
}

TEST_P(Mss, IsNotFoundWhereThereIsNone) {
  set_mtu(world.uplink(), 1400);
  const Bytes large = {2, 4, 255, 255};
  const std::pair<Bytes, Bytes> cases[] = {
      {{}, large},                           // payload
      {{1, 1, 1, 2}, {4, 255, 255, 0}},      // begins in the options, ends in the payload
      {{1, 1, 2, 4}, {255, 255, 0, 0}},      // likewise
      {{1, 2, 4, 255}, {255, 0, 0, 0}},      // likewise
      {{0, 2, 4, 255, 255, 0, 0, 0}, {}},    // behind the end of the options
      {{8, 0, 2, 4, 255, 255, 0, 0}, {}},    // behind an option of no length
      {{8, 1, 2, 4, 255, 255, 0, 0}, {}},    // behind an option that does not hold its own length
      {{8, 7, 2, 4, 255, 255, 1, 1}, {}},    // inside another
      {{8, 255, 2, 4, 255, 255, 1, 1}, {}},  // behind one that is longer than the options
      {{2, 3, 255, 1}, {}},                  // of a wrong length
      {{2, 2, 255, 255}, {}},                // likewise; what follows it is no option
      {Bytes(40, 1), large},
      {Bytes(40, 2), {}},
      {Bytes(40, 0), large},
      {Bytes(40, 255), large},
  };
  for (const auto& [options, data] : cases) {
    const Outcome outcome = receive(syn(options, data));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(outcome.frame, received(options, data));
  }
}

TEST_P(Mss, IsLeftAloneInsideTheNetworkAndBehindTheSyn) {
  set_mtu(server.ifindex, 1400);
  const Tuple tuple{client.address, 40000, ip("172.16.1.1"), 80};
  const Frame inside = tcp(client.to_router(), tuple, kSyn, {.options = mss(1460)});
  EXPECT_EQ(send(client, inside).frame,
            translated(inside, to_pod(server), {client.address, 40000, server.address, 8080}));
  ASSERT_EQ(receive(syn({})).reason, SLUICE_REASON_TO_BACKEND);
  const Frame later = tcp(kInbound, there(), kAck, {.options = mss(1460)});
  EXPECT_EQ(receive(later).frame, translated(later, to_pod(server), behind()));
}

IN_BOTH_FAMILIES(Mss);

}  // namespace
}  // namespace bpftest
