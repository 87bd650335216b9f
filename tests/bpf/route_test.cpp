// SPDX-License-Identifier: Apache-2.0
// The router counts hops, and says so when a packet has come too far; protocols that a service does not carry; pods
// that reach their network's floating IPs.
#include <algorithm>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Route : public FamilyTest {
 protected:
  Route() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  }

  [[nodiscard]] Frame to_service(unsigned hops) const {
    return udp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 53}).set_hops(hops).fix_checksums();
  }
  /// The error that a router at `from` sends about `frame`, with 8 bytes behind the quoted header.
  [[nodiscard]] static Frame error(const Frame& frame, const Address& from, std::uint8_t type, std::uint8_t code,
                                   std::uint8_t pointer = 0) {
    const std::size_t quoted = frame.l4() - kIp + 8;
    Bytes rest(4 + quoted);
    rest[3] = pointer;
    std::copy_n(frame.bytes.begin() + kIp, quoted, rest.begin() + 4);
    Frame made = icmp({frame.mac(0), frame.mac(6)}, from, frame.source(), type, code, rest);
    if (made.family() == Family::kIpv4) made.set16(kIp + 4, 0);  // the identification
    return made.fix_checksums();
  }
  [[nodiscard]] Frame time_exceeded(const Frame& frame, const Address& from) const {
    return error(frame, from, pick<std::uint8_t>(11, 3), 0);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
};

TEST_P(Route, ToAServiceIsAHop) {
  const Outcome outcome = send(client, to_service(2));
  ASSERT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame.get8(kIp + pick(8, 7)), 1U);
}

TEST_P(Route, TheRouterTellsOfAPacketThatHasComeTooFar) {
  for (const unsigned hops : {0U, 1U}) {
    const Frame frame = to_service(hops);
    const Outcome outcome = send(client, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TIME_EXCEEDED);
    EXPECT_EQ(outcome.frame, time_exceeded(frame, network.router));
  }
  EXPECT_TRUE(datapath.flows().empty()) << "it makes no flow";
}

TEST_P(Route, AnEstablishedFlowIsRoutedTheSameWay) {
  ASSERT_EQ(send(client, to_service(64)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(send(client, to_service(1)).reason, SLUICE_REASON_TIME_EXCEEDED);
  EXPECT_EQ(datapath.flows().front().packets + datapath.flows().back().packets, 1U) << "the flow has not seen it";
  const Frame reply = udp(server.to_router(), {server.address, 5353, client.address, 40000}).set_hops(1);
  EXPECT_EQ(send(server, Frame(reply).fix_checksums()).reason, SLUICE_REASON_TIME_EXCEEDED);
}

TEST_P(Route, OutsideTheFloatingIpTells) {
  const Address outside = ip("203.0.113.9");
  const Frame frame = tcp(kInbound, {outside, 4000, ip("192.0.2.1"), 80}, kSyn).set_hops(1).fix_checksums();
  const Outcome outcome = receive(frame);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TIME_EXCEEDED);
  EXPECT_EQ(outcome.frame, time_exceeded(frame, ip("192.0.2.1")));
}

TEST_P(Route, IsRateLimited) {
  change_settings([](sluice_settings& settings) { settings.refusals_per_second = 0; });
  EXPECT_EQ(send(client, to_service(1)).reason, SLUICE_REASON_REFUSAL_LIMITED);
}

TEST_P(Route, BetweenPodsIsNoHop) {
  const Frame frame = udp(client.to(server), {client.address, 1, server.address, 2}).set_hops(1).fix_checksums();
  const Outcome outcome = send(client, frame);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, frame);
}

TEST_P(Route, AServiceSaysWhichProtocolsItDoesNotCarry) {
  for (const std::uint8_t protocol : {kExperiment, std::uint8_t{47}, std::uint8_t{50}}) {
    const Frame frame = ip_packet(client.to_router(), client.address, ip("172.16.1.1"), protocol, Bytes(24, 3));
    const Outcome outcome = send(client, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_PROTOCOL) << unsigned{protocol};
    EXPECT_EQ(outcome.frame, error(frame, ip("172.16.1.1"), pick<std::uint8_t>(3, 4), pick<std::uint8_t>(2, 1),
                                   pick<std::uint8_t>(0, 6)));
  }
  const Frame frame = ip_packet(kInbound, ip("203.0.113.9"), ip("192.0.2.1"), kExperiment, Bytes(24, 3));
  EXPECT_EQ(receive(frame).reason, SLUICE_REASON_REFUSED_PROTOCOL);
}

class FloatingFromInside : public Route {
 protected:
  [[nodiscard]] Frame to_floating(const Pod& pod, unsigned flags) const {
    return tcp(pod.to_router(), {pod.address, 40000, ip("192.0.2.1"), 80}, flags);
  }
};

TEST_P(FloatingFromInside, APodReachesItsNetworksFloatingIp) {
  const Frame syn = to_floating(client, kSyn);
  const Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, server.from_router(), {client.address, 40000, server.address, 8080}));
  const Frame answer = tcp(server.to_router(), {server.address, 8080, client.address, 40000}, kSyn | kAck);
  const Outcome back = send(server, answer);
  EXPECT_EQ(back.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(back.frame, translated(answer, client.from_router(), {ip("192.0.2.1"), 80, client.address, 40000}));
}

TEST_P(FloatingFromInside, TheBackendItselfSeesTheFloatingIpAsItsClient) {
  const Frame syn = to_floating(server, kSyn);
  const Outcome outcome = send(server, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, server.from_router(), {ip("192.0.2.1"), 40000, server.address, 8080}));
}

TEST_P(FloatingFromInside, AnotherNetworksFloatingIpIsOutside) {
  const Network other = world.network(8, 2);
  const Pod stranger = world.pod(other, "172.16.0.10");
  EXPECT_EQ(send(stranger, to_floating(stranger, kSyn)).reason, SLUICE_REASON_NO_EGRESS);
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(FloatingFromInside, APingOfAFloatingIpIsAnswered) {
  const Frame ping = echo_request(client.to_router(), client.address, ip("192.0.2.1"), 5);
  const Outcome outcome = send(client, ping);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ECHO_ANSWERED);
  EXPECT_EQ(outcome.frame, echo_reply({kRouterMac, client.mac}, ip("192.0.2.1"), client.address, 5));
}

TEST_P(FloatingFromInside, AnAddressOfTheNetworkComesBeforeAFloatingIp) {
  const Network wide = world.network(9, 3, "192.0.0.0", 16);
  const Pod inside = world.pod(wide, "192.0.5.5");
  EXPECT_EQ(send(inside, to_floating(inside, kSyn)).reason, SLUICE_REASON_NO_SUCH_ADDRESS);
}

IN_BOTH_FAMILIES(Route);
IN_BOTH_FAMILIES(FloatingFromInside);

}  // namespace
}  // namespace bpftest
