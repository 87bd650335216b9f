// SPDX-License-Identifier: Apache-2.0
#include "api/peer_server.hpp"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>

#include <utility>
#include <vector>

#include "api/status_codes.hpp"

namespace sluice::api {
namespace {

/// A caller whose connection was one too many has its answer by then.
constexpr int kRefusalMilliseconds = 2000;

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

Result<std::unique_ptr<grpc::Server>> build(grpc::ServerBuilder& builder) {
  auto server = builder.BuildAndStart();
  if (!server) return fail(ErrorCode::kSystem, "socket: cannot start a gRPC server");
  return server;
}

}  // namespace

PeerServer::PeerServer(const Shared& shared, Peer peer)
    : peer_(peer),
      limits_(shared.limits),
      replies_(shared.replies),
      resources_(shared.repository, shared.node, shared.watches, shared.replies, peer),
      node_(shared.node, shared.replies, shared.version, peer) {}

Status PeerServer::start() {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(peer_.read_only && is_limited(peer_) ? kLargestQuestion : kLargestMessage);
  builder.SetMaxSendMessageSize(kLargestMessage);
  grpc::ResourceQuota quota("sluice.v1");
  quota.SetMaxThreads(kMostThreads);
  if (is_limited(peer_)) {
    quota.Resize(peer_.read_only ? kReadersMemory : kWritersMemory);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               kMostCallsOfConnection + static_cast<int>(limits_.watches_of_user));
  }
  builder.SetResourceQuota(quota);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<CallsUnderWay>(calls_, replies_));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  builder.RegisterService(&resources_);
  builder.RegisterService(&node_);
  auto server = build(builder);
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);
  for (const char* service : {"sluice.v1.ResourceService", "sluice.v1.NodeService", ""})
    server_->GetHealthCheckService()->SetServingStatus(service, true);
  return {};
}

void PeerServer::take(UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
}

void PeerServer::stop(std::chrono::system_clock::time_point deadline) {
  server_->Shutdown(deadline);
  server_->Wait();
}

Status RefusingServer::start() {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kLargestQuestion);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMostCallsOfConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kRefusalMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, kRefusalMilliseconds);
  grpc::ResourceQuota quota("refusals");
  builder.SetResourceQuota(quota.SetMaxThreads(4).Resize(kReadersMemory));
  builder.RegisterCallbackGenericService(this);
  auto server = build(builder);
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);
  return {};
}

void RefusingServer::take(UniqueFd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
}

void RefusingServer::stop() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

grpc::ServerGenericBidiReactor* RefusingServer::CreateReactor(grpc::GenericCallbackServerContext* context) {
  return new Refusal(finish(*context, error_));
}

}  // namespace sluice::api
