// SPDX-License-Identifier: Apache-2.0
#include "api/replies.hpp"

#include <string>

#include "api/limits.hpp"
#include "api/status_codes.hpp"

namespace sluice::api {
namespace {

/// gRPC makes one for each call and destroys it with the call's context: when the reply has left for the caller.
class UnderWay final : public grpc::experimental::Interceptor {
 public:
  UnderWay(std::atomic<std::size_t>& count, Replies& replies, const grpc::ServerContextBase* call)
      : count_(count), replies_(replies), call_(call) {
    count_++;
  }
  ~UnderWay() override {
    replies_.release(call_);
    count_--;
  }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override { methods->Proceed(); }

 private:
  std::atomic<std::size_t>& count_;
  Replies& replies_;
  const grpc::ServerContextBase* call_;
};

}  // namespace

std::unique_lock<std::mutex> Replies::turn(const Peer& peer) {
  if (!is_limited(peer)) return {};
  User* user = nullptr;
  {
    const std::lock_guard lock(mutex_);
    user = &users_[peer.uid];
  }
  return std::unique_lock(user->turn);
}

Status Replies::hold(const Peer& peer, const grpc::ServerContextBase* call, std::size_t bytes) {
  if (!is_limited(peer)) return {};
  const std::lock_guard lock(mutex_);
  User& user = users_[peer.uid];
  const bool of_user = user.bytes != 0 && user.bytes + bytes > most_of_user_;  // one may be as large as a message gets
  if (of_user || bytes_ + bytes > most_) {
    const std::string remedy = "read the replies that were asked for, or ask for smaller ones (page_size)";
    const std::string problem = std::string(of_user ? "this user has" : "all users have") + " " +
                                std::to_string(of_user ? user.bytes : bytes_) +
                                " bytes of replies that nobody has read yet";
    Error error{ErrorCode::kExhausted, "reply: " + problem + ", and this one has " + std::to_string(bytes) +
                                           " (at most " + std::to_string(of_user ? most_of_user_ : most_) + "); " +
                                           remedy};
    error.details.push_back({"reply", "", std::to_string(bytes), problem, remedy});
    return std::unexpected(std::move(error));
  }
  user.bytes += bytes;
  bytes_ += bytes;
  held_[call] = {peer.uid, bytes};
  return {};
}

grpc::Status Replies::send(const Peer& peer, grpc::ServerContextBase& call, google::protobuf::Message& reply) {
  // gRPC keeps both until the caller has taken it: the message, and what it sends.
  auto held = hold(peer, &call, reply.SpaceUsedLong() + reply.ByteSizeLong());
  if (held) return grpc::Status::OK;
  reply.Clear();
  return finish(call, held.error());
}

void Replies::release(const grpc::ServerContextBase* call) {
  const std::lock_guard lock(mutex_);
  const auto held = held_.find(call);
  if (held == held_.end()) return;
  users_[held->second.uid].bytes -= held->second.bytes;
  bytes_ -= held->second.bytes;
  held_.erase(held);
}

grpc::experimental::Interceptor* CallsUnderWay::CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) {
  return new UnderWay(count_, replies_, info->server_context());
}

}  // namespace sluice::api
