// SPDX-License-Identifier: Apache-2.0
#include "api/server.hpp"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "api/node_api.hpp"
#include "api/resource_api.hpp"
#include "api/socket_path.hpp"
#include "api/watch.hpp"
#include "base/fd.hpp"
#include "node/log.hpp"

namespace sluice::api {
namespace {

constexpr int kLargestMessage = 64 * 1024 * 1024;  // a set of 100,000 resources
constexpr int kMostThreads = 32;
constexpr std::size_t kMostPeers = 256;  // users with a server of their own, beside root
constexpr int kBacklog = 128;

/// The gRPC server of one user on one of the sockets.
class PeerServer {
 public:
  PeerServer(node::Node& node, store::Repository& repository, WatchHub& watches, const std::string& version, Peer peer)
      : resources_(repository, node, watches, peer), node_(node, version, peer) {}

  Status start() {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kLargestMessage);
    builder.SetMaxSendMessageSize(kLargestMessage);
    grpc::ResourceQuota quota("sluice.v1");
    builder.SetResourceQuota(quota.SetMaxThreads(kMostThreads));
    builder.RegisterService(&resources_);
    builder.RegisterService(&node_);
    server_ = builder.BuildAndStart();
    if (!server_) return fail(ErrorCode::kSystem, "socket: cannot start a gRPC server");
    for (const char* service : {"sluice.v1.ResourceService", "sluice.v1.NodeService", ""})
      server_->GetHealthCheckService()->SetServingStatus(service, true);
    return {};
  }
  /// The connection is the server's from now on.
  void take(UniqueFd connection) { grpc::AddInsecureChannelFromFd(server_.get(), connection.release()); }
  void stop(std::chrono::system_clock::time_point deadline) {
    server_->Shutdown(deadline);
    server_->Wait();
  }

 private:
  ResourceApi resources_;
  NodeApi node_;
  std::unique_ptr<grpc::Server> server_;
};

/// The socket never has more rights than it is meant to have: the umask holds while it is made.
Result<UniqueFd> listen_on(const SocketOptions& options) {
  if (auto clear = clear_socket_path(options.path); !clear) return std::unexpected(clear.error());
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return fail_errno("make a unix socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, options.path.c_str(), options.path.native().size());
  const mode_t before = ::umask(0177);
  const int bound = ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int failure = errno;
  ::umask(before);
  const std::string place = "socket " + options.path.string();
  if (bound != 0) return fail_errno("bind " + place, failure);
  // The mode before the owner: only an owner may change it, unless it has CAP_FOWNER.
  if (::chmod(options.path.c_str(), options.mode) != 0) return fail_errno("chmod " + place);
  if (options.owner || options.group) {
    const uid_t owner = options.owner.value_or(static_cast<uid_t>(-1));
    const gid_t group = options.group.value_or(static_cast<gid_t>(-1));
    if (::chown(options.path.c_str(), owner, group) != 0) return fail_errno("change the owner of " + place);
  }
  if (::listen(listener.get(), kBacklog) != 0) return fail_errno("listen on " + place);
  return listener;
}

Result<Peer> peer_of(int connection) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return fail_errno("SO_PEERCRED");
  spdlog::debug("event=connected uid={} gid={} pid={}", credentials.uid, credentials.gid, credentials.pid);
  return Peer{.uid = credentials.uid, .gid = credentials.gid};
}

class GrpcServer final : public Server {
 public:
  GrpcServer(node::Node& node, store::Repository& repository, std::string version, UniqueFd wake)
      : node_(node),
        repository_(repository),
        version_(std::move(version)),
        wake_(std::move(wake)),
        watches_(std::make_unique<WatchHub>(repository)) {}
  ~GrpcServer() override { stop(); }

  Status listen(const ServerOptions& options) {
    const auto add = [this](const SocketOptions& socket, bool read_only) -> Status {
      auto listener = listen_on(socket);
      if (!listener) return std::unexpected(listener.error());
      listeners_.push_back({std::move(*listener), read_only});
      return {};
    };
    if (auto added = add(options.socket, false); !added) return added;
    if (options.read_only_socket) {
      if (auto added = add(*options.read_only_socket, true); !added) return added;
    }
    thread_ = std::thread([this] { accept_all(); });
    return {};
  }

  void stop() override {
    if (!watches_) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof(one));
    if (thread_.joinable()) thread_.join();
    listeners_.clear();
    watches_->stop();
    const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(2);
    for (auto& [peer, server] : servers_) server->stop(deadline);
    watches_.reset();
    servers_.clear();
  }

 private:
  struct Listener {
    UniqueFd fd;
    bool read_only = false;
  };

  void accept_all() {
    std::vector<pollfd> waiting{{wake_.get(), POLLIN, 0}};
    for (const Listener& listener : listeners_) waiting.push_back({listener.fd.get(), POLLIN, 0});
    while (true) {
      if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
      if ((waiting.front().revents & POLLIN) != 0) return;
      for (std::size_t i = 0; i < listeners_.size(); i++) {
        if ((waiting[i + 1].revents & POLLIN) != 0) accept_one(listeners_[i]);
      }
    }
  }

  void accept_one(const Listener& listener) {
    UniqueFd connection(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
      spdlog::warn("event=accept_failed error={}", node::quote(std::strerror(errno)));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));  // out of descriptors: it stays readable
      return;
    }
    auto peer = peer_of(connection.get());
    if (!peer) return;
    peer->read_only = listener.read_only;
    auto server = server_of(*peer);
    if (!server) {
      spdlog::warn("event=connection_refused uid={} error={}", peer->uid, node::quote(server.error().message));
      return;
    }
    (*server)->take(std::move(connection));
  }

  Result<PeerServer*> server_of(const Peer& peer) {
    if (const auto found = servers_.find(peer); found != servers_.end()) return found->second.get();
    if (servers_.size() >= kMostPeers && peer.uid != 0)
      return fail(ErrorCode::kExhausted, "too many users of the socket");
    auto server = std::make_unique<PeerServer>(node_, repository_, *watches_, version_, peer);
    if (auto started = server->start(); !started) return std::unexpected(started.error());
    return servers_.emplace(peer, std::move(server)).first->second.get();
  }

  node::Node& node_;
  store::Repository& repository_;
  const std::string version_;
  UniqueFd wake_;  ///< eventfd: stop
  std::unique_ptr<WatchHub> watches_;
  std::vector<Listener> listeners_;
  std::map<Peer, std::unique_ptr<PeerServer>> servers_;  ///< the accepting thread's while it runs
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(node::Node& node, store::Repository& repository,
                                              const ServerOptions& options) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return fail_errno("eventfd");
  auto server = std::make_unique<GrpcServer>(node, repository, options.version, std::move(wake));
  if (auto listening = server->listen(options); !listening) return std::unexpected(listening.error());
  return server;
}

}  // namespace sluice::api
