// SPDX-License-Identifier: Apache-2.0
// Extension headers of IPv6: carried within bounds, never understood, and no way round neighbour discovery's rules.
#include "malformed.hpp"

namespace bpftest {
namespace {

constexpr std::uint8_t kAuthentication = 51, kEsp = 50, kNoNext = 59;
constexpr std::uint8_t kWalked[] = {kHopByHop, kRouting, kDestinationOptions};

/// The bytes of a header, from its length field on, that is 8 + 8 * `more` long; padding options or segments left 0.
Bytes empty(std::uint8_t more = 0) {
  Bytes bytes(7 + 8U * more);
  bytes[0] = more;
  return bytes;
}
Bytes routing(std::uint8_t type, std::uint8_t segments_left) {
  return {2, type, segments_left, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
}
Bytes fragment(std::uint16_t offset_and_more) {
  return {0, static_cast<std::uint8_t>(offset_and_more >> 8), static_cast<std::uint8_t>(offset_and_more), 1, 2, 3, 4};
}

class ExtensionHeader : public MalformedIn<Family::kIpv6> {
 protected:
  /// What is delivered of a packet to port 80 or 53, or of a ping.
  [[nodiscard]] Frame expected(const Frame& frame) const {
    if (from == From::kPod) return frame;
    const Transport transport = transport_of(frame);
    const std::uint16_t port = transport.protocol == kUdp ? 5353 : 8080;
    return translated(frame, to_pod(server), {source, 40000, server.address, port});
  }
  void expect_delivered(const ExtensionHeaders& headers) {
    for (const Frame& plain : {good_tcp(), good_udp(), good_echo()}) {
      const Frame frame = with_extension_headers(plain, headers);
      const Outcome outcome = run(frame);
      EXPECT_EQ(outcome.reason, delivered());
      EXPECT_EQ(outcome.frame, expected(frame));
    }
  }
  void expect_each(const ExtensionHeaders& headers, sluice_reason reason) {
    std::vector<Case> cases;
    for (const Frame& plain : {good_tcp(), good_udp(), good_echo(), good_other()}) {
      cases.push_back(
          {"next header " + std::to_string(plain.protocol()), with_extension_headers(plain, headers), reason});
    }
    expect(cases);
  }
};

TEST_P(ExtensionHeader, OfEachKindIsCarriedUntouched) {
  for (const std::uint8_t header : kWalked) expect_delivered({{header, empty()}});
  expect_delivered({{kHopByHop, {0, 5, 2, 0, 0, 1, 0}}});  // router alert
  expect_delivered({{kDestinationOptions, {1, 0x3e, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1}}});
  for (const std::uint8_t type : Bytes{0, 2, 3, 4, 253}) expect_delivered({{kRouting, routing(type, 0)}});
  expect_delivered(
      {{kHopByHop, empty()}, {kDestinationOptions, empty()}, {kRouting, empty()}, {kDestinationOptions, empty()}});
}

TEST_P(ExtensionHeader, AreCarriedUpToSixAndNoMore) {
  for (std::size_t count = 1; count <= 6; ++count) {
    expect_delivered(ExtensionHeaders(count, {kDestinationOptions, empty()}));
  }
}

TEST_P(ExtensionHeader, ThatAreTooManyAreDropped) {
  for (std::size_t count = 7; count <= 9; ++count) {
    expect_each(ExtensionHeaders(count, {kDestinationOptions, empty()}), SLUICE_REASON_EXTENSION_HEADER);
  }
}

TEST_P(ExtensionHeader, AreCarriedUpTo144BytesAndNoMore) {
  expect_delivered({{kDestinationOptions, empty(17)}});
  expect_delivered({{kHopByHop, empty(7)}, {kDestinationOptions, empty(9)}});
}

TEST_P(ExtensionHeader, ThatAreTooLongAreDropped) {
  expect_each({{kDestinationOptions, empty(18)}}, SLUICE_REASON_EXTENSION_HEADER);
  expect_each({{kDestinationOptions, empty(255)}}, SLUICE_REASON_EXTENSION_HEADER);
  expect_each({{kHopByHop, empty(8)}, {kDestinationOptions, empty(9)}}, SLUICE_REASON_EXTENSION_HEADER);
}

TEST_P(ExtensionHeader, HopByHopStandsFirstOrNowhere) {
  expect_each({{kHopByHop, empty()}, {kHopByHop, empty()}}, SLUICE_REASON_EXTENSION_HEADER);
  expect_each({{kDestinationOptions, empty()}, {kHopByHop, empty()}}, SLUICE_REASON_EXTENSION_HEADER);
  expect_each({{kRouting, empty()}, {kDestinationOptions, empty()}, {kHopByHop, empty()}},
              SLUICE_REASON_EXTENSION_HEADER);
}

TEST_P(ExtensionHeader, NobodyChoosesAWay) {
  for (const std::uint8_t type : Bytes{0, 2, 3, 4, 253}) {
    for (const std::uint8_t left : Bytes{1, 2, 255}) {
      expect_each({{kRouting, routing(type, left)}}, SLUICE_REASON_EXTENSION_HEADER);
      expect_each({{kHopByHop, empty()}, {kRouting, routing(type, left)}}, SLUICE_REASON_EXTENSION_HEADER);
    }
  }
}

TEST_P(ExtensionHeader, AFragmentHeaderIsAFragmentWhereverItStands) {
  const std::pair<std::uint16_t, sluice_reason> fields[] = {
      {0x0001, SLUICE_REASON_FRAGMENT_MALFORMED},  // none of them has a length that is a multiple of eight
      {0x0009, SLUICE_REASON_FRAGMENT_MALFORMED},
      {0x0018, SLUICE_REASON_FRAGMENT_UNKNOWN},
      {0xfff8, SLUICE_REASON_FRAGMENT_MALFORMED}};
  for (const auto& [field, reason] : fields) {
    expect_each({{kFragment, fragment(field)}}, reason);
    expect_each({{kHopByHop, empty()}, {kFragment, fragment(field)}}, reason);
    expect_each({{kRouting, empty()}, {kFragment, fragment(field)}, {kDestinationOptions, empty()}}, reason);
  }
  const Frame whole = with_extension_headers(good_udp(), {{kFragment, fragment(8)}});
  for (unsigned length = 0; length < 8; ++length) {
    expect({{"without a whole fragment header", Frame(whole).set_length(length), SLUICE_REASON_TRUNCATED}});
  }
}

TEST_P(ExtensionHeader, AnAtomicFragmentIsAPacketLikeAnyOther) {
  for (const std::uint16_t field : std::vector<std::uint16_t>{0, 2, 4, 6}) {  // reserved bits say nothing
    expect_delivered({{kFragment, fragment(field)}});
    expect_delivered({{kHopByHop, empty()}, {kFragment, fragment(field)}, {kDestinationOptions, empty()}});
  }
}

TEST_P(ExtensionHeader, ThereIsOneFragmentHeaderAtMost) {
  expect_each({{kFragment, fragment(0)}, {kFragment, fragment(0)}}, SLUICE_REASON_EXTENSION_HEADER);
  expect_each({{kFragment, fragment(0)}, {kDestinationOptions, empty()}, {kFragment, fragment(0x18)}},
              SLUICE_REASON_EXTENSION_HEADER);
}

TEST_P(ExtensionHeader, AFirstFragmentHasThemAllToTheTransportHeader) {
  const auto first = [&](std::uint8_t more, unsigned length) {
    const Frame frame =
        with_extension_headers(good_udp(), {{kFragment, fragment(1)}, {kDestinationOptions, empty(more)}});
    return Frame(frame).resize(kL46 + 8 + length).set_length(8 + length);
  };
  expect({{"half of the options", first(1, 8), SLUICE_REASON_FRAGMENT_TINY},
          {"options and no transport header", first(0, 8), SLUICE_REASON_FRAGMENT_TINY}});
  EXPECT_EQ(run(first(0, 16)).reason, delivered());
}

TEST_P(ExtensionHeader, WhatFollowsALaterFragmentsHeaderIsData) {
  const auto piece = [&](std::uint16_t field, const Frame& plain) {
    return with_extension_headers(plain, {{kHopByHop, empty()}, {kFragment, fragment(field)}});
  };
  const Frame whole = udp(link, {source, 40000, destination, 53}, Bytes(8));
  EXPECT_EQ(run(piece(1, whole)).reason, delivered());
  // Hop-by-hop there would be out of place, and it says nothing about what the datagram is (RFC 8200 4.5).
  const Frame data = ip_packet(link, source, destination, kHopByHop, Bytes(8, 0xff));
  EXPECT_EQ(run(piece(16 | 1, data)).reason, delivered());
  EXPECT_EQ(run(piece(24, ip_packet(link, source, destination, kTcp, Bytes(4)))).reason, delivered());
}

TEST_P(ExtensionHeader, BeyondThePacketIsTruncated) {
  std::vector<Case> cases;
  for (const std::uint8_t header : kWalked) {
    const Frame two = with_extension_headers(good_udp(), {{header, empty()}, {kDestinationOptions, empty(1)}});
    // Length 0 with hop-by-hop says that it is a jumbogram.
    for (unsigned length = header == kHopByHop ? 1 : 0; length < 8 + 16; ++length) {
      cases.push_back({"header " + std::to_string(header) + ", length " + std::to_string(length),
                       Frame(two).set_length(length), SLUICE_REASON_TRUNCATED});
    }
    cases.push_back({"its length", Frame(with_extension_headers(good_udp(), {{header, empty()}})).set8(kL46 + 1, 3),
                     SLUICE_REASON_TRUNCATED});
    cases.push_back({"its length, of a source route",
                     Frame(with_extension_headers(good_udp(), {{header, routing(0, 1)}})).set8(kL46 + 1, 200),
                     SLUICE_REASON_TRUNCATED});
  }
  expect(cases);
}

TEST_P(ExtensionHeader, AJumbogramIsNoPacketOfOurs) {
  const Bytes jumbo_option = {0, 0xc2, 4, 0, 1, 0, 0};
  const Frame frame = with_extension_headers(good_udp(), {{kHopByHop, jumbo_option}}).set_length(0);
  expect({{"payload length 0", frame, SLUICE_REASON_BAD_IP_LENGTH}});
  expect_delivered({{kHopByHop, jumbo_option}});
}

TEST_P(ExtensionHeader, TheTransportHeaderBehindThemIsJudgedAsEver) {
  const ExtensionHeaders headers = {{kHopByHop, empty()}, {kDestinationOptions, empty(1)}};
  const auto spoiled = [&](const Frame& plain, const Change& change) {
    return with_extension_headers(repaired(plain, change), headers);
  };
  std::vector<Case> cases = {
      {"SYN+FIN", spoiled(good_tcp(), [](Frame& f) { f.set8(kL46 + 13, kSyn | kFin); }), SLUICE_REASON_BAD_L4_HEADER},
      {"data offset 4", spoiled(good_tcp(), [](Frame& f) { f.set8(kL46 + 12, 0x40); }), SLUICE_REASON_BAD_L4_HEADER},
      {"data offset beyond the packet", spoiled(good_tcp(), [](Frame& f) { f.set8(kL46 + 12, 0xf0); }),
       SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length beyond the packet", spoiled(good_udp(), [](Frame& f) { f.set16(kL46 + 4, 13); }),
       SLUICE_REASON_BAD_L4_HEADER},
      {"source port 0", spoiled(good_tcp(), [](Frame& f) { f.set16(kL46, 0); }), SLUICE_REASON_ZERO_PORT},
      {"destination port 0", spoiled(good_udp(), [](Frame& f) { f.set16(kL46 + 2, 0); }), SLUICE_REASON_ZERO_PORT},
  };
  for (unsigned left = 0; left < 20; ++left) {
    cases.push_back({"TCP, " + std::to_string(left) + " bytes",
                     with_extension_headers(good_tcp(), headers).set_length(24 + left), SLUICE_REASON_TRUNCATED});
  }
  for (unsigned left = 0; left < 8; ++left) {
    cases.push_back({"UDP, " + std::to_string(left) + " bytes",
                     with_extension_headers(good_udp(), headers).set_length(24 + left), SLUICE_REASON_TRUNCATED});
    cases.push_back({"ICMP, " + std::to_string(left) + " bytes",
                     with_extension_headers(good_echo(), headers).set_length(24 + left), SLUICE_REASON_TRUNCATED});
  }
  expect(cases);
}

TEST_P(ExtensionHeader, WhatIsNotWalkedOverIsAProtocolLikeAnyOther) {
  for (const std::uint8_t protocol : {kAuthentication, kEsp, kNoNext, std::uint8_t{135}, std::uint8_t{139}}) {
    const Frame frame = ip_packet(link, source, destination, protocol, Bytes(24, 0x3a));
    const Outcome outcome = run(frame);
    EXPECT_EQ(outcome.reason, from == From::kPod ? SLUICE_REASON_TO_POD : SLUICE_REASON_REFUSED_PROTOCOL);
    EXPECT_EQ(outcome.frame, from == From::kPod ? frame : protocol_unreachable(frame));
    const Frame behind = with_extension_headers(frame, {{kDestinationOptions, empty()}});
    EXPECT_EQ(run(behind).reason, from == From::kPod ? SLUICE_REASON_TO_POD : SLUICE_REASON_EXTENSION_HEADER);
  }
}

TEST_P(ExtensionHeader, NoErrorOrResetAnswersAPacketWithSome) {
  const Address service = from == From::kPod ? ip("172.16.1.1") : destination;
  const ExtensionHeaders headers = {{kHopByHop, empty()}};
  const auto refused = [&](const Frame& plain) {
    EXPECT_NE(run(plain).reason, SLUICE_REASON_EXTENSION_HEADER);
    EXPECT_EQ(run(with_extension_headers(plain, headers)).reason, SLUICE_REASON_EXTENSION_HEADER);
  };
  refused(tcp(link, {source, 40000, service, 81}, kSyn));
  refused(udp(link, {source, 40000, service, 81}));
  refused(ip_packet(link, source, service, kExperiment, Bytes(12)));
  refused(tcp(link, {source, 40000, service, 80}, kSyn).set_hops(1));
}

TEST_P(ExtensionHeader, APingIsAnsweredWithTheHeadersThatItHad) {
  world.floating_address("192.0.2.9");
  const Address answering = from == From::kPod ? network.router : ip("192.0.2.9");
  const ExtensionHeaders headers = {{kHopByHop, empty(1)}, {kDestinationOptions, empty()}};
  const Outcome outcome = run(with_extension_headers(echo_request(link, source, answering, 5), headers));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ECHO_ANSWERED);
  const Link back{link.destination, link.source};
  EXPECT_EQ(outcome.frame, with_extension_headers(echo_reply(back, answering, source, 5), headers));
}

TEST_P(ExtensionHeader, NeighbourDiscoveryBehindThemReachesNobody) {
  for (const std::uint8_t type :
       {kRouterSolicitation, kRouterAdvertisement, kSolicitation, kAdvertisement, kRedirect}) {
    const Frame plain = nd(link, source, destination, type, nd_body(0, destination, 2, pod.mac));
    for (const std::uint8_t header : kWalked) {
      const Frame hidden = with_extension_headers(plain, {{header, empty()}});
      EXPECT_EQ(run(hidden).reason, from == From::kPod ? SLUICE_REASON_SPOOFED_ND : SLUICE_REASON_ICMP_ERROR)
          << "type " << +type << " behind " << +header;
      const Frame deeper = with_extension_headers(plain, ExtensionHeaders(6, {kDestinationOptions, empty(1)}));
      EXPECT_EQ(run(deeper).reason, from == From::kPod ? SLUICE_REASON_SPOOFED_ND : SLUICE_REASON_ICMP_ERROR);
    }
    EXPECT_EQ(run(with_extension_headers(plain, {{kFragment, fragment(0)}})).reason,
              from == From::kPod ? SLUICE_REASON_SPOOFED_ND : SLUICE_REASON_ICMP_ERROR)
        << "RFC 6980";
  }
}

TEST_P(ExtensionHeader, TheFirstCheckThatAppliesDecides) {
  const Frame routed = with_extension_headers(good_udp(), {{kRouting, routing(0, 1)}});
  const Frame fragmented = with_extension_headers(good_udp(), {{kFragment, fragment(8)}});
  const bool inside = from == From::kPod;
  expect({
      {"version before the length", Frame(routed).set8(kIp, 0x40).set_length(5000), SLUICE_REASON_BAD_IP_HEADER},
      {"the length before a source", sent_by(Frame(routed), "::1").set_length(5000), SLUICE_REASON_BAD_IP_LENGTH},
      {"the source before headers", sent_by(routed, "::1"), inside ? SLUICE_REASON_SPOOFED_IP : SLUICE_REASON_MARTIAN},
      {"land before headers",
       changed(fragmented, [&](Frame& f) { f.set_source(inside ? source : destination).set_destination(f.source()); }),
       SLUICE_REASON_LAND},
      {"headers in their order",
       with_extension_headers(good_udp(), {{kRouting, routing(0, 1)}, {kFragment, fragment(0)}}),
       SLUICE_REASON_EXTENSION_HEADER},
      {"a fragment before the transport header",
       with_extension_headers(repaired(good_tcp(), [](Frame& f) { f.set16(kL46, 0); }), {{kFragment, fragment(1)}}),
       SLUICE_REASON_FRAGMENT_MALFORMED},
  });
}

BY_EACH_ENTRY(ExtensionHeader);

using ExtensionHeaderFromPod = InIpv6<MalformedBy<From::kPod>>;

TEST_F(ExtensionHeaderFromPod, AServicesFlowIsFoundBehindThem) {
  const ExtensionHeaders some = {{kHopByHop, empty()}, {kRouting, empty()}};
  const Tuple there{pod.address, 40000, ip("172.16.1.1"), 80};
  const Tuple behind{pod.address, 40000, server.address, 8080};
  const Frame syn = with_extension_headers(tcp(pod.to_router(), there, kSyn), some);
  EXPECT_EQ(send(pod, syn).frame, translated(syn, to_pod(server), behind));
  const Frame ack = tcp(pod.to_router(), there, kAck);
  EXPECT_EQ(send(pod, ack).frame, translated(ack, to_pod(server), behind)) << "the same flow without";
  EXPECT_EQ(datapath.flows().size(), 2U);
  const Frame answer = with_extension_headers(tcp(server.to_router(), behind.reversed(), kSyn | kAck),
                                              {{kDestinationOptions, empty(3)}});
  const Outcome outcome = send(server, answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, translated(answer, to_pod(pod), there.reversed()));
}

TEST_F(ExtensionHeaderFromPod, AReportOfGroupsGoesNowhere) {
  const ExtensionHeaders router_alert = {{kHopByHop, {0, 5, 2, 0, 0, 1, 0}}};
  const Address routers = ip("ff02::16");
  const Frame report = icmp({pod.mac, group_mac(routers)}, ip("fe80::1"), routers, 143, 0, Bytes(24)).set_hops(1);
  EXPECT_EQ(send(pod, with_extension_headers(report, router_alert)).reason, SLUICE_REASON_MULTICAST);
}

TEST_F(ExtensionHeaderFromPod, GroupsAreNoDestinations) {
  for (const char* group :
       {"ff00::", "ff01::1", "ff02::1", "ff02::2", "ff02::fb", "ff02::1:2", "ff05::2", "ff0e::1", "ffff::1"}) {
    EXPECT_EQ(send(pod, addressed(good_udp(), group)).reason, SLUICE_REASON_MULTICAST) << group;
    EXPECT_EQ(send(pod, sent_by(addressed(good_udp(), group), "172.16.0.20")).reason, SLUICE_REASON_MULTICAST)
        << "before the source: " << group;
  }
}

}  // namespace
}  // namespace bpftest
