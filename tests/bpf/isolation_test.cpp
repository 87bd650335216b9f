// SPDX-License-Identifier: Apache-2.0
// Two tenants with the same CIDR, the same pod addresses, the same service addresses and ports.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

struct Tenant {
  Network network;
  Pod client;
  Pod server;
  Frontend service;
};

class Isolation : public FamilyTest {
 protected:
  Tenant tenant(std::uint32_t id, std::uint16_t slot) {
    Tenant made;
    made.network = world.network(id, slot);
    made.client = world.pod(made.network, "172.16.0.10");
    made.server = world.pod(made.network, "172.16.0.20");
    made.service = world.service(made.network, "172.16.1.1", 80, kTcp, {{made.server, 8080}});
    world.service(made.network, "172.16.1.1", 53, kUdp, {{made.server, 5353}});
    return made;
  }
  /// Forty bytes that begin with a good header of any protocol, extension headers of IPv6 included.
  [[nodiscard]] Bytes body(std::uint8_t protocol) const {
    Bytes body(40, 0);
    if (protocol == protocol_in(family, kIcmp)) {
      body[0] = pick<std::uint8_t>(8, 128);
    } else if (is_extension_header(protocol)) {
      body[0] = kExperiment;
    } else {
      body[1] = body[3] = 80;
    }
    if (protocol == kUdp) body[5] = 40;
    if (protocol == kTcp) body[12] = 0x50, body[13] = kSyn;
    return body;
  }
  Tenant red = tenant(7, 1);
  Tenant blue = tenant(0xffffff, 2);  // the largest id: all 24 bits of the key
};

TEST_P(Isolation, WhoHasAnAddressIsAnsweredFromTheAskersNetwork) {
  for (const Tenant* tenant : {&red, &blue}) {
    const Pod &client = tenant->client, &server = tenant->server;
    EXPECT_EQ(send(client, question(client.mac, client.address, server.address)).frame,
              answer(server.mac, server.address, client.mac, client.address));
  }
}

TEST_P(Isolation, TheSameAddressReachesTheOwnNetworksPod) {
  for (const Tenant* tenant : {&red, &blue}) {
    const Frame frame = udp(tenant->client.to_router(), {tenant->client.address, 1, tenant->server.address, 2});
    EXPECT_EQ(send(tenant->client, frame).frame.mac(0), tenant->server.mac);
  }
}

TEST_P(Isolation, TheSameTupleMakesTwoFlowsThatNeverMeet) {
  const Tuple tuple{ip("172.16.0.10"), 40000, ip("172.16.1.1"), 80};
  for (const Tenant* tenant : {&red, &blue}) {
    const Outcome outcome = send(tenant->client, tcp(tenant->client.to_router(), tuple, kSyn));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    EXPECT_EQ(outcome.frame.mac(0), tenant->server.mac);
    const auto record = flow(tenant->network.id, kTcp, tuple);
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->ifindex, tenant->server.ifindex);
    EXPECT_EQ(record->network_slot, tenant->network.slot);
  }
  EXPECT_EQ(datapath.flows().size(), 4U);
  const Tuple back{ip("172.16.0.20"), 8080, ip("172.16.0.10"), 40000};
  for (const Tenant* tenant : {&red, &blue}) {
    const Outcome outcome = send(tenant->server, tcp(tenant->server.to_router(), back, kSyn | kAck));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
    EXPECT_EQ(outcome.frame.mac(0), tenant->client.mac);
  }
  EXPECT_EQ(datapath.usage(1).pairs, 1U);
  EXPECT_EQ(datapath.usage(2).pairs, 1U);
}

TEST_P(Isolation, AFlowOfOneTenantIsNoFlowOfTheOther) {
  const Tuple tuple{ip("172.16.0.10"), 40000, ip("172.16.1.1"), 80};
  send(red.client, tcp(red.client.to_router(), tuple, kSyn));
  EXPECT_EQ(send(blue.client, tcp(blue.client.to_router(), tuple, kAck)).reason, SLUICE_REASON_REFUSED_TCP)
      << "no flow of its own";
  const Frame reply = tcp(blue.server.to(blue.client), {ip("172.16.0.20"), 8080, ip("172.16.0.10"), 40000}, kAck);
  const Outcome outcome = send(blue.server, reply);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD) << "an ordinary packet between pods";
  EXPECT_EQ(outcome.frame, reply);
}

TEST_P(Isolation, WhatOnlyOneTenantHasTheOtherCannotReach) {
  const Pod secret = world.pod(red.network, "172.16.0.77");
  world.service(red.network, "172.16.1.9", 443, kTcp, {{secret, 443}});
  world.floating("192.0.2.1", 80, kTcp, red.network, {{secret, 80}});
  const Pod& pod = blue.client;
  EXPECT_EQ(send(pod, udp(pod.to_router(), {pod.address, 1, secret.address, 2})).reason, SLUICE_REASON_NO_SUCH_ADDRESS);
  EXPECT_EQ(send(pod, udp({pod.mac, secret.mac}, {pod.address, 1, secret.address, 2})).reason,
            SLUICE_REASON_NO_SUCH_ADDRESS)
      << "addressed to its MAC";
  EXPECT_EQ(send(pod, tcp(pod.to_router(), {pod.address, 1, ip("172.16.1.9"), 443}, kSyn)).reason,
            SLUICE_REASON_NO_SUCH_ADDRESS);
  EXPECT_EQ(send(pod, tcp(pod.to_router(), {pod.address, 1, ip("192.0.2.1"), 80}, kSyn)).reason,
            SLUICE_REASON_NO_EGRESS)
      << "a floating IP is no address of a network";
}

TEST_P(Isolation, EveryAddressOfTheOtherTenantStaysClosedForEveryProtocol) {
  const Network green = world.network(9, 3, "10.0.0.0", 8);
  const Pod outsider = world.pod(green, "10.0.0.10");
  for (const Address& target : {red.client.address, red.server.address, red.service.key.address, red.network.router}) {
    for (unsigned number = 0; number < 256; ++number) {
      const auto protocol = static_cast<std::uint8_t>(number);
      if (family == Family::kIpv6 && protocol == kFragment) continue;
      const Frame frame = ip_packet({outsider.mac, red.server.mac}, outsider.address, target, protocol, body(protocol));
      EXPECT_EQ(send(outsider, frame).reason, SLUICE_REASON_NO_EGRESS) << target.text() << " " << number;
    }
  }
}

TEST_P(Isolation, AFloatingIpReachesItsOwnTenantAlone) {
  world.floating("192.0.2.1", 80, kTcp, red.network, {{red.server, 8080}});
  world.floating("192.0.2.2", 80, kTcp, blue.network, {{blue.server, 8080}});
  const Address client = ip("203.0.113.9");
  const auto syn = [&](const char* address) { return tcp(kInbound, {client, 40000, ip(address), 80}, kSyn); };
  EXPECT_EQ(receive(syn("192.0.2.1")).frame.mac(0), red.server.mac);
  EXPECT_EQ(receive(syn("192.0.2.2")).frame.mac(0), blue.server.mac);
  EXPECT_EQ(datapath.usage(1).pairs, 1U);
  EXPECT_EQ(datapath.usage(2).pairs, 1U);
  // Blue's other pod, with the address of red's server, gives no answer in red's name.
  const Pod other = world.pod(blue.network, "172.16.0.99");
  const Frame forged = tcp(other.to_router(), {other.address, 8080, client, 40000}, kSyn | kAck);
  EXPECT_EQ(send(other, forged).reason, SLUICE_REASON_NO_EGRESS);
  const Outcome reply =
      send(blue.server, tcp(blue.server.to_router(), {blue.server.address, 8080, client, 40000}, kSyn | kAck));
  EXPECT_EQ(reply.reason, SLUICE_REASON_TO_UPLINK);
  EXPECT_EQ(reply.frame.source(), ip("192.0.2.2"));
}

TEST_P(Isolation, TheUplinkReachesNoPodOrServiceAddressDirectly) {
  for (const Address& target : {red.server.address, red.service.key.address, red.network.router}) {
    const Frame frame = tcp(kInbound, {ip("203.0.113.9"), 40000, target, 80}, kSyn);
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN);
  }
}

IN_BOTH_FAMILIES(Isolation);

}  // namespace
}  // namespace bpftest
