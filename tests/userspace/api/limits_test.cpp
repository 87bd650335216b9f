// SPDX-License-Identifier: Apache-2.0
// What one user takes is not taken from the others, and never from root.
#include "api/limits.hpp"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "callers.hpp"

namespace sluice::api::testing {
namespace {

constexpr User kRoot{.uid = 0, .gid = 0};
constexpr User kAnn{.uid = 50001, .gid = 50001};
constexpr User kAnnsOtherGroup{.uid = 50001, .gid = 50002};
constexpr User kBob{.uid = 50003, .gid = 50003};

std::size_t entries(const char* folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

/// A watch that has begun, or its refusal.
class Watching {
 public:
  explicit Watching(const Caller& caller) : resources_(caller.resources()) {
    v1::WatchRequest request;
    request.set_snapshot(true);
    reader_ = resources_->Watch(&context_, request);
    v1::WatchResponse response;
    begun_ = reader_->Read(&response);
    if (!begun_) ended_ = reader_->Finish();
  }
  ~Watching() { end(); }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  void end() {
    if (!begun_) return;
    begun_ = false;
    context_.TryCancel();
    ended_ = reader_->Finish();
  }
  [[nodiscard]] bool begun() const { return begun_; }
  [[nodiscard]] const grpc::Status& ended() const { return ended_; }

 private:
  std::shared_ptr<v1::ResourceService::Stub> resources_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> reader_;
  bool begun_ = false;
  grpc::Status ended_;
};

/// A List whose reply nobody reads: HTTP/2's windows hold it back.
class UnreadList {
 public:
  explicit UnreadList(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
    call_ = stub_.PrepareCall(&context_, "/sluice.v1.ResourceService/List", &queue_);
    v1::ListRequest request;
    request.set_kind(v1::POD);
    const grpc::Slice slice(request.SerializeAsString());
    call_->StartCall(nullptr);
    EXPECT_TRUE(next());
    call_->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    EXPECT_TRUE(next());
  }
  ~UnreadList() {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, nullptr);
    next();
    queue_.Shutdown();
  }
  UnreadList(const UnreadList&) = delete;
  UnreadList& operator=(const UnreadList&) = delete;

 private:
  bool next() {
    void* tag = nullptr;
    bool good = false;
    return queue_.Next(&tag, &good) && good;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

class ApiLimits : public ServerTest {
 protected:
  /// So many that a List of them is some megabytes.
  void put_large_pods() const {
    store::WriteRequest request;
    model::Pod pod;
    for (int i = 0; i < 60; i++) pod.labels["label-" + std::to_string(i)] = std::string(63, 'x');
    for (int i = 0; i < 1500; i++) {
      pod.name = {"one", "pod-" + std::to_string(i)};
      request.edits.push_back({{model::key_of(model::Resource(pod)), model::Resource(pod)}, std::nullopt});
    }
    const auto written = repository().write(std::move(request));
    ASSERT_TRUE(written) << written.error().message;
  }
};

TEST_F(ApiLimits, OfConnectionsHoldForOneUserAndTellItWhatToDo) {
  serve({.connections = 100, .connections_of_user = 3, .watches = 100, .watches_of_user = 100});
  std::vector<Caller> anns;
  anns.emplace_back(kAnn, socket());
  anns.emplace_back(kAnnsOtherGroup, socket());
  anns.emplace_back(kAnn, reading_socket());
  for (const Caller& caller : anns) EXPECT_TRUE(caller.get().ok()) << caller.get().error_message();
  {
    const Error refused = Caller(kAnn, socket()).error_of_get();
    EXPECT_EQ(refused.code, ErrorCode::kExhausted) << refused.message;
    EXPECT_NE(refused.message.find("this user has 3 already"), std::string::npos) << refused.message;
    ASSERT_EQ(refused.details.size(), 1U);
    EXPECT_EQ(refused.details[0].value, "3");
    EXPECT_NE(refused.details[0].remedy.find("max_connections_per_user"), std::string::npos);
  }
  EXPECT_TRUE(Caller(kBob, socket()).get().ok());
  std::vector<Caller> roots;
  for (int i = 0; i < 10; i++) roots.emplace_back(kRoot, socket());
  for (const Caller& caller : roots) EXPECT_TRUE(caller.get().ok()) << caller.get().error_message();
  anns.pop_back();
  EXPECT_TRUE(becomes_true([&] { return Caller(kAnn, socket()).get().ok(); })) << "one was closed";
}

TEST_F(ApiLimits, OfConnectionsHoldForAllUsersTogetherButRoot) {
  serve({.connections = 3, .connections_of_user = 2, .watches = 100, .watches_of_user = 100});
  const Caller first(kAnn, socket());
  const Caller second(kAnn, socket());
  const Caller third(kBob, socket());
  for (const Caller* caller : {&first, &second, &third}) EXPECT_TRUE(caller->get().ok());
  const Error refused = Caller(kBob, socket()).error_of_get();
  EXPECT_EQ(refused.code, ErrorCode::kExhausted) << refused.message;
  EXPECT_NE(refused.message.find("max_connections in"), std::string::npos) << refused.message;
  EXPECT_TRUE(Caller(kRoot, socket()).get().ok());
  EXPECT_TRUE(third.get().ok()) << "who is in stays in";
}

TEST_F(ApiLimits, OfWatchesHoldForOneUserOverAllItsConnections) {
  serve({.connections = 100, .connections_of_user = 10, .watches = 100, .watches_of_user = 2});
  const Caller first(kAnn, socket());
  const Caller second(kAnnsOtherGroup, reading_socket());
  Watching one(first);
  const Watching two(second);
  EXPECT_TRUE(one.begun() && two.begun());
  for (const Caller* caller : {&first, &second}) {
    const Watching refused(*caller);
    ASSERT_FALSE(refused.begun());
    EXPECT_EQ(refused.ended().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_NE(refused.ended().error_message().find("max_watches_per_user"), std::string::npos)
        << refused.ended().error_message();
    EXPECT_TRUE(caller->get().ok()) << "its other calls go on";
  }
  const Caller bob(kBob, socket());
  EXPECT_TRUE(Watching(bob).begun());
  const Caller root(kRoot, socket());
  const Watching roots[] = {Watching(root), Watching(root), Watching(root)};
  for (const Watching& watch : roots) EXPECT_TRUE(watch.begun());
  one.end();
  EXPECT_TRUE(becomes_true([&] { return Watching(first).begun(); })) << "one has ended";
}

TEST_F(ApiLimits, OfWatchesHoldForAllUsersTogetherButRoot) {
  serve({.connections = 100, .connections_of_user = 10, .watches = 2, .watches_of_user = 2});
  const Caller ann(kAnn, socket());
  const Caller bob(kBob, socket());
  const Watching one(ann);
  const Watching two(bob);
  const Watching refused(bob);
  ASSERT_FALSE(refused.begun());
  EXPECT_EQ(refused.ended().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.ended().error_message().find("max_watches in"), std::string::npos);
  EXPECT_TRUE(Watching(Caller(kRoot, socket())).begun());
}

TEST_F(ApiLimits, KeepAUserFromTheDaemonsDescriptorsAndThreads) {
  serve({.connections = 1000, .connections_of_user = 20, .watches = 100, .watches_of_user = 10});
  EXPECT_TRUE(Caller(kRoot, socket()).get().ok());
  const std::size_t descriptors = entries("/proc/self/fd");
  const std::size_t threads = entries("/proc/self/task");
  std::vector<UniqueFd> connections;
  for (int i = 0; i < 300; i++) {
    const User user{.uid = kAnn.uid, .gid = kAnn.gid + static_cast<gid_t>(i % 30)};
    connections.push_back(connect_as(user, i % 2 == 0 ? socket() : reading_socket()));
  }
  EXPECT_TRUE(Caller(kRoot, socket()).get().ok());
  EXPECT_TRUE(Caller(kBob, socket()).get().ok());
  const std::size_t taken = entries("/proc/self/fd") - descriptors - connections.size();
  EXPECT_LT(taken, 120U) << "20 connections, up to 8 that wait for a refusal, and gRPC's own of 8 servers";
  EXPECT_LT(entries("/proc/self/task") - threads, 100U);
}

TEST_F(ApiLimits, KeepAUserWhoAsksAndDoesNotReadFromTheDaemonsMemory) {
  put_large_pods();
  serve({.connections = 100, .connections_of_user = 50, .watches = 10, .watches_of_user = 10});
  const auto list = [](const Caller& caller) {
    grpc::ClientContext context;
    v1::ListRequest request;
    request.set_kind(v1::POD);
    v1::ListResponse response;
    grpc::Status status = caller.resources()->List(&context, request, &response);
    EXPECT_EQ(response.resources_size(), status.ok() ? 1500 : 0);
    return status;
  };
  const Caller ann(kAnn, reading_socket());
  ASSERT_TRUE(list(ann).ok());
  std::vector<std::unique_ptr<Caller>> silent;
  std::vector<std::unique_ptr<UnreadList>> unread;
  for (int i = 0; i < 24; i++) {
    silent.push_back(std::make_unique<Caller>(kAnn, reading_socket()));
    unread.push_back(std::make_unique<UnreadList>(silent.back()->channel()));
  }
  grpc::Status refused;
  ASSERT_TRUE(becomes_true([&] { return !(refused = list(ann)).ok(); }));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.error_message().find("replies that nobody has read"), std::string::npos) << refused.error_message();
  EXPECT_TRUE(ann.get().ok()) << "small replies pass";
  EXPECT_TRUE(list(Caller(kBob, reading_socket())).ok());
  EXPECT_TRUE(list(Caller(kRoot, socket())).ok());
  unread.clear();
  EXPECT_TRUE(becomes_true([&] { return list(ann).ok(); })) << "they are over";
}

TEST_F(ApiLimits, LetUsersInWhereManyHaveComeAndGone) {
  serve();
  for (uid_t uid = 60000; uid < 60000 + 2 * kMostServers; uid++) {
    const User user{.uid = uid, .gid = 50001};
    ASSERT_TRUE(becomes_true([&] { return Caller(user, reading_socket()).get().ok(); })) << uid;
  }
}

}  // namespace
}  // namespace sluice::api::testing
