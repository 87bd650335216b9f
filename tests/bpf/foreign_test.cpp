// SPDX-License-Identifier: Apache-2.0
// What arrives on the uplink and is not ours passes, every byte of it, whatever its shape.
#include <random>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Foreign : public ProgramTest {
 protected:
  Foreign() { world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}}); }

  void expect_foreign(const Frame& frame) {
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  std::uint32_t client = ip("203.0.113.9");
  std::uint32_t host = ip("192.0.2.200");
  Link elsewhere = {kGatewayMac, {0x02, 0xcc, 0, 0, 0, 9}};
};

TEST_F(Foreign, TheHostsOwnTrafficPasses) {
  const Tuple ssh{client, 40000, host, 22};
  for (unsigned flags : {kSyn, kAck, kFin | kAck, kRst, kSyn | kFin, 0U, 0xffU}) {
    expect_foreign(tcp(kInbound, ssh, flags, {.payload = text("SSH-2.0")}));
  }
  expect_foreign(udp(kInbound, {client, 53, host, 1024}));
  expect_foreign(udp(kInbound, {client, 0, host, 0}));
  expect_foreign(echo_request(kInbound, client, host, 3));
  expect_foreign(icmp(kInbound, client, host, 3, 4, Bytes(28, 0x45)));
  for (unsigned protocol = 0; protocol < 256; ++protocol) {
    expect_foreign(ipv4(kInbound, client, host, static_cast<std::uint8_t>(protocol), Bytes(8, 0xee)));
  }
}

TEST_F(Foreign, FragmentsOptionsAndOddHeadersPass) {
  const Frame good = udp(kInbound, {client, 1, host, 2});
  expect_foreign(with_ip_options(good, Bytes(4, 1)));
  expect_foreign(with_ip_options(good, Bytes(40, 0)));
  for (unsigned fragment : {0x2000U, 0x2010U, 0x0010U, 0x8000U}) {
    Frame frame = good;
    expect_foreign(frame.set16(kIp + 6, fragment).fix_checksums());
  }
  for (unsigned first : {0x00U, 0x15U, 0x41U, 0x65U, 0xffU}) {
    Frame frame = good;
    expect_foreign(frame.set8(kIp, first));
  }
  for (unsigned total : {0U, 19U, 2000U, 65535U}) {
    Frame frame = good;
    expect_foreign(frame.set16(kIp + 2, total));
  }
  Frame wrong_sum = good;
  expect_foreign(wrong_sum.set16(kIp + 10, 0x1111));
  for (std::size_t size = kL4; size < good.size(); ++size) {
    Frame frame = good;
    expect_foreign(frame.resize(size));
  }
}

TEST_F(Foreign, MulticastBroadcastAndOtherHostsFramesPass) {
  expect_foreign(udp({kGatewayMac, {0x01, 0, 0x5e, 0, 0, 0xfb}}, {client, 5353, ip("224.0.0.251"), 5353}));
  expect_foreign(udp({kGatewayMac, kBroadcastMac}, {0, 68, ip("255.255.255.255"), 67}));
  expect_foreign(udp(elsewhere, {client, 1, host, 2}));
}

TEST_F(Foreign, AFloatingIpInAFrameForSomebodyElsePasses) {
  const Tuple tuple{client, 40000, ip("192.0.2.1"), 80};
  expect_foreign(tcp(elsewhere, tuple, kSyn));
  expect_foreign(tcp({kGatewayMac, kBroadcastMac}, tuple, kSyn));
  expect_foreign(tcp({kGatewayMac, {0x01, 0, 0x5e, 0, 2, 1}}, tuple, kSyn));
  EXPECT_EQ(receive(tcp(kInbound, tuple, kSyn)).reason, SLUICE_REASON_TO_BACKEND);
  expect_foreign(tcp(elsewhere, tuple, kAck));
}

TEST_F(Foreign, OtherEthertypesPass) {
  const Frame good = tcp(kInbound, {client, 40000, ip("192.0.2.1"), 80}, kSyn);
  expect_foreign(vlan(good, 0x8100, 5));
  expect_foreign(vlan(vlan(good, 0x8100, 5), 0x88a8, 7));
  expect_foreign(ipv6(kInbound, 8));
  expect_foreign(ethernet(kInbound, 0x88cc, Bytes(20, 3)));
  expect_foreign(ethernet(kInbound, 0x0026, Bytes(38, 0x42)));
  expect_foreign(ethernet(kInbound, 0x8864, Bytes(40, 1)));
  expect_foreign(ethernet(kInbound, 0x888e, {1}));
}

TEST_F(Foreign, AnAddressThatSharesAFilterBitPasses) {
  // Sets the bit of an address that has no record, as a collision would.
  const std::uint32_t bit = sluice_filter_bit(0, be(host));
  auto word = datapath.element<std::uint64_t>("frontend_filter", bit / 64);
  word |= std::uint64_t{1} << (bit % 64);
  datapath.put("frontend_filter", bit / 64, word);
  const Frame good = udp(kInbound, {client, 1, host, 2});
  expect_foreign(good);
  expect_foreign(tcp(kInbound, {client, 40000, host, 22}, kAck));
  expect_foreign(echo_request(kInbound, client, host, 3));
  expect_foreign(with_ip_options(good, Bytes(4, 1)));
  Frame fragment = good;
  expect_foreign(fragment.set16(kIp + 6, 0x2000).fix_checksums());
  expect_foreign(tcp(kInbound, {client, 0, host, 22}, kSyn));
  Frame land = good;
  expect_foreign(land.set32(kIp + 12, host).fix_checksums());
  Frame martian = good;
  expect_foreign(martian.set32(kIp + 12, ip("127.0.0.1")).fix_checksums());
}

TEST_F(Foreign, RandomBytesPass) {
  std::mt19937_64 random(20240611);
  for (int i = 0; i < 2000; ++i) {
    Frame frame(Bytes(35 + random() % 200));
    for (auto& byte : frame.bytes) byte = static_cast<std::uint8_t>(random());
    if (random() % 2 == 0) frame.set16(12, 0x0800);
    if (frame.get16(12) == 0x0800 && frame.get32(kIp + 16) == ip("192.0.2.1")) continue;
    ASSERT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  }
}

}  // namespace
}  // namespace bpftest
