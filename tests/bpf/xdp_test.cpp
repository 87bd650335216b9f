// SPDX-License-Identifier: Apache-2.0
// uplink_xdp drops by shape alone what is for a floating IP, and passes everything else untouched.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Xdp : public ProgramTest {
 protected:
  Xdp() {
    world.uplink();
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  }
  sluice_reason run(const Frame& frame) { return datapath.run(SLUICE_ENTRY_UPLINK_XDP, 0, frame).reason; }
  static Frame changed16(Frame frame, std::size_t offset, unsigned value) {
    return frame.set16(offset, value).fix_checksums();
  }
  static Frame from(Frame frame, const std::string& source) {
    return frame.set32(kIp + 12, ip(source)).fix_checksums();
  }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Frame good = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80}, kSyn);
  Frame foreign = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.2"), 80}, kSyn);
};

TEST_F(Xdp, HandsFloatingIpsToTc) {
  EXPECT_EQ(run(good), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(udp(kInbound, {ip("203.0.113.9"), 1, ip("192.0.2.1"), 9})), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(ipv4(kInbound, ip("203.0.113.9"), ip("192.0.2.1"), kSctp, {})), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(changed16(good, kL4, 0)), SLUICE_REASON_XDP_TO_TC) << "ports are tc's to judge";
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_F(Xdp, DropsWhatCannotBeByItsShape) {
  Frame version = good;
  EXPECT_EQ(run(version.set8(kIp, 0x65)), SLUICE_REASON_BAD_IP_HEADER);
  EXPECT_EQ(run(version.set8(kIp, 0x44)), SLUICE_REASON_BAD_IP_HEADER);
  EXPECT_EQ(run(changed16(good, kIp + 2, 19)), SLUICE_REASON_BAD_IP_LENGTH);
  EXPECT_EQ(run(changed16(good, kIp + 2, 41)), SLUICE_REASON_BAD_IP_LENGTH);
  EXPECT_EQ(run(with_ip_options(good, Bytes(4, 1))), SLUICE_REASON_IP_OPTIONS);
  EXPECT_EQ(run(from(good, "192.0.2.1")), SLUICE_REASON_LAND);
  for (const char* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"}) {
    EXPECT_EQ(run(from(good, source)), SLUICE_REASON_MARTIAN) << source;
  }
  EXPECT_EQ(run(changed16(good, kIp + 6, 0x2000)), SLUICE_REASON_FRAGMENT);
  EXPECT_EQ(run(changed16(good, kIp + 6, 0x0001)), SLUICE_REASON_FRAGMENT);
}

TEST_F(Xdp, LeavesBadShapesForOtherHostsAlone) {
  Frame other = changed16(good, kIp + 2, 19);
  EXPECT_EQ(run(other.set_mac(0, kGatewayMac)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(other.set_mac(0, kBroadcastMac)), SLUICE_REASON_FOREIGN);
}

TEST_F(Xdp, PassesEverythingElseUntouched) {
  EXPECT_EQ(run(foreign), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(with_ip_options(foreign, Bytes(8, 1))), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(changed16(foreign, kIp + 6, 0x2000)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(from(foreign, "127.0.0.1")), SLUICE_REASON_FOREIGN);
  Frame version = foreign;
  EXPECT_EQ(run(version.set8(kIp, 0x00)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(vlan(good, 0x8100, 5)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(ipv6(kInbound, 8)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(arp({kGatewayMac, kBroadcastMac}, 1, kGatewayMac, 1, {}, ip("192.0.2.1"))), SLUICE_REASON_FOREIGN);
  for (std::size_t size = kEthernet; size < kL4; ++size) {
    Frame cut = good;
    EXPECT_EQ(run(cut.resize(size)), SLUICE_REASON_FOREIGN) << size;
  }
}

}  // namespace
}  // namespace bpftest
