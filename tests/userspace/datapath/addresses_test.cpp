// SPDX-License-Identifier: Apache-2.0
#include "datapath/addresses.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <optional>
#include <string>

#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

std::optional<AddressInfo> find(const std::string& address) {
  const auto all = list_addresses();
  EXPECT_TRUE(all) << text(all);
  const auto found =
      std::ranges::find_if(*all, [&](const AddressInfo& one) { return text_of(one.address) == address; });
  return found == all->end() ? std::nullopt : std::optional(*found);
}

class Addresses : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(shell("ip link add name slt-a type veth peer name slt-b && ip link set slt-a up && ip link set slt-b up"),
              "");
  }
  void TearDown() override { EXPECT_EQ(shell("ip link del slt-a"), ""); }
};

TEST_F(Addresses, AreListedWithTheirDeviceScopeAndState) {
  ASSERT_EQ(
      shell("ip addr add 192.0.2.7/24 dev slt-a && ip addr add 192.0.2.8/24 dev slt-a && "
            "ip addr add 192.0.2.9 peer 198.51.100.1 dev slt-b && ip addr add 203.0.113.5/32 scope host dev lo && "
            "ip addr add 2001:db8::7/64 nodad dev slt-a && "
            "ip addr add 2001:db8::8/64 nodad preferred_lft 0 dev slt-a && "
            "ip addr add fd00::1/64 dev slt-b && ip addr add fe80::77/64 nodad dev slt-b"),
      "");
  const std::uint32_t a = ifindex_of("slt-a");
  EXPECT_EQ(find("192.0.2.7"), (AddressInfo{.ifindex = a, .address = Ipv4{0xC0000207}, .global = true}));
  EXPECT_EQ(find("192.0.2.8"),
            (AddressInfo{.ifindex = a, .address = Ipv4{0xC0000208}, .global = true, .secondary = true}));
  ASSERT_TRUE(find("192.0.2.9")) << "not the peer's";
  EXPECT_EQ(find("192.0.2.9")->ifindex, ifindex_of("slt-b"));
  EXPECT_FALSE(find("198.51.100.1"));
  ASSERT_TRUE(find("203.0.113.5"));
  EXPECT_FALSE(find("203.0.113.5")->global);
  ASSERT_TRUE(find("2001:db8::7"));
  EXPECT_TRUE(find("2001:db8::7")->global);
  EXPECT_FALSE(find("2001:db8::7")->tentative);
  EXPECT_FALSE(find("2001:db8::7")->deprecated);
  ASSERT_TRUE(find("2001:db8::8"));
  EXPECT_TRUE(find("2001:db8::8")->deprecated);
  ASSERT_TRUE(find("fd00::1"));
  EXPECT_TRUE(find("fd00::1")->tentative) << "the search for duplicates takes a second";
  EXPECT_TRUE(eventually([] { return !find("fd00::1")->tentative; }));
  ASSERT_TRUE(find("fe80::77"));
  EXPECT_FALSE(find("fe80::77")->global);
  EXPECT_EQ(shell("ip addr del 203.0.113.5/32 dev lo"), "");
}

TEST_F(Addresses, AreWatchedButNotThoseOfTheLink) {
  auto watch = AddressWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  const auto sees = [&] { return eventually([&] { return (*watch)->changed().value_or(false); }); };
  EXPECT_EQ((*watch)->changed().value_or(true), false);
  ASSERT_EQ(shell("ip addr add 192.0.2.7/24 dev slt-a"), "");
  EXPECT_TRUE(sees());
  ASSERT_EQ(shell("ip addr del 192.0.2.7/24 dev slt-a"), "");
  EXPECT_TRUE(sees());
  ASSERT_EQ(shell("ip addr add 2001:db8::7/64 nodad dev slt-a"), "");
  EXPECT_TRUE(sees());
  while ((*watch)->changed().value_or(false)) {
  }
  ASSERT_EQ(shell("ip addr add fe80::77/64 nodad dev slt-a"), "");
  EXPECT_EQ((*watch)->changed().value_or(true), false);
}

TEST_F(Addresses, CountAsChangedWhenEventsAreLost) {
  auto watch = AddressWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  const int tiny = 1;
  ASSERT_EQ(setsockopt((*watch)->fd(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
  // Of the link alone, so that it is the loss which counts.
  ASSERT_EQ(shell("for i in $(seq 100); do ip addr add fe80::1:$i/64 nodad dev slt-a; done"), "");
  EXPECT_EQ((*watch)->changed().value_or(false), true);
}

}  // namespace
}  // namespace sluice::datapath::testing
