// SPDX-License-Identifier: Apache-2.0
#include "api/watch.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/convert.hpp"
#include "api/status_codes.hpp"
#include "callers.hpp"

namespace sluice::api::testing {
namespace {

class Watch {
 public:
  Watch(const Caller& caller, const v1::WatchRequest& request) : resources_(caller.resources()) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    reader_ = resources_->Watch(&context_, request);
  }
  ~Watch() {
    context_.TryCancel();
    if (!ended_) reader_->Finish();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  /// The next response; with nothing the watch has ended.
  std::optional<v1::WatchResponse> next() {
    v1::WatchResponse response;
    if (reader_->Read(&response)) return response;
    return std::nullopt;
  }
  /// How it ended.
  Error end() {
    EXPECT_FALSE(next());
    ended_ = true;
    return from_grpc(reader_->Finish(), context_);
  }

 private:
  std::shared_ptr<v1::ResourceService::Stub> resources_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
  bool ended_ = false;
};

v1::WatchRequest after(std::uint64_t revision) {
  v1::WatchRequest request;
  request.set_after_revision(revision);
  return request;
}

class ApiWatch : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    serve();
    caller_ = std::make_unique<Caller>(User{}, socket());
  }
  /// Makes pods in one transaction, each with labels of about so many bytes.
  void put_pods(const std::string& name, int count, std::size_t bytes = 0) const {
    store::WriteRequest request;
    model::Pod pod;
    for (std::size_t i = 0; i < bytes / 63; i++) pod.labels["label-" + std::to_string(i)] = std::string(63, 'x');
    for (int i = 0; i < count; i++) {
      pod.name = {"one", name + std::to_string(i)};
      request.edits.push_back({{model::key_of(model::Resource(pod)), model::Resource(pod)}, std::nullopt});
    }
    const auto written = repository().write(std::move(request));
    ASSERT_TRUE(written) << written.error().message;
  }

  std::unique_ptr<Caller> caller_;
};

TEST_F(ApiWatch, GetsALongTransactionInPiecesOfWhichOnlyTheLastHasItsRevision) {
  const std::uint64_t before = repository().revision();
  put_pods("a", 700);
  put_pods("b", 1);
  Watch watch(*caller_, after(before));
  std::set<std::string> names;
  std::vector<std::uint64_t> revisions;
  while (names.size() < 701) {
    const auto response = watch.next();
    ASSERT_TRUE(response);
    EXPECT_LE(response->events_size(), 256);
    for (const v1::WatchEvent& event : response->events()) {
      EXPECT_TRUE(names.insert(event.key().name()).second) << event.key().name() << " came twice";
      EXPECT_GT(event.revision(), revisions.empty() ? before : revisions.back());
    }
    revisions.push_back(response->revision());
  }
  ASSERT_GE(revisions.size(), 3U);
  EXPECT_EQ(revisions[0], before) << "not all of it has been sent";
  EXPECT_EQ(revisions[1], before);
  EXPECT_EQ(revisions.back(), before + 2);
}

TEST_F(ApiWatch, KeepsResponsesSmallAlsoWhereTheResourcesAreLarge) {
  const std::uint64_t before = repository().revision();
  put_pods("large", 300, 4000);
  for (const bool snapshot : {false, true}) {
    v1::WatchRequest request = after(before);
    request.set_snapshot(snapshot);
    request.add_kinds(v1::POD);
    Watch watch(*caller_, request);
    int events = 0;
    while (events < 300) {
      const auto response = watch.next();
      ASSERT_TRUE(response);
      EXPECT_LT(response->ByteSizeLong(), 300'000U);
      events += response->events_size();
    }
    EXPECT_EQ(events, 300) << (snapshot ? "snapshot" : "changes");
  }
}

TEST_F(ApiWatch, BeginsAtOnceAndSaysFromWhichStore) {
  const std::uint64_t revision = repository().revision();
  const v1::StoreIdentity store = to_message(repository().identity());
  ASSERT_EQ(store.uuid().size(), 36U);
  Watch watch(*caller_, after(revision));
  const auto first = watch.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->events_size(), 0);
  EXPECT_EQ(first->revision(), revision);
  EXPECT_EQ(first->store().SerializeAsString(), store.SerializeAsString());
  put_pods("a", 1);
  const auto second = watch.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->events_size(), 1);
  EXPECT_EQ(second->store().SerializeAsString(), store.SerializeAsString());

  grpc::ClientContext context;
  v1::ListRequest request;
  request.set_kind(v1::POD);
  v1::ListResponse listed;
  ASSERT_TRUE(caller_->resources()->List(&context, request, &listed).ok());
  EXPECT_EQ(listed.store().SerializeAsString(), store.SerializeAsString());
}

TEST_F(ApiWatch, GoesOnWithTheStoreThatItsRevisionIsOf) {
  put_pods("a", 1);
  v1::WatchRequest request = after(repository().revision() - 1);
  *request.mutable_store() = to_message(repository().identity());
  Watch watch(*caller_, request);
  const auto first = watch.next();
  ASSERT_TRUE(first);
  ASSERT_EQ(first->events_size(), 1);
  EXPECT_EQ(first->events(0).key().name(), "a0");
}

TEST_F(ApiWatch, IsToldToListAgainWhereItsRevisionIsOfAnotherStore) {
  struct Case {
    std::string uuid;
    std::uint64_t epoch;
    std::string field;
  };
  const v1::StoreIdentity store = to_message(repository().identity());
  for (const Case& one : {Case{"00000000-0000-4000-8000-000000000000", store.epoch(), "store.uuid"},
                          Case{store.uuid(), store.epoch() + 1, "store.epoch"}, Case{"\x1b[2J", 0, "store.uuid"}}) {
    v1::WatchRequest request = after(repository().revision());
    request.mutable_store()->set_uuid(one.uuid);
    request.mutable_store()->set_epoch(one.epoch);
    Watch watch(*caller_, request);
    const Error error = watch.end();
    EXPECT_EQ(error.code, ErrorCode::kOutOfRange) << error.message;
    EXPECT_NE(error.message.find("list again"), std::string::npos) << error.message;
    EXPECT_EQ(error.message.find('\x1b'), std::string::npos);
    ASSERT_EQ(error.details.size(), 1U);
    EXPECT_EQ(error.details[0].resource, "store");
    EXPECT_EQ(error.details[0].field, one.field);
    request.set_snapshot(true);
    EXPECT_TRUE(Watch(*caller_, request).next()) << "it lists again";
  }
}

}  // namespace
}  // namespace sluice::api::testing
