// SPDX-License-Identifier: Apache-2.0
// The API's server over a node, and callers that are other users than the test.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "../node/node_fixture.hpp"
#include "api/server.hpp"
#include "api/sluice.grpc.pb.h"

namespace sluice::api::testing {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Connects as that user: the credentials of one thread alone are changed for it.
UniqueFd connect_as(User user, const std::filesystem::path& socket);

/// One connection of a user.
class Caller {
 public:
  Caller(User user, const std::filesystem::path& socket);
  /// The status of getting a network that is there.
  grpc::Status get() const;
  /// Of the same with what the daemon says about it, taken apart.
  Error error_of_get() const;
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  std::shared_ptr<v1::ResourceService::Stub> resources() const { return resources_; }
  std::shared_ptr<v1::NodeService::Stub> node() const { return node_; }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<v1::ResourceService::Stub> resources_;
  std::shared_ptr<v1::NodeService::Stub> node_;
};

/// Polls until it holds, and fails the test if it does not within some seconds.
bool becomes_true(const std::function<bool()>& condition);

/// A node whose resources come by the API, with the server over it. Any user may connect to either socket.
class ServerTest : public node::testing::NodeTest {
 protected:
  void SetUp() override;
  /// Starts the server; may be called again, for another one with other options.
  void serve(const Limits& limits = {});
  /// Stops server and node, and starts both anew on the same state.
  void start_node();
  [[nodiscard]] std::filesystem::path socket() const { return folder_ / "sluice.sock"; }
  [[nodiscard]] std::filesystem::path reading_socket() const { return folder_ / "sluice.sock.ro"; }
  [[nodiscard]] node::Node& node() const { return *node_->operator->(); }
  [[nodiscard]] store::Repository& repository() const { return node().repository(); }
  /// Makes resources as their manifests say.
  void put(const std::string& manifests) const;
  ~ServerTest() override;

  std::unique_ptr<node::testing::Running> node_;
  std::unique_ptr<Server> server_;

 private:
  std::filesystem::path folder_;
};

}  // namespace sluice::api::testing
