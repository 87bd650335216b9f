// SPDX-License-Identifier: Apache-2.0
// sluice.v1.NodeService over the node.
#pragma once

#include <string>

#include "api/peer.hpp"
#include "api/replies.hpp"
#include "api/sluice.grpc.pb.h"
#include "node/node.hpp"

namespace sluice::api {

class NodeApi final : public v1::NodeService::Service {
 public:
  /// Node and replies must outlive it.
  NodeApi(node::Node& node, Replies& replies, std::string version, Peer peer)
      : node_(node), replies_(replies), version_(std::move(version)), peer_(peer) {}

  grpc::Status AttachPod(grpc::ServerContext* context, const v1::AttachPodRequest* request,
                         v1::AttachPodResponse* response) override;
  grpc::Status DetachPod(grpc::ServerContext* context, const v1::DetachPodRequest* request,
                         v1::DetachPodResponse* response) override;
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status Describe(grpc::ServerContext* context, const v1::DescribeRequest* request,
                        v1::DescribeResponse* response) override;
  grpc::Status SetLogLevel(grpc::ServerContext* context, const v1::SetLogLevelRequest* request,
                           v1::SetLogLevelResponse* response) override;
  grpc::Status AdoptStore(grpc::ServerContext* context, const v1::AdoptStoreRequest* request,
                          v1::AdoptStoreResponse* response) override;

 private:
  grpc::Status answer(grpc::ServerContext* context, const char* call, const std::string& what,
                      const Status& outcome) const;

  node::Node& node_;
  Replies& replies_;
  std::string version_;
  Peer peer_;
};

}  // namespace sluice::api
