// SPDX-License-Identifier: Apache-2.0
// Egress: pods reach the public side, and floating IPs of other networks, with an egress address as their source.
#include <set>

#include "harness/fragments.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// `frame` after a hop.
Frame hop(Frame frame) {
  return frame.set_hops(frame.hops() - 1U).fix_checksums();
}

class Egress : public FamilyTest {
 protected:
  explicit Egress(const Sizes& sizes = {}) : FamilyTest(sizes) {}

  [[nodiscard]] Frame syn(const Pod& from, std::uint16_t port) const {
    return tcp(from.to_router(), {from.address, port, remote, 443}, kSyn);
  }
  /// What comes back to what left as `frame`.
  [[nodiscard]] static Frame syn_ack(const Frame& frame) {
    const std::size_t at = frame.l4();
    return tcp(kInbound, {frame.destination(), frame.get16(at + 2), frame.source(), frame.get16(at)}, kSyn | kAck);
  }
  static std::uint16_t source_port(const Frame& frame) { return frame.get16(frame.l4()); }
  [[nodiscard]] Frame error(const Address& from, const Frame& about, std::size_t behind_ip = 8) const {
    Bytes rest{0, 0, 0, 0};
    const std::size_t quoted = std::min(about.l4() + behind_ip, about.size());
    rest.insert(rest.end(), about.bytes.begin() + kIp, about.bytes.begin() + static_cast<std::ptrdiff_t>(quoted));
    return icmp(kInbound, from, about.source(), pick<std::uint8_t>(11, 3), 0, rest);
  }
  /// The same as the pod receives it: about `about`, which it has sent.
  [[nodiscard]] Frame error_to(const Pod& to, const Address& from, const Frame& about,
                               std::size_t behind_ip = 8) const {
    Frame expected = error(from, hop(about), behind_ip);
    expected.set_mac(0, to.mac).set_mac(6, kRouterMac).set_destination(to.address);
    return hop(expected);
  }

  Network network = world.network(7, 1);
  Network other = world.network(8, 2);
  Pod pod = world.pod(network, "172.16.0.20");
  Pod twin = world.pod(other, "172.16.0.20");  ///< the same address in another network
  Address remote = ip("203.0.113.9");
  Address address = ip("192.0.2.1");
};

TEST_P(Egress, AConnectionLeavesAsTheEgressAddressAndItsAnswersComeBack) {
  world.way_out(network, "192.0.2.1");
  const Frame first = syn(pod, 20005);
  Outcome outcome = send(pod, first);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_EGRESS);
  // The neighbour's addresses are the kernel's to fill in (bpf_redirect_neigh).
  EXPECT_EQ(outcome.frame, translated(first, pod.to_router(), {address, 20005, remote, 443})) << "it keeps its port";

  const Frame answer = syn_ack(outcome.frame);
  outcome = receive(answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(answer, to_pod(pod), {remote, 443, pod.address, 20005}));

  const Frame data = tcp(pod.to_router(), {pod.address, 20005, remote, 443}, kAck, {.payload = Bytes(333, 0x7e)});
  EXPECT_EQ(send(pod, data).frame, translated(data, pod.to_router(), {address, 20005, remote, 443}));
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
  EXPECT_EQ(datapath.usage(network.slot).half_open, 0U) << "nobody outside has asked for it";
  const auto record = flow(7, kTcp, {pod.address, 20005, remote, 443});
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->ifindex, world.uplink());
  EXPECT_EQ(record->delivery, SLUICE_DELIVER_UPLINK);
}

TEST_P(Egress, APortOutsideOfTheRangeIsReplaced) {
  world.way_out(network, "192.0.2.1");
  for (const std::uint16_t port :
       {std::uint16_t{1024}, std::uint16_t{19999}, std::uint16_t{21000}, std::uint16_t{65535}}) {
    const Tuple asked{pod.address, port, remote, 53};
    const Frame query = udp(pod.to_router(), asked, Bytes(100, 1));
    const Outcome outcome = send(pod, query);
    ASSERT_EQ(outcome.reason, SLUICE_REASON_TO_EGRESS) << port;
    const std::uint16_t got = source_port(outcome.frame);
    EXPECT_GE(got, 20000);
    EXPECT_LE(got, 20999);
    EXPECT_EQ(outcome.frame, translated(query, pod.to_router(), {address, got, remote, 53}));
    const Frame reply = udp(kInbound, {remote, 53, address, got}, Bytes(300, 2));
    EXPECT_EQ(receive(reply).frame, translated(reply, to_pod(pod), asked.reversed()));
  }
}

TEST_P(Egress, NetworksWithTheSameAddressesGetPortsOfTheirOwn) {
  world.way_out(network, "192.0.2.1");
  world.way_out(other, "192.0.2.1");
  const Outcome one = send(pod, syn(pod, 20005)), two = send(twin, syn(twin, 20005));
  ASSERT_EQ(two.reason, SLUICE_REASON_TO_EGRESS);
  EXPECT_EQ(source_port(one.frame), 20005);
  EXPECT_NE(source_port(two.frame), 20005);
  Outcome outcome = receive(syn_ack(one.frame));
  EXPECT_EQ(outcome.frame.mac(0), pod.mac);
  outcome = receive(syn_ack(two.frame));
  EXPECT_EQ(outcome.frame.mac(0), twin.mac);
  // To another remote the port is free.
  const Frame elsewhere = tcp(twin.to_router(), {twin.address, 20005, ip("203.0.113.10"), 443}, kSyn);
  EXPECT_EQ(source_port(send(twin, elsewhere).frame), 20005);
}

TEST_P(Egress, APingIsKnownByItsIdentifier) {
  world.way_out(network, "192.0.2.1");
  world.way_out(other, "192.0.2.1");
  const auto ask = [&](const Pod& from, std::uint16_t id) {
    return send(from, echo_request(from.to_router(), from.address, remote, id));
  };
  const auto id_of = [&](const Frame& frame) { return frame.get16(l4 + 4); };
  Outcome outcome = ask(pod, 20077);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_EGRESS);
  EXPECT_EQ(outcome.frame, hop(echo_request(pod.to_router(), address, remote, 20077)));
  outcome = ask(twin, 20077);
  const std::uint16_t id = id_of(outcome.frame);
  EXPECT_NE(id, 20077);
  EXPECT_EQ(outcome.frame, hop(echo_request(twin.to_router(), address, remote, id)));
  EXPECT_EQ(receive(echo_reply(kInbound, remote, address, id)).frame,
            hop(echo_reply(to_pod(twin), remote, twin.address, 20077)));
  EXPECT_EQ(receive(echo_reply(kInbound, remote, address, 20077)).frame,
            hop(echo_reply(to_pod(pod), remote, pod.address, 20077)));
  outcome = ask(pod, 1);
  EXPECT_EQ(outcome.frame, hop(echo_request(pod.to_router(), address, remote, id_of(outcome.frame))));
  EXPECT_GE(id_of(outcome.frame), 20000);
}

TEST_P(Egress, ErrorsAboutWhatLeftAreTranslatedBack) {
  world.way_out(network, "192.0.2.1");
  const Address hop_outside = ip("198.51.100.7");
  const Frame sent = tcp(pod.to_router(), {pod.address, 4000, remote, 443}, kSyn, {.payload = Bytes(64, 9)});
  const Outcome left = send(pod, sent);
  for (const std::size_t behind_ip : {std::size_t{8}, std::size_t{18}, std::size_t{84}}) {
    const Outcome outcome = receive(error(hop_outside, left.frame, behind_ip));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ERROR_TRANSLATED);
    EXPECT_EQ(outcome.frame, error_to(pod, hop_outside, sent, behind_ip)) << behind_ip;
  }
  for (const std::uint16_t id : {std::uint16_t{5}, std::uint16_t{20500}}) {
    const Frame ping = echo_request(pod.to_router(), pod.address, remote, id);
    const Outcome outcome = receive(error(hop_outside, send(pod, ping).frame, 15));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ERROR_TRANSLATED);
    EXPECT_EQ(outcome.frame, error_to(pod, hop_outside, ping, 15)) << id;
  }
}

TEST_P(Egress, NobodyOutsideComplainsInTheNameOfAPod) {
  world.way_out(network, "192.0.2.1");
  const Pod neighbour = world.pod(network, "172.16.0.21");
  const Outcome left = send(pod, syn(pod, 4000));
  EXPECT_EQ(receive(error(neighbour.address, left.frame)).reason, SLUICE_REASON_MARTIAN);
  EXPECT_EQ(receive(error(ip("172.16.0.99"), left.frame)).reason, SLUICE_REASON_ERROR_TRANSLATED)
      << "routers on the way may have private addresses that are nobody's here";
}

TEST_P(Egress, AnErrorOfThePodIsTranslatedToTheOutside) {
  world.way_out(network, "192.0.2.1");
  const Tuple asked{pod.address, 4000, remote, 53};
  const std::uint16_t port = source_port(send(pod, udp(pod.to_router(), asked)).frame);
  const Frame reply = udp(kInbound, {remote, 53, address, port}, Bytes(64, 3));
  const Outcome delivered = receive(reply);
  const auto unreachable = [&](const Link& link, const Address& from, const Frame& about) {
    Bytes rest{0, 0, 0, 0};
    rest.insert(rest.end(), about.bytes.begin() + kIp,
                about.bytes.begin() + static_cast<std::ptrdiff_t>(about.l4() + 8));
    return icmp(link, from, about.source(), pick<std::uint8_t>(3, 1), pick<std::uint8_t>(3, 4), rest);
  };
  const Outcome outcome = send(pod, unreachable(pod.to_router(), pod.address, delivered.frame));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(outcome.frame, hop(unreachable(pod.to_router(), address, hop(reply))));
}

TEST_P(Egress, ANetworkHoldsNoMoreThanAQuarterOfOneRemotesPorts) {
  world.way_out(network, "192.0.2.1", {.first = 20000, .last = 20015});
  world.way_out(other, "192.0.2.1", {.first = 20000, .last = 20015});
  for (std::uint16_t i = 0; i < 4; ++i) EXPECT_EQ(send(pod, syn(pod, 3000 + i)).reason, SLUICE_REASON_TO_EGRESS);
  EXPECT_EQ(send(pod, syn(pod, 3004)).reason, SLUICE_REASON_EGRESS_SHARE);
  EXPECT_EQ(send(twin, syn(twin, 3000)).reason, SLUICE_REASON_TO_EGRESS) << "another network has its own share";
  const Frame elsewhere = tcp(pod.to_router(), {pod.address, 3004, ip("203.0.113.10"), 443}, kSyn);
  EXPECT_EQ(send(pod, elsewhere).reason, SLUICE_REASON_TO_EGRESS) << "and another remote has other ports";
  EXPECT_EQ(datapath.usage(network.slot).pairs, 5U) << "what was refused is charged nothing";
}

TEST_P(Egress, WhenAllPortsOfARemoteAreHeldThereIsNone) {
  std::set<std::uint16_t> ports;
  for (std::uint16_t i = 0; i < 4; ++i) {
    const Network one = world.network(20U + i, static_cast<std::uint16_t>(10 + i));
    world.way_out(one, "192.0.2.1", {.first = 20000, .last = 20007});
    const Pod sender = world.pod(one, "172.16.0.9");
    for (std::uint16_t port = 0; port < 2; ++port)
      ports.insert(source_port(send(sender, syn(sender, port + 1U)).frame));
  }
  EXPECT_EQ(ports.size(), 8U) << "each is found";
  world.way_out(network, "192.0.2.1", {.first = 20000, .last = 20007});
  EXPECT_EQ(send(pod, syn(pod, 20003)).reason, SLUICE_REASON_EGRESS_PORTS);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 0U);
}

TEST_P(Egress, APodHasSoManyFlowsAndGetsThemBack) {
  WayOut way = world.way_out(network, "192.0.2.1", {.quota = 2});
  const Pod neighbour = world.pod(network, "172.16.0.21");
  EXPECT_EQ(send(pod, syn(pod, 3000)).reason, SLUICE_REASON_TO_EGRESS);
  EXPECT_EQ(send(pod, syn(pod, 3001)).reason, SLUICE_REASON_TO_EGRESS);
  EXPECT_EQ(send(pod, syn(pod, 3002)).reason, SLUICE_REASON_EGRESS_QUOTA);
  EXPECT_EQ(send(pod, syn(pod, 3000)).reason, SLUICE_REASON_TO_EGRESS) << "those that it has go on";
  EXPECT_EQ(send(neighbour, syn(neighbour, 3000)).reason, SLUICE_REASON_TO_EGRESS);
  world.renew(way);
  EXPECT_EQ(send(pod, syn(pod, 3002)).reason, SLUICE_REASON_EGRESS_QUOTA) << "until the ended ones are swept";
  EXPECT_EQ(send(pod, syn(pod, 3000)).reason, SLUICE_REASON_TO_EGRESS) << "in its predecessor's place";
  EXPECT_EQ(datapath.usage(network.slot).pairs, 3U);
}

TEST_P(Egress, AnEndedWayEndsItsFlowsInBothDirections) {
  WayOut way = world.way_out(network, "192.0.2.1");
  const Outcome left = send(pod, syn(pod, 20005));
  world.remove(way);
  EXPECT_EQ(receive(syn_ack(left.frame)).reason, SLUICE_REASON_REFUSED_TCP) << "the other side is told";
  EXPECT_EQ(send(pod, syn(pod, 20005)).reason, SLUICE_REASON_NO_EGRESS);
}

TEST_P(Egress, APortOfAClosingConnectionIsNotGivenToAnother) {
  world.way_out(network, "192.0.2.1");
  world.way_out(other, "192.0.2.1");
  const Tuple inside{pod.address, 20005, remote, 443}, outside{remote, 443, address, 20005};
  send(pod, syn(pod, 20005));
  receive(tcp(kInbound, outside, kSyn | kAck, {.sequence = 50, .acknowledgement = 1001}));
  send(pod, tcp(pod.to_router(), inside, kAck, {.sequence = 1001, .acknowledgement = 51}));
  send(pod, tcp(pod.to_router(), inside, kFin | kAck, {.sequence = 1001, .acknowledgement = 51}));
  receive(tcp(kInbound, outside, kFin | kAck, {.sequence = 51, .acknowledgement = 1002}));
  EXPECT_NE(source_port(send(twin, syn(twin, 20005)).frame), 20005);
  // The pod's own stack says when it uses the tuple again.
  EXPECT_EQ(source_port(send(pod, syn(pod, 20005)).frame), 20005);
}

TEST_P(Egress, NobodyReachesWhatIsDenied) {
  world.way_out(network, "192.0.2.1");
  world.deny("198.51.0.0", 16);
  world.deny("203.0.113.10", 32);
  for (const char* target : {"198.51.100.7", "198.51.0.0", "198.51.255.255", "203.0.113.10"}) {
    const Frame frame = tcp(pod.to_router(), {pod.address, 4000, ip(target), 22}, kSyn);
    EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_EGRESS_DENIED) << target;
  }
  const auto nowhere = pick<std::vector<const char*>>({"127.0.0.1", "0.0.0.1", "169.254.169.254"},
                                                      {"::1", "::ffff:203.0.113.9", "fe80::1"});
  for (const char* target : nowhere) {
    const Frame frame = udp(pod.to_router(), {pod.address, 4000, bpftest::ip(target), 53});
    EXPECT_EQ(send(pod, frame).reason, SLUICE_REASON_EGRESS_DENIED) << target;
  }
  const Frame beside = tcp(pod.to_router(), {pod.address, 4000, ip("198.52.0.1"), 22}, kSyn);
  EXPECT_EQ(send(pod, beside).reason, SLUICE_REASON_TO_EGRESS);
}

TEST_P(Egress, ANetworkWithoutAWayOutOfItsFamilyStaysInside) {
  EXPECT_EQ(send(pod, syn(pod, 4000)).reason, SLUICE_REASON_NO_EGRESS);
  world.way_out(other, "192.0.2.1");
  EXPECT_EQ(send(pod, syn(pod, 4000)).reason, SLUICE_REASON_NO_EGRESS);
  sluice_egress record{};
  record.self = record.self_end = network.id;
  record.ifindex = world.uplink();
  datapath.put("egress", network.id, record);  // of neither family
  EXPECT_EQ(send(pod, syn(pod, 4000)).reason, SLUICE_REASON_NO_EGRESS);
}

TEST_P(Egress, WhatOpensNoFlowIsNamed) {
  world.way_out(network, "192.0.2.1");
  const Tuple there{pod.address, 4000, remote, 443};
  for (const unsigned flags : {kAck, kSyn | kAck, kFin | kAck}) {
    EXPECT_EQ(send(pod, tcp(pod.to_router(), there, flags)).reason, SLUICE_REASON_REFUSED_TCP) << "it need not wait";
  }
  EXPECT_EQ(send(pod, tcp(pod.to_router(), there, kRst)).reason, SLUICE_REASON_NO_CONNECTION);
  EXPECT_EQ(send(pod, echo_reply(pod.to_router(), pod.address, remote, 9)).reason, SLUICE_REASON_NO_CONNECTION);
  EXPECT_EQ(send(pod, icmp(pod.to_router(), pod.address, remote, pick<std::uint8_t>(13, 100), 0, Bytes(12))).reason,
            SLUICE_REASON_ICMP_ERROR);
  const Frame gre = ip_packet(pod.to_router(), pod.address, remote, 47, Bytes(20));
  const Outcome outcome = send(pod, gre);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_PROTOCOL);
  EXPECT_EQ(outcome.frame, protocol_unreachable(gre));
  EXPECT_EQ(datapath.flows().size(), 0U);
  const Frame late = syn(pod, 4000).set_hops(1).fix_checksums();
  EXPECT_EQ(send(pod, late).reason, SLUICE_REASON_TIME_EXCEEDED);
}

TEST_P(Egress, NothingUnsolicitedGetsToAnAddressOfItsOwn) {
  world.way_out(network, "192.0.2.1");
  EXPECT_EQ(receive(tcp(kInbound, {remote, 443, address, 20005}, kSyn)).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(tcp(kInbound, {remote, 443, address, 22}, kSyn)).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(udp(kInbound, {remote, 53, address, 20005})).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(ip_packet(kInbound, remote, address, 47, Bytes(20))).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(echo_reply(kInbound, remote, address, 20005)).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(echo_request(kInbound, remote, address, 9)).reason, SLUICE_REASON_ECHO_ANSWERED);
  send(pod, syn(pod, 20005));
  // Another's packet to a port that is held: the remote's own alone come in.
  EXPECT_EQ(receive(tcp(kInbound, {ip("203.0.113.10"), 443, address, 20005}, kAck)).reason,
            SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(tcp(kInbound, {address, 443, ip("192.0.2.77"), 20005}, kAck)).reason, SLUICE_REASON_FOREIGN);
}

TEST_P(Egress, OfTheNodesOwnAddressAllButTheRangeIsTheHosts) {
  world.way_out(network, "192.0.2.1", {.shared = true});
  world.way_out(other, "192.0.2.1", {.shared = true});
  const auto expect_host = [&](const Frame& frame, const char* what) {
    const Outcome outcome = receive(frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_FOREIGN) << what;
    EXPECT_EQ(outcome.frame, frame) << what;
  };
  expect_host(tcp(kInbound, {remote, 5000, address, 22}, kSyn), "ssh");
  expect_host(tcp(kInbound, {remote, 5000, address, 19999}, kAck), "below the range");
  expect_host(udp(kInbound, {remote, 53, address, 21000}), "above the range");
  expect_host(echo_request(kInbound, remote, address, 20005), "a ping");
  expect_host(echo_reply(kInbound, remote, address, 9), "the answer to the host's ping");
  expect_host(echo_reply(kInbound, remote, address, 20005), "the same with an identifier of the range");
  expect_host(ip_packet(kInbound, remote, address, 47, Bytes(20)), "a tunnel");
  expect_host(tcp(kInbound, {remote, 0, address, 22}, kSyn), "what no stack would take");
  const Frame to_host = udp(kInbound, {remote, 53, address, 5353}, Bytes(2000, 1));
  for (const Frame& piece : fragments(to_host, 77, 1448)) expect_host(piece, "a fragment");
  const Frame of_host = tcp(pod.to_router(), {address, 4000, remote, 443}, kSyn);
  expect_host(error(remote, of_host), "an error about the host's packet");
  expect_host(error(remote, tcp(pod.to_router(), {address, 20005, remote, 443}, kSyn)), "an error about nobody's");
  expect_host(error(remote, tcp(pod.to_router(), {remote, 20005, remote, 443}, kSyn)).set_destination(address),
              "a lie");

  EXPECT_EQ(send(pod, tcp(pod.to_router(), {pod.address, 4000, address, 22}, kSyn)).reason,
            SLUICE_REASON_EGRESS_DENIED);
  EXPECT_EQ(receive(tcp(kInbound, {remote, 443, address, 20000}, kSyn)).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  EXPECT_EQ(receive(udp(kInbound, {remote, 53, address, 20999})).reason, SLUICE_REASON_EGRESS_UNSOLICITED);

  const Outcome left = send(pod, syn(pod, 4000));
  EXPECT_EQ(receive(syn_ack(left.frame)).reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(receive(error(remote, left.frame)).reason, SLUICE_REASON_ERROR_TRANSLATED);
  const Outcome ping = send(pod, echo_request(pod.to_router(), pod.address, remote, 9));
  EXPECT_EQ(receive(echo_reply(kInbound, remote, address, ping.frame.get16(l4 + 4))).reason, SLUICE_REASON_TO_CLIENT);
}

TEST_P(Egress, FragmentsThatNobodyWaitsForTakeNoRoom) {
  world.way_out(network, "192.0.2.1");
  const Tuple asked{pod.address, 20005, remote, 53};
  ASSERT_EQ(send(pod, udp(pod.to_router(), asked)).reason, SLUICE_REASON_TO_EGRESS);
  for (std::uint32_t id = 1; id <= 300; ++id) {
    const Frame stranger = udp(kInbound, {ip("203.0.113.10"), 53, address, 20005}, Bytes(100, 1));
    EXPECT_EQ(receive(fragment(stranger, id, 0, 48)).reason, SLUICE_REASON_EGRESS_UNSOLICITED);
  }
  const Frame reply = udp(kInbound, {remote, 53, address, 20005}, Bytes(100, 2));
  EXPECT_EQ(receive(fragment(reply, 1, 0, 48)).reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(receive(fragment(reply, 1, 48, 108)).reason, SLUICE_REASON_TO_CLIENT);
}

TEST_P(Egress, FragmentsLeaveAndComeBack) {
  for (const bool shared : {false, true}) {
    const char* text = shared ? "192.0.2.2" : "192.0.2.1";
    world.way_out(network, text, {.shared = shared});
    const Tuple asked{pod.address, static_cast<std::uint16_t>(shared ? 4001 : 4000), remote, 53};
    const Frame query = udp(pod.to_router(), asked, Bytes(3000, 1));
    std::uint32_t id = shared ? 500 : 600;
    std::vector<Frame> left;
    for (const Frame& piece : fragments(divisible(query, id), id, 1448)) {
      const Outcome outcome = send(pod, piece);
      EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_EGRESS);
      left.push_back(outcome.frame);
    }
    const std::uint16_t port = left.front().get16(l4 + pick<std::size_t>(0, 8));  // behind the fragment header
    EXPECT_EQ(reassembled(left), divisible(translated(query, pod.to_router(), {ip(text), port, remote, 53}), id));
    const Frame reply = udp(kInbound, {remote, 53, ip(text), port}, Bytes(3000, 2));
    id += 50;
    std::vector<Frame> back;
    for (const Frame& piece : fragments(divisible(reply, id), id, 1448)) {
      const Outcome outcome = receive(piece);
      EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
      back.push_back(outcome.frame);
    }
    EXPECT_EQ(reassembled(back), divisible(translated(reply, to_pod(pod), asked.reversed()), id));
  }
}

class Crossing : public Egress {
 protected:
  const Address floating = ip("192.0.2.50");
  const Pod server = world.pod(other, "172.16.0.30");
  const Tuple asked{pod.address, 4000, floating, 80};
};

TEST_P(Crossing, AFloatingIpOfAnotherNetworkIsReachedAsFromOutside) {
  world.floating("192.0.2.50", 80, kTcp, other, {{server, 8080}});
  EXPECT_EQ(send(pod, tcp(pod.to_router(), asked, kSyn)).reason, SLUICE_REASON_NO_EGRESS) << "not without a way out";
  world.way_out(network, "192.0.2.1");
  const Frame first = tcp(pod.to_router(), asked, kSyn);
  Outcome outcome = send(pod, first);
  ASSERT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  const std::uint16_t port = source_port(outcome.frame);
  const Tuple behind{address, port, server.address, 8080};
  EXPECT_EQ(outcome.frame, translated(first, to_pod(server), behind)) << "one record translates both ends";
  EXPECT_GE(port, 20000);
  const Frame answer = tcp(server.to_router(), behind.reversed(), kSyn | kAck);
  outcome = send(server, answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(answer, to_pod(pod), asked.reversed()));
  EXPECT_EQ(datapath.usage(other.slot).pairs, 1U) << "charged to whom the floating IP is";
  EXPECT_EQ(datapath.usage(other.slot).half_open, 1U) << "like any client from outside";
  EXPECT_EQ(datapath.usage(network.slot).pairs, 0U);
}

TEST_P(Crossing, AnEgressAddressThatIsAlsoInsideIsNobodysSourceThere) {
  world.floating("192.0.2.50", 80, kTcp, other, {{server, 8080}});
  world.service_address(other, "10.9.9.9");
  std::uint16_t from = 4000;
  for (const char* inside : {"172.16.0.99", "10.9.9.9"}) {
    world.way_out(network, inside);
    const Tuple question{pod.address, ++from, floating, 80};
    const Outcome outcome = send(pod, tcp(pod.to_router(), question, kSyn));
    ASSERT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND) << inside;
    EXPECT_EQ(outcome.frame.source(), other.router) << inside;
    const Tuple behind{other.router, source_port(outcome.frame), server.address, 8080};
    const Frame answer = tcp(server.to_router(), behind.reversed(), kSyn | kAck);
    EXPECT_EQ(send(server, answer).frame, translated(answer, to_pod(pod), question.reversed())) << inside;
  }
}

TEST_P(Crossing, ANewFlowToItIsRefusedWithTheSendersRate) {
  world.floating("192.0.2.50", 80, kTcp, other, {{server, 8080, false}});
  world.way_out(network, "192.0.2.1");
  EXPECT_EQ(send(pod, tcp(pod.to_router(), asked, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(datapath.usage(network.slot).inside.answers, 1U);
  EXPECT_EQ(datapath.usage(other.slot).inside.answers, 0U);
  EXPECT_EQ(send(pod, tcp(pod.to_router(), {pod.address, 4000, floating, 81}, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(send(pod, echo_request(pod.to_router(), pod.address, floating, 3)).reason, SLUICE_REASON_ECHO_ANSWERED);
}

TEST_P(Crossing, NobodyInsideReachesAnEgressAddress) {
  world.floating("192.0.2.50", 80, kTcp, other, {{server, 8080}});
  world.way_out(network, "192.0.2.1");
  world.way_out(other, "192.0.2.1");
  const Outcome outcome = send(pod, tcp(pod.to_router(), asked, kSyn));
  const std::uint16_t port = source_port(outcome.frame);
  // The server may answer its client, and nobody else may.
  const Tuple back{server.address, 8080, address, port};
  EXPECT_EQ(send(twin, tcp(twin.to_router(), {twin.address, 8080, address, port}, kSyn)).reason,
            SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(send(server, tcp(server.to_router(), back, kSyn | kAck)).reason, SLUICE_REASON_TO_CLIENT);
}

IN_BOTH_FAMILIES(Egress);
IN_BOTH_FAMILIES(Crossing);

}  // namespace
}  // namespace bpftest
