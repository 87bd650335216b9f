// SPDX-License-Identifier: Apache-2.0
// A daemon that answers as a test tells it, on a socket of its own, and keeps what it was asked.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "api/sluice.grpc.pb.h"
#include "api/status_codes.hpp"
#include "subprocess.hpp"

namespace sluice::testing {

class ScriptedResources final : public v1::ResourceService::Service {
 public:
  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request, v1::Resource* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListRequest* request, v1::ListResponse* response) override;
  grpc::Status Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override;
  grpc::Status Delete(grpc::ServerContext* context, const v1::DeleteRequest* request,
                      v1::ApplyResponse* response) override;
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override;

  std::vector<v1::Resource> present;
  std::optional<Error> refusal;            ///< of Apply and Delete
  std::function<void()> on_apply = [] {};  ///< before the answer
  v1::ApplyResponse answer;                ///< of Delete; of Apply if it has outcomes
  std::vector<v1::ApplyRequest> applied;
  std::vector<v1::DeleteRequest> deleted;
  struct Stream {
    std::vector<v1::WatchResponse> responses;
    std::variant<grpc::Status, Error> end;
  };
  std::vector<Stream> streams;  ///< one for each call of Watch
  std::vector<v1::WatchRequest> watched;
  std::vector<v1::ListRequest> listed;
};

class ScriptedDescriptions final : public v1::NodeService::Service {
 public:
  grpc::Status Describe(grpc::ServerContext*, const v1::DescribeRequest* request,
                        v1::DescribeResponse* response) override {
    asked = request->key();
    *response = description;
    return answer;
  }
  grpc::Status SetLogLevel(grpc::ServerContext*, const v1::SetLogLevelRequest* request,
                           v1::SetLogLevelResponse* response) override {
    level = request->level();
    response->set_previous("info");
    return answer;
  }

  grpc::Status answer = grpc::Status::OK;
  v1::DescribeResponse description;
  v1::ResourceKey asked;
  std::string level;
};

/// Reads a manifest into a message, with an address, id and revision where the daemon gives one.
v1::Resource resource_of(const std::string& manifest, std::uint64_t revision = 7);

class ResourceCommands : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] std::string socket() const { return (folder_ / "sluice.sock").string(); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] Outcome run(std::vector<std::string> arguments, const std::string& input = "") const;
  /// Writes a file into the test's folder and gives its path back.
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const;

  ScriptedResources resources_;
  ScriptedDescriptions node_;

 private:
  std::filesystem::path folder_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice::testing
