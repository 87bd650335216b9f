// SPDX-License-Identifier: Apache-2.0
// Pods that come and go.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <string>

#include "node_fixture.hpp"
#include "store/node_records.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::shell;
using datapath::testing::shell_in;
using datapath::testing::text;

class NodeAttach : public NodeTest {
 protected:
  static AttachRequest request(const std::string& pod, const PodNamespace& netns) {
    return {.pod = {"one", pod}, .netns = netns.path()};
  }
};

TEST_F(NodeAttach, GivesTheNamespaceItsInterfaceAndTheMapsItsRecords) {
  const auto node = start();
  const PodNamespace pod;
  const auto reply = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_EQ(reply->addresses.text(), "172.16.1.1");
  EXPECT_EQ(reply->prefix_length, 16);
  EXPECT_EQ(reply->router.text(), "172.16.0.1");
  EXPECT_EQ(reply->mtu, 1500U);
  EXPECT_NE(shell_in(pod.fd, "ip addr show eth0").find("172.16.1.1/16"), std::string::npos);
  EXPECT_NE(shell_in(pod.fd, "ip link show eth0").find(reply->mac.text()), std::string::npos);
  const std::uint32_t ifindex = ifindex_of(reply->device);
  ASSERT_NE(ifindex, 0U);
  ASSERT_TRUE(port(ifindex));
  EXPECT_EQ(port(ifindex)->kind, SLUICE_PORT_POD);
  ASSERT_TRUE(endpoint("172.16.1.1"));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, ifindex);
  ASSERT_TRUE(frontend("172.16.9.9"));
  EXPECT_EQ(frontend("172.16.9.9")->ready_count, 1U);
  EXPECT_EQ(node->status().services[0].ready, 1U);
}

TEST_F(NodeAttach, GivesTheSameAnswerToTheSameNamespaceAgain) {
  const auto node = start();
  const PodNamespace pod;
  const auto first = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(first) << text(first);
  const auto before = everything();
  const auto second = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(second) << text(second);
  EXPECT_EQ(second->device, first->device);
  EXPECT_EQ(second->addresses, first->addresses);
  EXPECT_EQ(second->mac, first->mac);
  EXPECT_EQ(everything(), before);
}

TEST_F(NodeAttach, RefusesAnotherInterfaceInTheSameNamespace) {
  const auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request("web-1", pod)));
  AttachRequest other = request("web-1", pod);
  other.interface = "net1";
  const auto refused = (*node)->attach(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find("\"eth0\""), std::string::npos) << refused.error().message;
  EXPECT_TRUE((*node)->attach(request("web-1", pod)));
}

TEST_F(NodeAttach, RefusesAnotherNamespaceWhileTheFirstLives) {
  const auto node = start();
  const PodNamespace first;
  const PodNamespace second;
  const auto reply = (*node)->attach(request("web-1", first));
  ASSERT_TRUE(reply) << text(reply);
  const auto refused = (*node)->attach(request("web-1", second));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find(reply->device), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("sluicectl pod detach"), std::string::npos) << refused.error().message;
  EXPECT_EQ(shell_in(second.fd, "ip -br link").find("eth0"), std::string::npos);
}

TEST_F(NodeAttach, RefusesANamespaceThatIsAnotherPods) {
  const auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request("web-1", pod)));
  const auto refused = (*node)->attach(request("web-2", pod));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find("one/web-1"), std::string::npos) << refused.error().message;
  EXPECT_EQ(endpoint("172.16.1.2")->ifindex, 0U);
}

TEST_F(NodeAttach, RefusesWhatDoesNotExist) {
  const auto node = start();
  const PodNamespace pod;
  const auto unknown = (*node)->attach(request("nobody", pod));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kNotFound);
  EXPECT_NE(unknown.error().message.find("one/nobody"), std::string::npos);
  const auto nowhere = (*node)->attach({.pod = {"one", "web-1"}, .netns = "/run/netns/no-such-namespace"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
  const auto file = (*node)->attach({.pod = {"one", "web-1"}, .netns = "/etc/hostname"});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kInvalid);
  const auto interface = (*node)->attach({.pod = {"one", "web-1"}, .netns = pod.path(), .interface = "a/b"});
  ASSERT_FALSE(interface);
  EXPECT_EQ(interface.error().code, ErrorCode::kInvalid);
  const auto detached = (*node)->detach({{"one", "nobody"}});
  ASSERT_FALSE(detached);
  EXPECT_EQ(detached.error().code, ErrorCode::kNotFound);
}

TEST_F(NodeAttach, KnowsAPodThatWasDeclaredAMomentAgo) {
  const auto node = start();
  const PodNamespace pod;
  write_manifests(two_networks() + "---\nkind: Pod\nnetwork: one\nname: fresh\n");
  const auto reply = (*node)->attach(request("fresh", pod));
  EXPECT_TRUE(reply) << text(reply);
}

TEST_F(NodeAttach, EndsWithADetachAndKeepsTheAddress) {
  const auto node = start();
  const PodNamespace pod;
  const auto reply = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(reply) << text(reply);
  const std::uint32_t ifindex = ifindex_of(reply->device);
  const auto detached = (*node)->detach({{"one", "web-1"}});
  EXPECT_TRUE(detached) << text(detached);
  EXPECT_EQ(ifindex_of(reply->device), 0U);
  EXPECT_FALSE(port(ifindex));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
  EXPECT_EQ(frontend("172.16.9.9")->ready_count, 0U);
  EXPECT_TRUE((*node)->detach({{"one", "web-1"}})) << "a second detach is fine";
  const auto again = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->addresses, reply->addresses);
  EXPECT_EQ(again->mac, reply->mac);
}

TEST_F(NodeAttach, EndsWithItsNamespaceWithinFiftyMilliseconds) {
  const auto node = start();
  auto pod = std::make_unique<PodNamespace>();
  const auto reply = (*node)->attach(request("web-1", *pod));
  ASSERT_TRUE(reply) << text(reply);
  pod.reset();  // the last reference to the namespace
  ASSERT_TRUE(eventually([&] { return ifindex_of(reply->device) == 0; }));
  const auto gone = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([&] { return frontend("172.16.9.9")->ready_count == 0; }));
  EXPECT_LT(std::chrono::steady_clock::now() - gone, std::chrono::milliseconds(50));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
  const PodNamespace next;
  const auto again = (*node)->attach(request("web-1", next));
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->addresses, reply->addresses);
}

TEST_F(NodeAttach, SurvivesARestartUntouched) {
  const PodNamespace pod;
  auto node = start();
  const auto reply = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(reply) << text(reply);
  node.reset();
  const auto before = everything();
  node = start();
  EXPECT_EQ(node->status().counters.writes, 0U);
  EXPECT_EQ(everything(), before);
  EXPECT_NE(ifindex_of(reply->device), 0U);
  const auto again = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->device, reply->device);
}

TEST_F(NodeAttach, IsForgottenByARestartWhenItsDeviceHasGone) {
  const PodNamespace pod;
  auto node = start();
  const auto reply = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(reply) << text(reply);
  node.reset();
  shell("ip link del " + reply->device);
  node = start();
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
  EXPECT_EQ(frontend("172.16.9.9")->ready_count, 0U);
  EXPECT_FALSE(node->status().pods[0].attached);
}

/// As after kill -9 between making the device and writing it down.
TEST_F(NodeAttach, LeavesNoDeviceBehindWithoutARecord) {
  const PodNamespace pod;
  auto node = start();
  const auto reply = (*node)->attach(request("web-1", pod));
  ASSERT_TRUE(reply) << text(reply);
  const std::uint32_t ifindex = ifindex_of(reply->device);
  node.reset();
  {
    auto allocations = store::NodeRecords::open(state_folder());
    ASSERT_TRUE(allocations) << text(allocations);
    ASSERT_TRUE((*allocations)->remove_attachment({"one", "web-1"}));
  }
  node = start();
  EXPECT_EQ(ifindex_of(reply->device), 0U);
  EXPECT_FALSE(port(ifindex));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
  const auto again = (*node)->attach(request("web-1", pod));
  EXPECT_TRUE(again) << text(again);
}

TEST_F(NodeAttach, EndsWhenThePodIsDeletedFromTheManifests) {
  const auto node = start();
  const PodNamespace pod;
  const auto reply = (*node)->attach({.pod = {"two", "other"}, .netns = pod.path()});
  ASSERT_TRUE(reply) << text(reply);
  std::string without = two_networks();
  const auto begin = without.find("---\nkind: Pod\nnetwork: two");
  without.erase(begin, without.find("---\nkind: Service") - begin);
  write_manifests(without);
  EXPECT_TRUE(eventually([&] { return ifindex_of(reply->device) == 0; }));
  EXPECT_FALSE(endpoint("172.16.2.1"));
}

TEST_F(NodeAttach, EndsWhenThePodGetsAnotherAddress) {
  const auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach({.pod = {"two", "other"}, .netns = pod.path()}));
  std::string changed = two_networks();
  changed.replace(changed.find("172.16.2.1"), 10, "172.16.2.9");
  write_manifests(changed);
  ASSERT_TRUE(eventually([&] { return endpoint("172.16.2.9").has_value(); }));
  const auto again = (*node)->attach({.pod = {"two", "other"}, .netns = pod.path()});
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->addresses.text(), "172.16.2.9");
}

}  // namespace
}  // namespace sluice::node::testing
