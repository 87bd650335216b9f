// SPDX-License-Identifier: Apache-2.0
// Pods that lose their flows at a deadline, and pods that leave when they have none.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "model/times.hpp"
#include "node_fixture.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::text;
using std::chrono::milliseconds;

class NodeDrain : public NodeTest {
 protected:
  static AttachRequest request(const PodNamespace& netns) { return {.pod = {"one", "web-1"}, .netns = netns.path()}; }

  /// The manifests with these lines for web-1.
  void declare(const std::string& fields) const {
    std::string yaml = two_networks();
    const std::string place = "name: web-1\n";
    yaml.insert(yaml.find(place) + place.size(), fields);
    write_manifests(yaml);
  }
  static std::int64_t in(milliseconds time) { return model::moment_now() + time.count(); }
  void drain(std::int64_t deadline) const {
    declare("state: draining\ndrain_deadline: \"" + model::moment_text(deadline) + "\"\n");
  }

  static PodStatus pod_status(const Running& node) {
    for (const PodStatus& pod : node.status().pods) {
      if (pod.name == model::Name{"one", "web-1"}) return pod;
    }
    ADD_FAILURE() << "no pod one/web-1";
    return {};
  }
  [[nodiscard]] std::uint32_t generation() const { return endpoint("172.16.1.1").value().ref.generation; }
  [[nodiscard]] std::uint32_t ready() const { return frontend("172.16.9.9").value().ready_count; }

  /// A forward record to web-1 as it is attached now; only its fields that are counted are right.
  void put_flow(std::uint16_t client_port, std::uint32_t state = 0) const {
    sluice_flow4 flow{};
    flow.self = flow_key(client_port);
    flow.role = SLUICE_FLOW_FORWARD;
    flow.pair = client_port;
    flow.endpoint = endpoint("172.16.1.1").value().ref;
    flow.state = state;
    const UniqueFd map(bpf_obj_get((pins() / "maps/flows4").c_str()));
    ASSERT_EQ(bpf_map_update_elem(map.get(), &flow.self, &flow, BPF_ANY), 0);
  }
  void remove_flow(std::uint16_t client_port) const {
    const sluice_flow4_key key = flow_key(client_port);
    const UniqueFd map(bpf_obj_get((pins() / "maps/flows4").c_str()));
    ASSERT_EQ(bpf_map_delete_elem(map.get(), &key), 0);
  }
  static sluice_flow4_key flow_key(std::uint16_t client_port) {
    sluice_flow4_key key{};
    key.network_protocol = 1 | 6U << 24;
    key.source_port = client_port;
    return key;
  }
};

TEST_F(NodeDrain, TheDeadlineEndsThePodsFlowsOnceAndKeepsTheRest) {
  auto node = start();
  const PodNamespace pod;
  const auto attached = (*node)->attach(request(pod));
  ASSERT_TRUE(attached) << text(attached);
  const std::uint32_t before = generation();
  drain(in(milliseconds(2000)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).draining; }));
  EXPECT_EQ(generation(), before) << "until then nothing ends";
  EXPECT_EQ(ready(), 0U);
  EXPECT_FALSE(pod_status(*node).drained);
  ASSERT_TRUE(eventually([&] { return pod_status(*node).drained; }));
  const std::uint32_t after = generation();
  EXPECT_NE(after, before);
  const std::uint32_t ifindex = ifindex_of(attached->device);
  EXPECT_NE(ifindex, 0U);
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, ifindex) << "it stays attached";
  ASSERT_TRUE(port(ifindex));
  EXPECT_EQ(port(ifindex)->endpoint.generation, after);
  EXPECT_EQ(ready(), 0U);

  node.reset();
  node = start();
  EXPECT_TRUE(pod_status(*node).drained);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(generation(), after) << "a start must not end what the pod has opened since";
  declare("");
  ASSERT_TRUE(eventually([&] { return ready() == 1; }));
  EXPECT_EQ(generation(), after);
}

TEST_F(NodeDrain, ADeadlineThatPassesWhileNobodyIsThereIsMadeUpForOnce) {
  auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  drain(in(milliseconds(2000)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).draining; }));
  node.reset();
  const std::uint32_t before = generation();
  std::this_thread::sleep_for(milliseconds(2100));
  EXPECT_EQ(generation(), before);
  node = start();
  ASSERT_TRUE(eventually([&] { return pod_status(*node).drained; }));
  const std::uint32_t after = generation();
  EXPECT_NE(after, before);
  node.reset();
  node = start();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(generation(), after);
}

TEST_F(NodeDrain, AnotherDeadlineOrNoneTakesThePlaceOfTheFirst) {
  const auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  const std::uint32_t before = generation();
  drain(in(milliseconds(1500)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).draining; }));
  declare("");
  ASSERT_TRUE(eventually([&] { return !pod_status(*node).draining; }));
  std::this_thread::sleep_for(milliseconds(1700));
  EXPECT_EQ(generation(), before) << "called off";
  const std::int64_t late = in(milliseconds(3000));
  drain(in(milliseconds(1500)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).draining; }));
  drain(late);
  ASSERT_TRUE(eventually([&] { return pod_status(*node).drained; }));
  EXPECT_GE(model::moment_now(), late);
  EXPECT_NE(generation(), before);
}

TEST_F(NodeDrain, APodThatIsAttachedAfterTheDeadlineHasNothingToLose) {
  const auto node = start();
  drain(in(milliseconds(1)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).drained; }));
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  const std::uint32_t before = generation();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(generation(), before);
}

TEST_F(NodeDrain, AFailedWriteAtTheDeadlineIsMadeUpFor) {
  std::atomic<bool> broken = false;
  std::atomic<int> failures = 0;
  datapath::Options options = datapath_options();
  options.inject_fault = [&](const compile::Write&) -> Status {
    if (!broken) return {};
    failures++;
    return fail(ErrorCode::kSystem, "injected");
  };
  const auto node = start(node_options(), options);
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  const std::uint32_t before = generation();
  drain(in(milliseconds(2000)));
  ASSERT_TRUE(eventually([&] { return pod_status(*node).draining && ready() == 0; }));
  broken = true;
  ASSERT_TRUE(eventually([&] { return failures > 0; }));
  EXPECT_FALSE(pod_status(*node).drained);
  broken = false;
  ASSERT_TRUE(eventually([&] { return pod_status(*node).drained; }));
  EXPECT_NE(generation(), before);
}

TEST_F(NodeDrain, ADetachWithAGraceWaitsForTheLastFlow) {
  const auto node = start();
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  put_flow(1);
  put_flow(2, SLUICE_STATE_RST);
  const std::int64_t least = in(std::chrono::minutes(1));
  const auto reply = (*node)->detach({{"one", "web-1"}, std::chrono::minutes(1)});
  ASSERT_TRUE(reply) << text(reply);
  EXPECT_GE(reply->leaves_at, least);
  EXPECT_EQ(ready(), 0U) << "no new flows from the answer on";
  const auto description = (*node)->describe({model::Kind::kPod, {"one", "web-1"}});
  ASSERT_TRUE(description) << text(description);
  EXPECT_EQ(description->flows_left, 1U) << "what was reset is over";
  EXPECT_EQ(description->backends.at(0).reason, "the pod is being detached");
  std::this_thread::sleep_for(milliseconds(700));
  EXPECT_TRUE(pod_status(*node).attached);
  EXPECT_EQ(pod_status(*node).leaves_at, reply->leaves_at);
  remove_flow(1);
  EXPECT_TRUE(eventually([&] { return !pod_status(*node).attached; }));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
}

TEST_F(NodeDrain, ADetachWithAGraceIsOverAtItsEndAlsoAfterARestart) {
  auto node = start();
  const PodNamespace pod;
  const auto attached = (*node)->attach(request(pod));
  ASSERT_TRUE(attached) << text(attached);
  put_flow(1);
  const std::int64_t least = in(milliseconds(6000));
  ASSERT_TRUE((*node)->detach({{"one", "web-1"}, std::chrono::hours(1)}));
  ASSERT_TRUE((*node)->detach({{"one", "web-1"}, milliseconds(6000)})) << "the new grace counts";
  node.reset();
  node = start();
  EXPECT_EQ(ready(), 0U);
  EXPECT_TRUE(pod_status(*node).attached);
  EXPECT_TRUE(eventually([&] { return !pod_status(*node).attached; }));
  EXPECT_GE(model::moment_now(), least);
  EXPECT_TRUE(eventually([&] { return ifindex_of(attached->device) == 0; }));
  node.reset();
  node = start();
  EXPECT_FALSE(pod_status(*node).attached);
}

TEST_F(NodeDrain, AnAttachOfTheSameNamespaceCallsADetachOff) {
  auto node = start();
  const PodNamespace pod, other;
  const auto attached = (*node)->attach(request(pod));
  ASSERT_TRUE(attached) << text(attached);
  put_flow(1);
  const std::uint32_t before = generation();
  ASSERT_TRUE((*node)->detach({{"one", "web-1"}, milliseconds(2000)}));
  const auto elsewhere = (*node)->attach(request(other));
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code, ErrorCode::kExists);
  const auto again = (*node)->attach(request(pod));
  ASSERT_TRUE(again) << text(again);
  EXPECT_EQ(again->device, attached->device);
  EXPECT_EQ(ready(), 1U);
  node.reset();
  node = start();
  std::this_thread::sleep_for(milliseconds(2100));
  EXPECT_TRUE(pod_status(*node).attached);
  EXPECT_EQ(pod_status(*node).leaves_at, std::nullopt);
  EXPECT_EQ(generation(), before) << "its flows have never ended";
}

TEST_F(NodeDrain, ADetachEndsAPodThatWaitsAndOneWithAGraceNeedsAnAttachedPod) {
  const auto node = start();
  const auto idle = (*node)->detach({{"one", "web-1"}, std::chrono::hours(1)});
  ASSERT_TRUE(idle) << text(idle);
  EXPECT_EQ(idle->leaves_at, std::nullopt) << "there is nothing to wait for";
  const PodNamespace pod;
  ASSERT_TRUE((*node)->attach(request(pod)));
  put_flow(1);
  ASSERT_TRUE((*node)->detach({{"one", "web-1"}, std::chrono::hours(1)}));
  const auto too_long = (*node)->detach({{"one", "web-1"}, std::chrono::hours(25)});
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ErrorCode::kInvalid);
  const auto at_once = (*node)->detach({{"one", "web-1"}, milliseconds(0)});
  ASSERT_TRUE(at_once) << text(at_once);
  EXPECT_EQ(at_once->leaves_at, std::nullopt);
  EXPECT_FALSE(pod_status(*node).attached);
}

}  // namespace
}  // namespace sluice::node::testing
