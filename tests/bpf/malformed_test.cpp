// SPDX-License-Identifier: Apache-2.0
// Every malformed class that both families know, with its reason, in the order of docs/datapath.md: from a pod, and
// from the public side, where it is a counted drop for floating IPs and untouched for any other address.
#include "malformed.hpp"

namespace bpftest {
namespace {

class Malformed : public MalformedTest, public ::testing::WithParamInterface<std::tuple<Family, From>> {
 protected:
  Malformed() : MalformedTest(std::get<Family>(GetParam()), std::get<From>(GetParam())) {}
};

TEST_P(Malformed, NotTheUnchangedPackets) {
  for (const Frame& frame : {good_tcp(), good_udp(), good_echo()}) EXPECT_EQ(run(frame).reason, delivered());
}

TEST_P(Malformed, LengthsBeyondTheFrame) {
  std::vector<Case> cases;
  // BPF_PROG_TEST_RUN refuses frames shorter than the IP header; wire_test.cpp sends those. From here on the frame is
  // shorter than the length in its header says.
  for (std::size_t size = l4; size < good_tcp().size(); ++size) {
    cases.push_back({"cut to " + std::to_string(size), good_tcp().resize(size), SLUICE_REASON_BAD_IP_LENGTH});
  }
  const auto whole = static_cast<unsigned>(good_tcp().size() - l4);
  for (const unsigned length : {whole + 1, 1500U, 65515U}) {
    cases.push_back({"length " + std::to_string(length), changed(good_tcp(), [&](Frame& f) { f.set_length(length); }),
                     SLUICE_REASON_BAD_IP_LENGTH});
  }
  expect(cases);
}

TEST_P(Malformed, PacketsShorterThanTheirHeaders) {
  std::vector<Case> cases;
  const auto shortened = [&](const Frame& frame, const char* what, unsigned header) {
    for (unsigned length = 0; length < header; ++length) {
      cases.push_back({std::string(what) + ", length " + std::to_string(length),
                       repaired(frame, [&](Frame& f) { f.set_length(length); }), SLUICE_REASON_TRUNCATED});
    }
  };
  shortened(good_tcp(), "TCP", 20);
  shortened(good_udp(), "UDP", 8);
  shortened(good_echo(), "ICMP", 8);
  expect(cases);
}

TEST_P(Malformed, Versions) {
  std::vector<Case> cases;
  for (unsigned version = 0; version < 16; ++version) {
    if (version == static_cast<unsigned>(family)) continue;
    cases.push_back({"version " + std::to_string(version),
                     changed(good_tcp(), [&](Frame& f) { f.set8(kIp, version << 4 | 5); }),
                     SLUICE_REASON_BAD_IP_HEADER});
  }
  expect(cases);
}

TEST_P(Malformed, TransportHeaders) {
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
      {"flags before ports", repaired(good_tcp(), [&](Frame& f) { f.set16(l4, 0).set8(l4 + 13, kSyn | kFin); }),
       SLUICE_REASON_BAD_L4_HEADER},
  };
  for (unsigned words = 0; words < 5; ++words) {
    cases.push_back(
        {"TCP data offset " + std::to_string(words), at(good_tcp(), l4 + 12, words << 4), SLUICE_REASON_BAD_L4_HEADER});
  }
  expect(cases);
  EXPECT_EQ(run(at(good_tcp(), l4 + 12, 0x60)).reason, delivered()) << "4 bytes of options fit";
  EXPECT_EQ(run(udp_length(8)).reason, delivered()) << "bytes behind the datagram are legal";
}

TEST_P(Malformed, ZeroPorts) {
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

TEST_P(Malformed, Land) {
  const auto land = [&](Frame& f) { f.set_source(source).set_destination(source); };
  const auto reflected = [&](Frame& f) { f.set_source(destination).set_destination(destination); };
  std::vector<Case> cases;
  for (const Frame& frame : {good_tcp(), good_udp(), good_echo(), good_other()}) {
    cases.push_back(
        {"land", repaired(frame, from == From::kPod ? Change(land) : Change(reflected)), SLUICE_REASON_LAND});
  }
  expect(cases);
}

TEST_P(Malformed, ButBytesBehindThePacketAreCarriedAlong) {
  Frame padded = good_udp();
  padded.bytes.insert(padded.bytes.end(), 6, 0x5a);
  const Outcome outcome = run(padded);
  EXPECT_EQ(outcome.reason, delivered());
  EXPECT_EQ(outcome.frame, from == From::kPod
                               ? padded  // the MAC addresses were right already
                               : translated(padded, to_pod(server), {source, 40000, server.address, 5353}));
}

std::string name_of_run(const ::testing::TestParamInfo<Malformed::ParamType>& run) {
  return std::string(name_of(std::get<Family>(run.param))) + name_of(std::get<From>(run.param));
}

INSTANTIATE_TEST_SUITE_P(, Malformed, ::testing::Combine(::testing::ValuesIn(kFamilies), ::testing::ValuesIn(kEntries)),
                         name_of_run);

// ---- from a pod ---------------------------------------------------------------------------------------------------

using MalformedFromPod = InEachFamily<MalformedBy<From::kPod>>;

TEST_P(MalformedFromPod, DropsFramesOfOtherEthertypes) {
  const Frame who_has = question(pod.mac, pod.address, server.address);
  expect({
      {"a family that the pod has no address of", other_family(link), SLUICE_REASON_NO_FAMILY},
      {"its version comes first", other_family(link).set8(kIp, 0x05), SLUICE_REASON_BAD_IP_HEADER},
      {"802.1Q", vlan(good_tcp(), 0x8100, 5), SLUICE_REASON_VLAN},
      {"802.1Q with VLAN 0", vlan(good_tcp(), 0x8100, 0), SLUICE_REASON_VLAN},
      {"802.1ad", vlan(vlan(good_tcp(), 0x8100, 5), 0x88a8, 6), SLUICE_REASON_VLAN},
      {"802.1Q around ARP or a solicitation", vlan(who_has, 0x8100, 1), SLUICE_REASON_VLAN},
      {"LLDP", ethernet(link, 0x88cc, {1, 2, 3}), SLUICE_REASON_ETHERTYPE},
      {"802.3 length instead of a type", ethernet(link, 60, Bytes(60)), SLUICE_REASON_ETHERTYPE},
      {"type 0 and one byte", ethernet(link, 0x0000, {0}), SLUICE_REASON_ETHERTYPE},
      {"PPPoE", ethernet(link, 0x8864, Bytes(40)), SLUICE_REASON_ETHERTYPE},
      {"MPLS", ethernet(link, 0x8847, Bytes(40)), SLUICE_REASON_ETHERTYPE},
      {"spoofed MAC before the other family", changed(other_family(link), [](Frame& f) { f.set8(6, 0x06); }),
       SLUICE_REASON_SPOOFED_MAC},
  });
}

TEST_P(MalformedFromPod, DropsSourcesThatAreNotThePods) {
  using Texts = std::vector<std::string>;
  Texts sources = {"172.16.0.20", "172.16.0.1", "172.16.1.1", "172.16.255.255", "172.16.0.0", "8.8.8.8", "192.0.2.1"};
  for (const std::string& special : pick<Texts>(
           {"255.255.255.255", "0.0.0.0", "127.0.0.1", "224.0.0.1"},
           {"::", "::1", "fe80::1", "fe80::73:6cff:fe63:1", "ff02::1", "::ffff:172.16.0.10", "::172.16.0.10"})) {
    sources.push_back(special);
  }
  std::vector<Case> cases;
  for (const std::string& other : sources) {
    cases.push_back({"source " + other, sent_by(good_tcp(), other), SLUICE_REASON_SPOOFED_IP});
    cases.push_back({"without a protocol, source " + other, sent_by(good_other(), other), SLUICE_REASON_SPOOFED_IP});
  }
  expect(cases);
}

TEST_P(MalformedFromPod, DropsUnicastInAGroupFrame) {
  const Mac group = pick(Mac{0x01, 0, 0x5e, 0, 0, 1}, Mac{0x33, 0x33, 0, 0, 0, 1});
  expect({
      {"broadcast", changed(good_udp(), [&](Frame& f) { f.set_mac(0, kBroadcastMac); }), SLUICE_REASON_MULTICAST},
      {"group", changed(good_tcp(), [&](Frame& f) { f.set_mac(0, group); }), SLUICE_REASON_MULTICAST},
      {"group of one", changed(good_tcp(), [&](Frame& f) { f.set8(0, f.get8(0) | 1U); }), SLUICE_REASON_MULTICAST},
      {"group before land", repaired(good_tcp(), [&](Frame& f) { f.set_mac(0, group).set_destination(pod.address); }),
       SLUICE_REASON_MULTICAST},
  });
}

TEST_P(MalformedFromPod, ADhcpServerIsNotHeard) {
  const std::uint16_t server_port = pick<std::uint16_t>(67, 547), client_port = pick<std::uint16_t>(68, 546);
  const auto datagram = [&](std::uint16_t by, std::uint16_t to) {
    return udp(link, {pod.address, by, server.address, to}, Bytes(240, 2));
  };
  expect({{"an answer", datagram(server_port, client_port), SLUICE_REASON_SPOOFED_DHCP}});
  EXPECT_EQ(send(pod, datagram(client_port, server_port)).reason, SLUICE_REASON_TO_POD) << "a question";
  EXPECT_EQ(send(pod, datagram(server_port, server_port)).reason, SLUICE_REASON_TO_POD) << "between relays";
  EXPECT_EQ(send(pod, datagram(pick<std::uint16_t>(547, 67), pick<std::uint16_t>(546, 68))).reason,
            SLUICE_REASON_TO_POD)
      << "the other family's ports are any others here";
  EXPECT_EQ(send(pod, tcp(link, {pod.address, server_port, server.address, client_port}, kAck)).reason,
            SLUICE_REASON_TO_POD);
}

IN_BOTH_FAMILIES(MalformedFromPod);

// ---- from the public side -----------------------------------------------------------------------------------------

using MalformedFromUplink = InEachFamily<MalformedBy<From::kUplink>>;

TEST_P(MalformedFromUplink, DropsSourcesThatCannotBe) {
  using Texts = std::vector<std::string>;
  std::vector<Case> cases;
  for (const std::string& martian :
       pick<Texts>({"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1",
                    "255.255.255.255", "192.0.2.2"},
                   {"::", "::1", "::2", "::203.0.113.9", "::ffff:0:0", "::ffff:203.0.113.9", "fe80::1",
                    "fe80::73:6cff:fe63:1", "febf::1", "ff00::", "ff02::1", "ff0e::1", "ffff::1", "192.0.2.2"})) {
    for (const Frame& frame : {good_tcp(), good_udp(), good_echo(), good_other()}) {
      cases.push_back({"source " + martian, sent_by(frame, martian), SLUICE_REASON_MARTIAN});
    }
  }
  expect(cases);
}

TEST_P(MalformedFromUplink, CarriesSourcesThatLookOdd) {
  using Texts = std::vector<std::string>;
  for (const std::string& odd :
       pick<Texts>({"1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255", "169.254.0.1"},
                   {"::1:0:0:1", "::fffe:203.0.113.9", "::1:ffff:203.0.113.9", "fe7f::1", "fec0::1", "feff::1",
                    "64:ff9b::1"})) {
    EXPECT_EQ(receive(sent_by(good_udp(), odd)).reason, SLUICE_REASON_TO_BACKEND) << odd;
  }
}

IN_BOTH_FAMILIES(MalformedFromUplink);

}  // namespace
}  // namespace bpftest
