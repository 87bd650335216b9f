// SPDX-License-Identifier: Apache-2.0
// Floating IPs: from the uplink to a pod and back, charged to the tenant behind them.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Floating : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Pod second = world.pod(network, "172.16.0.21");
  Address client = ip("203.0.113.9");
  Address address = ip("192.0.2.1");
};

TEST_P(Floating, TcpIsTranslatedThereAndBackWithWholeChecksums) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  const Tuple there{client, 40000, address, 80};
  const Tuple behind{client, 40000, server.address, 8080};
  const Frame syn = tcp(kInbound, there, kSyn, {.options = {2, 4, 5, 0xa0}});
  Outcome outcome = receive(syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(server), behind));

  const Frame syn_ack = tcp(server.to_router(), behind.reversed(), kSyn | kAck, {.payload = Bytes(333, 0x7e)});
  outcome = send(server, syn_ack);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
  // The neighbour's addresses are the kernel's to fill in (bpf_redirect_neigh); here they stay.
  EXPECT_EQ(outcome.frame, translated(syn_ack, server.to_router(), there.reversed()));
  const auto reverse = flow(7, kTcp, behind.reversed());
  ASSERT_TRUE(reverse.has_value());
  EXPECT_EQ(reverse->delivery, SLUICE_DELIVER_UPLINK);
  EXPECT_EQ(reverse->ifindex, world.uplink()) << "replies leave by the uplink that the flow came in by";
  EXPECT_EQ(flow(0, kTcp, there).value().network_slot, network.slot) << "charged to the tenant";
  EXPECT_EQ(datapath.usage(0).pairs, 0U);
  EXPECT_EQ(datapath.usage(1).pairs, 1U);
}

TEST_P(Floating, UdpIsTranslatedThereAndBackWithWholeChecksums) {
  world.floating("192.0.2.1", 53, kUdp, network, {{server, 5353}});
  const Tuple there{client, 40000, address, 53};
  const Tuple behind{client, 40000, server.address, 5353};
  for (std::size_t length : {0U, 3U, 1200U}) {
    const Frame query = udp(kInbound, there, Bytes(length, 0x11));
    EXPECT_EQ(receive(query).frame, translated(query, to_pod(server), behind));
    Frame without = query;
    without.set16(l4 + 6, 0);
    EXPECT_EQ(receive(without).frame, translated(without, to_pod(server), behind));
    const Frame reply = udp(server.to_router(), behind.reversed(), Bytes(length, 0x22));
    const Outcome outcome = send(server, reply);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
    EXPECT_EQ(outcome.frame, translated(reply, server.to_router(), there.reversed()));
  }
}

TEST_P(Floating, TwoServicesShareOneAddressOnDifferentPorts) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  world.floating("192.0.2.1", 443, kTcp, network, {{second, 8443}});
  const Network other = world.network(8, 2);
  const Pod guest = world.pod(other, "172.16.0.20");
  world.floating("192.0.2.1", 25, kTcp, other, {{guest, 2525}});
  const auto syn = [&](std::uint16_t port) { return tcp(kInbound, {client, 40000, address, port}, kSyn); };
  EXPECT_EQ(receive(syn(80)).frame, translated(syn(80), to_pod(server), {client, 40000, server.address, 8080}));
  EXPECT_EQ(receive(syn(443)).frame, translated(syn(443), to_pod(second), {client, 40000, second.address, 8443}));
  EXPECT_EQ(receive(syn(25)).frame, translated(syn(25), to_pod(guest), {client, 40000, guest.address, 2525}));
  EXPECT_EQ(datapath.usage(1).pairs, 2U);
  EXPECT_EQ(datapath.usage(2).pairs, 1U);
}

TEST_P(Floating, PingIsAnsweredByTheAddressItselfUnlessAServiceHasIt) {
  world.floating_address("192.0.2.1");
  const Frame request = echo_request(kInbound, client, address, 77);
  Outcome outcome = receive(request);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ECHO_ANSWERED);
  EXPECT_EQ(outcome.frame, echo_reply({kUplinkMac, kGatewayMac}, address, client, 77));

  world.floating("192.0.2.1", 0, kIcmp, network, {{server, 0}});
  outcome = receive(request);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(request, to_pod(server), {client, 0, server.address, 0}));
  const Frame reply = echo_reply(server.to_router(), server.address, client, 77);
  outcome = send(server, reply);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
  EXPECT_EQ(outcome.frame, translated(reply, server.to_router(), {address, 0, client, 0}));
}

TEST_P(Floating, PingOfTheAddressIsRateLimitedOnThePublicSide) {
  world.floating_address("192.0.2.1");
  change_settings([](sluice_settings& s) { s.refusals_per_second = 1; });
  unsigned limited = 0;
  for (int i = 0; i < 10; ++i) {
    limited += receive(echo_request(kInbound, client, address, 77)).reason == SLUICE_REASON_REFUSAL_LIMITED ? 1 : 0;
  }
  EXPECT_GE(limited, 7U);
  world.floating_address("192.0.2.77");
  EXPECT_EQ(receive(echo_request(kInbound, client, ip("192.0.2.77"), 77)).reason, SLUICE_REASON_ECHO_ANSWERED)
      << "another address has a rate of its own";
}

TEST_P(Floating, OtherIcmpAndOtherProtocolsAreNamed) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  EXPECT_EQ(receive(echo_reply(kInbound, client, address, 1)).reason, SLUICE_REASON_ICMP_ERROR);
  for (const std::uint8_t type : pick<Bytes>({5, 13}, {5, 100, 139})) {
    EXPECT_EQ(receive(icmp(kInbound, client, address, type, 0, Bytes(36, 0x45))).reason, SLUICE_REASON_ICMP_ERROR);
  }
  for (const std::uint8_t protocol :
       pick<Bytes>({0, 2, 4, 41, 47, 50, 136, 255}, {1, 2, 4, 41, 47, 50, 51, 59, 136, 255})) {
    const Frame frame = ip_packet(kInbound, client, address, protocol, Bytes(20));
    const Outcome outcome = receive(frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_PROTOCOL) << +protocol;
    EXPECT_EQ(outcome.frame, protocol_unreachable(frame));
  }
}

TEST_P(Floating, TcpWithoutAFlowIsDroppedSilently) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  for (unsigned flags : {kAck, kSyn | kAck, kFin, kRst, kRst | kAck, kAck | kPush, 0U}) {
    const Frame frame = tcp(kInbound, {client, 40000, address, 80}, flags);
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_NO_CONNECTION) << "flags " << flags;
  }
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Floating, ClosedPortsAreRefused) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  EXPECT_EQ(receive(tcp(kInbound, {client, 40000, address, 81}, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(receive(udp(kInbound, {client, 40000, address, 80})).reason, SLUICE_REASON_REFUSED_UNREACHABLE);
  EXPECT_EQ(receive(tcp(kInbound, {client, 40000, address, 81}, kRst)).reason, SLUICE_REASON_NO_CONNECTION);
}

TEST_P(Floating, AFloatingIpWithoutItsRecordIsForeignAgain) {
  const Frontend frontend = world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  const Frame syn = tcp(kInbound, {client, 40000, address, 80}, kSyn);
  EXPECT_EQ(receive(syn).reason, SLUICE_REASON_TO_BACKEND);
  world.remove(frontend);
  datapath.remove(EndpointKey{0, address});
  EXPECT_EQ(receive(syn).reason, SLUICE_REASON_FOREIGN);
}

IN_BOTH_FAMILIES(Floating);

}  // namespace
}  // namespace bpftest
