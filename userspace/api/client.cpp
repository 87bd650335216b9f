// SPDX-License-Identifier: Apache-2.0
#include "api/client.hpp"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "api/sluice.grpc.pb.h"
#include "api/socket_path.hpp"
#include "api/status_codes.hpp"

namespace sluice::api {
namespace {

using Resources = v1::ResourceService::Stub;
using Node = v1::NodeService::Stub;

/// A list of all resources is larger than gRPC's 4 MiB; the daemon is trusted.
std::shared_ptr<grpc::Channel> make_channel(const std::filesystem::path& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // A daemon that starts anew is found within a moment. GRPC_ARG_MIN_RECONNECT_BACKOFF_MS stays as it is: it is also
  // how long a connection may take that the daemon has not greeted yet, and a busy machine takes its time.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel("unix:" + socket.string(), grpc::InsecureChannelCredentials(), arguments);
}

class GrpcClient final : public Client {
 public:
  GrpcClient(std::filesystem::path socket, std::chrono::milliseconds deadline)
      : socket_(std::move(socket)),
        deadline_(deadline),
        channel_(make_channel(socket_)),
        resources_(v1::ResourceService::NewStub(channel_)),
        node_(v1::NodeService::NewStub(channel_)) {}

  Result<v1::Resource> get(const v1::ResourceKey& key) override {
    v1::GetRequest request;
    *request.mutable_key() = key;
    return call<v1::Resource>(*resources_, &Resources::Get, request);
  }
  Result<v1::ListResponse> list(const v1::ListRequest& request) override {
    return call<v1::ListResponse>(*resources_, &Resources::List, request);
  }
  Result<v1::ApplyResponse> apply(const v1::ApplyRequest& request) override {
    return call<v1::ApplyResponse>(*resources_, &Resources::Apply, request, request.wait_milliseconds());
  }
  Result<v1::ApplyResponse> remove(const v1::DeleteRequest& request) override {
    return call<v1::ApplyResponse>(*resources_, &Resources::Delete, request, request.wait_milliseconds());
  }
  Status watch(const v1::WatchRequest& request,
               const std::function<bool(const v1::WatchResponse&)>& on_response) override {
    grpc::ClientContext context;
    const auto reader = resources_->Watch(&context, request);
    v1::WatchResponse response;
    while (reader->Read(&response)) {
      if (on_response(response)) continue;
      context.TryCancel();
      reader->Finish();
      return {};
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) return {};
    return std::unexpected(error_of(status, context, std::chrono::milliseconds(0)));
  }

  Result<v1::AttachPodResponse> attach_pod(const v1::AttachPodRequest& request) override {
    return call<v1::AttachPodResponse>(*node_, &Node::AttachPod, request);
  }
  Result<v1::DetachPodResponse> detach_pod(const v1::DetachPodRequest& request) override {
    return call<v1::DetachPodResponse>(*node_, &Node::DetachPod, request);
  }
  Result<v1::GetStatusResponse> status() override {
    return call<v1::GetStatusResponse>(*node_, &Node::GetStatus, v1::GetStatusRequest());
  }
  Result<v1::DescribeResponse> describe(const v1::ResourceKey& key) override {
    v1::DescribeRequest request;
    *request.mutable_key() = key;
    return call<v1::DescribeResponse>(*node_, &Node::Describe, request);
  }
  Result<std::string> set_log_level(const std::string& level) override {
    v1::SetLogLevelRequest request;
    request.set_level(level);
    const auto response = call<v1::SetLogLevelResponse>(*node_, &Node::SetLogLevel, request);
    if (!response) return std::unexpected(response.error());
    return response->previous();
  }
  Result<std::string> adopt_store() override {
    const auto response = call<v1::AdoptStoreResponse>(*node_, &Node::AdoptStore, v1::AdoptStoreRequest());
    if (!response) return std::unexpected(response.error());
    return response->former_reason();
  }

 private:
  template <typename Response, typename Stub, typename Request>
  Result<Response> call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        const Request& request, std::uint32_t wait_milliseconds = 0) {
    const std::chrono::milliseconds limit = deadline_ + std::chrono::milliseconds(wait_milliseconds);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (status.ok()) return response;
    return std::unexpected(error_of(status, context, limit));
  }

  [[nodiscard]] Error error_of(const grpc::Status& status, const grpc::ClientContext& context,
                               std::chrono::milliseconds limit) const {
    Error error = from_grpc(status, context);
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      error.message = "no daemon answers on " + socket_.string() + ": is sluiced running? (" + error.message + ")";
    } else if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      error.message =
          "the daemon on " + socket_.string() + " did not answer in " + std::to_string(limit.count()) + " ms";
    }
    return error;
  }

  std::filesystem::path socket_;
  std::chrono::milliseconds deadline_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Resources> resources_;
  std::unique_ptr<Node> node_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::open(const std::filesystem::path& socket, std::chrono::milliseconds deadline) {
  if (auto valid = check_socket_path(socket); !valid) return std::unexpected(valid.error());
  return std::make_unique<GrpcClient>(socket, deadline);
}

}  // namespace sluice::api
