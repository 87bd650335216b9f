// SPDX-License-Identifier: Apache-2.0
// What a write does and says, what is read back, and what is refused.
#include <algorithm>

#include "repository_test_base.hpp"

namespace sluice::store {
namespace {

using Action = Outcome::Action;

class RepositoryWrites : public RepositoryTest {
 protected:
  RepositoryWrites() {
    capacity_.pools = {{"public", {Cidr4::parse("203.0.113.0/30").value()}}};
    reopen();
    add_network(state_, "shop");
    for (const std::string name : {"a", "b"}) add_pod(state_, "shop", name);
    add_service(state_, "shop", "web");
    state_.floating_ips["public"] = {"public", {}, {}, "public"};
    state_.services.begin()->second.floating_ip = "public";
  }

  WriteReply write(WriteRequest request) {
    auto reply = repository_->write(std::move(request));
    if (reply) return std::move(*reply);
    ADD_FAILURE() << reply.error().message;
    return {};
  }
  WriteReply write(std::vector<WriteRequest::Edit> edits) { return write(WriteRequest{.edits = std::move(edits)}); }
  Error write_refusal(WriteRequest request) {
    auto reply = repository_->write(std::move(request));
    if (!reply) return reply.error();
    ADD_FAILURE() << "was not refused";
    return {};
  }
  model::Pod labelled(const std::string& pod, const std::string& value) {
    model::Pod made;
    made.name = {"shop", pod};
    made.labels = {{"app", value}};
    return made;
  }
  std::vector<Stored> everything() {
    std::vector<Stored> all;
    for (const auto kind : {model::Kind::kNetwork, model::Kind::kFloatingIp, model::Kind::kNode, model::Kind::kPod,
                            model::Kind::kService}) {
      std::ranges::copy(repository_->list(kind, "", {}).items, std::back_inserter(all));
    }
    return all;
  }
  std::vector<std::string> names(const Listing& listing) {
    std::vector<std::string> all;
    for (const Stored& stored : listing.items) all.push_back(model::describe(model::key_of(stored.resource)));
    return all;
  }
};

TEST_F(RepositoryWrites, AreThereInEveryPartAfterARestart) {
  assign();
  model::Node node;
  node.name = "n1";
  node.underlay4 = ip("192.0.2.1");
  write({put_edit(node), put_edit(labelled("a", "x"))});
  const auto before = everything();
  const std::uint64_t revision = repository_->revision();
  const Update whole = repository_->updates(0).value();
  reopen();
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(before.size(), 6U);
  EXPECT_EQ(repository_->revision(), revision);
  const Update again = repository_->updates(0).value();
  EXPECT_EQ(again.state, whole.state);
  EXPECT_EQ(again.assignments, whole.assignments);
  EXPECT_EQ(again.revision, whole.revision);
}

TEST_F(RepositoryWrites, SayWhatTheyDidToEachResource) {
  assign();
  const std::uint64_t first = repository_->revision();
  const WriteReply reply = write({put_edit(labelled("a", "x")), put_edit(state_.pods.at({"shop", "b"})),
                                  put_edit(labelled("c", "y")), delete_edit({model::Kind::kService, {"shop", "web"}})});
  EXPECT_EQ(reply.revision, first + 1);
  ASSERT_EQ(reply.outcomes.size(), 4U);
  EXPECT_EQ(reply.outcomes[0].action, Action::kChanged);
  EXPECT_EQ(reply.outcomes[1].action, Action::kUnchanged);
  EXPECT_EQ(reply.outcomes[2].action, Action::kCreated);
  EXPECT_EQ(reply.outcomes[3].action, Action::kDeleted);
  EXPECT_EQ(reply.outcomes[0].before->assigned.modified, first);
  EXPECT_EQ(reply.outcomes[0].after->assigned.created, first);
  EXPECT_EQ(reply.outcomes[0].after->assigned.modified, first + 1);
  EXPECT_EQ(reply.outcomes[1].after->assigned.modified, first);
  EXPECT_EQ(reply.outcomes[2].before, std::nullopt);
  EXPECT_EQ(reply.outcomes[2].after->assigned.created, first + 1);
  EXPECT_GT(reply.outcomes[2].after->assigned.created_seconds, 0);
  EXPECT_EQ(reply.outcomes[3].after, std::nullopt);
  for (const auto& outcome : {reply.outcomes[0], reply.outcomes[2]}) {
    EXPECT_EQ(repository_->get(outcome.key).value(), *outcome.after);
  }
}

TEST_F(RepositoryWrites, ThatChangeNothingMakeNoRevision) {
  assign();
  const std::uint64_t revision = repository_->revision();
  const WriteReply reply = write({put_edit(state_.pods.at({"shop", "a"}))});
  EXPECT_EQ(reply.revision, revision);
  EXPECT_EQ(reply.outcomes.front().action, Action::kUnchanged);
  EXPECT_EQ(write(WriteRequest{.edits = {delete_edit(pod_key("shop", "ghost"))}, .ignore_missing = true}).revision,
            revision);
  EXPECT_EQ(repository_->revision(), revision);
  EXPECT_TRUE(repository_->changes(revision, 10).value().events.empty());
}

TEST_F(RepositoryWrites, ByCascadeNameWhatWentWithTheNetwork) {
  assign();
  const std::uint64_t first = repository_->revision();
  const WriteReply reply =
      write(WriteRequest{.edits = {delete_edit(network_key("shop"))}, .options = {.cascade = true}});
  ASSERT_EQ(reply.outcomes.size(), 4U);
  for (const Outcome& outcome : reply.outcomes) {
    EXPECT_EQ(outcome.action, Action::kDeleted);
    EXPECT_EQ(outcome.before->assigned.modified, first);
    EXPECT_EQ(outcome.after, std::nullopt);
  }
  EXPECT_EQ(reply.outcomes[1].before->assigned.addresses, ip("172.16.0.2"));
  EXPECT_EQ(reply.outcomes[1].before->assigned.created, first);
  reopen();
  EXPECT_EQ(everything().size(), 1U) << "the floating IP";
}

TEST_F(RepositoryWrites, NameTheDefaultNetworkThatTheyMade) {
  model::Pod pod;
  pod.name = {"default", "a"};
  const WriteReply reply = write({put_edit(pod)});
  ASSERT_EQ(reply.outcomes.size(), 2U);
  EXPECT_EQ(reply.outcomes[1].key, network_key("default"));
  EXPECT_EQ(reply.outcomes[1].action, Action::kCreated);
}

TEST_F(RepositoryWrites, AreAbortedIfSomebodyElseHasChangedWhatTheyWereBasedOn) {
  assign();
  const std::uint64_t first = repository_->revision();
  write({put_edit(labelled("a", "theirs"), first)});
  const auto before = everything();
  const Error error =
      write_refusal({.edits = {put_edit(labelled("b", "mine"), first), put_edit(labelled("a", "mine"), first)}});
  EXPECT_EQ(error.code, ErrorCode::kAborted);
  EXPECT_EQ(error.message,
            "pod shop/a: was changed by somebody else at revision 2 (expected 1); read it again, then "
            "decide anew");
  ASSERT_EQ(error.details.size(), 1U);
  EXPECT_EQ(error.details[0],
            (Detail{"pod shop/a", "metadata.modified_revision", "1",
                    "was changed by somebody else at revision 2 (expected 1)", "read it again, then decide anew"}));
  EXPECT_EQ(everything(), before) << "the other pod of the set has not changed either";
  EXPECT_EQ(write_refusal({.edits = {put_edit(labelled("a", "mine"), 0)}}).message,
            "pod shop/a: was made by somebody else at revision 2; read it again, then decide anew");
  write({delete_edit(pod_key("shop", "a"), 2)});
  EXPECT_EQ(write_refusal({.edits = {put_edit(labelled("a", "mine"), 2)}}).message,
            "pod shop/a: was deleted by somebody else; read it again, then decide anew");
  write({put_edit(labelled("a", "mine"), 0)});
  reopen();
  EXPECT_EQ(write_refusal({.edits = {put_edit(labelled("a", "late"), 2)}}).code, ErrorCode::kAborted);
}

TEST_F(RepositoryWrites, AsADryRunShowAllAndChangeNothing) {
  assign();
  const auto before = everything();
  const WriteReply reply =
      write(WriteRequest{.edits = {put_edit(labelled("a", "x")), put_edit(labelled("c", "x"))}, .dry_run = true});
  EXPECT_EQ(reply.outcomes[0].action, Action::kChanged);
  EXPECT_EQ(reply.outcomes[1].action, Action::kCreated);
  EXPECT_EQ(reply.outcomes[1].after->assigned.addresses, ip("172.16.0.4"));
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(repository_->get(pod_key("shop", "c")).error().code, ErrorCode::kNotFound);
  reopen();
  EXPECT_EQ(everything(), before);
}

TEST_F(RepositoryWrites, AreRefusedByTheirJudgeWithoutATrace) {
  assign();
  const auto before = everything();
  const Error error = write_refusal({.edits = {put_edit(labelled("c", "x"))},
                                     .judge = [](const model::State& state, const model::Assignments& given) {
                                       EXPECT_TRUE(state.pods.contains({"shop", "c"}));
                                       EXPECT_TRUE(given.pod_addresses.contains({"shop", "c"}));
                                       return Status(fail(ErrorCode::kExhausted, "no room"));
                                     }});
  EXPECT_EQ(error.code, ErrorCode::kExhausted);
  EXPECT_EQ(everything(), before);
}

TEST_F(RepositoryWrites, AreRefusedWhileTheyAreForbiddenAndReadingGoesOn) {
  assign();
  repository_->refuse_writes("another node's store; run sluicectl store adopt");
  const Error error = write_refusal({.edits = {put_edit(labelled("a", "x"))}});
  EXPECT_EQ(error.code, ErrorCode::kPrecondition);
  EXPECT_EQ(error.message, "another node's store; run sluicectl store adopt");
  EXPECT_EQ(refusal().code, ErrorCode::kPrecondition);
  EXPECT_EQ(repository_->refuses_writes(), error.message);
  EXPECT_TRUE(repository_->get(pod_key("shop", "a")));
  repository_->refuse_writes("");
  write({put_edit(labelled("a", "x"))});
}

TEST_F(RepositoryWrites, ReportEveryProblemWithItsDetail) {
  const Error error = write_refusal({.edits = {put_edit(labelled("a", "x")), put_edit(labelled("b", "x"))}});
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.details.size(), 2U);
}

TEST_F(RepositoryWrites, AreListedByNetworkAndLabels) {
  add_network(state_, "blog");
  add_network(state_, "shop-2");
  for (const std::string network : {"blog", "shop-2"}) add_pod(state_, network, "a");
  state_.pods.at({"shop", "b"}).labels = {{"app", "web"}, {"tier", "front"}};
  state_.pods.at({"blog", "a"}).labels = {{"app", "web"}};
  assign();
  const auto pods = [this](const std::string& network, const model::Labels& labels) {
    return names(repository_->list(model::Kind::kPod, network, labels));
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(pods("", {}), (Names{"pod blog/a", "pod shop/a", "pod shop/b", "pod shop-2/a"}));
  EXPECT_EQ(pods("shop", {}), (Names{"pod shop/a", "pod shop/b"}));
  EXPECT_EQ(pods("", {{"app", "web"}}), (Names{"pod blog/a", "pod shop/b"}));
  EXPECT_EQ(pods("shop", {{"app", "web"}, {"tier", "front"}}), (Names{"pod shop/b"}));
  EXPECT_EQ(pods("", {{"app", "mail"}}), Names{});
  EXPECT_EQ(pods("ghost", {}), Names{});
  EXPECT_EQ(names(repository_->list(model::Kind::kService, "shop", {})), (Names{"service shop/web"}));
  EXPECT_EQ(names(repository_->list(model::Kind::kFloatingIp, "", {})), (Names{"floating IP public"}));
  EXPECT_EQ(repository_->list(model::Kind::kNetwork, "", {}).revision, repository_->revision());
}

TEST_F(RepositoryWrites, ShowInTheChangesAsResourcesAlone) {
  assign();
  const std::uint64_t first = repository_->revision();
  write({put_edit(labelled("c", "x")), delete_edit(pod_key("shop", "b"))});
  const auto events = repository_->changes(first, 100).value().events;
  ASSERT_EQ(events.size(), 2U) << "the cursors are nobody's business";
  EXPECT_EQ(events[0].now.key, "r/pod/shop/b");
  EXPECT_TRUE(events[0].deleted);
  EXPECT_EQ(model::key_of(decode(std::string_view(events[0].before)).value().resource), pod_key("shop", "b"));
  EXPECT_EQ(decode(events[1].now).value(), repository_->get(pod_key("shop", "c")).value());
}

class RepositoryDamage : public RepositoryWrites {
 protected:
  /// What opening says when the store holds `value` at `key`.
  std::string opening_error(const std::string& key, const std::string& value) {
    assign();
    repository_.reset();
    auto key_values = SqliteKeyValues::open(folder_.path()).value();
    const auto old = key_values->range(key).value().items;
    EXPECT_TRUE(key_values->commit({{}, {{Operation::Kind::kPut, key, value}}}));
    const auto opened = Repository::open(std::move(key_values), capacity_);
    std::string message = "was opened";
    if (!opened) {
      message = opened.error().message;
      EXPECT_EQ(opened.error().code, ErrorCode::kInvalid);
    }
    // and as it was
    key_values = SqliteKeyValues::open(folder_.path()).value();
    const auto kind = old.empty() ? Operation::Kind::kDelete : Operation::Kind::kPut;
    EXPECT_TRUE(key_values->commit({{}, {{kind, key, old.empty() ? "" : old.front().value}}}));
    key_values.reset();
    reopen();
    return message;
  }
};

TEST_F(RepositoryDamage, IsRefusedWithTheKeyAndARemedy) {
  const std::string damaged = "; the store is damaged: restore a backup";
  EXPECT_EQ(opening_error("r/pod/shop/a", "\xFF\xFF garbage"),
            "store: r/pod/shop/a: is no resource of sluice.v1" + damaged);
  EXPECT_EQ(opening_error("r/moon/a", "x"),
            "store: r/moon/a: is the key of no resource that this program knows" + damaged);
  EXPECT_EQ(opening_error("r/pod/a", "x"),
            "store: r/pod/a: is the key of no resource that this program knows" + damaged);
  Stored pod = repository_->get(pod_key("shop", "a")).value();
  EXPECT_EQ(opening_error("r/pod/shop/z", encode(pod)), "store: r/pod/shop/z: holds pod shop/a" + damaged);
  std::get<model::Pod>(pod.resource).name.name = "z";
  EXPECT_EQ(opening_error("r/pod/shop/z", encode(pod)), "store: pod shop/z: its address 172.16.0.2 is taken" + damaged);
  pod.assigned.addresses = {};
  const std::string missing = opening_error("r/pod/shop/z", encode(pod));
  EXPECT_TRUE(missing.starts_with("store: r/pod/shop/z: ") && missing.ends_with(damaged)) << missing;
  EXPECT_NE(missing.find("status.address4"), std::string::npos) << missing;
  const std::string network = opening_error("r/network/shop", "");
  EXPECT_TRUE(network.starts_with("store: r/network/shop: ") && network.ends_with(damaged)) << network;
  EXPECT_EQ(opening_error("i/cursors", "\xFF"), "store: i/cursors: is damaged; restore a backup");
  EXPECT_EQ(opening_error("i/network/shop", "\xFF"), "store: i/network/shop: is damaged; restore a backup");
  EXPECT_EQ(opening_error("i/pool/public", "\xFF"), "store: i/pool/public: is damaged; restore a backup");
  EXPECT_EQ(opening_error("i/pool/public", ""), "store: i/pool/public: is damaged; restore a backup");
}

}  // namespace
}  // namespace sluice::store
