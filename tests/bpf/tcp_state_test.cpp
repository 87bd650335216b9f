// SPDX-License-Identifier: Apache-2.0
// TCP flows: what makes them, what ends them, what is charged as half open.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class TcpState : public FamilyTest {
 protected:
  TcpState() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  }

  Outcome from_client(unsigned flags, std::uint32_t acknowledgement = 0) {
    return send(client, tcp(client.to_router(), there, flags, {.acknowledgement = acknowledgement}));
  }
  Outcome from_server(unsigned flags, std::uint32_t sequence = 5000) {
    return send(server, tcp(server.to_router(), behind.reversed(), flags, {.sequence = sequence}));
  }
  Outcome from_internet(unsigned flags, std::uint32_t acknowledgement = 0) {
    return receive(tcp(kInbound, outside, flags, {.acknowledgement = acknowledgement}));
  }
  Outcome to_internet(unsigned flags, std::uint32_t sequence = 5000) {
    return send(server, tcp(server.to_router(), {server.address, 8080, outside.source, outside.source_port}, flags,
                            {.sequence = sequence}));
  }
  [[nodiscard]] std::uint32_t forward_state() const { return flow(7, kTcp, there).value().state; }
  [[nodiscard]] std::uint32_t reverse_state() const { return flow(7, kTcp, behind.reversed()).value().state; }
  [[nodiscard]] std::uint32_t outside_state() const { return flow(0, kTcp, outside).value().state; }
  /// Opens the client's connection up to the end of its handshake.
  void establish() {
    ASSERT_EQ(from_client(kSyn).reason, SLUICE_REASON_TO_BACKEND);
    ASSERT_EQ(from_server(kSyn | kAck, 5000).reason, SLUICE_REASON_TO_CLIENT);
    ASSERT_EQ(from_client(kAck, 5001).reason, SLUICE_REASON_TO_BACKEND);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Tuple there{client.address, 40000, ip("172.16.1.1"), 80};
  Tuple behind{client.address, 40000, server.address, 8080};
  Tuple outside{ip("203.0.113.9"), 50000, ip("192.0.2.1"), 80};
};

TEST_P(TcpState, TheHandshakeIsFollowedBitByBit) {
  from_client(kSyn);
  EXPECT_EQ(forward_state(), SLUICE_STATE_SYN);
  from_server(kSyn | kAck, 5000);
  EXPECT_EQ(forward_state(), SLUICE_STATE_SYN | SLUICE_STATE_SYNACK);
  EXPECT_EQ(flow(7, kTcp, there).value().acknowledged, 5001U);
  from_client(kAck, 5001);
  EXPECT_EQ(forward_state(), SLUICE_STATE_SYN | SLUICE_STATE_SYNACK | SLUICE_STATE_ESTABLISHED);
  EXPECT_EQ(reverse_state() & (SLUICE_STATE_FIN | SLUICE_STATE_RST), 0U);
}

TEST_P(TcpState, OnlyAFittingAcknowledgementFinishesTheHandshake) {
  from_client(kSyn);
  from_client(kAck, 5001);
  EXPECT_EQ(forward_state() & SLUICE_STATE_ESTABLISHED, 0U) << "before the SYN+ACK";
  from_server(kSyn | kAck, 5000);
  for (std::uint32_t wrong : {5000U, 0U, 5001U + (1U << 20) + 1, 0x80000000U, 5001U - (1U << 20)}) {
    EXPECT_EQ(from_client(kAck, wrong).reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(forward_state() & SLUICE_STATE_ESTABLISHED, 0U) << wrong;
  }
  from_client(kSyn | kAck, 5001);
  EXPECT_EQ(forward_state() & SLUICE_STATE_ESTABLISHED, 0U) << "with SYN";
  from_client(0, 5001);
  EXPECT_EQ(forward_state() & SLUICE_STATE_ESTABLISHED, 0U) << "without ACK";
  from_client(kAck, 5001 + 100000);
  EXPECT_NE(forward_state() & SLUICE_STATE_ESTABLISHED, 0U) << "the server has sent data by then";
}

TEST_P(TcpState, TheSequenceNumberMayWrap) {
  from_client(kSyn);
  from_server(kSyn | kAck, 0xffffffff);
  EXPECT_EQ(flow(7, kTcp, there).value().acknowledged, 0U);
  from_client(kAck, 10);
  EXPECT_NE(forward_state() & SLUICE_STATE_ESTABLISHED, 0U);
}

TEST_P(TcpState, FinAndResetAreNotedOnTheirOwnSide) {
  establish();
  from_client(kFin | kAck, 5001);
  EXPECT_NE(forward_state() & SLUICE_STATE_FIN, 0U);
  EXPECT_EQ(reverse_state() & SLUICE_STATE_FIN, 0U);
  EXPECT_EQ(from_server(kFin | kAck).reason, SLUICE_REASON_TO_CLIENT) << "a closing flow still carries packets";
  EXPECT_NE(reverse_state() & SLUICE_STATE_FIN, 0U);
  from_server(kRst);
  EXPECT_NE(reverse_state() & SLUICE_STATE_RST, 0U);
  EXPECT_EQ(forward_state() & SLUICE_STATE_RST, 0U);
}

TEST_P(TcpState, TrafficAfterABlindResetClearsIt) {
  establish();
  from_client(kRst);
  EXPECT_NE(forward_state() & SLUICE_STATE_RST, 0U);
  from_server(kAck);
  EXPECT_NE(forward_state() & SLUICE_STATE_RST, 0U) << "the other side's packets do not";
  from_client(kAck, 5001);
  EXPECT_EQ(forward_state() & SLUICE_STATE_RST, 0U);
}

TEST_P(TcpState, ABlindResetOrFinDoesNotEndAnEstablishedConnection) {
  ASSERT_EQ(from_internet(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  const Tuple answer{server.address, 8080, outside.source, outside.source_port};
  const auto from_server_acknowledging = [&](unsigned flags, std::uint32_t sequence) {
    return send(server, tcp(server.to_router(), answer, flags, {.sequence = sequence, .acknowledgement = 0x10000000}));
  };
  from_server_acknowledging(kSyn | kAck, 5000);
  from_internet(kAck, 5001);
  ASSERT_NE(outside_state() & SLUICE_STATE_ESTABLISHED, 0U);
  const auto pair = flow(0, kTcp, outside).value().pair;
  for (const unsigned flags : {kRst, kRst | kAck, kFin | kAck}) {
    for (const std::uint32_t guess : {0x0U, 0x0ffffffeU, 0x10000000U + (1U << 24), 0x90000000U}) {
      EXPECT_EQ(receive(tcp(kInbound, outside, flags, {.sequence = guess})).reason, SLUICE_REASON_TO_BACKEND)
          << "the backend's own stack judges it";
      EXPECT_EQ(outside_state() & (SLUICE_STATE_FIN | SLUICE_STATE_RST), 0U) << flags << " " << guess;
    }
  }
  from_internet(kSyn);
  EXPECT_EQ(flow(0, kTcp, outside).value().pair, pair) << "a SYN after it does not replace the flow";
  EXPECT_NE(outside_state() & SLUICE_STATE_ESTABLISHED, 0U);
  receive(tcp(kInbound, outside, kRst, {.sequence = 0x10000000}));
  EXPECT_NE(outside_state() & SLUICE_STATE_RST, 0U) << "the real one";
}

/// RFC 9293 3.5, figure 7: both SYNs cross.
TEST_P(TcpState, ASimultaneousOpenBecomesOneEstablishedFlow) {
  ASSERT_EQ(from_client(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  const Frame crossing = tcp(server.to_router(), behind.reversed(), kSyn, {.sequence = 5000});
  const Outcome outcome = send(server, crossing);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(crossing, to_pod(client), there.reversed()));
  EXPECT_EQ(from_client(kSyn | kAck, 5001).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(from_server(kSyn | kAck, 5000).reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(from_client(kAck, 5001).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_NE(forward_state() & SLUICE_STATE_ESTABLISHED, 0U);
  EXPECT_EQ(datapath.flows().size(), 2U);
}

/// A client that waits no longer takes its port again (RFC 6191), while the server's side is in TIME-WAIT or the
/// client's.
TEST_P(TcpState, APortThatIsUsedAgainAfterBothSidesHaveFinishedMakesANewFlow) {
  establish();
  const auto before = flow(7, kTcp, there).value();
  from_client(kFin | kAck, 5001);
  from_server(kFin | kAck, 5001);
  from_client(kAck, 5002);
  ASSERT_EQ(from_client(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  const auto after = flow(7, kTcp, there).value();
  EXPECT_NE(after.stamp, before.stamp);
  EXPECT_EQ(after.state, SLUICE_STATE_SYN);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

TEST_P(TcpState, ASynOnALiveFlowKeepsItAndItsBackend) {
  establish();
  const auto before = flow(7, kTcp, there).value();
  EXPECT_EQ(from_client(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  const auto after = flow(7, kTcp, there).value();
  EXPECT_EQ(after.pair, before.pair);
  EXPECT_EQ(after.packets, before.packets + 1);
  EXPECT_NE(after.state & SLUICE_STATE_ESTABLISHED, 0U);
}

TEST_P(TcpState, ASynOnAClosingFlowStartsAnewWhicheverSideHasEndedIt) {
  for (const auto& [by_client, flags] :
       {std::pair{true, kFin | kAck}, {true, kRst}, {false, kFin | kAck}, {false, kRst | kAck}}) {
    SCOPED_TRACE(std::string(by_client ? "client" : "server") + ", flags " + std::to_string(flags));
    establish();
    if (by_client) {
      from_client(flags, 5001);
    } else {
      from_server(flags);
    }
    const Outcome outcome = from_client(kSyn);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(outcome.frame, translated(tcp(client.to_router(), there, kSyn), to_pod(server), behind));
    EXPECT_EQ(forward_state(), SLUICE_STATE_SYN);
    EXPECT_EQ(reverse_state(), 0U);
    EXPECT_EQ(flow(7, kTcp, there).value().packets, 1U);
    EXPECT_EQ(datapath.flows().size(), 2U);
  }
}

TEST_P(TcpState, ASynOnAClosingFlowWhoseServiceHasNoBackendIsRefused) {
  establish();
  from_server(kRst);
  datapath.change(FrontendKey{7, there.destination, 80, kTcp}, [](auto& record) { record.ready_count = 0; });
  EXPECT_EQ(from_client(kSyn).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(TcpState, AFlowFromAPodIsNeverChargedAsHalfOpen) {
  from_client(kSyn);
  EXPECT_EQ(forward_state() & SLUICE_STATE_HALF_OPEN_CHARGED, 0U);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 0U);
}

TEST_P(TcpState, AFlowFromTheInternetIsHalfOpenUntilItsHandshakeEnds) {
  EXPECT_EQ(from_internet(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_NE(outside_state() & SLUICE_STATE_HALF_OPEN_CHARGED, 0U);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 1U);
  from_internet(kSyn);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 1U) << "a repeated SYN is charged once";
  EXPECT_EQ(to_internet(kSyn | kAck, 5000).reason, SLUICE_REASON_TO_UPLINK);
  from_internet(kAck, 4000);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 1U) << "a guessed ACK";
  from_internet(kAck, 5001);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 0U);
  EXPECT_EQ(outside_state() & SLUICE_STATE_HALF_OPEN_CHARGED, 0U);
  from_internet(kAck, 5001);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 0U);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

TEST_P(TcpState, AHalfOpenFlowThatIsResetAndOpenedAgainIsChargedOnce) {
  from_internet(kSyn);
  from_internet(kRst);
  EXPECT_EQ(from_internet(kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 1U);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

IN_BOTH_FAMILIES(TcpState);

}  // namespace
}  // namespace bpftest
