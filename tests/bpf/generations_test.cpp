// SPDX-License-Identifier: Apache-2.0
// Generations end flows in one write: nothing deleted is ever matched again, nothing old reaches a new holder.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Generations : public FamilyTest {
 protected:
  Generations() : service(world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}})) {}

  Outcome from_client(const Pod& pod, unsigned flags) { return send(pod, tcp(pod.to_router(), there, flags)); }
  Outcome from_server(const Pod& pod, unsigned flags) {
    return send(pod, tcp(pod.to_router(), behind.reversed(), flags));
  }
  void establish() {
    ASSERT_EQ(from_client(client, kSyn).reason, SLUICE_REASON_TO_BACKEND);
    ASSERT_EQ(from_server(server, kSyn | kAck).reason, SLUICE_REASON_TO_CLIENT);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Frontend service;
  Tuple there{client.address, 40000, ip("172.16.1.1"), 80};
  Tuple behind{client.address, 40000, server.address, 8080};
};

TEST_P(Generations, ARemovedServiceEndsItsFlowsBothWays) {
  establish();
  world.bump(service);
  EXPECT_EQ(from_client(client, kAck).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(from_server(server, kAck).reason, SLUICE_REASON_TO_POD) << "an ordinary packet, not translated";
  EXPECT_EQ(from_server(server, kAck).frame.source(), server.address);
}

TEST_P(Generations, ARemovedBackendEndsItsFlows) {
  establish();
  world.remove(server);
  EXPECT_EQ(from_client(client, kAck).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(from_client(client, kSyn).reason, SLUICE_REASON_STALE_ENDPOINT) << "until the backend list follows";
}

TEST_P(Generations, ANewPodWithTheOldAddressGetsNothingOfTheOldFlows) {
  establish();
  world.remove(server);
  const Pod successor = world.replace(server);
  EXPECT_EQ(from_client(client, kAck).reason, SLUICE_REASON_REFUSED_TCP) << "the backend's successor";
  const Outcome reply = from_server(successor, kAck);
  EXPECT_EQ(reply.reason, SLUICE_REASON_TO_POD) << "it has no part in the old flow";
  EXPECT_EQ(reply.frame.source(), successor.address);
}

TEST_P(Generations, ANewClientWithTheOldAddressGetsNothingOfTheOldFlows) {
  establish();
  world.remove(client);
  EXPECT_NE(from_server(server, kAck).reason, SLUICE_REASON_TO_CLIENT) << "the reverse record names the old client";
  const Pod successor = world.replace(client);
  const Outcome reply = from_server(server, kAck);
  EXPECT_EQ(reply.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(reply.frame.source(), server.address) << "not translated in the service's name";
  EXPECT_EQ(from_client(successor, kAck).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(from_client(successor, kSyn).reason, SLUICE_REASON_TO_BACKEND) << "a flow of its own takes the place";
  EXPECT_EQ(flow(7, kTcp, there).value().source.generation, successor.ref.generation);
  EXPECT_EQ(datapath.flows().size(), 2U);
  EXPECT_EQ(from_server(server, kSyn | kAck).frame.mac(0), successor.mac);
}

TEST_P(Generations, AServiceMadeAnewTakesThePlaceOfItsEndedFlows) {
  establish();
  const Pod second = world.pod(network, "172.16.0.21");
  world.remove(service);
  const Frontend next = world.service(network, "172.16.1.1", 80, kTcp, {{second, 9090}});
  EXPECT_EQ(from_client(client, kAck).reason, SLUICE_REASON_REFUSED_TCP);
  const Outcome outcome = from_client(client, kSyn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(tcp(client.to_router(), there, kSyn), to_pod(second),
                                      {client.address, 40000, second.address, 9090}));
  EXPECT_EQ(flow(7, kTcp, there).value().frontend.generation, next.ref.generation);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U) << "the ended pair gave its share back";
}

TEST_P(Generations, AMovedFloatingIpEndsItsFlows) {
  const Frontend binding = world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  const Network other = world.network(8, 2);
  const Pod guest = world.pod(other, "172.16.0.20");
  const Tuple tuple{ip("203.0.113.9"), 50000, ip("192.0.2.1"), 80};
  EXPECT_EQ(receive(tcp(kInbound, tuple, kSyn)).frame.mac(0), server.mac);
  world.remove(binding);
  world.floating("192.0.2.1", 80, kTcp, other, {{guest, 80}});
  EXPECT_EQ(receive(tcp(kInbound, tuple, kAck)).reason, SLUICE_REASON_REFUSED_TCP) << "its connection is over";
  EXPECT_EQ(send(server, tcp(server.to_router(), {server.address, 8080, tuple.source, 50000}, kAck)).reason,
            SLUICE_REASON_REFUSED_TCP)
      << "the former tenant no longer speaks as the floating IP";
  EXPECT_EQ(receive(tcp(kInbound, tuple, kSyn)).frame.mac(0), guest.mac);
  EXPECT_EQ(datapath.usage(1).pairs, 0U);
  EXPECT_EQ(datapath.usage(1).half_open, 0U) << "the old half-open charge went with its pair";
  EXPECT_EQ(datapath.usage(2).pairs, 1U);
}

TEST_P(Generations, ADrainedBackendKeepsItsFlows) {
  const Pod second = world.pod(network, "172.16.0.21");
  Frontend pair = world.service(network, "172.16.1.2", 80, kTcp, {{server, 8080}, {second, 8080}});
  const Tuple tuple{client.address, 40000, ip("172.16.1.2"), 80};
  const Frame syn = tcp(client.to_router(), tuple, kSyn);
  const Mac chosen = send(client, syn).frame.mac(0);
  world.set_ready(pair, 0, false);
  world.set_ready(pair, 1, false);
  const Outcome outcome = send(client, tcp(client.to_router(), tuple, kAck));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame.mac(0), chosen);
}

TEST_P(Generations, ARefusedSuccessorOfAnEndedFlowIsNoReasonToKeepIt) {
  establish();
  world.bump(service);  // the frontend record still stands, with the old generation
  EXPECT_NE(from_client(client, kSyn).reason, SLUICE_REASON_NONE);
  EXPECT_NE(from_client(client, kAck).reason, SLUICE_REASON_TO_BACKEND) << "never by the ended record";
}

IN_BOTH_FAMILIES(Generations);

}  // namespace
}  // namespace bpftest
