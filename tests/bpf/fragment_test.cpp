// SPDX-License-Identifier: Apache-2.0
// Fragments: all of a datagram go where its first one goes, and none passes that could be put together in two ways.
#include "harness/fragments.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr std::size_t kPiece = 1448;  // with the headers of IPv6 within 1500 bytes

class Fragments : public FamilyTest {
 protected:
  Fragments() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
    world.floating("192.0.2.1", 53, kUdp, network, {{server, 5353}});
  }

  struct Sent {
    std::vector<sluice_reason> reasons;
    std::vector<Frame> frames;
  };
  /// Sends all of them: as `pod`, or from the public side.
  Sent send_all(const Pod* pod, const std::vector<Frame>& pieces) {
    Sent sent;
    for (const Frame& piece : pieces) {
      const Outcome outcome = pod != nullptr ? send(*pod, piece) : receive(piece);
      sent.reasons.push_back(outcome.reason);
      sent.frames.push_back(outcome.frame);
    }
    return sent;
  }
  /// Every fragment of `frame` has the reason, and the receiver puts them together to `expected`.
  void expect_carried(const Pod* pod, const Frame& frame, sluice_reason reason, const Frame& expected) {
    const std::uint32_t id = ++last_id;
    const Sent sent = send_all(pod, fragments(divisible(frame, id), id, kPiece));
    EXPECT_EQ(sent.reasons, std::vector<sluice_reason>(sent.reasons.size(), reason));
    EXPECT_EQ(reassembled(sent.frames), divisible(expected, id));
  }
  /// The reasons of pieces of one datagram to a neighbour, given by where they begin and end; the datagram has 400
  /// bytes.
  using Cut = std::pair<std::size_t, std::size_t>;
  std::vector<sluice_reason> run(const std::vector<Cut>& cuts, std::uint32_t id, const Pod* sender = nullptr) {
    std::vector<Frame> pieces;
    for (const auto& [begin, end] : cuts) pieces.push_back(fragment(to_neighbour(), id, begin, end));
    return send_all(sender != nullptr ? sender : &client, pieces).reasons;
  }
  [[nodiscard]] Frame to_neighbour() const {
    return udp(client.to(server), {client.address, 40000, server.address, 7}, Bytes(392, 0x5a));
  }
  /// Lets `time` pass for all that is remembered of what pods of the network have sent.
  void age(std::uint64_t time) {
    for (std::uint32_t i = 0; i < SLUICE_FRAGMENT_BUCKETS; ++i) {
      const std::uint32_t index = network.slot * SLUICE_FRAGMENT_BUCKETS + i;
      auto bucket = datapath.element<sluice_fragment_bucket>("fragments", index);
      for (sluice_fragment& entry : bucket.entries) {
        if (entry.last_seen != 0) entry.last_seen -= time;
      }
      datapath.put("fragments", index, bucket);
    }
  }
  /// How many datagrams of a window are remembered.
  [[nodiscard]] unsigned remembered(std::uint32_t window) const {
    unsigned count = 0;
    for (std::uint32_t i = 0; i < SLUICE_FRAGMENT_BUCKETS; ++i) {
      const auto bucket = datapath.element<sluice_fragment_bucket>("fragments", window * SLUICE_FRAGMENT_BUCKETS + i);
      for (const sluice_fragment& entry : bucket.entries) count += entry.last_seen != 0;
    }
    return count;
  }

  static constexpr sluice_reason kToPod = SLUICE_REASON_TO_POD, kUnknown = SLUICE_REASON_FRAGMENT_UNKNOWN,
                                 kOverlap = SLUICE_REASON_FRAGMENT_OVERLAP, kTiny = SLUICE_REASON_FRAGMENT_TINY,
                                 kMalformed = SLUICE_REASON_FRAGMENT_MALFORMED, kAlone = SLUICE_REASON_FRAGMENT;

  using Reasons = std::vector<sluice_reason>;
  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  const Address service = ip("172.16.1.1"), floating = ip("192.0.2.1"), outside = ip("203.0.113.9");
  std::uint32_t last_id = 100;
};

TEST_P(Fragments, ADatagramThroughAServiceIsWholeOnBothWays) {
  const Tuple there{client.address, 40000, service, 53}, behind{client.address, 40000, server.address, 5353};
  for (const std::size_t length : {1473U, 2953U, 8000U, 65500U}) {
    const Frame query = udp(client.to_router(), there, Bytes(length, 0x11));
    expect_carried(&client, query, SLUICE_REASON_TO_BACKEND, translated(query, to_pod(server), behind));
    const Frame reply = udp(server.to_router(), behind.reversed(), Bytes(length, 0x22));
    expect_carried(&server, reply, SLUICE_REASON_TO_CLIENT, translated(reply, to_pod(client), there.reversed()));
    const Frame unsummed = Frame(query).set16(l4 + 6, 0);
    expect_carried(&client, unsummed, SLUICE_REASON_TO_BACKEND, translated(unsummed, to_pod(server), behind));
  }
}

TEST_P(Fragments, ADatagramThroughAFloatingIpIsWholeOnBothWays) {
  const Tuple there{outside, 40000, floating, 53}, behind{outside, 40000, server.address, 5353};
  for (const std::size_t length : {1473U, 8000U, 65500U}) {
    const Frame query = udp(kInbound, there, Bytes(length, 0x11));
    expect_carried(nullptr, query, SLUICE_REASON_TO_BACKEND, translated(query, to_pod(server), behind));
    const Frame reply = udp(server.to_router(), behind.reversed(), Bytes(length, 0x22));
    expect_carried(&server, reply, SLUICE_REASON_TO_UPLINK, translated(reply, server.to_router(), there.reversed()));
  }
}

TEST_P(Fragments, SegmentsAndPingsAreCarriedToo) {
  const Tuple there{client.address, 40000, service, 80}, behind{client.address, 40000, server.address, 8080};
  const Frame syn = tcp(client.to_router(), there, kSyn, {.payload = Bytes(3000, 1), .options = Bytes(40, 1)});
  expect_carried(&client, syn, SLUICE_REASON_TO_BACKEND, translated(syn, to_pod(server), behind));
  const Frame data = tcp(server.to_router(), behind.reversed(), kAck, {.payload = Bytes(4000, 2)});
  expect_carried(&server, data, SLUICE_REASON_TO_CLIENT, translated(data, to_pod(client), there.reversed()));

  const Frame ping = echo_request(client.to_router(), client.address, service, 77, Bytes(3002, 3));
  const Tuple echo{client.address, 77, server.address, 0};
  expect_carried(&client, ping, SLUICE_REASON_TO_BACKEND, translated(ping, to_pod(server), echo));
  const Frame pong = echo_reply(server.to_router(), server.address, client.address, 77, Bytes(3002, 3));
  expect_carried(&server, pong, SLUICE_REASON_TO_CLIENT,
                 translated(pong, to_pod(client), {service, 0, client.address, 77}));
}

TEST_P(Fragments, BetweenPodsEveryProtocolIsCarriedUnchanged) {
  const Link link = client.to(server);
  const Tuple tuple{client.address, 40000, server.address, 80};
  std::vector<Frame> frames = {udp(link, tuple, Bytes(3000)), tcp(link, tuple, kAck, {.payload = Bytes(3000)}),
                               echo_request(link, client.address, server.address, 7, Bytes(3000)),
                               echo_reply(link, client.address, server.address, 7, Bytes(3000))};
  for (const unsigned protocol : {kExperiment, std::uint8_t{47}, std::uint8_t{50}}) {
    frames.push_back(
        ip_packet(link, client.address, server.address, static_cast<std::uint8_t>(protocol), Bytes(3000, 9)));
  }
  for (const Frame& frame : frames) expect_carried(&client, frame, kToPod, frame);
  EXPECT_TRUE(datapath.flows().empty());
  EXPECT_EQ(remembered(network.slot), 0U) << "what is complete is forgotten";
}

TEST_P(Fragments, ALaterOneIsDroppedBeforeItsFirst) {
  EXPECT_EQ(run({{200, 400}}, 1), Reasons{kUnknown});
  EXPECT_EQ(run({{0, 200}, {200, 400}}, 1), (Reasons{kToPod, kToPod})) << "it has left nothing behind";
  EXPECT_EQ(run({{200, 400}}, 1), Reasons{kUnknown}) << "after the last one";
  EXPECT_EQ(run({{0, 200}}, 2), Reasons{kToPod});
  EXPECT_EQ(run({{200, 400}}, 3), Reasons{kUnknown}) << "of another datagram";
}

TEST_P(Fragments, BytesThatHavePassedAreNotAcceptedAgain) {
  EXPECT_EQ(run({{0, 200}, {0, 200}, {0, 104}}, 1), (Reasons{kToPod, kOverlap, kOverlap})) << "the first one";
  EXPECT_EQ(run({{192, 400}, {96, 200}, {200, 304}}, 1), (Reasons{kOverlap, kOverlap, kToPod}));
  EXPECT_EQ(run({{200, 304}, {296, 400}, {304, 400}}, 1), (Reasons{kOverlap, kOverlap, kToPod}));
}

TEST_P(Fragments, OneThatAnotherHasOvertakenIsDropped) {
  EXPECT_EQ(run({{0, 104}, {200, 304}, {104, 200}, {304, 400}}, 1), (Reasons{kToPod, kToPod, kOverlap, kToPod}));
  EXPECT_EQ(run({{104, 200}, {304, 400}, {0, 104}}, 1), (Reasons{kOverlap, kOverlap, kOverlap}))
      << "with a gap it is not complete";
  EXPECT_EQ(remembered(network.slot), 1U);
}

TEST_P(Fragments, NothingComesBehindTheLast) {
  const Frame longer = udp(client.to(server), {client.address, 40000, server.address, 7}, Bytes(592, 0x5a));
  EXPECT_EQ(run({{0, 104}, {200, 400}}, 1), (Reasons{kToPod, kToPod}));
  EXPECT_EQ(send(client, fragment(longer, 1, 400, 600)).reason, kOverlap);
}

TEST_P(Fragments, ADatagramIsRememberedForTwoSecondsAfterItsLastFragment) {
  EXPECT_EQ(run({{0, 104}}, 1), Reasons{kToPod});
  age(SLUICE_FRAGMENT_LIFETIME - 1'000'000'000);
  EXPECT_EQ(run({{0, 104}, {104, 200}}, 1), (Reasons{kOverlap, kToPod}));
  age(SLUICE_FRAGMENT_LIFETIME - 1'000'000'000);
  EXPECT_EQ(run({{200, 304}}, 1), Reasons{kToPod}) << "counted from the one before";
  age(SLUICE_FRAGMENT_LIFETIME);
  EXPECT_EQ(run({{304, 400}}, 1), Reasons{kUnknown});
  EXPECT_EQ(run({{0, 104}, {104, 400}}, 1), (Reasons{kToPod, kToPod})) << "its identification is used again";
}

TEST_P(Fragments, LengthsThatCannotBeAreDropped) {
  const Frame whole = to_neighbour();
  const auto at = [&](std::size_t begin, std::size_t length, bool more) {
    Frame piece = fragment(whole, 1, 0, length);
    if (family == Family::kIpv6) return piece.set16(kL46 + 2, static_cast<unsigned>(begin) | (more ? 1U : 0U));
    return piece.set16(kIp + 6, static_cast<unsigned>(begin / 8) | (more ? 0x2000U : 0U)).fix_checksums();
  };
  for (const std::size_t length : {9U, 15U, 17U, 33U, 100U, 199U}) {
    EXPECT_EQ(send(client, at(0, length, true)).reason, kMalformed) << length;
    EXPECT_EQ(send(client, at(400, length, true)).reason, kMalformed) << length;
  }
  EXPECT_EQ(send(client, at(0, 0, true)).reason, kMalformed);
  EXPECT_EQ(send(client, at(400, 0, true)).reason, kMalformed);
  EXPECT_EQ(send(client, at(400, 0, false)).reason, kMalformed);
  // The longest packet has 65535 bytes, in IPv4 with its header.
  EXPECT_EQ(send(client, at(65504, pick(12, 32), false)).reason, pick(kMalformed, kMalformed));
  EXPECT_EQ(send(client, at(0, 200, true)).reason, kToPod);
  EXPECT_EQ(send(client, at(65504, pick(11, 31), false)).reason, kToPod);
}

TEST_P(Fragments, AFirstOneHasTheWholeTransportHeader) {
  const Link link = client.to(server);
  const Tuple tuple{client.address, 40000, server.address, 80};
  const Frame segment = tcp(link, tuple, kSyn, {.payload = Bytes(100), .options = Bytes(20, 1)});
  const Frame ping = echo_request(link, client.address, server.address, 7, Bytes(100));
  for (const std::size_t end : {8U, 16U, 24U, 32U}) {
    EXPECT_EQ(send(client, fragment(segment, 1, 0, end)).reason, kTiny) << end;
  }
  EXPECT_EQ(remembered(network.slot), 0U);
  EXPECT_EQ(send(client, fragment(segment, 1, 0, 40)).reason, kToPod);
  EXPECT_EQ(send(client, fragment(to_neighbour(), 2, 0, 8)).reason, kToPod);
  EXPECT_EQ(send(client, fragment(ping, 3, 0, 8)).reason, kToPod);
  EXPECT_EQ(send(client, fragment(Frame(segment).set16(l4, 0), 4, 0, 40)).reason, SLUICE_REASON_ZERO_PORT);
}

TEST_P(Fragments, ALaterOneNeverLiesInATcpHeader) {
  const Frame segment =
      tcp(client.to(server), {client.address, 40000, server.address, 80}, kAck, {.payload = Bytes(100)});
  EXPECT_EQ(send(client, fragment(segment, 1, 0, 24)).reason, kToPod);
  EXPECT_EQ(send(client, fragment(segment, 1, 8, 24)).reason, kTiny);
  EXPECT_EQ(send(client, fragment(segment, 1, 16, 120)).reason, kTiny);
  EXPECT_EQ(send(client, fragment(segment, 2, 8, 24)).reason, kTiny) << "without a first one";
  EXPECT_EQ(send(client, fragment(segment, 1, 24, 120)).reason, kToPod);
}

TEST_P(Fragments, ALaterOneOpensNoFlowAndIsNeverAnswered) {
  const Frame query = udp(client.to_router(), {client.address, 40000, service, 54}, Bytes(392));
  EXPECT_EQ(send(client, fragment(query, 1, 0, 200)).reason,
            pick(SLUICE_REASON_REFUSED_UNREACHABLE, SLUICE_REASON_EXTENSION_HEADER));
  EXPECT_EQ(send(client, fragment(query, 1, 200, 400)).reason, kAlone);
  const Frame inbound = udp(kInbound, {outside, 40000, floating, 54}, Bytes(392));
  EXPECT_EQ(receive(fragment(inbound, 1, 0, 200)).reason,
            pick(SLUICE_REASON_REFUSED_UNREACHABLE, SLUICE_REASON_EXTENSION_HEADER));
  EXPECT_EQ(receive(fragment(inbound, 1, 200, 400)).reason, kAlone);

  world.limits(network, 0, 0, 10);
  const Frame good = udp(client.to_router(), {client.address, 40000, service, 53}, Bytes(392));
  EXPECT_EQ(send(client, fragment(good, 2, 0, 200)).reason, SLUICE_REASON_NETWORK_CAP);
  EXPECT_EQ(send(client, fragment(good, 2, 200, 304)).reason, kAlone);
  world.limits(network, 0, 64, 10);
  EXPECT_EQ(send(client, fragment(good, 2, 304, 400)).reason, kAlone);
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Fragments, NobodyAnswersAPingInFragments) {
  const Frame router = echo_request(client.to_router(), client.address, network.router, 7, Bytes(390));
  EXPECT_EQ(send_all(&client, fragments(router, 1, 200)).reasons, (Reasons{kAlone, kAlone}));
  const Frame public_address = echo_request(kInbound, outside, floating, 7, Bytes(390));
  EXPECT_EQ(send_all(nullptr, fragments(public_address, 1, 200)).reasons, (Reasons{kAlone, kAlone}));
  const Frame own = echo_request(client.to_router(), client.address, floating, 7, Bytes(390));
  EXPECT_EQ(send_all(&client, fragments(own, 2, 200)).reasons, (Reasons{kAlone, SLUICE_REASON_NO_EGRESS}));
}

TEST_P(Fragments, AnIcmpErrorIsOnlyCarriedWhole) {
  for (const std::uint8_t type : pick(Bytes{3, 11, 12}, Bytes{1, 2, 3, 4})) {
    const Frame error = icmp(client.to(server), client.address, server.address, type, 0, Bytes(396));
    EXPECT_EQ(send_all(&client, fragments(error, type, 200)).reasons, (Reasons{kAlone, kUnknown}));
  }
  EXPECT_EQ(remembered(network.slot), 0U);
}

TEST_P(Fragments, AreCountedOnTheRecordAndChangeNoState) {
  const Tuple there{client.address, 40000, service, 80};
  send(client, tcp(client.to_router(), there, kSyn));
  const Frame reset = tcp(client.to_router(), there, kRst | kAck, {.payload = Bytes(392)});
  const Frame first = fragment(reset, 1, 0, 200), last = fragment(reset, 1, 200, 412);
  EXPECT_EQ(send(client, first).reason, SLUICE_REASON_TO_BACKEND);
  const FlowRecord before = flow(7, kTcp, there).value();
  EXPECT_NE(before.state & SLUICE_STATE_RST, 0U);
  EXPECT_EQ(send(client, last).reason, SLUICE_REASON_TO_BACKEND);
  const FlowRecord after = flow(7, kTcp, there).value();
  EXPECT_EQ(after.packets, before.packets + 1);
  EXPECT_EQ(after.bytes, before.bytes + last.size());
  EXPECT_EQ(after.state, before.state);
  EXPECT_EQ(after.acknowledged, before.acknowledged);
}

TEST_P(Fragments, OnlyOfAFirstOneIsItToldThatItCameTooFar) {
  const Frame query = udp(client.to_router(), {client.address, 40000, service, 53}, Bytes(392));
  EXPECT_EQ(send(client, fragment(query, 1, 0, 200)).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(send(client, fragment(Frame(query).set_hops(1), 1, 200, 400)).reason, kAlone);
  EXPECT_EQ(send(client, fragment(Frame(query).set_hops(1), 2, 0, 200)).reason,
            pick(SLUICE_REASON_TIME_EXCEEDED, SLUICE_REASON_EXTENSION_HEADER));
}

TEST_P(Fragments, ALaterOneIsJudgedLikeAnyPacket) {
  EXPECT_EQ(run({{0, 200}}, 1), Reasons{kToPod});
  const Frame later = fragment(to_neighbour(), 1, 200, 400);
  EXPECT_EQ(send(client, Frame(later).set_source(ip("172.16.0.20")).fix_checksums()).reason, SLUICE_REASON_SPOOFED_IP);
  EXPECT_EQ(send(client, Frame(later).set_destination(client.address).fix_checksums()).reason, SLUICE_REASON_LAND);
  EXPECT_EQ(send(client, Frame(later).set_mac(6, server.mac)).reason, SLUICE_REASON_SPOOFED_MAC);
  EXPECT_EQ(send(client, Frame(later).set_length(300)).reason, SLUICE_REASON_BAD_IP_LENGTH);
  const Frame inbound = fragment(udp(kInbound, {outside, 40000, floating, 53}, Bytes(392)), 1, 200, 400);
  EXPECT_EQ(receive(Frame(inbound).set_source(ip(pick("127.0.0.1", "::1"))).fix_checksums()).reason,
            SLUICE_REASON_MARTIAN);
  EXPECT_EQ(receive(Frame(inbound).set_source(floating).fix_checksums()).reason, SLUICE_REASON_LAND);
  EXPECT_EQ(receive(Frame(inbound).set_destination(ip("198.51.100.7")).fix_checksums()).reason, SLUICE_REASON_FOREIGN);
  EXPECT_EQ(receive(inbound).reason, kUnknown);
  EXPECT_EQ(send(client, later).reason, kToPod);
}

TEST_P(Fragments, ADhcpServersAnswerIsNotHeardInPieces) {
  const auto from = static_cast<std::uint16_t>(pick(67, 547));
  const auto to = static_cast<std::uint16_t>(pick(68, 546));
  const Frame offer = udp(client.to(server), {client.address, from, server.address, to}, Bytes(392));
  EXPECT_EQ(send_all(&client, fragments(offer, 1, 200)).reasons, Reasons(2, SLUICE_REASON_SPOOFED_DHCP));
}

TEST_P(Fragments, WhatHasAFilterBitByChanceTakesNoRoom) {
  const Address foreign = ip("198.51.100.7");
  world.set_filter_bit({0, foreign});
  const Frame datagram = udp(kInbound, {outside, 1, foreign, 2}, Bytes(392));
  EXPECT_EQ(send_all(nullptr, fragments(datagram, 1, 200)).reasons, Reasons(2, SLUICE_REASON_FOREIGN));
  for (std::uint32_t window = SLUICE_MAX_NETWORK_SLOTS; window < SLUICE_FRAGMENT_WINDOWS; ++window) {
    ASSERT_EQ(remembered(window), 0U);
  }
}

TEST_P(Fragments, AFloodFillsItsOwnWindowOnly) {
  const Network other = world.network(8, 2);
  const Pod guest = world.pod(other, "172.16.0.10"), host = world.pod(other, "172.16.0.20");
  world.floating("192.0.2.2", 53, kUdp, network, {{server, 5353}});
  EXPECT_EQ(run({{0, 104}}, 1), Reasons{kToPod});
  unsigned full = 0;
  for (std::uint32_t id = 1000; id < 1500; ++id) {
    const Reasons reasons = run({{0, 104}}, id);
    full += reasons == Reasons{SLUICE_REASON_FRAGMENT_TABLE_FULL};
    EXPECT_TRUE(reasons == Reasons{kToPod} || reasons == Reasons{SLUICE_REASON_FRAGMENT_TABLE_FULL});
  }
  EXPECT_EQ(full, 500 + 1 - remembered(network.slot));
  EXPECT_GT(full, 400U);
  EXPECT_EQ(run({{104, 400}}, 1), Reasons{kToPod}) << "live ones are not evicted";
  const Frame theirs = udp(guest.to(host), {guest.address, 40000, host.address, 7}, Bytes(392));
  EXPECT_EQ(send_all(&guest, fragments(theirs, 1, 200)).reasons, Reasons(2, kToPod));
  const auto inbound = [&](const char* to) { return udp(kInbound, {outside, 40000, ip(to), 53}, Bytes(392)); };
  EXPECT_EQ(send_all(nullptr, fragments(inbound("192.0.2.1"), 1, 200)).reasons, Reasons(2, SLUICE_REASON_TO_BACKEND));
  full = 0;
  for (std::uint32_t id = 1000; id < 1500; ++id) {
    full += receive(fragment(inbound("192.0.2.1"), id, 0, 200)).reason == SLUICE_REASON_FRAGMENT_TABLE_FULL;
  }
  EXPECT_GT(full, 400U);
  EXPECT_EQ(send_all(nullptr, fragments(inbound("192.0.2.2"), 1, 200)).reasons, Reasons(2, SLUICE_REASON_TO_BACKEND));
  age(SLUICE_FRAGMENT_LIFETIME);
  EXPECT_EQ(run({{0, 200}, {200, 400}}, 2), (Reasons{kToPod, kToPod})) << "it is over";
}

TEST_P(Fragments, OfAnotherSenderOrToAnotherReceiverAreAnotherDatagrams) {
  const Pod third = world.pod(network, "172.16.0.30");
  EXPECT_EQ(run({{0, 200}}, 1), Reasons{kToPod});
  const Frame whole = udp(third.to(server), {third.address, 40000, server.address, 7}, Bytes(392));
  EXPECT_EQ(send(third, fragment(whole, 1, 200, 400)).reason, kUnknown);
  const Frame elsewhere = udp(client.to(third), {client.address, 40000, third.address, 7}, Bytes(392));
  EXPECT_EQ(send(client, fragment(elsewhere, 1, 200, 400)).reason, kUnknown);
}

IN_BOTH_FAMILIES(Fragments);

}  // namespace
}  // namespace bpftest
