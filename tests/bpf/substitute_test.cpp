// SPDX-License-Identifier: Apache-2.0
// Two flows that would look alike at their backend: the second one comes from the router, on a port of its own.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Substitute : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");

  /// The packet arrived at the server from the router; gives the port it has there.
  std::uint16_t expect_substituted(const Outcome& outcome, const Frame& sent) {
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    const std::uint16_t port = outcome.frame.get16(l4);
    EXPECT_GE(port, 61000);
    EXPECT_EQ(outcome.frame, translated(sent, to_pod(server), {network.router, port, server.address, 8080}));
    return port;
  }
};

TEST_P(Substitute, TwoServicesWithOneBackendKeepOneClientsFlowsApart) {
  for (const std::uint8_t protocol : {kTcp, kUdp}) {
    world.service(network, "172.16.1.1", 80, protocol, {{server, 8080}});
    world.service(network, "172.16.1.2", 80, protocol, {{server, 8080}});
    const Tuple first{client.address, 40000, ip("172.16.1.1"), 80};
    const Tuple second{client.address, 40000, ip("172.16.1.2"), 80};
    const auto packet = [&](const Pod& pod, const Tuple& tuple, unsigned flags) {
      return protocol == kTcp ? tcp(pod.to_router(), tuple, flags) : udp(pod.to_router(), tuple);
    };
    const Tuple plain{client.address, 40000, server.address, 8080};
    EXPECT_EQ(send(client, packet(client, first, kSyn)).frame,
              translated(packet(client, first, kSyn), to_pod(server), plain));
    const Frame sent = packet(client, second, kSyn);
    const std::uint16_t port = expect_substituted(send(client, sent), sent);
    EXPECT_EQ(expect_substituted(send(client, sent), sent), port) << "and keeps it";

    const Frame reply = packet(server, {server.address, 8080, network.router, port}, kSyn | kAck);
    const Outcome outcome = send(server, reply);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
    EXPECT_EQ(outcome.frame, translated(reply, to_pod(client), second.reversed()));
    const Frame other = packet(server, plain.reversed(), kSyn | kAck);
    EXPECT_EQ(send(server, other).frame, translated(other, to_pod(client), first.reversed()));
  }
}

TEST_P(Substitute, ADirectSynThatWouldLookLikeTheServicesFlowIsDropped) {
  world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  const Tuple through{client.address, 40000, ip("172.16.1.1"), 80};
  const Tuple direct{client.address, 40000, server.address, 8080};
  ASSERT_EQ(send(client, tcp(client.to_router(), through, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(send(client, tcp(client.to(server), direct, kSyn)).reason, SLUICE_REASON_FLOW_COLLISION);
  EXPECT_EQ(send(client, tcp(client.to(server), direct, kAck)).reason, SLUICE_REASON_TO_POD) << "a SYN alone is asked";
  EXPECT_EQ(send(client, udp(client.to(server), direct)).reason, SLUICE_REASON_TO_POD);
  Tuple other = direct;
  other.source_port = 40001;
  EXPECT_EQ(send(client, tcp(client.to(server), other, kSyn)).reason, SLUICE_REASON_TO_POD) << "another tuple";
  EXPECT_EQ(send(server, tcp(server.to_router(), direct.reversed(), kSyn | kAck)).reason, SLUICE_REASON_TO_CLIENT)
      << "the service's flow goes on";
}

TEST_P(Substitute, AClosingFlowMakesRoomForADirectSyn) {
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  const Tuple through{client.address, 40000, ip("172.16.1.1"), 80};
  const Tuple direct{client.address, 40000, server.address, 8080};
  for (const bool from_server : {false, true}) {
    ASSERT_EQ(send(client, tcp(client.to_router(), through, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
    const Outcome end = from_server ? send(server, tcp(server.to_router(), direct.reversed(), kRst | kAck))
                                    : send(client, tcp(client.to_router(), through, kRst));
    ASSERT_EQ(reason_class(end.reason), "FORWARD");
    EXPECT_EQ(send(client, tcp(client.to(server), direct, kSyn)).reason, SLUICE_REASON_TO_POD);
    EXPECT_TRUE(datapath.flows().empty());
  }
  ASSERT_EQ(send(client, tcp(client.to_router(), through, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  world.bump(frontend);
  EXPECT_EQ(send(client, tcp(client.to(server), direct, kSyn)).reason, SLUICE_REASON_TO_POD) << "an ended flow is none";
}

TEST_P(Substitute, AnOutsiderWhoClaimsToBeInsideNeverGetsAnInsidersTuple) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  world.floating("192.0.2.1", 53, kUdp, network, {{server, 8080}});
  world.service(network, "198.18.0.1", 80, kTcp, {{server, 8080}});
  const Address claimed[] = {client.address,   server.address,     network.router,
                             ip("172.16.1.1"), ip("172.16.99.99"), ip("198.18.0.1")};
  for (const Address source : claimed) {
    const Tuple spoofed{source, 40000, ip("192.0.2.1"), 80};
    const Frame syn = tcp(kInbound, spoofed, kSyn);
    expect_substituted(receive(syn), syn);
    const Tuple datagram{source, 40000, ip("192.0.2.1"), 53};
    const Frame question = udp(kInbound, datagram);
    expect_substituted(receive(question), question);
  }
  const Frame direct = tcp(server.to(client), {server.address, 8080, client.address, 40000}, kAck);
  EXPECT_EQ(send(server, direct).reason, SLUICE_REASON_TO_POD) << "what pods say to each other stays inside";
}

TEST_P(Substitute, TwoFloatingIpsWithOneBackendKeepOneClientsFlowsApart) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  world.floating("192.0.2.2", 80, kTcp, network, {{server, 8080}});
  const Tuple first{ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80};
  const Tuple second{ip("203.0.113.9"), 40000, ip("192.0.2.2"), 80};
  receive(tcp(kInbound, first, kSyn));
  const Frame syn = tcp(kInbound, second, kSyn);
  const std::uint16_t port = expect_substituted(receive(syn), syn);
  const Frame reply = tcp(server.to_router(), {server.address, 8080, network.router, port}, kSyn | kAck);
  const Outcome outcome = send(server, reply);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
  EXPECT_EQ(outcome.frame, translated(reply, server.to_router(), second.reversed()));
}

TEST_P(Substitute, AHairpinOfTwoServicesIsKeptApartToo) {
  world.service(network, "172.16.1.1", 80, kTcp, {{client, 8080}});
  world.service(network, "172.16.1.1", 81, kTcp, {{client, 8080}});
  send(client, tcp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 80}, kSyn));
  const Tuple second{client.address, 40000, ip("172.16.1.1"), 81};
  const Frame syn = tcp(client.to_router(), second, kSyn);
  const Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  const std::uint16_t port = outcome.frame.get16(l4);
  EXPECT_GE(port, 61000);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(client), {network.router, port, client.address, 8080}));
}

TEST_P(Substitute, AHairpinThatWouldBeItsOwnReverseIsKeptApart) {
  world.service(network, "172.16.1.1", 8080, kTcp, {{client, 8080}});
  world.service(network, "172.16.1.1", 0, kIcmp, {{client, 0}});
  const Frame syn = tcp(client.to_router(), {client.address, 8080, ip("172.16.1.1"), 8080}, kSyn);
  const Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  const std::uint16_t port = outcome.frame.get16(l4);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(client), {network.router, port, client.address, 8080}));
  EXPECT_EQ(send(client, echo_request(client.to_router(), client.address, ip("172.16.1.1"), 0)).reason,
            SLUICE_REASON_FLOW_COLLISION);
}

TEST_P(Substitute, EchoHasNoPortToSubstitute) {
  world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
  world.service(network, "172.16.1.2", 0, kIcmp, {{server, 0}});
  const Link link = client.to_router();
  EXPECT_EQ(send(client, echo_request(link, client.address, ip("172.16.1.1"), 5)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(send(client, echo_request(link, client.address, ip("172.16.1.2"), 5)).reason, SLUICE_REASON_FLOW_COLLISION);
  EXPECT_EQ(send(client, echo_request(link, client.address, ip("172.16.1.2"), 6)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 2U);
}

TEST_P(Substitute, AnEndedFlowGivesItsTupleBack) {
  const Frontend first = world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  world.service(network, "172.16.1.2", 80, kTcp, {{server, 8080}});
  send(client, tcp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 80}, kSyn));
  world.remove(first);
  const Frame syn = tcp(client.to_router(), {client.address, 40000, ip("172.16.1.2"), 80}, kSyn);
  EXPECT_EQ(send(client, syn).frame, translated(syn, to_pod(server), {client.address, 40000, server.address, 8080}));
  EXPECT_EQ(datapath.flows().size(), 2U) << "the ended pair is gone";
}

class SubstituteCrowded : public FamilyTest {
 protected:
  SubstituteCrowded() : FamilyTest({.pairs = 5000}) {}
};

TEST_P(SubstituteCrowded, NoFreePortIsACollisionThatLeavesNothingBehind) {
  const Network network = world.network(7, 1);
  const Pod client = world.pod(network, "172.16.0.10");
  const Pod server = world.pod(network, "172.16.0.20");
  world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  world.service(network, "172.16.1.2", 80, kTcp, {{server, 8080}});
  send(client, tcp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 80}, kSyn));
  // Somebody else's live records on every substitute port.
  auto record = flow(7, kTcp, {server.address, 8080, client.address, 40000}).value();
  for (unsigned port = 61000; port <= 65535; ++port) {
    record.self.tuple.destination = network.router;
    record.self.tuple.destination_port = static_cast<std::uint16_t>(port);
    datapath.put_flow(record);
  }
  const Frame syn = tcp(client.to_router(), {client.address, 40000, ip("172.16.1.2"), 80}, kSyn);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_FLOW_COLLISION);
  for (unsigned port = 61000; port <= 65535; ++port) {
    record.self.tuple.destination_port = static_cast<std::uint16_t>(port);
    datapath.remove_flow(record.self);
  }
  expect_consistent(datapath);
  EXPECT_EQ(live_pairs(datapath), 1U);
}

IN_BOTH_FAMILIES(Substitute);
IN_BOTH_FAMILIES(SubstituteCrowded);

}  // namespace
}  // namespace bpftest
