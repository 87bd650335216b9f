// SPDX-License-Identifier: Apache-2.0
// What arrives on the uplink and is not ours passes, every byte of it, whatever its shape.
#include <random>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class ForeignTest : public ProgramTest {
 protected:
  explicit ForeignTest(Family its_family) : ProgramTest(its_family) {
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  }

  void expect_foreign(const Frame& frame) {
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Address client = ip("203.0.113.9");
  Address host = ip("192.0.2.200");
  Link elsewhere = {kGatewayMac, {0x02, 0xcc, 0, 0, 0, 9}};
};

using Foreign = InEachFamily<ForeignTest>;
using Foreign4 = InIpv4<ForeignTest>;
using Foreign6 = InIpv6<ForeignTest>;

TEST_P(Foreign, TheHostsOwnTrafficPasses) {
  const Tuple ssh{client, 40000, host, 22};
  for (unsigned flags : {kSyn, kAck, kFin | kAck, kRst, kSyn | kFin, 0U, 0xffU}) {
    expect_foreign(tcp(kInbound, ssh, flags, {.payload = text("SSH-2.0")}));
  }
  expect_foreign(udp(kInbound, {client, 53, host, 1024}));
  expect_foreign(udp(kInbound, {client, 0, host, 0}));
  expect_foreign(echo_request(kInbound, client, host, 3));
  expect_foreign(icmp(kInbound, client, host, pick<std::uint8_t>(3, 1), 4, Bytes(28, 0x45)));
  for (unsigned protocol = 0; protocol < 256; ++protocol) {
    expect_foreign(ip_packet(kInbound, client, host, static_cast<std::uint8_t>(protocol), Bytes(8, 0xee)));
  }
}

TEST_P(Foreign, WrongVersionsAndLengthsPass) {
  const Frame good = udp(kInbound, {client, 1, host, 2});
  for (unsigned first : {0x00U, 0x15U, 0x41U, 0x45U, 0x60U, 0x65U, 0xffU}) expect_foreign(Frame(good).set8(kIp, first));
  for (unsigned length : {0U, 7U, 2000U, 65500U}) expect_foreign(Frame(good).set_length(length));
  for (std::size_t size = l4; size < good.size(); ++size) expect_foreign(Frame(good).resize(size));
}

TEST_F(Foreign4, FragmentsOptionsAndWrongSumsPass) {
  const Frame good = udp(kInbound, {client, 1, host, 2});
  expect_foreign(with_ip_options(good, Bytes(4, 1)));
  expect_foreign(with_ip_options(good, Bytes(40, 0)));
  for (unsigned fragment : {0x2000U, 0x2010U, 0x0010U, 0x8000U}) {
    expect_foreign(Frame(good).set16(kIp + 6, fragment).fix_checksums());
  }
  for (unsigned total : {0U, 19U}) expect_foreign(Frame(good).set16(kIp + 2, total));
  expect_foreign(Frame(good).set16(kIp + 10, 0x1111));
}

TEST_F(Foreign6, ExtensionHeadersPass) {
  const Frame good = udp(kInbound, {client, 1, host, 2});
  const Bytes empty(7, 0);
  for (const std::uint8_t header : {kHopByHop, kRouting, kFragment, kDestinationOptions}) {
    expect_foreign(with_extension_headers(good, {{header, empty}}));
    expect_foreign(with_extension_headers(good, ExtensionHeaders(12, {header, empty})));
    expect_foreign(Frame(with_extension_headers(good, {{header, empty}})).set8(kL46 + 1, 200));
  }
}

TEST_P(Foreign, MulticastBroadcastAndOtherHostsFramesPass) {
  const Link group = {kGatewayMac, pick(Mac{0x01, 0, 0x5e, 0, 0, 0xfb}, Mac{0x33, 0x33, 0, 0, 0, 0xfb})};
  expect_foreign(udp(group, {client, 5353, ip(pick("224.0.0.251", "ff02::fb")), 5353}));
  expect_foreign(
      udp({kGatewayMac, kBroadcastMac}, {ip(pick("0.0.0.0", "::")), 68, ip(pick("255.255.255.255", "ff02::1:2")), 67}));
  expect_foreign(udp(elsewhere, {client, 1, host, 2}));
}

TEST_P(Foreign, AFloatingIpInAFrameForSomebodyElsePasses) {
  const Tuple tuple{client, 40000, ip("192.0.2.1"), 80};
  expect_foreign(tcp(elsewhere, tuple, kSyn));
  expect_foreign(tcp({kGatewayMac, kBroadcastMac}, tuple, kSyn));
  expect_foreign(tcp({kGatewayMac, {0x01, 0, 0x5e, 0, 2, 1}}, tuple, kSyn));
  EXPECT_EQ(receive(tcp(kInbound, tuple, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  expect_foreign(tcp(elsewhere, tuple, kAck));
}

TEST_P(Foreign, OtherEthertypesPass) {
  const Frame good = tcp(kInbound, {client, 40000, ip("192.0.2.1"), 80}, kSyn);
  expect_foreign(vlan(good, 0x8100, 5));
  expect_foreign(vlan(vlan(good, 0x8100, 5), 0x88a8, 7));
  expect_foreign(other_family(kInbound));
  expect_foreign(ethernet(kInbound, 0x88cc, Bytes(20, 3)));
  expect_foreign(ethernet(kInbound, 0x0026, Bytes(38, 0x42)));
  expect_foreign(ethernet(kInbound, 0x8864, Bytes(40, 1)));
  expect_foreign(ethernet(kInbound, 0x888e, {1}));
}

TEST_P(Foreign, AnAddressThatSharesAFilterBitPasses) {
  // Sets the bit of an address that has no record, as a collision would.
  world.set_filter_bit({0, host});
  const Frame good = udp(kInbound, {client, 1, host, 2});
  expect_foreign(good);
  expect_foreign(tcp(kInbound, {client, 40000, host, 22}, kAck));
  expect_foreign(echo_request(kInbound, client, host, 3));
  expect_foreign(tcp(kInbound, {client, 0, host, 22}, kSyn));
  expect_foreign(Frame(good).set_source(host).fix_checksums());
  expect_foreign(Frame(good).set_source(ip(pick("127.0.0.1", "::1"))).fix_checksums());
  expect_foreign(Frame(good).set_length(1000));
  if (family == Family::kIpv6) {
    expect_foreign(with_extension_headers(good, {{kRouting, {0, 0, 1, 0, 0, 0, 0}}}));
    expect_foreign(with_extension_headers(good, {{kFragment, Bytes(7, 0)}}));
    return;
  }
  expect_foreign(with_ip_options(good, Bytes(4, 1)));
  expect_foreign(Frame(good).set16(kIp + 6, 0x2000).fix_checksums());
}

TEST_P(Foreign, RandomBytesPass) {
  std::mt19937_64 random(20240611);
  for (int i = 0; i < 2000; ++i) {
    Frame frame(Bytes(55 + random() % 200));
    for (auto& byte : frame.bytes) byte = static_cast<std::uint8_t>(random());
    if (random() % 2 == 0) frame.set16(12, pick(0x0800U, 0x86ddU));
    ASSERT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  }
}

IN_BOTH_FAMILIES(Foreign);

}  // namespace
}  // namespace bpftest
