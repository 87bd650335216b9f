// SPDX-License-Identifier: Apache-2.0
// The loop between manifests and maps.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <string>
#include <thread>

#include "node_fixture.hpp"
#include "store/store_files.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::text;
using std::chrono::milliseconds;

std::string one_more_pod() {
  return "---\nkind: Pod\nnetwork: one\nname: web-3\naddress4: 172.16.1.3\n";
}

class NodeState : public NodeTest {};

/// `count` services of one port each over the same two pods.
std::string many_services(int count) {
  std::string yaml = two_networks();
  for (int i = 0; i < count; ++i) {
    yaml += "---\nkind: Service\nnetwork: one\nname: many-" + std::to_string(i) +
            "\nselector: {app: web}\nports: [{port: 80, target_port: 8080}]\n";
  }
  return yaml;
}

TEST_F(NodeState, ComesFromTheManifestsAtTheStart) {
  const auto node = start();
  const NodeStatus status = node->status();
  EXPECT_TRUE(status.synced) << status.last_error;
  EXPECT_EQ(status.last_error, "");
  EXPECT_GT(status.counters.writes, 0U);
  EXPECT_EQ(status.pods.size(), 3U);
  ASSERT_EQ(status.services.size(), 1U);
  EXPECT_EQ(status.services[0].backends, 2U);
  EXPECT_EQ(status.services[0].ready, 0U);
  ASSERT_TRUE(endpoint("172.16.1.1"));
  EXPECT_EQ(endpoint("172.16.1.1")->ifindex, 0U);
  EXPECT_TRUE(frontend("172.16.9.9"));
}

TEST_F(NodeState, IsNotWrittenAgainByARestart) {
  start().reset();
  const auto before = everything();
  ASSERT_FALSE(before.empty());
  const auto node = start();
  const NodeStatus status = node->status();
  EXPECT_TRUE(status.synced);
  EXPECT_EQ(status.counters.writes, 0U);
  EXPECT_EQ(everything(), before);
}

TEST_F(NodeState, FollowsTheManifests) {
  const auto node = start();
  ASSERT_FALSE(endpoint("172.16.1.3"));
  write_manifests(two_networks() + "---\nkind: Pod\nnetwork: one\nname: web-3\naddress4: 172.16.1.3\n");
  EXPECT_TRUE(eventually([&] { return endpoint("172.16.1.3").has_value(); }));
  EXPECT_EQ(node->status().revision, 2U);
  write_manifests(two_networks());
  EXPECT_TRUE(eventually([&] { return !endpoint("172.16.1.3"); }));
}

TEST_F(NodeState, StaysWhileTheManifestsAreWrong) {
  const auto node = start();
  const auto before = everything();
  write_manifests(two_networks() + "---\nkind: Pod\nnetwork: nowhere\nname: web-3\n");
  ASSERT_TRUE(eventually([&] { return !node->status().last_error.empty(); }));
  EXPECT_NE(node->status().last_error.find("nowhere"), std::string::npos) << node->status().last_error;
  EXPECT_FALSE(node->status().synced);
  EXPECT_EQ(everything(), before);
  write_manifests(two_networks());
  EXPECT_TRUE(eventually([&] { return node->status().synced; }));
  EXPECT_EQ(node->status().last_error, "");
}

TEST_F(NodeState, StaysOverARestartWhileTheManifestsAreWrong) {
  start().reset();
  const auto before = everything();
  write_manifests("kind: Nonsense\n");
  const auto node = start();
  EXPECT_FALSE(node->status().synced);
  EXPECT_NE(node->status().last_error, "");
  EXPECT_EQ(node->status().counters.writes, 0U);
  EXPECT_EQ(everything(), before);
  // The last good state is in the store, so that pods come and go all the same.
  const PodNamespace pod;
  const auto attached = (*node)->attach({.pod = {"one", "web-1"}, .netns = pod.path()});
  ASSERT_TRUE(attached) << text(attached);
  EXPECT_TRUE(port(datapath::testing::ifindex_of(attached->device)));
  write_manifests(two_networks());
  EXPECT_TRUE(eventually([&] { return node->status().synced; }));
  EXPECT_NE(datapath::testing::ifindex_of(attached->device), 0U);
}

TEST_F(NodeState, OfAnotherStoreIsHeldUntilItIsAdoptedAndNoPodSuffers) {
  auto node = start();
  const PodNamespace pod;
  const auto attached = (*node)->attach({.pod = {"two", "other"}, .netns = pod.path()});
  ASSERT_TRUE(attached) << text(attached);
  node.reset();
  const auto before = everything();
  ASSERT_TRUE(store::reset_store(state_folder()));

  node = start();
  EXPECT_FALSE(node->status().synced);
  EXPECT_NE(node->status().last_error.find("made by store"), std::string::npos) << node->status().last_error;
  EXPECT_NE(node->status().store.refuses_writes, "");
  EXPECT_EQ(everything(), before);
  EXPECT_NE(datapath::testing::ifindex_of(attached->device), 0U);

  const auto former = (*node)->adopt_store();
  ASSERT_TRUE(former) << text(former);
  EXPECT_NE(*former, "");
  EXPECT_TRUE(eventually([&] { return node->status().synced; })) << node->status().last_error;
  EXPECT_NE(datapath::testing::ifindex_of(attached->device), 0U) << "the manifests still have the pod, at its address";
  node.reset();
  node = start();
  EXPECT_TRUE(node->status().synced) << "adopted for good: " << node->status().last_error;
}

TEST_F(NodeState, IsNothingAtAllBeforeTheFirstGoodManifests) {
  write_manifests("kind: Nonsense\n");
  const auto node = start();
  EXPECT_FALSE(node->status().synced);
  const PodNamespace pod;
  const auto refused = (*node)->attach({.pod = {"one", "web-1"}, .netns = pod.path()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  write_manifests(two_networks());
  EXPECT_TRUE(eventually([&] { return node->status().synced; }));
}

TEST_F(NodeState, StaysWhenAddressesCannotBeAssigned) {
  const auto node = start();
  const auto before = everything();
  // A /29 has five addresses beside the router's.
  std::string tiny = "---\nkind: Network\nname: tiny\ncidr4: 10.0.0.0/29\n";
  for (int i = 0; i < 6; ++i) tiny += "---\nkind: Pod\nnetwork: tiny\nname: pod-" + std::to_string(i) + "\n";
  write_manifests(two_networks() + tiny);
  ASSERT_TRUE(eventually([&] { return !node->status().last_error.empty(); }));
  EXPECT_EQ(everything(), before);
}

TEST_F(NodeState, StaysWhenItsTablesDoNotFit) {
  const auto node = start();
  const auto before = everything();
  // The flow table has 4,096 pairs, and each network is guaranteed 1,024 of them.
  std::string greedy;
  for (int i = 0; i < 3; ++i) greedy += "---\nkind: Network\nname: more-" + std::to_string(i) + "\n";
  write_manifests(two_networks() + greedy);
  ASSERT_TRUE(eventually([&] { return !node->status().last_error.empty(); }));
  EXPECT_EQ(everything(), before);
  const PodNamespace pod;
  const auto attached = (*node)->attach({.pod = {"one", "web-1"}, .netns = pod.path()});
  EXPECT_TRUE(attached) << text(attached);  // the last good state goes on
}

/// The World of these tests knows no sizes, so its store is one that was filled while the tables were larger.
TEST_F(NodeState, ReachesTheMapsButForTheServiceThatHasNoRoomInThem) {
  const auto node = start();
  const auto write = [&node](model::Resource resource) {
    store::WriteRequest request;
    const model::Key key = model::key_of(resource);
    request.edits.push_back({{key, std::move(resource)}, std::nullopt});
    const auto written = (*node)->repository().write(std::move(request));
    ASSERT_TRUE(written) << text(written);
  };
  // Each of its ports wants a place for each pod, and there are more of both together than the arena has elements.
  model::Service greedy;
  greedy.name = {"two", "greedy"};
  greedy.selector = {{"app", "many"}};
  const std::uint32_t arena = node_options().limits.backend_arena;
  constexpr std::uint32_t kPorts = 60;
  for (std::uint16_t port = 1; port <= kPorts; ++port) greedy.ports.push_back({"", port, model::Protocol::kTcp, port});
  store::WriteRequest pods;
  for (std::uint32_t i = 0; i <= arena / kPorts; ++i) {
    model::Pod pod;
    pod.name = {"two", "many-" + std::to_string(i)};
    pod.labels = {{"app", "many"}};
    pods.edits.push_back({{{model::Kind::kPod, pod.name}, model::Resource(pod)}, std::nullopt});
  }
  ASSERT_TRUE((*node)->repository().write(std::move(pods)));
  write(greedy);
  model::Pod later;
  later.name = {"one", "later"};
  later.address4 = Ipv4::parse("172.16.7.7").value();
  write(later);
  EXPECT_TRUE(eventually([&] { return endpoint("172.16.7.7").has_value(); })) << "another tenant's change waits";
  const NodeStatus status = node->status();
  EXPECT_TRUE(status.synced) << status.last_error;
  ASSERT_EQ(status.warnings.size(), 1U);
  EXPECT_NE(status.warnings[0].find("service two/greedy"), std::string::npos) << status.warnings[0];
  const auto described = (*node)->describe({model::Kind::kService, {"two", "greedy"}});
  ASSERT_TRUE(described) << text(described);
  ASSERT_FALSE(described->backends.empty());
  EXPECT_NE(described->backends[0].reason.find("no room"), std::string::npos) << described->backends[0].reason;

  store::WriteRequest gone;
  gone.edits.push_back({{{model::Kind::kService, greedy.name}, std::nullopt}, std::nullopt});
  ASSERT_TRUE((*node)->repository().write(std::move(gone)));
  EXPECT_TRUE(eventually([&] { return node->status().warnings.empty(); }));
}

TEST_F(NodeState, KeepsEveryAddressWhenTablesDoNotFit) {
  const std::string with_address = two_networks() + "---\nkind: Pod\nnetwork: one\nname: mine\n";
  write_manifests(with_address);
  const auto node = start();
  const auto address = [&node] {
    const NodeStatus status = node->status();
    const auto pod = std::ranges::find(status.pods, model::Name{"one", "mine"}, &PodStatus::name);
    return pod == status.pods.end() ? "missing" : pod->addresses.text();
  };
  const std::string before = address();
  // Without the pod, and with more guaranteed flows than the table has.
  std::string greedy;
  for (int i = 0; i < 3; ++i) greedy += "---\nkind: Network\nname: more-" + std::to_string(i) + "\n";
  write_manifests(two_networks() + greedy);
  ASSERT_TRUE(eventually([&] { return !node->status().last_error.empty(); }));
  write_manifests(with_address + "---\nkind: Pod\nnetwork: one\nname: other\n");
  ASSERT_TRUE(eventually([&] { return node->status().synced; })) << node->status().last_error;
  EXPECT_EQ(address(), before) << "the refused state has freed it";
}

TEST_F(NodeState, IsWhatAFullCompileGivesAfterAttachAndDetach) {
  write_manifests(many_services(30));
  const PodNamespace first;
  const PodNamespace second;
  {
    const auto node = start();
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE((*node)->attach({.pod = {"one", "web-1"}, .netns = first.path()}));
      ASSERT_TRUE((*node)->attach({.pod = {"one", "web-2"}, .netns = second.path()}));
      ASSERT_TRUE((*node)->detach({{"one", "web-1"}}));
    }
    ASSERT_TRUE(frontend("172.16.9.9"));
    EXPECT_EQ(frontend("172.16.9.9")->ready_count, 1U);
  }
  // A new daemon reads the maps and compiles everything.
  const auto node = start();
  EXPECT_TRUE(node->status().synced);
  EXPECT_EQ(node->status().counters.writes, 0U);
  EXPECT_TRUE((*node)->detach({{"one", "web-2"}}));
  EXPECT_EQ(frontend("172.16.9.9")->ready_count, 0U);
}

TEST_F(NodeState, ConvergesWhileOneWriteInTenFails) {
  datapath::Options faulty = datapath_options();
  faulty.inject_fault = [random = std::mt19937(42)](const compile::Write&) mutable -> Status {
    if (random() % 10 != 0) return {};
    return fail(ErrorCode::kSystem, "on purpose");
  };
  {
    Options quick = node_options();
    quick.retry_maximum = quick.retry_minimum = milliseconds(1);
    const auto node = start(quick, faulty);
    write_manifests(many_services(10));  // an attach writes to each, in the time that a caller waits
    ASSERT_TRUE(eventually([&] { return node->status().revision == 2 && node->status().synced; }))
        << node->status().last_error;
    EXPECT_GT(node->status().counters.write_failures, 0U);
    for (const char* name : {"web-1", "web-2"}) {
      const PodNamespace pod;
      // A call that meets too many failures says so and leaves nothing; the next one may come through.
      EXPECT_TRUE(eventually([&] { return (*node)->attach({.pod = {"one", name}, .netns = pod.path()}).has_value(); }));
      EXPECT_TRUE((*node)->detach({{"one", name}}));
    }
    ASSERT_TRUE(eventually([&] { return node->status().synced; }));
  }
  // A node without faults finds nothing left to write: the maps are equal to what the state asks for.
  const auto node = start();
  EXPECT_TRUE(node->status().synced);
  EXPECT_EQ(node->status().counters.writes, 0U);
}

TEST_F(NodeState, IsRepairedWhenSomebodyElseChangesTheMaps) {
  Options watchful = node_options();
  watchful.verify_interval = milliseconds(20);
  const auto node = start(watchful);
  EXPECT_EQ(node->status().counters.drifts, 0U);
  ASSERT_TRUE(remove_frontend("172.16.9.9"));
  EXPECT_TRUE(eventually([&] { return frontend("172.16.9.9").has_value(); }));
  EXPECT_TRUE(eventually([&] { return node->status().counters.drifts == 1; }));
}

TEST_F(NodeState, IsReadWhenTheManifestsHaveBeenQuietForAMoment) {
  Options patient = node_options();
  patient.debounce = milliseconds(1000);
  patient.debounce_limit = milliseconds(60'000);
  const auto node = start(patient);
  const PodNamespace pod;
  const auto reply = (*node)->attach({.pod = {"two", "other"}, .netns = pod.path()});
  ASSERT_TRUE(reply) << text(reply);
  // A folder that is replaced step by step: for a moment the pod is not in it.
  std::string without = two_networks();
  const auto begin = without.find("---\nkind: Pod\nnetwork: two");
  without.erase(begin, without.find("---\nkind: Service") - begin);
  for (int step = 0; step < 3; ++step) {
    write_manifests(without);
    std::this_thread::sleep_for(milliseconds(400));
  }
  write_manifests(two_networks() + one_more_pod());
  ASSERT_TRUE(eventually([&] { return endpoint("172.16.1.3").has_value(); }));
  EXPECT_NE(datapath::testing::ifindex_of(reply->device), 0U) << "the pod was ended in the middle";
}

TEST_F(NodeState, IsReadInTimeAlsoWhileTheManifestsNeverRest) {
  Options options = node_options();
  options.debounce = milliseconds(300);
  options.debounce_limit = milliseconds(600);
  const auto node = start(options);
  EXPECT_TRUE(eventually([&] {
    write_manifests(two_networks() + one_more_pod());
    return endpoint("172.16.1.3").has_value();
  }));
}

TEST_F(NodeState, IsReadAgainOnRequest) {
  Options patient = node_options();
  patient.debounce = milliseconds(60'000);
  patient.debounce_limit = milliseconds(60'000);
  const auto node = start(patient);
  write_manifests(two_networks() + one_more_pod());
  node->post([&node] { (*node)->reload(); });
  EXPECT_TRUE(eventually([&] { return endpoint("172.16.1.3").has_value(); }));
  EXPECT_TRUE(node->status().synced);
}

}  // namespace
}  // namespace sluice::node::testing
