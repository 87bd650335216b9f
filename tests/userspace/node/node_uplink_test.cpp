// SPDX-License-Identifier: Apache-2.0
// Uplinks that come, change and go.
#include <gtest/gtest.h>

#include <string>

#include "node_fixture.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::shell;

class NodeUplink : public NodeTest {
 protected:
  ~NodeUplink() override {
    for (const char* device : {"up0", "up1"}) shell(std::string("ip link del ") + device);
  }
  [[nodiscard]] Options with_uplink() const {
    Options options = node_options();
    options.uplinks = {{"up0", datapath::XdpMode::kOff}};
    return options;
  }
  static std::uint32_t make(const std::string& device, const std::string& mac = "02:00:00:00:00:01") {
    EXPECT_EQ(shell("ip link add " + device + " address " + mac + " type veth peer name " + device +
                    "p && ip link set " + device + " up"),
              "");
    return ifindex_of(device);
  }
  [[nodiscard]] bool carries_program(std::uint32_t ifindex) const {
    const std::string number = std::to_string(ifindex);
    return pinned("links/uplink-" + number) || pinned("links/clsact-uplink-" + number);
  }
};

TEST_F(NodeUplink, HasItsPortFromTheStart) {
  const std::uint32_t ifindex = make("up0");
  const auto node = start(with_uplink());
  ASSERT_TRUE(port(ifindex));
  EXPECT_EQ(port(ifindex)->kind, SLUICE_PORT_UPLINK);
  EXPECT_EQ(port(ifindex)->mac[5], 1);
  ASSERT_EQ(node->status().uplinks.size(), 1U);
  EXPECT_EQ(node->status().uplinks[0].ifindex, ifindex);
  EXPECT_TRUE(node->status().warnings.empty());
}

TEST_F(NodeUplink, IsWarnedOfWhileItIsTooSmallForPods) {
  make("up0");
  shell("ip link set up0 mtu 1400");
  const auto node = start(with_uplink());
  ASSERT_EQ(node->status().warnings.size(), 1U);
  EXPECT_NE(node->status().warnings[0].find("MTU 1400 is below the pods' 1500"), std::string::npos);
  shell("ip link set up0 mtu 1500");
  EXPECT_TRUE(eventually([&] { return node->status().warnings.empty(); }));
}

TEST_F(NodeUplink, IsTakenIntoUseWhenItAppears) {
  const auto node = start(with_uplink());
  EXPECT_TRUE(node->status().synced) << "a missing uplink is only a warning";
  ASSERT_EQ(node->status().warnings.size(), 1U);
  EXPECT_NE(node->status().warnings[0].find("up0"), std::string::npos);
  const std::uint32_t ifindex = make("up0");
  EXPECT_TRUE(eventually([&] { return port(ifindex).has_value(); }));
  EXPECT_TRUE(eventually([&] { return node->status().warnings.empty(); }));
}

TEST_F(NodeUplink, LosesItsPortWhenItVanishesAndGetsItBack) {
  const std::uint32_t first = make("up0");
  const auto node = start(with_uplink());
  ASSERT_TRUE(port(first));
  shell("ip link del up0");
  EXPECT_TRUE(eventually([&] { return !port(first); }));
  EXPECT_TRUE(node->status().synced);
  const std::uint32_t second = make("up0");
  EXPECT_TRUE(eventually([&] { return port(second).has_value(); }));
}

TEST_F(NodeUplink, IsFoundByItsName) {
  const std::uint32_t ifindex = make("up1");
  const auto node = start(with_uplink());
  EXPECT_FALSE(port(ifindex));
  shell("ip link set up1 down && ip link set up1 name up0 && ip link set up0 up");
  EXPECT_TRUE(eventually([&] { return port(ifindex).has_value(); }));
  shell("ip link set up0 down && ip link set up0 name up1");
  EXPECT_TRUE(eventually([&] { return !port(ifindex); }));
}

TEST_F(NodeUplink, ChangesItsMacInThePort) {
  const std::uint32_t ifindex = make("up0");
  const auto node = start(with_uplink());
  ASSERT_TRUE(port(ifindex));
  shell("ip link set up0 address 02:00:00:00:00:07");
  EXPECT_TRUE(eventually([&] { return port(ifindex)->mac[5] == 7; }));
}

TEST_F(NodeUplink, KeepsItsProgramWhenTwoSwapTheirNames) {
  const std::uint32_t first = make("up0", "02:00:00:00:00:01");
  const std::uint32_t second = make("up1", "02:00:00:00:00:02");
  Options both = with_uplink();
  both.uplinks.push_back({"up1", datapath::XdpMode::kOff});
  const auto node = start(both);
  ASSERT_TRUE(port(first));
  ASSERT_TRUE(port(second));
  // In one turn of the node's loop, so that it sees the end of it alone.
  node->post([] {
    shell(
        "ip link set up0 down && ip link set up1 down && ip link set up0 name up2 && ip link set up1 name up0 && "
        "ip link set up2 name up1 && ip link set up0 up && ip link set up1 up");
  });
  ASSERT_TRUE(eventually([&] {
    const auto uplinks = node->status().uplinks;
    return uplinks[0].ifindex == second && uplinks[1].ifindex == first;
  }));
  EXPECT_TRUE(carries_program(first));
  EXPECT_TRUE(carries_program(second));
  EXPECT_TRUE(port(first));
  EXPECT_TRUE(port(second));
}

TEST_F(NodeUplink, IsLetGoByARestartWithoutItIfItNeverHadAPort) {
  const std::uint32_t ifindex = make("up0");
  write_manifests("kind: Nonsense\n");
  start(with_uplink()).reset();
  ASSERT_TRUE(carries_program(ifindex));
  const auto node = start();
  EXPECT_FALSE(carries_program(ifindex));
}

TEST_F(NodeUplink, IsLetGoByARestartWithoutIt) {
  const std::uint32_t ifindex = make("up0");
  start(with_uplink()).reset();
  ASSERT_TRUE(port(ifindex));
  const auto node = start();
  EXPECT_FALSE(port(ifindex));
  EXPECT_EQ(shell("tc filter show dev up0 ingress"), "");
}

}  // namespace
}  // namespace sluice::node::testing
