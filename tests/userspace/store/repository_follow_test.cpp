// SPDX-License-Identifier: Apache-2.0
// Followers and writers in several threads: increments add up to the whole, and one of two conflicting sets wins whole.
#include <poll.h>

#include <atomic>
#include <barrier>
#include <random>
#include <thread>

#include "repository_test_base.hpp"

namespace sluice::store {
namespace {

/// Keeps a copy up to date as the node does.
class Follower {
 public:
  explicit Follower(Repository& repository) : repository_(repository) {}

  void follow() {
    auto update = repository_.updates(revision_);
    ASSERT_TRUE(update) << update.error().message;
    ASSERT_GE(update->revision, update->whole ? 0 : revision_);
    revision_ = update->revision;
    wholes_ += update->whole ? 1 : 0;
    if (update->whole) {
      state_ = std::move(update->state);
      assignments_ = std::move(update->assignments);
      return;
    }
    const model::Change& change = update->change;
    take(change.networks, update->state.networks, state_.networks);
    take(change.networks, update->assignments.network_ids, assignments_.network_ids);
    take(change.networks, update->assignments.network_slots, assignments_.network_slots);
    take(change.pods, update->state.pods, state_.pods);
    take(change.pods, update->assignments.pod_addresses, assignments_.pod_addresses);
    take(change.services, update->state.services, state_.services);
    take(change.services, update->assignments.service_addresses, assignments_.service_addresses);
    take(change.floating_ips, update->state.floating_ips, state_.floating_ips);
    state_.nodes = update->state.nodes;
  }
  void expect_whole() const {
    const Update whole = repository_.updates(0).value();
    EXPECT_EQ(revision_, whole.revision);
    EXPECT_EQ(state_, whole.state);
    EXPECT_EQ(assignments_, whole.assignments);
  }
  int wholes() const { return wholes_; }

 private:
  template <typename Changed, typename Map>
  static void take(const Changed& changed, const Map& now, Map& kept) {
    for (const auto& [name, former] : changed) {
      kept.erase(name);
      if (const auto found = now.find(name); found != now.end()) kept.insert(*found);
    }
  }

  Repository& repository_;
  std::uint64_t revision_ = 0;
  int wholes_ = 0;
  model::State state_;
  model::Assignments assignments_;
};

class RepositoryFollowers : public RepositoryTest {
 protected:
  /// A set of a few random resources of few names; many are refused, and that is fine.
  bool write_at_random(std::mt19937& random) {
    const auto pick = [&random](unsigned below) { return static_cast<unsigned>(random() % below); };
    WriteRequest request;
    request.ignore_missing = true;
    request.options = {.cascade = true, .recreate = false};
    model::State made;
    for (unsigned i = pick(4) + 1; i > 0; i--) {
      const std::string network = "n" + std::to_string(pick(3));
      const std::string name = std::to_string(pick(12));
      if (pick(8) == 0) add_network(made, network);
      if (pick(2) == 0) add_pod(made, network, "p" + name);
      if (pick(4) == 0) add_service(made, network, "s" + name);
      if (pick(6) == 0) made.floating_ips["f" + name] = {"f" + name, Ipv4{ip("203.0.113.0").value + pick(12)}, {}, {}};
    }
    if (pick(6) == 0) {
      const std::string name = "h" + std::to_string(pick(3));
      made.nodes[name] = {
          .name = name, .labels = {}, .underlay4 = Ipv4{ip("192.0.2.0").value + pick(9)}, .public_key = {}};
    }
    for (auto& [name, value] : made.pods) value.labels = {{"v", std::to_string(pick(3))}};
    const auto add_all = [&](const auto& resources) {
      for (const auto& [name, value] : resources) {
        request.edits.push_back(put_edit(value));
        if (pick(3) == 0) request.edits.back().edit.resource.reset();
      }
    };
    add_all(made.networks);
    add_all(made.floating_ips);
    add_all(made.pods);
    add_all(made.services);
    add_all(made.nodes);
    return repository_->write(std::move(request)).has_value();
  }
};

TEST_F(RepositoryFollowers, HaveTheWholeAfterManyIncrements) {
  add_network(state_, "n0");
  assign();
  std::mt19937 random(3);
  Follower close(*repository_);
  Follower far(*repository_);
  int written = 0;
  for (int i = 0; i < 1'000; i++) {
    written += write_at_random(random) ? 1 : 0;
    close.follow();
    if (random() % 40 == 0) {
      far.follow();
      far.expect_whole();
    }
    if (i % 10 == 0) close.expect_whole();
  }
  far.follow();
  far.expect_whole();
  close.expect_whole();
  EXPECT_GT(written, 300);
  EXPECT_EQ(close.wholes(), 1) << "the first";
}

TEST_F(RepositoryFollowers, GetTheWholeWhenTheyAreTooFarBehindOrAheadOfARestoredStore) {
  add_network(state_, "shop");
  assign();
  Follower slow(*repository_);
  slow.follow();
  const std::uint64_t seen = repository_->revision();
  Follower quick(*repository_);
  for (int i = 0; i < 4'200; i++) {
    state_.networks.at("shop").labels = {{"v", std::to_string(i)}};
    ASSERT_TRUE(repository_->write({.edits = {put_edit(state_.networks.at("shop"))}}));
    if (i == 4'100) quick.follow();
  }
  EXPECT_TRUE(repository_->updates(seen).value().whole);
  const std::uint64_t newest = repository_->revision();
  EXPECT_FALSE(repository_->updates(newest - 4'096).value().whole);
  EXPECT_TRUE(repository_->updates(newest - 4'097).value().whole);
  EXPECT_TRUE(repository_->updates(newest).value().change.empty());
  slow.follow();
  slow.expect_whole();
  quick.follow();
  quick.expect_whole();
  EXPECT_EQ(quick.wholes(), 1);

  const Update ahead = repository_->updates(newest + 5).value();
  EXPECT_TRUE(ahead.whole);
  EXPECT_EQ(ahead.revision, newest);
  EXPECT_EQ(ahead.state.networks.size(), 1U);
  reopen();
  EXPECT_TRUE(repository_->updates(newest - 1).value().whole) << "what was before the start is not known";
  EXPECT_FALSE(repository_->updates(newest).value().whole);
}

TEST_F(RepositoryFollowers, AreWokenThroughTheDescriptor) {
  pollfd poll_for{repository_->watch_fd(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_for, 1, 0), 0);
  EXPECT_FALSE(repository_->drain().value());
  add_network(state_, "shop");
  assign();
  EXPECT_EQ(poll(&poll_for, 1, 0), 1);
  EXPECT_TRUE(repository_->drain().value());
  EXPECT_EQ(poll(&poll_for, 1, 0), 0);
  assign();  // nothing new
  EXPECT_EQ(poll(&poll_for, 1, 0), 0);
}

TEST_F(RepositoryFollowers, OfSeveralWritersMissNothing) {
  constexpr int kWriters = 3;
  std::atomic<std::uint64_t> announced{0};
  const auto lasting = repository_->subscribe([&announced](std::uint64_t revision) {
    std::uint64_t seen = announced.load();
    while (seen < revision && !announced.compare_exchange_weak(seen, revision)) {
    }
  });
  std::atomic<int> writing{kWriters};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; writer++) {
    threads.emplace_back([this, writer, &writing] {
      std::mt19937 random(static_cast<unsigned>(writer));
      for (int i = 0; i < 150; i++) write_at_random(random);
      writing--;
    });
  }
  threads.emplace_back([this, &writing] {
    while (writing > 0) {
      bool gone = false;
      std::atomic<bool> late{false};
      const auto short_one = repository_->subscribe([&](std::uint64_t) { late = late || gone; });
      repository_->unsubscribe(short_one);
      gone = true;
      static_cast<void>(repository_->list(model::Kind::kPod, "n0", {}));
      EXPECT_FALSE(late) << "nobody is told after unsubscribe has returned";
    }
  });
  Follower follower(*repository_);
  while (writing > 0) follower.follow();
  for (std::thread& thread : threads) thread.join();
  follower.follow();
  follower.expect_whole();
  EXPECT_EQ(announced.load(), repository_->revision());
  repository_->unsubscribe(lasting);
  reopen();
  Follower later(*repository_);
  later.follow();
  later.expect_whole();
}

TEST_F(RepositoryFollowers, OfTwoConflictingSetsSeeOneWinWhole) {
  add_network(state_, "shop");
  for (int i = 0; i < 8; i++) add_pod(state_, "shop", "p" + std::to_string(i));
  assign();
  for (int round = 0; round < 100; round++) {
    const std::uint64_t based_on = repository_->get(pod_key("shop", "p0")).value().assigned.modified;
    std::barrier start(2);
    std::atomic<int> won{0};
    const auto write = [&](int writer) {
      WriteRequest request;
      for (auto [name, pod] : state_.pods) {
        pod.labels = {{"round", std::to_string(round)}, {"writer", std::to_string(writer)}};
        request.edits.push_back(put_edit(pod, based_on));
      }
      start.arrive_and_wait();
      const auto reply = repository_->write(std::move(request));
      won += reply ? 1 : 0;
      if (reply) return;
      EXPECT_EQ(reply.error().code, ErrorCode::kAborted);
      EXPECT_EQ(reply.error().details.size(), 8U) << "all that was changed is named";
    };
    std::thread other(write, 1);
    write(2);
    other.join();
    ASSERT_EQ(won, 1);
    const Listing pods = repository_->list(model::Kind::kPod, "shop", {});
    const auto& labels = std::get<model::Pod>(pods.items.front().resource).labels;
    EXPECT_EQ(labels.at("round"), std::to_string(round));
    for (const Stored& stored : pods.items) {
      EXPECT_EQ(std::get<model::Pod>(stored.resource).labels, labels);
      EXPECT_EQ(stored.assigned.modified, based_on + 1);
    }
  }
}

}  // namespace
}  // namespace sluice::store
