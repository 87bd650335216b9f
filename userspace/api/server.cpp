// SPDX-License-Identifier: Apache-2.0
#include "api/server.hpp"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "api/convert.hpp"
#include "api/sluice.grpc.pb.h"
#include "api/socket_path.hpp"
#include "api/status_codes.hpp"
#include "node/log.hpp"

namespace sluice::api {
namespace {

constexpr int kLargestMessage = 64 * 1024;
constexpr int kMostThreads = 32;

class NodeApi final : public v1::NodeService::Service {
 public:
  NodeApi(node::Node& node, std::string version) : node_(node), version_(std::move(version)) {}

  grpc::Status AttachPod(grpc::ServerContext*, const v1::AttachPodRequest* request,
                         v1::AttachPodResponse* response) override {
    auto wanted = from_message(*request);
    if (!wanted) return refused("attach", wanted.error());
    auto reply = node_.attach(*wanted);
    if (!reply) return refused("attach", reply.error());
    *response = to_message(*reply);
    return grpc::Status::OK;
  }

  grpc::Status DetachPod(grpc::ServerContext*, const v1::DetachPodRequest* request, v1::DetachPodResponse*) override {
    auto pod = pod_name(request->network(), request->name());
    if (!pod) return refused("detach", pod.error());
    if (auto detached = node_.detach(*pod); !detached) return refused("detach", detached.error());
    return grpc::Status::OK;
  }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse* response) override {
    auto status = node_.status();
    if (!status) return to_grpc(status.error());
    *response = to_message(*status, version_);
    return grpc::Status::OK;
  }

 private:
  static grpc::Status refused(const char* call, const Error& error) {
    spdlog::warn("event=request_refused call={} code={} error={}", call, name(error.code), node::quote(error.message));
    return to_grpc(error);
  }

  node::Node& node_;
  std::string version_;
};

class GrpcServer final : public Server {
 public:
  GrpcServer(node::Node& node, std::string version) : service_(node, std::move(version)) {}
  ~GrpcServer() override { stop(); }

  Status listen(const ServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kLargestMessage);
    grpc::ResourceQuota quota("sluice.v1");
    builder.SetResourceQuota(quota.SetMaxThreads(kMostThreads));
    builder.AddListeningPort("unix:" + options.socket.string(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    // The socket never has more rights than it is meant to have, not even before chmod.
    const mode_t before = ::umask(static_cast<mode_t>(~options.mode & 0777));
    server_ = builder.BuildAndStart();
    ::umask(before);
    if (!server_) return fail(ErrorCode::kSystem, "socket: cannot listen on " + options.socket.string());
    if (::chmod(options.socket.c_str(), options.mode) != 0) return fail_errno("chmod " + options.socket.string());
    server_->GetHealthCheckService()->SetServingStatus("sluice.v1.NodeService", true);
    return {};
  }

  void stop() override {
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
    server_->Wait();
    server_.reset();
  }

 private:
  NodeApi service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(node::Node& node, const ServerOptions& options) {
  if (auto clear = clear_socket_path(options.socket); !clear) return std::unexpected(clear.error());
  auto server = std::make_unique<GrpcServer>(node, options.version);
  if (auto listening = server->listen(options); !listening) return std::unexpected(listening.error());
  return server;
}

}  // namespace sluice::api
