// SPDX-License-Identifier: Apache-2.0
// Every malformed class from a pod, with its reason, in the order of docs/datapath.md.
#include <functional>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

const Tuple kSix{bpftest::ip("fd00::1"), 1, bpftest::ip("fd00::2"), 2};

struct Case {
  std::string what;
  Frame frame;
  sluice_reason reason;
};

class MalformedFromPod : public ProgramTest {
 protected:
  MalformedFromPod() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
  }

  /// A packet to a neighbour that would be delivered.
  [[nodiscard]] Frame good_tcp() const {
    return tcp(pod.to(server), {pod.address, 40000, server.address, 80}, kSyn, {.payload = text("hello")});
  }
  [[nodiscard]] Frame good_udp() const { return udp(pod.to(server), {pod.address, 40000, server.address, 53}); }
  [[nodiscard]] Frame good_echo() const { return echo_request(pod.to(server), pod.address, server.address, 77); }
  static Frame changed(Frame frame, const std::function<void(Frame&)>& change) {
    change(frame);
    return frame;
  }
  static Frame repaired(Frame frame, const std::function<void(Frame&)>& change) {
    change(frame);
    return frame.fix_checksums();
  }
  [[nodiscard]] Frame addressed(const Frame& frame, const std::string& destination) const {
    return repaired(frame, [&](Frame& f) { f.set_destination(ip(destination)); });
  }

  void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.what);
      const Outcome outcome = send(pod, c.frame);
      EXPECT_EQ(outcome.reason, c.reason);
      EXPECT_EQ(datapath.flows().size(), 0U) << "a malformed packet made a flow";
    }
  }

  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
};

TEST_F(MalformedFromPod, TheUnchangedPacketsAreDelivered) {
  EXPECT_EQ(send(pod, good_tcp()).reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(send(pod, good_udp()).reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(send(pod, good_echo()).reason, SLUICE_REASON_TO_POD);
}

TEST_F(MalformedFromPod, DropsFramesOfOtherEthertypes) {
  const Link link = pod.to(server);
  expect({
      {"IPv6 of a pod without an address", udp(link, kSix), SLUICE_REASON_NO_FAMILY},
      {"IPv6 with a wrong version", ethernet(link, 0x86dd, Bytes(40)), SLUICE_REASON_BAD_IP_HEADER},
      {"802.1Q", vlan(good_tcp(), 0x8100, 5), SLUICE_REASON_VLAN},
      {"802.1Q with VLAN 0", vlan(good_tcp(), 0x8100, 0), SLUICE_REASON_VLAN},
      {"802.1ad", vlan(vlan(good_tcp(), 0x8100, 5), 0x88a8, 6), SLUICE_REASON_VLAN},
      {"802.1Q around ARP", vlan(arp(link, 1, pod.mac, pod.address, {}, server.address), 0x8100, 1),
       SLUICE_REASON_VLAN},
      {"LLDP", ethernet(link, 0x88cc, {1, 2, 3}), SLUICE_REASON_ETHERTYPE},
      {"802.3 length instead of a type", ethernet(link, 60, Bytes(60)), SLUICE_REASON_ETHERTYPE},
      {"type 0 and one byte", ethernet(link, 0x0000, {0}), SLUICE_REASON_ETHERTYPE},
      {"PPPoE", ethernet(link, 0x8864, Bytes(40)), SLUICE_REASON_ETHERTYPE},
      {"MPLS", ethernet(link, 0x8847, Bytes(40)), SLUICE_REASON_ETHERTYPE},
  });
}

TEST_F(MalformedFromPod, DropsFramesShorterThanTheirHeaders) {
  std::vector<Case> cases;
  // BPF_PROG_TEST_RUN refuses IPv4 frames below 34 bytes; wire_test.cpp sends those. From here on the frame is
  // shorter than the total length says.
  for (std::size_t size = l4; size < good_tcp().size(); ++size) {
    cases.push_back({"cut to " + std::to_string(size), good_tcp().resize(size), SLUICE_REASON_BAD_IP_LENGTH});
  }
  for (unsigned total = 20; total < 40; ++total) {
    cases.push_back({"TCP, total length " + std::to_string(total),
                     repaired(good_tcp(), [&](Frame& f) { f.set16(kIp + 2, total); }), SLUICE_REASON_TRUNCATED});
  }
  for (unsigned total = 20; total < 28; ++total) {
    const auto shorten = [&](Frame& f) { f.set16(kIp + 2, total); };
    cases.push_back(
        {"UDP, total length " + std::to_string(total), repaired(good_udp(), shorten), SLUICE_REASON_TRUNCATED});
    cases.push_back(
        {"ICMP, total length " + std::to_string(total), repaired(good_echo(), shorten), SLUICE_REASON_TRUNCATED});
  }
  expect(cases);
}

TEST_F(MalformedFromPod, DropsWrongIpHeaders) {
  std::vector<Case> cases;
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 4) continue;
    cases.push_back({"version " + std::to_string(version),
                     changed(good_tcp(), [&](Frame& f) { f.set8(kIp, version << 4 | 5); }),
                     SLUICE_REASON_BAD_IP_HEADER});
  }
  for (unsigned words = 0; words < 5; ++words) {
    cases.push_back({"header of " + std::to_string(words) + " words",
                     changed(good_tcp(), [&](Frame& f) { f.set8(kIp, 0x40 | words); }), SLUICE_REASON_BAD_IP_HEADER});
  }
  for (unsigned total : {0U, 1U, 19U}) {
    cases.push_back({"total length " + std::to_string(total),
                     changed(good_tcp(), [&](Frame& f) { f.set16(kIp + 2, total); }), SLUICE_REASON_BAD_IP_LENGTH});
  }
  const auto size = static_cast<unsigned>(good_tcp().size());
  for (unsigned total : {size - 14 + 1, 1500U, 0xffffU}) {
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

TEST_F(MalformedFromPod, DropsIpOptions) {
  expect({
      {"no-operation", with_ip_options(good_tcp(), Bytes(4, 1)), SLUICE_REASON_IP_OPTIONS},
      {"record route", with_ip_options(good_udp(), {7, 7, 4, 0, 0, 0, 0, 0}), SLUICE_REASON_IP_OPTIONS},
      {"40 bytes", with_ip_options(good_echo(), Bytes(40, 0)), SLUICE_REASON_IP_OPTIONS},
      {"loose source route to a service",
       with_ip_options(addressed(good_tcp(), "172.16.1.1"), {0x83, 7, 4, 172, 16, 0, 20, 0}), SLUICE_REASON_IP_OPTIONS},
  });
}

TEST_F(MalformedFromPod, DropsSourcesThatAreNotThePods) {
  std::vector<Case> cases;
  for (const char* source : {"172.16.0.20", "172.16.0.1", "172.16.1.1", "255.255.255.255", "172.16.255.255",
                             "172.16.0.0", "0.0.0.0", "127.0.0.1", "224.0.0.1", "8.8.8.8"}) {
    cases.push_back({std::string("source ") + source, repaired(good_tcp(), [&](Frame& f) { f.set_source(ip(source)); }),
                     SLUICE_REASON_SPOOFED_IP});
  }
  expect(cases);
}

TEST_F(MalformedFromPod, DropsBroadcastAndMulticastAndLand) {
  const auto group = [&](Frame& f) { f.set8(0, f.get8(0) | 1U); };
  expect({
      {"limited broadcast", addressed(good_udp(), "255.255.255.255"), SLUICE_REASON_BROADCAST},
      {"the network's broadcast address", addressed(good_udp(), "172.16.255.255"), SLUICE_REASON_BROADCAST},
      {"the network address", addressed(good_udp(), "172.16.0.0"), SLUICE_REASON_BROADCAST},
      {"broadcast in a group frame", changed(addressed(good_udp(), "255.255.255.255"), group), SLUICE_REASON_BROADCAST},
      {"all hosts", addressed(good_udp(), "224.0.0.1"), SLUICE_REASON_MULTICAST},
      {"mDNS", addressed(good_udp(), "224.0.0.251"), SLUICE_REASON_MULTICAST},
      {"last multicast address", addressed(good_udp(), "239.255.255.255"), SLUICE_REASON_MULTICAST},
      {"unicast in a broadcast frame", changed(good_udp(), [&](Frame& f) { f.set_mac(0, kBroadcastMac); }),
       SLUICE_REASON_MULTICAST},
      {"unicast in a group frame", changed(good_tcp(), group), SLUICE_REASON_MULTICAST},
      {"land", addressed(good_tcp(), "172.16.0.10"), SLUICE_REASON_LAND},
      {"land of an unknown protocol", ip_packet(pod.to(server), pod.address, pod.address, kSctp, Bytes(12)),
       SLUICE_REASON_LAND},
      {"class E is no network of ours", addressed(good_udp(), "240.0.0.1"), SLUICE_REASON_NO_EGRESS},
  });
}

TEST_F(MalformedFromPod, DropsFragments) {
  const auto fragment = [](unsigned field) { return [field](Frame& f) { f.set16(kIp + 6, field); }; };
  expect({
      {"first", repaired(good_udp(), fragment(0x2000)), SLUICE_REASON_FRAGMENT},
      {"middle", repaired(good_udp(), fragment(0x2010)), SLUICE_REASON_FRAGMENT},
      {"last", repaired(good_udp(), fragment(0x0010)), SLUICE_REASON_FRAGMENT},
      {"offset 1 of TCP, without a header", repaired(good_tcp(), fragment(0x0001)), SLUICE_REASON_FRAGMENT},
      {"offset at the end", repaired(good_udp(), fragment(0x1fff)), SLUICE_REASON_FRAGMENT},
      {"of an unknown protocol",
       repaired(ip_packet(pod.to(server), pod.address, server.address, kSctp, Bytes(12)), fragment(0x2000)),
       SLUICE_REASON_FRAGMENT},
  });
  EXPECT_EQ(send(pod, repaired(good_udp(), fragment(0x8000))).reason, SLUICE_REASON_TO_POD)
      << "the reserved bit makes no fragment";
  EXPECT_EQ(send(pod, repaired(good_udp(), fragment(0))).reason, SLUICE_REASON_TO_POD) << "nor does its absence";
}

TEST_F(MalformedFromPod, DropsWrongTransportHeaders) {
  const auto at = [&](const Frame& frame, std::size_t offset, unsigned value) {
    return repaired(frame, [&](Frame& f) { f.set8(offset, value); });
  };
  const auto udp_length = [&](unsigned length) {
    return changed(good_udp(), [&](Frame& f) { f.set16(l4 + 4, length); });
  };
  std::vector<Case> cases = {
      {"TCP data offset beyond the packet", at(good_tcp(), l4 + 12, 0xf0), SLUICE_REASON_BAD_L4_HEADER},
      {"SYN+FIN", at(good_tcp(), l4 + 13, kSyn | kFin), SLUICE_REASON_BAD_L4_HEADER},
      {"SYN+RST", at(good_tcp(), l4 + 13, kSyn | kRst), SLUICE_REASON_BAD_L4_HEADER},
      {"SYN+FIN+ACK", at(good_tcp(), l4 + 13, kSyn | kFin | kAck), SLUICE_REASON_BAD_L4_HEADER},
      {"all flags", at(good_tcp(), l4 + 13, 0xff), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length 0", udp_length(0), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length 7", udp_length(7), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length beyond the packet", udp_length(13), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length 65535", udp_length(65535), SLUICE_REASON_BAD_L4_HEADER},
  };
  for (unsigned words = 0; words < 5; ++words) {
    cases.push_back(
        {"TCP data offset " + std::to_string(words), at(good_tcp(), l4 + 12, words << 4), SLUICE_REASON_BAD_L4_HEADER});
  }
  expect(cases);
  EXPECT_EQ(send(pod, at(good_tcp(), l4 + 12, 0x60)).reason, SLUICE_REASON_TO_POD) << "4 bytes of options fit";
  EXPECT_EQ(send(pod, udp_length(8)).reason, SLUICE_REASON_TO_POD) << "bytes behind the datagram are legal";
}

TEST_F(MalformedFromPod, DropsZeroPorts) {
  const auto port = [&](const Frame& frame, std::size_t offset) {
    return repaired(frame, [&](Frame& f) { f.set16(offset, 0); });
  };
  expect({
      {"TCP source", port(good_tcp(), l4), SLUICE_REASON_ZERO_PORT},
      {"TCP destination", port(good_tcp(), l4 + 2), SLUICE_REASON_ZERO_PORT},
      {"UDP source", port(good_udp(), l4), SLUICE_REASON_ZERO_PORT},
      {"UDP destination", port(good_udp(), l4 + 2), SLUICE_REASON_ZERO_PORT},
  });
}

TEST_F(MalformedFromPod, TheFirstCheckThatAppliesDecides) {
  const auto mac = [&](Frame& f) { f.set8(6, 0x06); };
  const auto spoof = [&](Frame& f) { f.set_source(ip("172.16.0.20")); };
  expect({
      {"spoofed MAC before IPv6", changed(udp(pod.to(server), kSix), mac), SLUICE_REASON_SPOOFED_MAC},
      {"length before options",
       changed(with_ip_options(good_tcp(), Bytes(4, 1)), [&](Frame& f) { f.set16(kIp + 2, 2000); }),
       SLUICE_REASON_BAD_IP_LENGTH},
      {"options before the source", repaired(with_ip_options(good_tcp(), Bytes(4, 1)), spoof),
       SLUICE_REASON_IP_OPTIONS},
      {"source before the destination", repaired(addressed(good_udp(), "255.255.255.255"), spoof),
       SLUICE_REASON_SPOOFED_IP},
      {"source before fragments", repaired(good_udp(), [&](Frame& f) { spoof(f), f.set16(kIp + 6, 0x2000); }),
       SLUICE_REASON_SPOOFED_IP},
      {"group before land", changed(addressed(good_tcp(), "172.16.0.10"), [&](Frame& f) { f.set8(0, 1); }),
       SLUICE_REASON_MULTICAST},
      {"land before fragments", repaired(addressed(good_tcp(), "172.16.0.10"), [&](Frame& f) { f.set16(kIp + 6, 1); }),
       SLUICE_REASON_LAND},
      {"fragments before the transport header",
       repaired(good_tcp(), [&](Frame& f) { f.set16(kIp + 6, 0x2000).set16(kIp + 2, 24); }), SLUICE_REASON_FRAGMENT},
      {"flags before ports", repaired(good_tcp(), [&](Frame& f) { f.set16(l4, 0).set8(l4 + 13, kSyn | kFin); }),
       SLUICE_REASON_BAD_L4_HEADER},
  });
}

TEST_F(MalformedFromPod, BytesBehindThePacketAreCarriedAlong) {
  Frame padded = tcp(pod.to(server), {pod.address, 40000, server.address, 80}, kSyn);
  padded.bytes.insert(padded.bytes.end(), 6, 0x5a);
  const Outcome outcome = send(pod, padded);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, padded) << "Ethernet padding stays; the MAC addresses were right already";
}

}  // namespace
}  // namespace bpftest
