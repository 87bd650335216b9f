// SPDX-License-Identifier: Apache-2.0
// UDP and ICMP echo flows: any first packet makes them, the first reply is noted.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class UdpIcmp : public FamilyTest {
 protected:
  UdpIcmp() {
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
  }
  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Address address = ip("172.16.1.1");
};

TEST_P(UdpIcmp, AUdpFlowIsEstablishedByItsFirstReply) {
  const Tuple there{client.address, 40000, address, 53};
  const Tuple back{server.address, 5353, client.address, 40000};
  const std::uint64_t before = coarse_now();
  send(client, udp(client.to_router(), there));
  send(client, udp(client.to_router(), there));
  auto reverse = flow(7, kUdp, back).value();
  EXPECT_EQ(reverse.state & SLUICE_STATE_ESTABLISHED, 0U);
  EXPECT_EQ(reverse.packets, 0U);
  EXPECT_EQ(flow(7, kUdp, there).value().packets, 2U);
  EXPECT_GE(flow(7, kUdp, there).value().last_seen, before);
  EXPECT_LE(flow(7, kUdp, there).value().last_seen, coarse_now());
  EXPECT_EQ(send(server, udp(server.to_router(), back)).reason, SLUICE_REASON_TO_CLIENT);
  reverse = flow(7, kUdp, back).value();
  EXPECT_NE(reverse.state & SLUICE_STATE_ESTABLISHED, 0U);
  EXPECT_EQ(reverse.packets, 1U);
}

TEST_P(UdpIcmp, AnEchoFlowIsKeptById) {
  for (std::uint16_t id : {std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{0}, std::uint16_t{0xffff}}) {
    EXPECT_EQ(send(client, echo_request(client.to_router(), client.address, address, id)).reason,
              SLUICE_REASON_TO_BACKEND)
        << id;
    const auto forward = flow(7, kIcmp, {client.address, id, address, 0});
    ASSERT_TRUE(forward.has_value()) << id;
    const auto reverse = flow(7, kIcmp, {server.address, 0, client.address, id});
    ASSERT_TRUE(reverse.has_value()) << id;
    EXPECT_EQ(reverse->state & SLUICE_STATE_ESTABLISHED, 0U);
    EXPECT_EQ(send(server, echo_reply(server.to_router(), server.address, client.address, id)).reason,
              SLUICE_REASON_TO_CLIENT);
    EXPECT_NE(flow(7, kIcmp, {server.address, 0, client.address, id}).value().state & SLUICE_STATE_ESTABLISHED, 0U);
  }
}

TEST_P(UdpIcmp, TheThreeProtocolsDoNotShareFlows) {
  world.service(network, "172.16.1.1", 53, kTcp, {{server, 5353}});
  const Tuple there{client.address, 53, address, 53};
  send(client, udp(client.to_router(), there));
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kAck)).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.flows().size(), 4U);
}

TEST_P(UdpIcmp, AnEchoWithAnotherCodeIsNoEcho) {
  EXPECT_EQ(send(client, icmp(client.to_router(), client.address, address, pick<std::uint8_t>(8, 128), 1, {0, 1, 0, 1}))
                .reason,
            SLUICE_REASON_ICMP_ERROR);
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(UdpIcmp, ABackendsOwnTrafficToItsClientIsNoReply) {
  const Tuple there{client.address, 40000, address, 53};
  send(client, udp(client.to_router(), there));
  const Frame other = udp(server.to(client), {server.address, 5354, client.address, 40000});
  const Outcome outcome = send(server, other);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, other);
}

IN_BOTH_FAMILIES(UdpIcmp);

}  // namespace
}  // namespace bpftest
