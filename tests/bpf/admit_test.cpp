// SPDX-License-Identifier: Apache-2.0
// Who may send at all: device records, MAC addresses, what the router offers.
#include "harness/devices.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Admit : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod neighbour = world.pod(network, "172.16.0.20");
};

TEST_P(Admit, ADeviceWithoutARecordSendsNothing) {
  const Frame good = udp(pod.to(neighbour), {pod.address, 1000, neighbour.address, 2000});
  EXPECT_EQ(datapath.run(SLUICE_ENTRY_FROM_POD, device(kDevices - 1), good).reason, SLUICE_REASON_NO_PORT);
  EXPECT_EQ(datapath.run(SLUICE_ENTRY_FROM_POD, device(kDevices - 1), other_family(pod.to(neighbour))).reason,
            SLUICE_REASON_NO_PORT);
  world.remove(pod);
  EXPECT_EQ(send(pod, good).reason, SLUICE_REASON_NO_PORT);
}

TEST_P(Admit, AnUplinksRecordIsNoPodsRecord) {
  const Frame good = udp(pod.to(neighbour), {pod.address, 1000, neighbour.address, 2000});
  EXPECT_EQ(datapath.run(SLUICE_ENTRY_FROM_POD, world.uplink(), good).reason, SLUICE_REASON_NO_PORT);
}

TEST_P(Admit, APodSendsFromItsOwnMacOnly) {
  for (const Mac& mac : {neighbour.mac, kRouterMac, kBroadcastMac, Mac{}}) {
    const Frame frame = udp({mac, neighbour.mac}, {pod.address, 1000, neighbour.address, 2000});
    EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_SPOOFED_MAC);
  }
  for (std::size_t byte = 0; byte < 6; ++byte) {
    Mac mac = pod.mac;
    mac[byte] = static_cast<std::uint8_t>(mac[byte] ^ 0x80);
    const Frame frame = udp({mac, neighbour.mac}, {pod.address, 1000, neighbour.address, 2000});
    EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_SPOOFED_MAC) << "byte " << byte;
  }
}

TEST_P(Admit, APodSendsFromItsOwnAddressOnlyWhateverTheProtocol) {
  for (unsigned protocol : {0U, 1U, 2U, 4U, 6U, 17U, 41U, 47U, 50U, 89U, 132U, 255U}) {
    const Frame frame = ip_packet(pod.to(neighbour), neighbour.address, ip("172.16.0.1"),
                                  static_cast<std::uint8_t>(protocol), Bytes(40, 0x11));
    EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_SPOOFED_IP) << "protocol " << protocol;
  }
}

TEST_P(Admit, TheRouterAnswersPingAndNothingElse) {
  const Address router = network.router;
  const Link link = pod.to_router();
  const Frame request = echo_request(link, pod.address, router, 99);
  const Outcome outcome = send(pod, request);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ECHO_ANSWERED);
  EXPECT_EQ(outcome.frame, echo_reply({kRouterMac, pod.mac}, router, pod.address, 99));

  EXPECT_EQ(send(pod, tcp(link, {pod.address, 1000, router, 22}, kSyn)).reason, SLUICE_REASON_ROUTER_CLOSED);
  EXPECT_EQ(send(pod, tcp(link, {pod.address, 1000, router, 22}, kRst)).reason, SLUICE_REASON_ROUTER_CLOSED);
  EXPECT_EQ(send(pod, udp(link, {pod.address, 1000, router, 53})).reason, SLUICE_REASON_ROUTER_CLOSED);
  EXPECT_EQ(send(pod, ip_packet(link, pod.address, router, kExperiment, Bytes(12))).reason,
            SLUICE_REASON_ROUTER_CLOSED);
  EXPECT_EQ(send(pod, icmp(link, pod.address, router, pick<std::uint8_t>(13, 139), 0, Bytes(16))).reason,
            SLUICE_REASON_ROUTER_CLOSED)
      << "timestamp request, node information query";
  EXPECT_EQ(send(pod, echo_reply(link, pod.address, router, 5)).reason, SLUICE_REASON_ROUTER_CLOSED);
}

TEST_P(Admit, LongPingsAreAnsweredWithAllTheirBytes) {
  Bytes body(1400);
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i * 7);
  const Frame request = echo_request(pod.to_router(), pod.address, network.router, 7, body);
  const Outcome outcome = send(pod, request);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ECHO_ANSWERED);
  EXPECT_EQ(outcome.frame, echo_reply({kRouterMac, pod.mac}, network.router, pod.address, 7, body));
}

TEST_P(Admit, PingsOfTheRouterAreRateLimited) {
  change_settings([](sluice_settings& s) { s.refusals_per_second = 2; });
  const Frame request = echo_request(pod.to_router(), pod.address, network.router, 99);
  unsigned limited = 0;
  for (int i = 0; i < 20; ++i) limited += send(pod, request).reason == SLUICE_REASON_REFUSAL_LIMITED ? 1 : 0;
  EXPECT_GE(limited, 14U) << "twenty at once; two windows may have been touched, and a third";
}

TEST_P(Admit, UnknownDestinationsAreNamedByWhereTheyLie) {
  for (const char* inside : {"172.16.0.99", "172.16.255.254", "172.16.0.2"}) {
    EXPECT_EQ(send(pod, udp(pod.to_router(), {pod.address, 1000, ip(inside), 53})).reason,
              SLUICE_REASON_NO_SUCH_ADDRESS)
        << inside;
  }
  for (const char* outside : {"172.17.0.1", "8.8.8.8", "172.15.255.255", pick("127.0.0.1", "::1"),
                              pick("0.0.0.0", "::"), pick("169.254.169.254", "fe80::1")}) {
    EXPECT_EQ(send(pod, udp(pod.to_router(), {pod.address, 1000, ip(outside), 53})).reason, SLUICE_REASON_NO_EGRESS)
        << outside;
  }
}

IN_BOTH_FAMILIES(Admit);

}  // namespace
}  // namespace bpftest
