// SPDX-License-Identifier: Apache-2.0
// sluice.v1.ResourceService over the repository.
#pragma once

#include <string>

#include "api/peer.hpp"
#include "api/replies.hpp"
#include "api/sluice.grpc.pb.h"
#include "api/watch.hpp"
#include "node/node.hpp"
#include "store/repository.hpp"

namespace sluice::api {

class ResourceApi final : public v1::ResourceService::WithCallbackMethod_Watch<v1::ResourceService::Service> {
 public:
  /// All must outlive it.
  ResourceApi(store::Repository& repository, node::Node& node, WatchHub& watches, Replies& replies, Peer peer)
      : repository_(repository), node_(node), watches_(watches), replies_(replies), peer_(peer) {}

  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request, v1::Resource* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListRequest* request, v1::ListResponse* response) override;
  grpc::Status Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override;
  grpc::Status Delete(grpc::ServerContext* context, const v1::DeleteRequest* request,
                      v1::ApplyResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext* context,
                                                     const v1::WatchRequest* request) override;

 private:
  grpc::Status refuse_readers(grpc::ServerContext* context, const char* call) const;
  grpc::Status write(grpc::ServerContext* context, const char* call, Result<store::WriteRequest> request,
                     std::uint32_t wait_milliseconds, v1::ApplyResponse* response);

  store::Repository& repository_;
  node::Node& node_;
  WatchHub& watches_;
  Replies& replies_;
  Peer peer_;
};

}  // namespace sluice::api
