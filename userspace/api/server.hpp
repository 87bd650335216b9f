// SPDX-License-Identifier: Apache-2.0
// The API on unix sockets: sluice.v1.ResourceService and NodeService, server reflection and health.
//
// gRPC does not tell who called by a unix socket. So connections are accepted here, asked for SO_PEERCRED, and handed
// to a gRPC server that belongs to the caller's user: its services know for whom they work. The limits hold there too:
// before gRPC has taken anything of a connection.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "api/limits.hpp"
#include "base/result.hpp"
#include "node/node.hpp"
#include "store/repository.hpp"

namespace sluice::api {

struct SocketOptions {
  std::filesystem::path path;
  mode_t mode = 0600;
  std::optional<uid_t> owner;  ///< nothing: the daemon's
  std::optional<gid_t> group;
};

struct ServerOptions {
  SocketOptions socket{.path = "/run/sluice/sluice.sock", .mode = 0600, .owner = {}, .group = {}};
  std::optional<SocketOptions> read_only_socket;
  std::string version;
  Limits limits{};
};

/// Descriptors that the sockets may need at most, those of root's connections aside.
std::size_t descriptors_of(const Limits& limits);

class Server {
 public:
  /// Begins to answer; node and repository must outlive the server. Requests wait for the node's loop, and are refused
  /// when it has ended.
  static Result<std::unique_ptr<Server>> start(node::Node& node, store::Repository& repository,
                                               const ServerOptions& options);
  virtual ~Server() = default;

  /// Takes no new request, ends watches, and waits for what else runs, up to two seconds.
  virtual void stop() = 0;
};

}  // namespace sluice::api
