// SPDX-License-Identifier: Apache-2.0
// uplink_xdp drops by shape alone what is for a floating IP, and passes everything else untouched.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class XdpTest : public ProgramTest {
 protected:
  explicit XdpTest(Family its_family) : ProgramTest(its_family) {
    world.uplink();
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
  }
  sluice_reason run(const Frame& frame) { return datapath.run(SLUICE_ENTRY_UPLINK_XDP, 0, frame).reason; }
  static Frame changed16(Frame frame, std::size_t offset, unsigned value) {
    return frame.set16(offset, value).fix_checksums();
  }
  [[nodiscard]] Frame from(Frame frame, const std::string& source) const {
    return frame.set_source(ip(source)).fix_checksums();
  }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Frame good = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80}, kSyn);
  Frame foreign = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.2"), 80}, kSyn);
};

using Xdp = InEachFamily<XdpTest>;
using Xdp4 = InIpv4<XdpTest>;

TEST_P(Xdp, HandsFloatingIpsToTc) {
  EXPECT_EQ(run(good), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(udp(kInbound, {ip("203.0.113.9"), 1, ip("192.0.2.1"), 9})), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(ip_packet(kInbound, ip("203.0.113.9"), ip("192.0.2.1"), kExperiment, {})), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(changed16(good, l4, 0)), SLUICE_REASON_XDP_TO_TC) << "ports are tc's to judge";
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Xdp, DropsWhatCannotBeByItsShape) {
  for (const unsigned version : {0U, pick(6U, 4U), 15U}) {
    Frame other = good;
    EXPECT_EQ(run(other.set8(kIp, version << 4 | 5)), SLUICE_REASON_BAD_IP_HEADER) << version;
  }
  Frame length = good;
  EXPECT_EQ(run(length.set_length(21)), SLUICE_REASON_BAD_IP_LENGTH);
  EXPECT_EQ(run(from(good, "192.0.2.1")), SLUICE_REASON_LAND);
  using Sources = std::vector<const char*>;
  for (const char* source : pick<Sources>({"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"},
                                          {"::", "::1", "::203.0.113.9", "::ffff:203.0.113.9", "fe80::1", "ff02::1"})) {
    EXPECT_EQ(run(from(good, source)), SLUICE_REASON_MARTIAN) << source;
  }
}

TEST_F(Xdp4, DropsOptionsAndLeavesFragmentsToTc) {
  EXPECT_EQ(run(Frame(good).set8(kIp, 0x44)), SLUICE_REASON_BAD_IP_HEADER);
  EXPECT_EQ(run(changed16(good, kIp + 2, 19)), SLUICE_REASON_BAD_IP_LENGTH);
  EXPECT_EQ(run(with_ip_options(good, Bytes(4, 1))), SLUICE_REASON_IP_OPTIONS);
  EXPECT_EQ(run(changed16(good, kIp + 6, 0x2000)), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(changed16(good, kIp + 6, 0x0001)), SLUICE_REASON_XDP_TO_TC);
  EXPECT_EQ(run(with_ip_options(foreign, Bytes(8, 1))), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(changed16(foreign, kIp + 6, 0x2000)), SLUICE_REASON_FOREIGN);
}

TEST_P(Xdp, LeavesBadShapesForOtherHostsAlone) {
  Frame other = good;
  other.set_length(1000);
  EXPECT_EQ(run(other), SLUICE_REASON_BAD_IP_LENGTH);
  EXPECT_EQ(run(other.set_mac(0, kGatewayMac)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(other.set_mac(0, kBroadcastMac)), SLUICE_REASON_FOREIGN);
}

TEST_P(Xdp, PassesEverythingElseUntouched) {
  EXPECT_EQ(run(foreign), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(from(foreign, pick("127.0.0.1", "::1"))), SLUICE_REASON_FOREIGN);
  Frame version = foreign;
  EXPECT_EQ(run(version.set8(kIp, 0x00)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(vlan(good, 0x8100, 5)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(run(other_family(kInbound)), SLUICE_REASON_FOREIGN);
  EXPECT_EQ(
      run(arp({kGatewayMac, kBroadcastMac}, 1, kGatewayMac, bpftest::ip("0.0.0.1"), {}, bpftest::ip("192.0.2.1"))),
      SLUICE_REASON_FOREIGN);
  for (std::size_t size = kEthernet; size < l4; ++size) {
    Frame cut = good;
    EXPECT_EQ(run(cut.resize(size)), SLUICE_REASON_FOREIGN) << size;
  }
}

IN_BOTH_FAMILIES(Xdp);

}  // namespace
}  // namespace bpftest
