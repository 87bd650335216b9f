// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

const Address kNobody = bpftest::ip("0.0.0.0");

class ArpFromPod : public ProgramTest {
 protected:
  [[nodiscard]] Frame question(const Address& target) const {
    return arp({pod.mac, kBroadcastMac}, 1, pod.mac, pod.address, {}, target);
  }
  [[nodiscard]] Frame answer(const Mac& mac, const Address& target) const {
    return arp({mac, pod.mac}, 2, mac, target, pod.mac, pod.address);
  }

  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod neighbour = world.pod(network, "172.16.0.20");
};

TEST_F(ArpFromPod, IsAnsweredWithTheNeighboursOwnMac) {
  const Outcome outcome = send(pod, question(neighbour.address));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ARP_ANSWERED);
  EXPECT_EQ(outcome.frame, answer(neighbour.mac, neighbour.address));
}

TEST_F(ArpFromPod, IsAnsweredWithTheRoutersMacForTheRouterAndForServices) {
  world.service(network, "172.16.1.1", 80, kTcp, {{neighbour, 8080}});
  for (const char* target : {"172.16.0.1", "172.16.1.1"}) {
    const Outcome outcome = send(pod, question(ip(target)));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ARP_ANSWERED) << target;
    EXPECT_EQ(outcome.frame, answer(kRouterMac, ip(target))) << target;
  }
}

TEST_F(ArpFromPod, UnicastQuestionsAreAnsweredToo) {
  const Frame unicast = arp(pod.to(neighbour), 1, pod.mac, pod.address, neighbour.mac, neighbour.address);
  EXPECT_EQ(send(pod, unicast).frame, answer(neighbour.mac, neighbour.address));
}

TEST_F(ArpFromPod, PaddingBehindTheQuestionStays) {
  Frame padded = question(neighbour.address);
  padded.resize(60);
  Frame expected = answer(neighbour.mac, neighbour.address);
  expected.resize(60);
  EXPECT_EQ(send(pod, padded).frame, expected);
}

TEST_F(ArpFromPod, ProbesWithoutASenderAddressAreAnswered) {
  const Frame probe = arp({pod.mac, kBroadcastMac}, 1, pod.mac, kNobody, {}, neighbour.address);
  const Outcome outcome = send(pod, probe);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ARP_ANSWERED);
  EXPECT_EQ(outcome.frame, arp({neighbour.mac, pod.mac}, 2, neighbour.mac, neighbour.address, pod.mac, kNobody));
}

TEST_F(ArpFromPod, NothingIsAnsweredForAddressesThatNobodyHas) {
  const Pod detached = world.pod(network, "172.16.0.30");
  world.detach(detached);
  const Pod gone = world.pod(network, "172.16.0.40");
  world.remove(gone);
  const Network other = world.network(8, 2);
  const Pod elsewhere = world.pod(other, "172.16.0.50");
  world.floating_address("192.0.2.1");
  for (const Address& target : {ip("172.16.0.99"), ip("8.8.8.8"), ip("255.255.255.255"), ip("0.0.0.0"),
                                detached.address, gone.address, elsewhere.address, ip("192.0.2.1")}) {
    EXPECT_EQ(send(pod, question(target)).reason, SLUICE_REASON_ARP_NO_TARGET) << target.text();
  }
}

TEST_F(ArpFromPod, QuestionsForItsOwnAddressAndRepliesEndQuietly) {
  const Link everyone = {pod.mac, kBroadcastMac};
  EXPECT_EQ(send(pod, question(pod.address)).reason, SLUICE_REASON_ARP_OWN_ADDRESS) << "announcement";
  EXPECT_EQ(send(pod, arp(everyone, 1, pod.mac, kNobody, {}, pod.address)).reason, SLUICE_REASON_ARP_OWN_ADDRESS)
      << "probe (RFC 5227)";
  EXPECT_EQ(send(pod, arp(everyone, 2, pod.mac, pod.address, kBroadcastMac, pod.address)).reason,
            SLUICE_REASON_ARP_OWN_ADDRESS)
      << "gratuitous reply";
  EXPECT_EQ(send(pod, arp(pod.to(neighbour), 2, pod.mac, pod.address, neighbour.mac, neighbour.address)).reason,
            SLUICE_REASON_ARP_OWN_ADDRESS)
      << "reply to a neighbour";
}

TEST_F(ArpFromPod, SenderFieldsMustBeThePods) {
  const Link everyone = {pod.mac, kBroadcastMac};
  EXPECT_EQ(send(pod, arp({neighbour.mac, kBroadcastMac}, 1, pod.mac, pod.address, {}, neighbour.address)).reason,
            SLUICE_REASON_SPOOFED_MAC);
  EXPECT_EQ(send(pod, arp(everyone, 1, neighbour.mac, pod.address, {}, neighbour.address)).reason,
            SLUICE_REASON_SPOOFED_ARP);
  for (const char* sender : {"172.16.0.20", "172.16.0.1", "255.255.255.255", "8.8.8.8"}) {
    EXPECT_EQ(send(pod, arp(everyone, 1, pod.mac, ip(sender), {}, neighbour.address)).reason, SLUICE_REASON_SPOOFED_ARP)
        << sender;
    EXPECT_EQ(send(pod, arp(everyone, 2, pod.mac, ip(sender), {}, neighbour.address)).reason, SLUICE_REASON_SPOOFED_ARP)
        << sender;
  }
  EXPECT_EQ(send(pod, arp(everyone, 2, pod.mac, kNobody, {}, neighbour.address)).reason, SLUICE_REASON_SPOOFED_ARP)
      << "0.0.0.0 is for questions only";
  EXPECT_EQ(send(pod, arp(everyone, 1, pod.mac, ip("172.16.0.20"), {}, pod.address)).reason, SLUICE_REASON_SPOOFED_ARP)
      << "before the question for its own address";
}

TEST_F(ArpFromPod, MalformedMessagesAreDropped) {
  const auto with16 = [&](std::size_t offset, unsigned value) {
    return question(neighbour.address).set16(kEthernet + offset, value);
  };
  EXPECT_EQ(send(pod, with16(0, 6)).reason, SLUICE_REASON_ARP_MALFORMED) << "hardware";
  EXPECT_EQ(send(pod, with16(2, 0x86dd)).reason, SLUICE_REASON_ARP_MALFORMED) << "protocol";
  EXPECT_EQ(send(pod, with16(4, 0x0804)).reason, SLUICE_REASON_ARP_MALFORMED) << "hardware length";
  EXPECT_EQ(send(pod, with16(4, 0x0610)).reason, SLUICE_REASON_ARP_MALFORMED) << "protocol length";
  for (unsigned operation : {0U, 3U, 4U, 8U, 0x0100U, 0xffffU}) {
    EXPECT_EQ(send(pod, with16(6, operation)).reason, SLUICE_REASON_ARP_MALFORMED) << "operation " << operation;
  }
  for (std::size_t size = kEthernet; size < kEthernet + 28; ++size) {
    EXPECT_EQ(send(pod, question(neighbour.address).resize(size)).reason, SLUICE_REASON_TRUNCATED) << size;
  }
}

class ArpFromUplink : public ProgramTest {
 protected:
  [[nodiscard]] Frame question(const Address& sender, const Address& target) const {
    return arp({kGatewayMac, kBroadcastMac}, 1, kGatewayMac, sender, {}, target);
  }
  Address gateway = ip("192.0.2.254");
  Address address = ip("192.0.2.1");
};

TEST_F(ArpFromUplink, QuestionsForAFloatingIpAreAnsweredWithTheUplinksMac) {
  world.floating_address("192.0.2.1");
  const Outcome outcome = receive(question(gateway, address));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ARP_ANSWERED);
  EXPECT_EQ(outcome.frame, arp({kUplinkMac, kGatewayMac}, 2, kUplinkMac, address, kGatewayMac, gateway));
}

TEST_F(ArpFromUplink, EverythingElseIsTheHosts) {
  world.floating_address("192.0.2.1");
  const Network network = world.network(7, 1);
  world.pod(network, "172.16.0.10");
  const Link link = {kGatewayMac, kBroadcastMac};
  const std::vector<Frame> frames = {
      question(gateway, ip("192.0.2.2")),
      question(gateway, ip("172.16.0.10")),
      question(gateway, ip("172.16.0.1")),
      question(address, address),
      question(gateway, kNobody),
      question(gateway, address).set_mac(0, {0x02, 0xcc, 0, 0, 0, 1}),  // a promiscuous uplink sees others' too
      arp(link, 2, kGatewayMac, gateway, kUplinkMac, address),
      arp(link, 2, kGatewayMac, address, kBroadcastMac, address),
      question(gateway, address).set16(kEthernet, 6),
      question(gateway, address).set16(kEthernet + 2, 0x86dd),
      question(gateway, address).set16(kEthernet + 4, 0x0610),
      question(gateway, address).set16(kEthernet + 6, 3),
      vlan(question(gateway, address), 0x8100, 7),
  };
  for (const Frame& frame : frames)
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  for (std::size_t size = kEthernet; size < kEthernet + 28; ++size) {
    EXPECT_EQ(receive(question(gateway, address).resize(size)).reason, SLUICE_REASON_FOREIGN) << size;
  }
}

TEST_F(ArpFromUplink, AFilterBitAloneAnswersNothing) {
  world.floating_address("192.0.2.1");
  datapath.remove(EndpointKey{0, address});
  EXPECT_EQ(receive(question(gateway, address)).reason, SLUICE_REASON_FOREIGN);
}

}  // namespace
}  // namespace bpftest
