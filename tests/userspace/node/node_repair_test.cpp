// SPDX-License-Identifier: Apache-2.0
// What the node repairs by itself: programs and devices that somebody else has touched, and calls that failed.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "node_fixture.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::shell;
using datapath::testing::shell_in;
using datapath::testing::text;
using std::chrono::milliseconds;

/// The kernel's devices, but the first removals fail.
class StubbornDevices final : public datapath::PodDevices {
 public:
  StubbornDevices(std::unique_ptr<PodDevices> real, std::atomic<int>& failures)
      : real_(std::move(real)), failures_(failures) {}
  Result<model::Attachment> attach(const UniqueFd& netns, const datapath::PodDevice& device) override {
    return real_->attach(netns, device);
  }
  Status detach(const model::Attachment& attachment) override {
    if (failures_ == 0) return real_->detach(attachment);
    --failures_;
    return fail(ErrorCode::kSystem, "on purpose");
  }
  Result<bool> settle() override { return real_->settle(); }

 private:
  std::unique_ptr<PodDevices> real_;
  std::atomic<int>& failures_;
};

/// The kernel's events; once told to, it loses a batch of them and says so.
class LossyLinks final : public datapath::LinkWatch {
 public:
  LossyLinks(std::unique_ptr<LinkWatch> real, std::atomic<bool>& lose) : real_(std::move(real)), lose_(lose) {}
  [[nodiscard]] int fd() const override { return real_->fd(); }
  Result<Batch> read() override {
    auto batch = real_->read();
    if (!lose_.exchange(false)) return batch;
    return fail(ErrorCode::kSystem, "on purpose");
  }

 private:
  std::unique_ptr<LinkWatch> real_;
  std::atomic<bool>& lose_;
};

class NodeRepair : public NodeTest {
 protected:
  [[nodiscard]] Options watchful() const {
    Options options = node_options();
    options.verify_interval = milliseconds(20);
    options.settle_delay = milliseconds(1);
    return options;
  }
  [[nodiscard]] datapath::Options filters() const {
    datapath::Options options = datapath_options();
    options.force_clsact = true;
    return options;
  }
  static AttachRequest request(const PodNamespace& pod) { return {.pod = {"two", "other"}, .netns = pod.path()}; }
  static bool has_filter(const std::string& device) {
    return !shell("tc filter show dev " + device + " ingress 2>/dev/null").empty();
  }
};

TEST_F(NodeRepair, PutsThePodsProgramBack) {
  const auto node = start(watchful(), filters());
  const PodNamespace pod;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  ASSERT_TRUE(has_filter(reply->device));
  shell("tc qdisc del dev " + reply->device + " clsact");
  EXPECT_TRUE(eventually([&] { return has_filter(reply->device); }));
}

TEST_F(NodeRepair, PutsTheUplinksProgramBack) {
  shell("ip link add up0 type veth peer name up0p && ip link set up0 up");
  Options options = watchful();
  options.uplinks = {{"up0", datapath::XdpMode::kOff}};
  {
    const auto node = start(options, filters());
    EXPECT_TRUE(has_filter("up0"));
    shell("tc qdisc del dev up0 clsact");
    EXPECT_TRUE(eventually([&] { return has_filter("up0"); }));
  }
  shell("ip link del up0");
}

TEST_F(NodeRepair, FindsAPodGoneWhoseEventWasLost) {
  std::atomic<bool> lose = false;
  adjust_parts_ = [&lose](Parts& parts) { parts.links = std::make_unique<LossyLinks>(std::move(parts.links), lose); };
  const auto node = start();
  const PodNamespace pod;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  ASSERT_TRUE(eventually([&] { return endpoint("172.16.2.1")->ifindex != 0; }));
  // In one turn of the loop, so that all events of the device are in the batch that is lost.
  node->post([&] {
    shell("ip link del " + reply->device);
    lose = true;
  });
  EXPECT_TRUE(eventually([&] { return endpoint("172.16.2.1")->ifindex == 0; }));
  EXPECT_FALSE(lose) << "nothing was lost";
}

TEST_F(NodeRepair, TriesAgainToRemoveADevice) {
  std::atomic<int> failures = 3;
  adjust_parts_ = [&failures](Parts& parts) {
    parts.devices = std::make_unique<StubbornDevices>(std::move(parts.devices), failures);
  };
  Options options = node_options();
  options.retry_maximum = options.retry_minimum = milliseconds(10);
  const auto node = start(options);
  const PodNamespace pod;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_FALSE((*node)->detach({{"two", "other"}})) << "the caller must hear of it";
  EXPECT_TRUE(eventually([&] { return ifindex_of(reply->device) == 0; }));
}

TEST_F(NodeRepair, KeepsTheRecordOfADeviceThatCannotBeRemoved) {
  std::atomic<int> failures = 1000;
  adjust_parts_ = [&failures](Parts& parts) {
    parts.devices = std::make_unique<StubbornDevices>(std::move(parts.devices), failures);
  };
  auto node = start();
  const PodNamespace pod;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_FALSE((*node)->detach({{"two", "other"}}));
  node.reset();
  adjust_parts_ = {};
  node = start();
  EXPECT_NE(ifindex_of(reply->device), 0U) << "it was told to be there still";
  EXPECT_TRUE((*node)->detach({{"two", "other"}}));
  EXPECT_EQ(ifindex_of(reply->device), 0U);
}

TEST_F(NodeRepair, StartsWithoutAPodWhoseHookIsTaken) {
  auto node = start(node_options(), filters());
  const PodNamespace pod;
  const PodNamespace bystander;
  const auto blocked = (*node)->attach(request(pod));
  ASSERT_TRUE(blocked) << text(blocked);
  const auto other = (*node)->attach({.pod = {"one", "web-1"}, .netns = bystander.path()});
  ASSERT_TRUE(other) << text(other);
  node.reset();
  ASSERT_EQ(shell("tc filter del dev " + blocked->device + " ingress && tc filter add dev " + blocked->device +
                  " ingress prio 1 protocol all u32 match u32 0 0 flowid 1:1"),
            "");
  node = start(node_options(), filters());
  EXPECT_TRUE(eventually([&] { return ifindex_of(blocked->device) == 0; })) << "its packets would meet the host";
  EXPECT_EQ(endpoint("172.16.2.1")->ifindex, 0U);
  EXPECT_TRUE(has_filter(other->device));
  EXPECT_NE(endpoint("172.16.1.1")->ifindex, 0U);
  EXPECT_TRUE((*node)->attach(request(pod))) << "it may come back";
}

TEST_F(NodeRepair, RemovesTheDeviceWhenAskedAgain) {
  std::atomic<int> failures = 2;
  adjust_parts_ = [&failures](Parts& parts) {
    parts.devices = std::make_unique<StubbornDevices>(std::move(parts.devices), failures);
  };
  Options options = node_options();
  options.retry_maximum = milliseconds(60'000);
  const auto node = start(options);
  const PodNamespace pod;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_FALSE((*node)->detach({{"two", "other"}}));
  EXPECT_FALSE((*node)->detach({{"two", "other"}})) << "it is still there";
  EXPECT_TRUE((*node)->detach({{"two", "other"}}));
  EXPECT_EQ(ifindex_of(reply->device), 0U);
  EXPECT_TRUE((*node)->attach(request(pod)));
}

TEST_F(NodeRepair, EndsAttachmentsWhoseRouterIsAnotherOneNow) {
  auto node = start();
  const PodNamespace pod;
  const PodNamespace bystander;
  const auto reply = (*node)->attach(request(pod));
  ASSERT_TRUE(reply) << text(reply);
  const auto other = (*node)->attach({.pod = {"one", "web-1"}, .netns = bystander.path()});
  ASSERT_TRUE(other) << text(other);
  const auto with_network = [](const std::string& more) {
    std::string changed = two_networks();
    return changed.insert(changed.find("name: two\n") + 10, more);
  };
  write_manifests(with_network("router4: 172.16.0.9\n"));
  ASSERT_TRUE(eventually([&] { return ifindex_of(reply->device) == 0; }));
  const auto again = (*node)->attach(request(pod));
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->router.text(), "172.16.0.9");
  EXPECT_EQ(again->addresses, reply->addresses);
  // Also when the change came while no daemon ran.
  node.reset();
  write_manifests(with_network("router4: 172.16.0.9\ncidr4: 172.16.0.0/15\n"));
  node = start();
  EXPECT_TRUE(eventually([&] { return ifindex_of(again->device) == 0; }));
  EXPECT_NE(ifindex_of(other->device), 0U) << "a pod of another network";
}

}  // namespace
}  // namespace sluice::node::testing
