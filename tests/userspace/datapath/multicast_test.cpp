// SPDX-License-Identifier: Apache-2.0
// The groups in which neighbours ask for floating IPs: joined for those that are there, and left with them.
#include "datapath/multicast.hpp"

#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

class Groups : public UplinkTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(UplinkTest::SetUp());
    uplink_ = ifindex_of("uplink0");
  }

  void follow(const std::set<Ipv6>& addresses) const {
    const Status done = follow_groups(uplink_, addresses);
    EXPECT_TRUE(done) << text(done);
  }
  static std::string joined() { return shell("ip maddr show dev uplink0 | grep -o '33:33:ff.* static' | sort"); }

  std::uint32_t uplink_ = 0;
  const Ipv6 first_ = *Ipv6::parse("2001:db8:f::10"), second_ = *Ipv6::parse("2001:db8::ab:cdef"),
             same_group_ = *Ipv6::parse("fd00::10");
};

TEST_F(Groups, AreThoseOfTheAddresses) {
  EXPECT_EQ(solicited_node_group(second_).text(), "33:33:ff:ab:cd:ef");
  follow({first_, second_, same_group_});
  follow({first_, second_, same_group_});
  EXPECT_EQ(joined(), "33:33:ff:00:00:10 static\n33:33:ff:ab:cd:ef static\n");
  follow({same_group_});
  EXPECT_EQ(joined(), "33:33:ff:00:00:10 static\n") << "left once, however often they were joined";
  follow({});
  EXPECT_EQ(joined(), "");
}

TEST_F(Groups, OfTheHostsOwnAddressesStay) {
  EXPECT_EQ(shell("ip addr add 2001:db8::ab:cdef/64 dev uplink0 nodad && ip maddr add 33:33:00:00:00:99 dev uplink0"),
            "");
  const std::string before = shell("ip maddr show dev uplink0");
  follow({second_});
  EXPECT_NE(shell("ip maddr show dev uplink0"), before);
  follow({});
  EXPECT_EQ(shell("ip maddr show dev uplink0"), before);
}

TEST_F(Groups, GoWithThePrograms) {
  const auto datapath = load();
  ASSERT_TRUE(datapath->attach_uplink(uplink_, XdpMode::kOff));
  follow({first_});
  ASSERT_TRUE(datapath->detach_uplink(uplink_));
  EXPECT_EQ(joined(), "");
  ASSERT_TRUE(datapath->attach_uplink(uplink_, XdpMode::kOff));
  follow({first_, second_});
}

TEST_F(Groups, GoWithEverythingThatIsPurged) {
  {
    const auto datapath = load();
    ASSERT_TRUE(datapath->attach_uplink(uplink_, XdpMode::kOff));
    follow({first_, second_});
  }
  const Status purged = Datapath::purge(root());
  EXPECT_TRUE(purged) << text(purged);
  EXPECT_EQ(joined(), "");
}

TEST_F(Groups, OfADeviceThatHasGoneNeedNothing) {
  shell("ip link del uplink0");
  follow({first_});
}

}  // namespace
}  // namespace sluice::datapath::testing
