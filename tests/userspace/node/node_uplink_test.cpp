// SPDX-License-Identifier: Apache-2.0
// Uplinks that come, change and go.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <string>

#include "node_fixture.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::shell;
using datapath::testing::shell_in;
using datapath::testing::text;

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

// ---- MTU ------------------------------------------------------------------------------------------------------------

/// A pod with a process, by which its namespace is found.
class InhabitedPod {
 public:
  InhabitedPod() : pid_(shell_in(netns_.fd, "sleep 1000 >/dev/null 2>&1 & echo $!")) {}
  ~InhabitedPod() { shell("kill " + pid_); }
  InhabitedPod(const InhabitedPod&) = delete;
  InhabitedPod& operator=(const InhabitedPod&) = delete;

  [[nodiscard]] AttachRequest request() const { return {.pod = {"one", "web-1"}, .netns = netns_.path()}; }
  [[nodiscard]] bool has_mtu(const std::string& mtu) const { return says(mtu, run("ip -o link show eth0")); }
  [[nodiscard]] std::string run(const std::string& command) const { return shell_in(netns_.fd, command); }
  static bool says(const std::string& mtu, const std::string& line) {
    return line.find(" mtu " + mtu + " ") != std::string::npos;
  }

 private:
  PodNamespace netns_;
  std::string pid_;
};

class NodeMtu : public NodeUplink {
 protected:
  /// What the programs are told of the smallest device.
  [[nodiscard]] std::uint32_t smallest() const {
    const UniqueFd map(bpf_obj_get((pins() / "maps/settings").c_str()));
    sluice_settings settings{};
    const std::uint32_t zero = 0;
    EXPECT_EQ(bpf_map_lookup_elem(map.get(), &zero, &settings), 0);
    return settings.smallest_mtu;
  }
  static bool host_has(const std::string& device, const std::string& mtu) {
    return InhabitedPod::says(mtu, shell("ip -o link show " + device));
  }
};

TEST_F(NodeMtu, OfPodsIsThatOfTheSmallestUplink) {
  make("up0");
  make("up1", "02:00:00:00:00:02");
  shell("ip link set up0 mtu 1450 && ip link set up1 mtu 1400");
  Options options = with_uplink();
  options.uplinks.push_back({"up1", datapath::XdpMode::kOff});
  const auto node = start(options);
  const InhabitedPod pod;
  const auto reply = (*node)->attach(pod.request());
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_EQ(reply->mtu, 1400U);
  EXPECT_TRUE(pod.has_mtu("1400"));
  EXPECT_TRUE(host_has(reply->device, "1400"));
  EXPECT_EQ(node->status().pod_mtu, 1400U);
  EXPECT_EQ(node->status().uplinks[0].mtu, 1450U);
  EXPECT_EQ(smallest(), 1400U);
}

TEST_F(NodeMtu, FollowsTheUplinkInPodsThatAreAttached) {
  make("up0");
  const auto node = start(with_uplink());
  const InhabitedPod pod;
  const auto reply = (*node)->attach(pod.request());
  ASSERT_TRUE(reply) << text(reply);
  for (const char* mtu : {"1300", "9000", "1500"}) {
    shell(std::string("ip link set up0 mtu ") + mtu);
    EXPECT_TRUE(eventually([&] { return pod.has_mtu(mtu) && host_has(reply->device, mtu); })) << mtu;
    EXPECT_TRUE(eventually([&] { return smallest() == std::stoul(mtu); })) << smallest();
  }
  EXPECT_TRUE(node->status().synced);
  EXPECT_TRUE(node->status().warnings.empty());
}

TEST_F(NodeMtu, IsPutRightWhenTheHostsEndChangesAndAtAStart) {
  const InhabitedPod pod;
  std::string device;
  {
    const auto node = start();
    const auto reply = (*node)->attach(pod.request());
    ASSERT_TRUE(reply) << text(reply);
    device = reply->device;
    shell("ip link set " + device + " mtu 1400");
    EXPECT_TRUE(eventually([&] { return host_has(device, "1500"); }));
  }
  static_cast<void>(pod.run("ip link set eth0 mtu 1200"));
  const auto node = start();
  EXPECT_TRUE(pod.has_mtu("1500"));
  EXPECT_TRUE(host_has(device, "1500"));
}

TEST_F(NodeMtu, LeavesRoomForWhatIsReservedAndChangesWithThePolicy) {
  make("up0");
  Options options = with_uplink();
  options.mtu.reserve = 150;
  const auto node = start(options);
  const InhabitedPod pod;
  const auto reply = (*node)->attach(pod.request());
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_EQ(reply->mtu, 1350U);
  node->post([&node] { (*node)->change_mtu({.fixed = 1400, .reserve = 70}); });
  EXPECT_TRUE(eventually([&] { return pod.has_mtu("1400"); }));
  EXPECT_TRUE(node->status().warnings.empty());
  node->post([&node] { (*node)->change_mtu({.fixed = 1400, .reserve = 150}); });
  EXPECT_TRUE(eventually([&] { return !node->status().warnings.empty(); })) << "they do not fit together";
  EXPECT_TRUE(pod.has_mtu("1400"));
}

TEST_F(NodeMtu, IsNeverBelowThatOfIpv6) {
  make("up0");
  shell("ip link set up0 mtu 1300");
  Options options = with_uplink();
  options.mtu.reserve = 70;
  const auto node = start(options);
  EXPECT_EQ(node->status().pod_mtu, 1280U);
  ASSERT_EQ(node->status().warnings.size(), 1U);
  EXPECT_NE(node->status().warnings[0].find("MTU 1300 is below the pods' 1280 and the 70"), std::string::npos)
      << node->status().warnings[0];
  EXPECT_EQ(smallest(), 1280U);
  shell("ip link set up0 mtu 1200");
  EXPECT_TRUE(eventually([&] { return smallest() == 1200; })) << "then the uplink is the smallest";
  shell("ip link set up0 mtu 1350");
  EXPECT_TRUE(eventually([&] { return node->status().warnings.empty(); }));
}

TEST_F(NodeMtu, ThatCannotBeChangedIsAWarning) {
  make("up0");
  const auto node = start(with_uplink());
  const PodNamespace pod;  // no process and no name
  const auto reply = (*node)->attach({.pod = {"one", "web-1"}, .netns = pod.path()});
  ASSERT_TRUE(reply) << text(reply);
  shell("ip link set up0 mtu 1400");
  EXPECT_TRUE(eventually([&] { return !node->status().warnings.empty(); }));
  EXPECT_NE(node->status().warnings[0].find("one/web-1"), std::string::npos);
  EXPECT_TRUE(host_has(reply->device, "1500"));
  EXPECT_TRUE(eventually([&] { return smallest() == 1400; })) << "the uplink's";
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
