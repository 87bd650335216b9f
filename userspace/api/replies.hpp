// SPDX-License-Identifier: Apache-2.0
// Large replies: how many bytes of them were made and have not been taken yet. A caller that asks and does not read
// would otherwise fill the daemon's memory, call by call.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "api/peer.hpp"
#include "base/result.hpp"

namespace sluice::api {

/// From any thread.
class Replies {
 public:
  Replies(std::size_t most, std::size_t most_of_user) : most_(most), most_of_user_(most_of_user) {}

  /// A user's large replies are made one after the other: until one is made nobody knows how large it is. Nobody waits
  /// for root.
  std::unique_lock<std::mutex> turn(const Peer& peer);
  /// The call's reply takes so many bytes, which count until release(). kExhausted: there are too many; drop it. A
  /// user's first may be larger than what one may have.
  Status hold(const Peer& peer, const grpc::ServerContextBase* call, std::size_t bytes);
  /// The status of a call whose reply is large: OK if the reply may go, else the refusal, and the reply is empty.
  grpc::Status send(const Peer& peer, grpc::ServerContextBase& call, google::protobuf::Message& reply);
  /// The call is over. Fine if it holds nothing.
  void release(const grpc::ServerContextBase* call);

 private:
  struct User {
    std::mutex turn;
    std::size_t bytes = 0;
  };
  struct Held {
    uid_t uid = 0;
    std::size_t bytes = 0;
  };

  const std::size_t most_;
  const std::size_t most_of_user_;
  std::mutex mutex_;             ///< guards what follows, but for User::turn
  std::map<uid_t, User> users_;  ///< of all that ever asked
  std::map<const grpc::ServerContextBase*, Held> held_;
  std::size_t bytes_ = 0;
};

/// Knows which calls of a server are under way, and releases their replies when they are over.
class CallsUnderWay final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  /// Both must outlive the server.
  CallsUnderWay(std::atomic<std::size_t>& count, Replies& replies) : count_(count), replies_(replies) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::atomic<std::size_t>& count_;
  Replies& replies_;
};

}  // namespace sluice::api
