// SPDX-License-Identifier: Apache-2.0
#include "api/client.hpp"

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "api/sluice.grpc.pb.h"
#include "api/socket_path.hpp"
#include "api/status_codes.hpp"

namespace sluice::api {
namespace {

class GrpcClient final : public Client {
 public:
  GrpcClient(std::filesystem::path socket, std::chrono::milliseconds deadline)
      : socket_(std::move(socket)),
        deadline_(deadline),
        stub_(v1::NodeService::NewStub(grpc::CreateChannel("unix:" + socket_.string(), grpc::InsecureChannelCredentials()))) {}

  Result<v1::AttachPodResponse> attach_pod(const v1::AttachPodRequest& request) override {
    return call<v1::AttachPodResponse>(&v1::NodeService::Stub::AttachPod, request);
  }
  Status detach_pod(const v1::DetachPodRequest& request) override {
    auto response = call<v1::DetachPodResponse>(&v1::NodeService::Stub::DetachPod, request);
    if (!response) return std::unexpected(response.error());
    return {};
  }
  Result<v1::GetStatusResponse> status() override {
    return call<v1::GetStatusResponse>(&v1::NodeService::Stub::GetStatus, v1::GetStatusRequest());
  }

 private:
  template <typename Response, typename Request>
  Result<Response> call(grpc::Status (v1::NodeService::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                        const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline_);
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (status.ok()) return response;
    Error error = from_grpc(status);
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      error.message = "no daemon answers on " + socket_.string() + ": is sluiced running? (" + error.message + ")";
    } else if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      error.message =
          "the daemon on " + socket_.string() + " did not answer in " + std::to_string(deadline_.count()) + " ms";
    }
    return std::unexpected(std::move(error));
  }

  std::filesystem::path socket_;
  std::chrono::milliseconds deadline_;
  std::unique_ptr<v1::NodeService::Stub> stub_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::open(const std::filesystem::path& socket, std::chrono::milliseconds deadline) {
  if (auto valid = check_socket_path(socket); !valid) return std::unexpected(valid.error());
  return std::make_unique<GrpcClient>(socket, deadline);
}

}  // namespace sluice::api
