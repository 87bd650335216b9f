// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "datapath/netlink.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

/// Reads until `wanted` is among the events.
bool sees(LinkWatch& watch, LinkEvent::Kind kind, const std::string& name) {
  bool seen = false;
  return eventually([&] {
    const auto batch = watch.read();
    if (!batch) return false;
    for (const LinkEvent& event : batch->events) seen = seen || (event.kind == kind && event.link.name == name);
    return seen;
  });
}

TEST(Links, AreFoundByNameWithTheirProperties) {
  ASSERT_EQ(shell("ip link add name slt-a mtu 1400 address 02:00:00:00:00:0a type veth peer name slt-b"), "");
  const auto found = find_link("slt-a");
  ASSERT_TRUE(found && *found) << text(found);
  EXPECT_EQ((*found)->ifindex, ifindex_of("slt-a"));
  EXPECT_EQ((*found)->mac.text(), "02:00:00:00:00:0a");
  EXPECT_EQ((*found)->mtu, 1400U);
  EXPECT_FALSE((*found)->up);
  ASSERT_EQ(shell("ip link set slt-a up"), "");
  EXPECT_TRUE((*find_link("slt-a"))->up);
  const auto all = list_links();
  ASSERT_TRUE(all) << text(all);
  for (const char* name : {"lo", "slt-a", "slt-b"})
    EXPECT_EQ(std::ranges::count(*all, name, &LinkInfo::name), 1) << name;
  EXPECT_EQ(shell("ip link del slt-a"), "");
  for (const char* name : {"slt-a", "", "a-name-that-is-longer-than-any"}) {
    const auto missing = find_link(name);
    ASSERT_TRUE(missing) << text(missing);
    EXPECT_FALSE(missing->has_value()) << name;
  }
}

TEST(LinkWatch, ReportsDevicesThatComeGoAndAreRenamed) {
  auto watch = LinkWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  ASSERT_EQ(shell("ip link add name slt-a type veth peer name slt-b"), "");
  EXPECT_TRUE(sees(**watch, LinkEvent::Kind::kNew, "slt-a"));
  ASSERT_EQ(shell("ip link set slt-a name slt-c"), "");
  EXPECT_TRUE(sees(**watch, LinkEvent::Kind::kNew, "slt-c"));
  ASSERT_EQ(shell("ip link del slt-c"), "");
  EXPECT_TRUE(sees(**watch, LinkEvent::Kind::kGone, "slt-c"));
}

TEST(LinkWatch, IgnoresPortsThatLeaveABridge) {
  ASSERT_EQ(shell("ip link add name slt-br type bridge && ip link add name slt-a type veth peer name slt-b && "
                  "ip link set slt-a master slt-br"),
            "");
  auto watch = LinkWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  ASSERT_EQ(shell("ip link set slt-a nomaster && ip link set slt-b name slt-mark"), "");
  bool gone = false;
  bool marked = false;
  EXPECT_TRUE(eventually([&] {
    const auto batch = (*watch)->read();
    if (!batch) return false;
    for (const LinkEvent& event : batch->events) {
      gone = gone || event.kind == LinkEvent::Kind::kGone;
      marked = marked || event.link.name == "slt-mark";
    }
    return marked;
  }));
  EXPECT_FALSE(gone) << "the device is still there";
  EXPECT_EQ(shell("ip link del slt-a; ip link del slt-br"), "");
}

TEST(LinkWatch, ReadsTheWholeListAgainAfterLostEvents) {
  auto watch = LinkWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  const int tiny = 1;
  ASSERT_EQ(setsockopt((*watch)->fd(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
  ASSERT_EQ(shell("for i in 1 2 3 4 5 6 7 8 9; do ip link add name slt-a$i type veth peer name slt-b$i; done"), "");
  const auto batch = (*watch)->read();
  ASSERT_TRUE(batch) << text(batch);
  EXPECT_TRUE(batch->resynced);
  std::map<std::string, int> names;
  for (const LinkEvent& event : batch->events) {
    EXPECT_EQ(event.kind, LinkEvent::Kind::kNew);
    names[event.link.name]++;
  }
  for (int i = 1; i <= 9; i++) EXPECT_EQ(names["slt-a" + std::to_string(i)], 1) << i;
  EXPECT_EQ(shell("for i in 1 2 3 4 5 6 7 8 9; do ip link del slt-a$i; done"), "");
}

/// Enough devices that the kernel hands their list over in many pieces.
class LongListOfLinks : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(shell("for i in $(seq 80); do ip link add name slt-l$i type veth peer name slt-m$i; done"), "");
    auto socket = NetlinkSocket::open();
    ASSERT_TRUE(socket) << text(socket);
    socket_.emplace(std::move(*socket));
    request_.header(ifinfomsg{});
  }
  void TearDown() override {
    EXPECT_EQ(shell("for i in $(seq 80); do ip link del slt-l$i; done"), "");
    if (ifindex_of("slt-a") != 0) {
      EXPECT_EQ(shell("ip link del slt-a"), "");
    }
  }

  /// Reads the list, which changes in the first `changing` readings.
  int dump(int changing) {
    bool change = false;
    return socket_->dump(
        request_,
        [&] {
          readings_++;
          messages_ = 0;
          change = readings_ <= changing;
        },
        [&](const nlmsghdr&) {
          messages_++;
          if (!std::exchange(change, false)) return;
          // The kernel has made the first two pieces by now, and finds the list another one for the third.
          EXPECT_EQ(
              shell(readings_ % 2 == 1 ? "ip link add name slt-a type veth peer name slt-b" : "ip link del slt-a"), "");
        });
  }

  std::optional<NetlinkSocket> socket_;
  NetlinkMessage request_{RTM_GETLINK, NLM_F_DUMP};
  int readings_ = 0;
  std::size_t messages_ = 0;
};

TEST_F(LongListOfLinks, IsReadOnceIfItStaysAsItIs) {
  EXPECT_EQ(dump(0), 0);
  EXPECT_EQ(readings_, 1);
  EXPECT_EQ(messages_, list_links()->size());
}

TEST_F(LongListOfLinks, IsReadAgainIfItChangedMeanwhile) {
  EXPECT_EQ(dump(3), 0);
  EXPECT_EQ(readings_, 4);
  EXPECT_EQ(messages_, list_links()->size()) << "what an interrupted reading collected must not stay";
}

TEST_F(LongListOfLinks, IsNeverTakenAsCompleteWhileItKeepsChanging) {
  EXPECT_EQ(dump(NetlinkSocket::kDumpReadings), EAGAIN);
  EXPECT_EQ(readings_, NetlinkSocket::kDumpReadings);
}

}  // namespace
}  // namespace sluice::datapath::testing
