// SPDX-License-Identifier: Apache-2.0
// The API on a unix socket: sluice.v1.NodeService, server reflection and health.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "node/node.hpp"

namespace sluice::api {

struct ServerOptions {
  std::filesystem::path socket = "/run/sluice/sluice.sock";
  mode_t mode = 0600;
  std::string version;
};

class Server {
 public:
  /// Begins to answer; the node must outlive the server. Requests wait for the node's loop, and are refused when it
  /// has ended. The process' umask is changed for a moment: no other thread may make files meanwhile.
  static Result<std::unique_ptr<Server>> start(node::Node& node, const ServerOptions& options);
  virtual ~Server() = default;

  /// Takes no new request and waits for those that run, up to two seconds.
  virtual void stop() = 0;
};

}  // namespace sluice::api
