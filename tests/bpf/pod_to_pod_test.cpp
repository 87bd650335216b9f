// SPDX-License-Identifier: Apache-2.0
// Pods of one network talk to each other without a service: any protocol, delivered as it is, nothing remembered.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class PodToPod : public FamilyTest {
 protected:
  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod neighbour = world.pod(network, "172.16.0.20");
};

TEST_P(PodToPod, EveryProtocolIsDeliveredUnchanged) {
  const Link link = pod.to(neighbour);
  const Tuple tuple{pod.address, 40000, neighbour.address, 80};
  std::vector<Frame> frames = {
      udp(link, tuple),
      udp(link, tuple).set16(l4 + 6, 0),
      echo_request(link, pod.address, neighbour.address, 7),
      echo_reply(link, pod.address, neighbour.address, 7),
      icmp(link, pod.address, neighbour.address, pick<std::uint8_t>(5, 100), 3, Bytes(36, 0x45)),
      icmp(link, pod.address, neighbour.address, pick<std::uint8_t>(8, 128), 1, Bytes(8)),
      udp(link, tuple).set16(l4 + 6, 0xbeef),  // a wrong checksum is the receiver's to judge
  };
  for (unsigned flags : {kSyn, kSyn | kAck, kAck, kFin, kRst, 0U}) {
    frames.push_back(tcp(link, tuple, flags, {.payload = text("data")}));
  }
  for (unsigned number = 0; number < 256; ++number) {
    const auto protocol = static_cast<std::uint8_t>(number);
    if (protocol == kTcp || protocol == kUdp || protocol == kSctp || protocol == protocol_in(family, kIcmp)) continue;
    if (family == Family::kIpv6 && is_extension_header(protocol)) continue;
    frames.push_back(ip_packet(link, pod.address, neighbour.address, protocol, Bytes(12, 0xff)));
    frames.push_back(ip_packet(link, pod.address, neighbour.address, protocol, {}));
  }
  for (const Frame& frame : frames) {
    const Outcome outcome = send(pod, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
    EXPECT_EQ(outcome.frame, frame);
  }
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(PodToPod, AFrameSentToTheRouterComesFromTheRouter) {
  for (const Mac& destination : {kRouterMac, Mac{0x02, 1, 2, 3, 4, 5}}) {
    const Frame frame = udp({pod.mac, destination}, {pod.address, 1, neighbour.address, 2});
    const Outcome outcome = send(pod, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
    Frame expected = frame;
    EXPECT_EQ(outcome.frame, expected.set_mac(0, neighbour.mac).set_mac(6, kRouterMac));
  }
}

TEST_P(PodToPod, BothDirectionsWork) {
  const Frame there = tcp(pod.to(neighbour), {pod.address, 40000, neighbour.address, 80}, kSyn);
  const Frame back = tcp(neighbour.to(pod), {neighbour.address, 80, pod.address, 40000}, kSyn | kAck);
  EXPECT_EQ(send(pod, there).frame, there);
  EXPECT_EQ(send(neighbour, back).frame, back);
}

TEST_P(PodToPod, APodBehindAPlainDeviceIsReachedAlike) {
  const Pod machine = world.pod(network, "172.16.0.30", SLUICE_ENDPOINT_POD_DEVICE);
  const Frame frame = udp(pod.to(machine), {pod.address, 1, machine.address, 2});
  const Outcome outcome = send(pod, frame);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, frame);
}

TEST_P(PodToPod, ADetachedPodIsNamedAndARemovedOneIsNobody) {
  const Frame frame = udp(pod.to(neighbour), {pod.address, 1, neighbour.address, 2});
  world.detach(neighbour);
  EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_POD_DETACHED);
  datapath.remove(EndpointKey{network.id, neighbour.address});
  EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_NO_SUCH_ADDRESS);
}

TEST_P(PodToPod, ANeighbourOutsideTheCidrOfThePortIsStillANeighbour) {
  const Pod far = world.pod(network, "10.9.8.7");
  const Frame frame = udp(pod.to_router(), {pod.address, 1, far.address, 2});
  EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_TO_POD);
}

TEST_P(PodToPod, LargeFramesKeepEveryByte) {
  Bytes body(2900);
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i * 31);
  const Frame frame = tcp(pod.to(neighbour), {pod.address, 1, neighbour.address, 2}, kAck, {.payload = body});
  EXPECT_EQ(send(pod, frame).frame, frame);
}

IN_BOTH_FAMILIES(PodToPod);

}  // namespace
}  // namespace bpftest
