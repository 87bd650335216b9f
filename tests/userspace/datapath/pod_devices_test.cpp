// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <set>

#include "datapath/namespaces.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

class Pods : public PodDevicesTest {
 protected:
  void expect_nothing_left() {
    EXPECT_EQ(shell("ip -brief link show").find("slt"), std::string::npos);
    EXPECT_EQ(datapath_->attached(), std::vector<std::uint32_t>{});
  }
};

TEST_F(Pods, GiveTheirNamespaceAnInterfaceThatIsReadyToUse) {
  const UniqueFd netns = new_namespace();
  const auto attachment = devices_->attach(netns, pod_device(0x102));
  ASSERT_TRUE(attachment) << text(attachment);
  EXPECT_EQ(attachment->ifindex, ifindex_of(attachment->device));
  EXPECT_EQ(attachment->netns_cookie, netns_cookie(netns));
  EXPECT_EQ(attachment->mac, pod_device(0x102).mac);
  EXPECT_FALSE(attachment->plain_redirect);
  const std::string link = shell_in(netns, "ip -oneline link show eth0");
  for (const char* part : {"mtu 1450", "02:00:00:00:01:02", "LOWER_UP"}) {
    EXPECT_NE(link.find(part), std::string::npos) << part << " in " << link;
  }
  EXPECT_NE(shell_in(netns, "ip -oneline link show lo").find("LOOPBACK,UP"), std::string::npos);
  const std::string address = shell_in(netns, "ip -oneline -4 address show eth0");
  EXPECT_NE(address.find("172.16.1.2/16 brd 172.16.255.255"), std::string::npos) << address;
  const std::string route = shell_in(netns, "ip route show default");
  EXPECT_NE(route.find("default via 172.16.0.1 dev eth0"), std::string::npos) << route;
  EXPECT_NE(shell("ip -details link show " + attachment->device).find("group " + std::to_string(kMark.group)),
            std::string::npos);
}

TEST_F(Pods, SendNothingByThemselves) {
  const UniqueFd netns = new_namespace();
  const auto attachment = devices_->attach(netns, pod_device());
  ASSERT_TRUE(attachment) << text(attachment);
  EXPECT_EQ(shell_in(netns, "ip -6 address show eth0"), "");
  EXPECT_EQ(shell("ip -6 address show " + attachment->device), "");
  // Neighbour discovery would have come before this frame: the kernel's own packets go out when the link comes up.
  ASSERT_TRUE(send_frames(netns, "eth0", 1));
  EXPECT_TRUE(eventually([this] { return counted(pins(), SLUICE_ENTRY_FROM_POD) >= 1; }));
  EXPECT_EQ(counted(pins(), SLUICE_ENTRY_FROM_POD), 1U);
}

TEST_F(Pods, ComeAndGoByTheFifty) {
  std::map<std::string, std::pair<UniqueFd, model::Attachment>> pods;
  std::set<std::uint64_t> cookies;
  std::vector<double> milliseconds;
  for (std::uint32_t number = 2; number < 52; number++) {
    UniqueFd netns = new_namespace();
    const auto begin = std::chrono::steady_clock::now();
    const auto attachment = devices_->attach(netns, pod_device(number));
    milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    ASSERT_TRUE(attachment) << text(attachment);
    cookies.insert(attachment->netns_cookie);
    pods[attachment->device] = {std::move(netns), *attachment};
  }
  EXPECT_EQ(pods.size(), 50U);
  EXPECT_EQ(cookies.size(), 50U);
  std::ranges::sort(milliseconds);
  // Only told: on a busy machine every time is possible, and the bench holds the figure.
  RecordProperty("attach_median_ms", std::to_string(milliseconds[25]));
  std::printf("attach: median %.2f ms, largest %.2f ms\n", milliseconds[25], milliseconds.back());
  for (int settled = 0; settled < 10; settled++) EXPECT_EQ(devices_->settle(), true);
  EXPECT_EQ(datapath_->attached()->size(), 50U);
  for (const auto& [name, pod] : pods) {
    const auto detached = devices_->detach(pod.second);
    EXPECT_TRUE(detached) << text(detached);
    EXPECT_EQ(shell_in(pod.first, "ip -brief link show eth0").find("UP"), std::string::npos);
  }
  expect_nothing_left();
}

TEST_F(Pods, SurviveTheirNamespaceVanishing) {
  auto watch = LinkWatch::open();
  ASSERT_TRUE(watch) << text(watch);
  UniqueFd netns = new_namespace();
  const auto attachment = devices_->attach(netns, pod_device());
  ASSERT_TRUE(attachment) << text(attachment);
  ASSERT_EQ(devices_->settle(), true);
  netns.reset();
  bool gone = false;
  EXPECT_TRUE(eventually([&] {
    const auto batch = (*watch)->read();
    if (!batch) return false;
    for (const LinkEvent& event : batch->events) {
      gone = gone || (event.kind == LinkEvent::Kind::kGone && event.link.ifindex == attachment->ifindex);
    }
    return gone;
  }));
  EXPECT_TRUE(devices_->detach(*attachment));
  EXPECT_TRUE(devices_->detach(*attachment));
  expect_nothing_left();
}

TEST_F(Pods, RefuseAnInterfaceNameThatIsTaken) {
  const UniqueFd netns = new_namespace();
  ASSERT_EQ(shell_in(netns, "ip link add name eth0 type veth peer name eth1"), "");
  const auto refused = devices_->attach(netns, pod_device());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find("eth0"), std::string::npos) << text(refused);
  expect_nothing_left();
}

TEST_F(Pods, RefuseANamespaceThatHasADefaultRouteAndLeaveNothingInIt) {
  const UniqueFd netns = new_namespace();
  ASSERT_EQ(
      shell_in(
          netns,
          "ip link add name other type veth peer name far && ip link set other up && ip route add default dev other"),
      "");
  const auto refused = devices_->attach(netns, pod_device());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find("default route"), std::string::npos) << text(refused);
  EXPECT_NE(shell_in(netns, "ip link show eth0").find("does not exist"), std::string::npos);
  expect_nothing_left();
}

TEST_F(Pods, RefuseTheNodesOwnNamespaceAndWrongValues) {
  const auto own = open_netns("/proc/self/ns/net");
  ASSERT_TRUE(own) << text(own);
  const auto refused = devices_->attach(*own, pod_device());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  const UniqueFd netns = new_namespace();
  for (const char* interface : {"", "lo", "a/b", "sixteen-letters!", ".."}) {
    PodDevice device = pod_device();
    device.interface = interface;
    const auto wrong = devices_->attach(netns, device);
    ASSERT_FALSE(wrong) << interface;
    EXPECT_EQ(wrong.error().code, ErrorCode::kInvalid) << interface;
  }
  PodDevice device = pod_device();
  device.mtu = 67;
  EXPECT_EQ(devices_->attach(netns, device).error().code, ErrorCode::kInvalid);
  expect_nothing_left();
}

TEST_F(Pods, StepOverDeviceNamesThatAreTaken) {
  ASSERT_EQ(shell("ip link add name slt1 type veth peer name far0"), "");
  const UniqueFd netns = new_namespace();
  const auto attachment = devices_->attach(netns, pod_device());
  ASSERT_TRUE(attachment) << text(attachment);
  EXPECT_EQ(attachment->device, "slt2");
  EXPECT_EQ(shell("ip link del slt1"), "");
}

TEST_F(Pods, NeverRemoveADeviceThatOnlyHasTheirNumber) {
  ASSERT_EQ(shell("ip link add name other0 type veth peer name far0"), "");
  const model::Attachment old{.ifindex = ifindex_of("other0"), .netns_cookie = 1, .device = "slt9", .mac = {}};
  EXPECT_TRUE(devices_->detach(old));
  EXPECT_NE(ifindex_of("other0"), 0U);
  EXPECT_EQ(shell("ip link del other0"), "");
}

TEST_F(Pods, LeftoversAreRemovedAndNothingElse) {
  const UniqueFd kept = new_namespace();
  const UniqueFd lost = new_namespace();
  const auto keep = devices_->attach(kept, pod_device(2));
  const auto lose = devices_->attach(lost, pod_device(3));
  ASSERT_TRUE(keep && lose);
  ASSERT_EQ(
      shell("ip link add name sltf type veth peer name sltx && ip link set sltx group " + std::to_string(kMark.group)),
      "");
  const auto removed = remove_leftover_devices(kMark, {keep->ifindex});
  ASSERT_TRUE(removed) << text(removed);
  EXPECT_EQ(*removed, std::vector<std::string>{lose->device});
  EXPECT_EQ(ifindex_of(lose->device), 0U);
  EXPECT_NE(ifindex_of("sltf"), 0U) << "has the prefix, but not our group";
  EXPECT_NE(ifindex_of("sltx"), 0U) << "has our group, but no number";
  EXPECT_EQ(shell("ip link del sltf"), "");
}

TEST_F(Pods, OfAnotherStoreAreNoLeftovers) {
  const UniqueFd netns = new_namespace();
  const UniqueFd longer = new_namespace();
  const auto pod = devices_->attach(netns, pod_device());
  ASSERT_TRUE(pod) << text(pod);
  // "slta1" is slt + a1 as well as slta + 1.
  auto others = PodDevices::open(*datapath_, {"slta", device_group({9, 9})});
  ASSERT_TRUE(others) << text(others);
  const auto other = (*others)->attach(longer, pod_device(3));
  ASSERT_TRUE(other) << text(other);
  ASSERT_EQ(other->device, "slta1");
  for (const DeviceMark& stranger : {DeviceMark{"slt", device_group({7})}, DeviceMark{"slta", kMark.group}}) {
    EXPECT_EQ(remove_leftover_devices(stranger, {}), std::vector<std::string>{}) << stranger.prefix;
  }
  EXPECT_EQ(remove_leftover_devices(kMark, {}), std::vector<std::string>{pod->device});
  EXPECT_NE(ifindex_of("slta1"), 0U);
}

TEST(DeviceGroups, AreTheStoresOwn) {
  EXPECT_EQ(device_group({1, 2, 3}), device_group({1, 2, 3}));
  EXPECT_NE(device_group({1, 2, 3}), device_group({1, 2, 4}));
  EXPECT_NE(device_group({0, 1}), device_group({1, 0}));
  EXPECT_NE(device_group({}), 0U) << "the group of every other device";
}

TEST_F(Pods, RefuseADevicePrefixThatLeavesNoRoomForNumbers) {
  for (const char* prefix : {"", "eightchr", "a b", "a/b"}) {
    const auto refused = PodDevices::open(*datapath_, {prefix, kMark.group});
    ASSERT_FALSE(refused) << prefix;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid) << prefix;
  }
}

TEST(Namespaces, AreOpenedOnlyIfTheyAreNetworkNamespaces) {
  const auto missing = open_netns("/run/netns/there-is-none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  const std::string folder = ::testing::TempDir();
  const std::string fifo = folder + "sluice-test-fifo";
  unlink(fifo.c_str());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& path : {fifo, folder, std::string("/proc/self/ns/pid"), std::string("/proc/self/status"),
                                  std::string("/proc/self/status/below")}) {
    const auto refused = open_netns(path);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid) << text(refused);
    EXPECT_NE(refused.error().message.find(path), std::string::npos) << text(refused);
  }
  unlink(fifo.c_str());
  const UniqueFd netns = new_namespace();
  EXPECT_TRUE(open_netns("/proc/self/fd/" + std::to_string(netns.get())));
}

TEST(Namespaces, HaveCookiesThatTellThemApart) {
  const UniqueFd first = new_namespace();
  const UniqueFd second = new_namespace();
  const auto cookie = netns_cookie(first);
  ASSERT_TRUE(cookie) << text(cookie);
  EXPECT_EQ(netns_cookie(first), *cookie);
  EXPECT_NE(netns_cookie(second), *cookie);
  EXPECT_EQ(is_own_netns(first), false);
}

TEST(Boot, HasAnId) {
  const auto id = boot_id();
  ASSERT_TRUE(id) << text(id);
  EXPECT_EQ(id->size(), 36U);
}

}  // namespace
}  // namespace sluice::datapath::testing
