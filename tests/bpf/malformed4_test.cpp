// SPDX-License-Identifier: Apache-2.0
// Malformed IPv4: header lengths, options, fragments, broadcast, and which check comes first.
#include "malformed.hpp"

namespace bpftest {
namespace {

using Malformed4 = MalformedIn<Family::kIpv4>;

TEST_P(Malformed4, HeaderAndTotalLengths) {
  std::vector<Case> cases;
  for (unsigned words = 0; words < 5; ++words) {
    cases.push_back({"header of " + std::to_string(words) + " words",
                     changed(good_tcp(), [&](Frame& f) { f.set8(kIp, 0x40 | words); }), SLUICE_REASON_BAD_IP_HEADER});
  }
  for (unsigned total : {0U, 1U, 19U}) {
    cases.push_back({"total length " + std::to_string(total),
                     changed(good_tcp(), [&](Frame& f) { f.set16(kIp + 2, total); }), SLUICE_REASON_BAD_IP_LENGTH});
  }
  cases.push_back({"total length within the header with options",
                   changed(with_ip_options(good_tcp(), Bytes(8, 1)), [&](Frame& f) { f.set16(kIp + 2, 27); }),
                   SLUICE_REASON_BAD_IP_LENGTH});
  cases.push_back({"header of 60 bytes beyond the total length",
                   changed(good_udp(), [&](Frame& f) { f.set8(kIp, 0x4f); }), SLUICE_REASON_BAD_IP_LENGTH});
  expect(cases);
}

TEST_P(Malformed4, Options) {
  expect({
      {"no-operation", with_ip_options(good_tcp(), Bytes(4, 1)), SLUICE_REASON_IP_OPTIONS},
      {"record route", with_ip_options(good_udp(), {7, 7, 4, 0, 0, 0, 0, 0}), SLUICE_REASON_IP_OPTIONS},
      {"40 bytes", with_ip_options(good_echo(), Bytes(40, 0)), SLUICE_REASON_IP_OPTIONS},
      {"loose source route", with_ip_options(good_tcp(), {0x83, 7, 4, 172, 16, 0, 20, 0}), SLUICE_REASON_IP_OPTIONS},
  });
}

Frame fragment(Frame frame, unsigned field) {
  return frame.set16(kIp + 6, field).fix_checksums();
}

TEST_P(Malformed4, Fragments) {
  expect({
      {"first, of 12 bytes", fragment(good_udp(), 0x2000), SLUICE_REASON_FRAGMENT_MALFORMED},
      {"middle, of 12 bytes", fragment(good_udp(), 0x2010), SLUICE_REASON_FRAGMENT_MALFORMED},
      {"last", fragment(good_udp(), 0x0010), SLUICE_REASON_FRAGMENT_UNKNOWN},
      {"offset 1 of TCP, without a header", fragment(good_tcp(), 0x0001), SLUICE_REASON_FRAGMENT_TINY},
      {"offset at the end", fragment(good_udp(), 0x1fff), SLUICE_REASON_FRAGMENT_MALFORMED},
      {"of an unknown protocol", fragment(good_other(), 0x0002), SLUICE_REASON_FRAGMENT_UNKNOWN},
  });
  EXPECT_EQ(run(fragment(good_udp(), 0x8000)).reason, delivered()) << "the reserved bit makes no fragment";
  EXPECT_EQ(run(fragment(good_udp(), 0)).reason, delivered()) << "nor does its absence";
}

TEST_P(Malformed4, TheFirstCheckThatAppliesDecides) {
  const Frame options = with_ip_options(good_tcp(), Bytes(4, 1));
  const Frame truncated = repaired(good_tcp(), [](Frame& f) { f.set_length(4); });
  const Frame no_port = repaired(good_tcp(), [](Frame& f) { f.set16(kL4, 0); });
  expect({
      {"length before options", changed(options, [](Frame& f) { f.set16(kIp + 2, 2000); }),
       SLUICE_REASON_BAD_IP_LENGTH},
      {"options before the source", sent_by(options, "127.0.0.1"), SLUICE_REASON_IP_OPTIONS},
      {"source before fragments", fragment(sent_by(good_udp(), "127.0.0.1"), 0x2000),
       from == From::kPod ? SLUICE_REASON_SPOOFED_IP : SLUICE_REASON_MARTIAN},
      {"fragments before the transport header", fragment(truncated, 0x2000), SLUICE_REASON_FRAGMENT_MALFORMED},
      {"fragments before ports", fragment(no_port, 0x2000), SLUICE_REASON_FRAGMENT_MALFORMED},
  });
}

BY_EACH_ENTRY(Malformed4);

using Malformed4FromPod = InIpv4<MalformedBy<From::kPod>>;

TEST_F(Malformed4FromPod, DropsBroadcastAndMulticast) {
  const auto group = [&](Frame& f) { f.set8(0, f.get8(0) | 1U); };
  expect({
      {"limited broadcast", addressed(good_udp(), "255.255.255.255"), SLUICE_REASON_BROADCAST},
      {"the network's broadcast address", addressed(good_udp(), "172.16.255.255"), SLUICE_REASON_BROADCAST},
      {"the network address", addressed(good_udp(), "172.16.0.0"), SLUICE_REASON_BROADCAST},
      {"broadcast in a group frame", changed(addressed(good_udp(), "255.255.255.255"), group), SLUICE_REASON_BROADCAST},
      {"all hosts", addressed(good_udp(), "224.0.0.1"), SLUICE_REASON_MULTICAST},
      {"mDNS", addressed(good_udp(), "224.0.0.251"), SLUICE_REASON_MULTICAST},
      {"last multicast address", addressed(good_udp(), "239.255.255.255"), SLUICE_REASON_MULTICAST},
      {"class E is no network of ours", addressed(good_udp(), "240.0.0.1"), SLUICE_REASON_NO_EGRESS},
      {"source before the destination", sent_by(addressed(good_udp(), "255.255.255.255"), "172.16.0.20"),
       SLUICE_REASON_SPOOFED_IP},
      {"land before fragments", fragment(addressed(good_tcp(), "172.16.0.10"), 1), SLUICE_REASON_LAND},
  });
}

using Malformed4FromUplink = InIpv4<MalformedBy<From::kUplink>>;

TEST_F(Malformed4FromUplink, AFloatingIpAsSourceIsJudgedLast) {
  const Frame no_header = repaired(good_tcp(), [](Frame& f) { f.set_length(10); });
  expect({
      {"fragments first", fragment(sent_by(good_tcp(), "192.0.2.2"), 0x2000), SLUICE_REASON_FRAGMENT_MALFORMED},
      {"the transport header first", sent_by(no_header, "192.0.2.2"), SLUICE_REASON_TRUNCATED},
  });
}

}  // namespace
}  // namespace bpftest
