// SPDX-License-Identifier: Apache-2.0
// A store that fails: the world stays what the store holds.
#include "repository_test_base.hpp"

namespace sluice::store {
namespace {

/// What the next commits do.
struct Fault {
  bool refuses = false;    ///< nothing is written
  bool forgets = false;    ///< all is written, and then an error reported
  bool is_silent = false;  ///< nor does it tell its revision
  int commits = 0;
};

/// The real store, with faults.
class FailingKeyValues : public KeyValues {
 public:
  FailingKeyValues(std::unique_ptr<KeyValues> real, std::shared_ptr<Fault> fault)
      : real_(std::move(real)), fault_(std::move(fault)) {}

  [[nodiscard]] Identity identity() const override { return real_->identity(); }
  Result<std::uint64_t> revision() override {
    if (fault_->is_silent) return fail(ErrorCode::kSystem, "disk: Input/output error");
    return real_->revision();
  }
  Result<Range> range(std::string_view prefix) override { return real_->range(prefix); }
  Result<CommitReply> commit(const CommitRequest& request) override {
    fault_->commits++;
    if (fault_->refuses) return fail(ErrorCode::kExhausted, "disk: No space left on device; make room");
    auto reply = real_->commit(request);
    if (fault_->forgets) return fail(ErrorCode::kSystem, "disk: Input/output error");
    return reply;
  }
  Result<Changes> changes(const Position& after, std::size_t limit) override { return real_->changes(after, limit); }
  Status compact(std::uint64_t revision) override { return real_->compact(revision); }
  Result<std::uint64_t> compacted() override { return real_->compacted(); }

 private:
  std::unique_ptr<KeyValues> real_;
  std::shared_ptr<Fault> fault_;
};

class RepositoryFailures : public RepositoryTest {
 protected:
  RepositoryFailures() {
    repository_.reset();
    auto real = SqliteKeyValues::open(folder_.path()).value();
    repository_ = Repository::open(std::make_unique<FailingKeyValues>(std::move(real), fault_), capacity_).value();
    add_network(state_, "shop");
    add_pod(state_, "shop", "a");
    add_pod(state_, "shop", "b");
    assign();
  }
  /// Deletes a, labels b and makes c.
  WriteRequest request() {
    model::State made;
    add_pod(made, "shop", "b");
    made.pods.begin()->second.labels = {{"app", "x"}};
    add_pod(made, "shop", "c");
    return {.edits = {delete_edit(pod_key("shop", "a")), put_edit(made.pods.at({"shop", "b"})),
                      put_edit(made.pods.at({"shop", "c"}))}};
  }
  std::vector<Stored> pods() { return repository_->list(model::Kind::kPod, "", {}).items; }
  ErrorCode write_error() {
    const auto reply = repository_->write(request());
    EXPECT_FALSE(reply);
    return reply ? ErrorCode::kInvalid : reply.error().code;
  }

  std::shared_ptr<Fault> fault_ = std::make_shared<Fault>();
};

TEST_F(RepositoryFailures, LeaveTheWorldAndItsVersionsAsTheyWere) {
  const auto before = pods();
  const std::uint64_t revision = repository_->revision();
  fault_->refuses = true;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(write_error(), ErrorCode::kExhausted);
    EXPECT_EQ(pods(), before);
    EXPECT_EQ(repository_->revision(), revision);
    EXPECT_TRUE(repository_->updates(revision).value().change.empty());
  }
  fault_->refuses = false;
  const auto reply = repository_->write(request());
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->revision, revision + 1);
  EXPECT_EQ(reply->outcomes[2].after->assigned.addresses, ip("172.16.0.4")) << "the failures have used up no address";
  const auto after = pods();
  reopen();
  EXPECT_EQ(pods(), after);
}

TEST_F(RepositoryFailures, ThatWereWrittenAfterAllAreReadFromTheStore) {
  const std::uint64_t revision = repository_->revision();
  fault_->forgets = true;
  std::uint64_t told = 0;
  const auto subscription = repository_->subscribe([&told](std::uint64_t newest) { told = newest; });
  EXPECT_EQ(write_error(), ErrorCode::kSystem);
  fault_->forgets = false;
  EXPECT_EQ(repository_->revision(), revision + 1);
  EXPECT_EQ(told, revision + 1) << "followers hear of it";
  const auto present = pods();
  ASSERT_EQ(present.size(), 2U);
  EXPECT_EQ(model::key_of(present[1].resource), pod_key("shop", "c"));
  const Update update = repository_->updates(revision).value();
  EXPECT_TRUE(update.whole) << "what has changed is not known";
  EXPECT_EQ(update.state.pods.size(), 2U);
  add_pod(state_, "shop", "d");
  state_.pods.erase({"shop", "a"});
  assign();
  const auto after = pods();
  repository_->unsubscribe(subscription);
  reopen();
  EXPECT_EQ(pods(), after);
}

TEST_F(RepositoryFailures, NobodyKnowsTheEndOfStopWritesUntilTheStoreAnswers) {
  const auto before = pods();
  const std::uint64_t revision = repository_->revision();
  fault_->forgets = fault_->is_silent = true;
  EXPECT_EQ(write_error(), ErrorCode::kSystem);
  fault_->forgets = false;
  const int commits = fault_->commits;
  EXPECT_EQ(write_error(), ErrorCode::kSystem);
  EXPECT_EQ(fault_->commits, commits) << "nothing is written on what may be no longer there";
  EXPECT_EQ(pods(), before) << "reading goes on";
  fault_->is_silent = false;
  const auto reply = repository_->write({.edits = {delete_edit(pod_key("shop", "c"))}});
  ASSERT_TRUE(reply) << "the lost write has made it: " << reply.error().message;
  EXPECT_EQ(reply->revision, revision + 2);
  EXPECT_EQ(pods().size(), 1U);
}

}  // namespace
}  // namespace sluice::store
