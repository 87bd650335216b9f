// SPDX-License-Identifier: Apache-2.0
// Service addresses: translation there and back, with every checksum verified in full.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Service : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Address address = ip("172.16.1.1");
};

TEST_P(Service, TcpIsTranslatedThereAndBackWithWholeChecksums) {
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  const Tuple there{client.address, 40000, address, 80};
  const Tuple translated_there{client.address, 40000, server.address, 8080};
  const Frame syn = tcp(client.to_router(), there, kSyn, {.options = {2, 4, 5, 0xb4}});
  Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(server), translated_there));

  const Frame syn_ack = tcp(server.to_router(), translated_there.reversed(), kSyn | kAck);
  outcome = send(server, syn_ack);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(syn_ack, to_pod(client), there.reversed()));

  const Frame data = tcp(client.to_router(), there, kAck | kPush, {.payload = text("GET / HTTP/1.1\r\n\r\n")});
  outcome = send(client, data);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(data, to_pod(server), translated_there));
  const Frame answer = tcp(server.to(client), translated_there.reversed(), kAck, {.payload = Bytes(1001, 0xab)});
  outcome = send(server, answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(answer, to_pod(client), there.reversed()));

  const auto forward = flow(7, kTcp, there);
  const auto reverse = flow(7, kTcp, translated_there.reversed());
  ASSERT_TRUE(forward && reverse);
  EXPECT_EQ(forward->role, SLUICE_FLOW_FORWARD);
  EXPECT_EQ(reverse->role, SLUICE_FLOW_REVERSE);
  EXPECT_EQ(forward->pair, reverse->pair);
  EXPECT_EQ(forward->ifindex, server.ifindex);
  EXPECT_EQ(reverse->ifindex, client.ifindex);
  EXPECT_EQ(forward->delivery, SLUICE_DELIVER_PEER);
  EXPECT_EQ(forward->packets, 2U);
  EXPECT_EQ(forward->bytes, syn.size() + data.size());
  EXPECT_EQ(reverse->packets, 2U);
  EXPECT_EQ(reverse->bytes, syn_ack.size() + answer.size());
  EXPECT_EQ(forward->frontend.slot, frontend.ref.slot);
  EXPECT_EQ(forward->source.slot, client.ref.slot);
  EXPECT_EQ(forward->endpoint.slot, server.ref.slot);
}

TEST_P(Service, UdpIsTranslatedThereAndBackWithWholeChecksums) {
  world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
  const Tuple there{client.address, 40000, address, 53};
  const Tuple behind{client.address, 40000, server.address, 5353};
  for (std::size_t length : {0U, 1U, 7U, 512U, pick(1472U, 1452U)}) {
    const Frame query = udp(client.to_router(), there, Bytes(length, 0xc3));
    Outcome outcome = send(client, query);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(outcome.frame, translated(query, to_pod(server), behind));
    const Frame reply = udp(server.to_router(), behind.reversed(), Bytes(length, 0x3c));
    outcome = send(server, reply);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
    EXPECT_EQ(outcome.frame, translated(reply, to_pod(client), there.reversed()));
  }
}

TEST_P(Service, AUdpChecksumOfZeroStaysZeroAndNoOtherBecomesZero) {
  world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
  const Tuple there{client.address, 40000, address, 53};
  const Tuple behind{client.address, 40000, server.address, 5353};
  Frame without = udp(client.to_router(), there);
  without.set16(l4 + 6, 0);
  EXPECT_EQ(send(client, without).frame, translated(without, to_pod(server), behind));
  for (unsigned value = 0; value < 0x10000; value += 0x2a7) {  // sums of all kinds
    const Frame query =
        udp(client.to_router(), there, {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)});
    EXPECT_EQ(send(client, query).frame, translated(query, to_pod(server), behind));
  }
  // The payload for which the translated sum is 0: the field must say 0xffff.
  Frame edge = udp(client.to_router(), there, {0, 0});
  Frame target = translated(edge, to_pod(server), behind);
  const std::uint16_t rest = target.get16(l4 + 6);
  edge = udp(client.to_router(), there, {static_cast<std::uint8_t>(rest >> 8), static_cast<std::uint8_t>(rest)});
  target = translated(edge, to_pod(server), behind);
  ASSERT_EQ(target.get16(l4 + 6), 0xffff);
  EXPECT_EQ(send(client, edge).frame, target);
}

TEST_P(Service, PingOfAServiceReachesABackendAndComesBack) {
  world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
  const Frame request = echo_request(client.to_router(), client.address, address, 0x1234);
  Outcome outcome = send(client, request);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(request, to_pod(server), {client.address, 0, server.address, 0}));
  const Frame reply = echo_reply(server.to_router(), server.address, client.address, 0x1234);
  outcome = send(server, reply);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(reply, to_pod(client), {address, 0, client.address, 0}));
  const Frame stray = echo_reply(server.to_router(), server.address, client.address, 0x1235);
  outcome = send(server, stray);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD) << "another id is no reply of this flow";
}

TEST_P(Service, OtherIcmpAndOtherProtocolsAreNamed) {
  world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
  const Link link = client.to_router();
  EXPECT_EQ(send(client, echo_request(link, client.address, address, 1)).reason, SLUICE_REASON_PROTOCOL);
  EXPECT_EQ(send(client, echo_reply(link, client.address, address, 1)).reason, SLUICE_REASON_PROTOCOL);
  for (const std::uint8_t type : pick<Bytes>({4, 5, 13}, {5, 100, 139})) {
    const Frame frame = icmp(link, client.address, address, type, 0, Bytes(36, 0x45));
    EXPECT_EQ(send(client, frame).reason, SLUICE_REASON_ICMP_ERROR) << "type " << +type;
  }
  for (const std::uint8_t protocol : pick<Bytes>({0, 2, 41, 47, 50, 136, 255}, {1, 2, 41, 47, 50, 51, 59, 136, 255})) {
    const Frame frame = ip_packet(link, client.address, address, protocol, Bytes(20));
    const Outcome outcome = send(client, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_PROTOCOL) << "protocol " << +protocol;
    EXPECT_EQ(outcome.frame, protocol_unreachable(frame));
  }
}

TEST_P(Service, ItsAddressMayLieOutsideTheNetwork) {
  world.service(network, "10.96.0.1", 443, kTcp, {{server, 6443}});
  const Tuple there{client.address, 40000, ip("10.96.0.1"), 443};
  const Frame syn = tcp(client.to_router(), there, kSyn);
  const Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(server), {client.address, 40000, server.address, 6443}));
}

TEST_P(Service, TheSamePortOfTwoProtocolsIsTwoFrontends) {
  const Pod second = world.pod(network, "172.16.0.21");
  world.service(network, "172.16.1.1", 53, kTcp, {{server, 53}});
  world.service(network, "172.16.1.1", 53, kUdp, {{second, 53}});
  const Tuple there{client.address, 40000, address, 53};
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kSyn)).frame.mac(0), server.mac);
  EXPECT_EQ(send(client, udp(client.to_router(), there)).frame.mac(0), second.mac);
}

TEST_P(Service, APodThatIsItsOwnBackendSeesTheServiceAsItsClient) {
  world.service(network, "172.16.1.1", 80, kTcp, {{client, 8080}});
  const Tuple there{client.address, 40000, address, 80};
  const Tuple behind{address, 40000, client.address, 8080};
  const Frame syn = tcp(client.to_router(), there, kSyn);
  Outcome outcome = send(client, syn);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, translated(syn, to_pod(client), behind));
  const Frame syn_ack = tcp(client.to_router(), behind.reversed(), kSyn | kAck);
  outcome = send(client, syn_ack);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(syn_ack, to_pod(client), there.reversed()));
}

TEST_P(Service, ABackendBehindAPlainDeviceAndAClientBehindOneAreDeliveredByRedirect) {
  const Pod machine = world.pod(network, "172.16.0.30", SLUICE_ENDPOINT_POD_DEVICE);
  world.service(network, "172.16.1.1", 80, kTcp, {{machine, 8080}});
  const Tuple there{client.address, 40000, address, 80};
  EXPECT_EQ(send(client, tcp(client.to_router(), there, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(flow(7, kTcp, there).value().delivery, SLUICE_DELIVER_DEVICE);
  EXPECT_EQ(flow(7, kTcp, there).value().ifindex, machine.ifindex);
}

IN_BOTH_FAMILIES(Service);

}  // namespace
}  // namespace bpftest
