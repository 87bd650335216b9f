// SPDX-License-Identifier: Apache-2.0
// What a packet meets whose flow a generation has ended, as a drain's deadline does: the next TCP segment is answered
// with a reset, whoever sends it; the next datagram finds another backend.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Ended : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Pod second = world.pod(network, "172.16.0.21");
  Address remote = ip("203.0.113.9");
  Address address = ip("192.0.2.1");
  Tuple there{remote, 40000, address, 80};
  Tuple behind{remote, 40000, server.address, 8080};

  static Frame data(const Link& link, const Tuple& tuple) {
    return tcp(link, tuple, kAck | kPush, {.sequence = 5000, .acknowledgement = 7000, .payload = Bytes(100, 0x55)});
  }
  void expect_reset(const Outcome& outcome, const Frame& sent) {
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_TCP);
    EXPECT_EQ(outcome.frame, reset(sent, 7000, 0, kRst));
  }
  void open_to_floating() {
    ASSERT_EQ(receive(tcp(kInbound, there, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
    ASSERT_EQ(send(server, tcp(server.to_router(), behind.reversed(), kSyn | kAck)).reason, SLUICE_REASON_TO_UPLINK);
  }
};

TEST_P(Ended, APodWhoseFlowsAreEndedKeepsItsAddressAndItsDirectTraffic) {
  const Frontend service = world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  const Tuple through{client.address, 40000, ip("172.16.1.1"), 80};
  const Tuple direct{client.address, 40001, server.address, 8080};
  ASSERT_EQ(send(client, tcp(client.to_router(), through, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  world.renew(server);
  const Frame sent = data(client.to_router(), through);
  expect_reset(send(client, sent), sent);
  EXPECT_EQ(send(client, tcp(client.to(server), direct, kSyn)).reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(send(server, tcp(server.to(client), direct.reversed(), kSyn | kAck)).reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(send(server, tcp(server.to(client), direct.reversed(), kAck)).reason, SLUICE_REASON_TO_POD);
  // What it still sends to the client goes there as it is; the client's own stack knows no such connection.
  EXPECT_EQ(send(server, data(server.to_router(), {server.address, 8080, client.address, 40000})).reason,
            SLUICE_REASON_TO_POD);
}

TEST_P(Ended, BothSidesOfAConnectionThroughAFloatingIpHearAReset) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  open_to_floating();
  world.renew(server);
  Frame sent = data(kInbound, there);
  expect_reset(receive(sent), sent);
  sent = data(server.to_router(), behind.reversed());
  expect_reset(send(server, sent), sent);  // whether or not its network has a way out
}

TEST_P(Ended, SoDoBothSidesOfAnEgressConnection) {
  for (const bool shared : {false, true}) {
    world.way_out(network, shared ? "192.0.2.3" : "192.0.2.2", {.shared = shared});
    const Tuple out{client.address, 20005, remote, 443};
    const Outcome left = send(client, tcp(client.to_router(), out, kSyn));
    ASSERT_EQ(left.reason, SLUICE_REASON_TO_EGRESS);
    world.renew(client);
    Frame sent = data(kInbound, {remote, 443, left.frame.source(), 20005});
    expect_reset(receive(sent), sent);
    EXPECT_EQ(receive(udp(kInbound, {remote, 443, left.frame.source(), 20005})).reason,
              SLUICE_REASON_EGRESS_UNSOLICITED);
    sent = data(client.to_router(), out);
    expect_reset(send(client, sent), sent);
    EXPECT_EQ(send(client, tcp(client.to_router(), out, kSyn)).reason, SLUICE_REASON_TO_EGRESS)
        << "it may open a new one at once";
  }
}

TEST_P(Ended, ABackendThatSawTheRoutersAddressHearsAResetFromIt) {
  for (const char* service : {"172.16.1.1", "172.16.1.2"}) {
    world.service(network, service, 80, kTcp, {{server, 8080}});
    const Tuple through{client.address, 40000, ip(service), 80};
    ASSERT_EQ(send(client, tcp(client.to_router(), through, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  }
  std::uint16_t port = 0;  // of the second one, which has the router's address
  for (const auto& record : datapath.flows()) {
    if (record.self.tuple.destination == network.router) port = record.self.tuple.destination_port;
  }
  ASSERT_NE(port, 0);
  world.renew(server);
  const Frame sent = data(server.to_router(), {server.address, 8080, network.router, port});
  expect_reset(send(server, sent), sent);
}

TEST_P(Ended, ResetsToTheOutsideAreLimitedAndNeverAnswerAReset) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  open_to_floating();
  world.renew(server);
  for (const unsigned flags : {kRst, kRst | kAck})
    EXPECT_EQ(receive(tcp(kInbound, there, flags)).reason, SLUICE_REASON_NO_CONNECTION);
  change_settings([](sluice_settings& settings) { settings.refusals_per_second = 0; });
  EXPECT_EQ(receive(data(kInbound, there)).reason, SLUICE_REASON_REFUSAL_LIMITED);
}

TEST_P(Ended, WhoGuessesATupleOutsideHearsNothing) {
  world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  open_to_floating();
  world.renew(server);
  for (const Tuple& guessed : {Tuple{remote, 40001, address, 80}, Tuple{remote, 40000, address, 81},
                               Tuple{ip("203.0.113.10"), 40000, address, 80}})
    EXPECT_EQ(receive(data(kInbound, guessed)).reason, SLUICE_REASON_NO_CONNECTION);
}

TEST_P(Ended, APortThatNobodyHasBoundAnyMoreEndsWhatWasThereWithAReset) {
  const Frontend binding = world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  open_to_floating();
  world.remove(binding);
  const Frame sent = data(kInbound, there);
  expect_reset(receive(sent), sent);
}

TEST_P(Ended, AnAddressThatIsNoLongerOursIsTheHosts) {
  const Frontend binding = world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  open_to_floating();
  world.remove(binding);
  datapath.remove(EndpointKey{0, address});
  EXPECT_EQ(receive(data(kInbound, there)).reason, SLUICE_REASON_FOREIGN) << "it may live on another node now";
}

TEST_P(Ended, ANewConnectionTakesThePlaceAndGoesElsewhere) {
  Frontend frontend = world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080, false}, {second, 8080}});
  world.set_ready(frontend, 0, true);
  world.set_ready(frontend, 1, false);
  open_to_floating();
  world.set_ready(frontend, 0, false);
  world.set_ready(frontend, 1, true);
  world.renew(server);
  const Frame syn = tcp(kInbound, there, kSyn);
  EXPECT_EQ(receive(syn).frame, translated(syn, to_pod(second), {remote, 40000, second.address, 8080}));
  EXPECT_EQ(receive(tcp(kInbound, there, kAck)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

TEST_P(Ended, TheNextDatagramFindsAnotherBackend) {
  Frontend inside = world.service(network, "172.16.1.1", 53, kUdp, {{server, 53}, {second, 53, false}});
  Frontend outside = world.floating("192.0.2.1", 53, kUdp, network, {{server, 53}, {second, 53, false}});
  const Frame asked = udp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 53});
  const Frame public_asked = udp(kInbound, {remote, 40000, address, 53});
  ASSERT_EQ(send(client, asked).frame.mac(0), server.mac);
  ASSERT_EQ(receive(public_asked).frame.mac(0), server.mac);
  for (Frontend* frontend : {&inside, &outside}) {
    world.set_ready(*frontend, 0, false);
    world.set_ready(*frontend, 1, true);
  }
  EXPECT_EQ(send(client, asked).frame.mac(0), server.mac) << "until the flows are ended";
  EXPECT_EQ(receive(public_asked).frame.mac(0), server.mac);
  world.renew(server);
  EXPECT_EQ(send(client, asked).frame.mac(0), second.mac);
  EXPECT_EQ(receive(public_asked).frame.mac(0), second.mac);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 2U) << "the ended ones gave their shares back";
}

IN_BOTH_FAMILIES(Ended);

}  // namespace
}  // namespace bpftest
