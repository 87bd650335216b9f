// SPDX-License-Identifier: Apache-2.0
// The gRPC servers behind the sockets: one for each peer, and one for connections that are too many.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "api/limits.hpp"
#include "api/node_api.hpp"
#include "api/peer.hpp"
#include "api/replies.hpp"
#include "api/resource_api.hpp"
#include "api/watch.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "node/node.hpp"
#include "store/repository.hpp"

namespace sluice::api {

/// What the servers of all peers share.
struct Shared {
  node::Node& node;
  store::Repository& repository;
  WatchHub& watches;
  Replies& replies;
  const Limits& limits;
  const std::string& version;
};

/// Works for one peer: what one does cannot take threads or buffers from another.
class PeerServer {
 public:
  /// All of `shared` must outlive it.
  PeerServer(const Shared& shared, Peer peer);
  Status start();
  /// The connection is the server's from now on.
  void take(UniqueFd connection);
  [[nodiscard]] bool has_calls() const { return calls_ != 0; }
  void stop(std::chrono::system_clock::time_point deadline);

 private:
  const Peer peer_;
  const Limits& limits_;
  Replies& replies_;
  ResourceApi resources_;
  NodeApi node_;
  std::atomic<std::size_t> calls_ = 0;
  std::unique_ptr<grpc::Server> server_;  ///< goes first
};

/// Answers every call with one error, so that the caller of a connection too many learns why, and ends the connection.
class RefusingServer final : private grpc::CallbackGenericService {
 public:
  explicit RefusingServer(Error error) : error_(std::move(error)) {}
  Status start();
  void take(UniqueFd connection);
  void stop();

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override;

  const Error error_;
  std::unique_ptr<grpc::Server> server_;  ///< goes first
};

}  // namespace sluice::api
