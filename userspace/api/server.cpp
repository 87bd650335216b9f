// SPDX-License-Identifier: Apache-2.0
#include "api/server.hpp"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
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

#include "api/connections.hpp"
#include "api/limits.hpp"
#include "api/peer_server.hpp"
#include "api/socket_path.hpp"
#include "api/watch.hpp"
#include "base/fd.hpp"
#include "node/log.hpp"

namespace sluice::api {
namespace {

constexpr int kBacklog = 128;

// Connections that were one too many, on their way to an answer: more of them are closed without one.
constexpr std::size_t kMostRefused = 64;
constexpr std::size_t kMostRefusedOfUser = 8;

enum class Refusal : std::uint8_t { kUsersConnections, kConnections, kServers };

Error error_of(Refusal refusal, const Limits& limits) {
  const auto error = [](std::uint64_t value, const std::string& problem, const std::string& remedy) {
    Error made{ErrorCode::kExhausted, "connections: " + problem + "; " + remedy};
    made.details.push_back({"socket", "connections", std::to_string(value), problem, remedy});
    return made;
  };
  switch (refusal) {
    case Refusal::kUsersConnections:
      return error(limits.connections_of_user,
                   "this user has " + std::to_string(limits.connections_of_user) + " already, as many as one may have",
                   "close some, or raise max_connections_per_user in the daemon's configuration");
    case Refusal::kConnections:
      return error(limits.connections,
                   "the users of the sockets have " + std::to_string(limits.connections) +
                       " together, as many as the daemon takes",
                   "close some, or raise max_connections in the daemon's configuration");
    case Refusal::kServers:
      return error(kMostServersOfUser,
                   "too many users, or users with too many groups, are connected (at most " +
                       std::to_string(kMostServers) + ", and of one user " + std::to_string(kMostServersOfUser) + ")",
                   "use one group, and close the connections of users that are not needed");
  }
  return {};
}

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
  GrpcServer(node::Node& node, store::Repository& repository, const ServerOptions& options, UniqueFd wake)
      : version_(options.version),
        limits_(options.limits),
        wake_(std::move(wake)),
        watches_(std::make_unique<WatchHub>(repository, limits_)),
        shared_{node, repository, *watches_, replies_, limits_, version_} {}
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
    for (auto& [reason, server] : refusing_) server->stop();
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
    if (is_limited(*peer)) {
      const auto verdict = connections_.take(*peer, connection.get());
      if (verdict == Connections::Verdict::kTooManyOfUser)
        return refuse(*peer, std::move(connection), Refusal::kUsersConnections);
      if (verdict == Connections::Verdict::kTooMany) return refuse(*peer, std::move(connection), Refusal::kConnections);
      if (!has_room_for(*peer)) return refuse(*peer, std::move(connection), Refusal::kServers);
    }
    auto server = server_of(*peer);
    if (!server) {
      spdlog::warn("event=connection_refused uid={} error={}", peer->uid, node::quote(server.error().message));
      return;
    }
    (*server)->take(std::move(connection));
  }

  void refuse(const Peer& peer, UniqueFd connection, Refusal reason) {
    spdlog::debug("event=connection_refused uid={} reason={}", peer.uid, static_cast<int>(reason));
    if (refused_.take(peer, connection.get()) != Connections::Verdict::kTaken) return;
    auto& server = refusing_[reason];
    if (!server) {
      auto made = std::make_unique<RefusingServer>(error_of(reason, limits_));
      if (!made->start()) return;
      server = std::move(made);
    }
    server->take(std::move(connection));
  }

  /// Whether the peer has a server or may get one. One without connections and calls makes room.
  bool has_room_for(const Peer& peer) {
    if (servers_.contains(peer)) return true;
    const auto is_users = [&peer](const auto& entry) { return entry.first.uid == peer.uid; };
    const auto counts = [](const auto& entry) { return is_limited(entry.first); };
    const auto full = [this](const auto& which, std::size_t most) {
      return static_cast<std::size_t>(std::ranges::count_if(servers_, which)) >= most;
    };
    if (full(is_users, kMostServersOfUser) && !drop_idle(is_users)) return false;
    return !full(counts, kMostServers) || drop_idle(counts);
  }

  template <typename Which>
  bool drop_idle(Which which) {
    const auto idle = std::ranges::find_if(servers_, [&](const auto& entry) {
      return which(entry) && !connections_.any(entry.first) && !entry.second->has_calls();
    });
    if (idle == servers_.end()) return false;
    idle->second->stop(std::chrono::system_clock::now());
    servers_.erase(idle);
    return true;
  }

  Result<PeerServer*> server_of(const Peer& peer) {
    if (const auto found = servers_.find(peer); found != servers_.end()) return found->second.get();
    auto server = std::make_unique<PeerServer>(shared_, peer);
    if (auto started = server->start(); !started) return std::unexpected(started.error());
    return servers_.emplace(peer, std::move(server)).first->second.get();
  }

  const std::string version_;
  const Limits limits_;
  Replies replies_{kMostReplyBytes, kMostReplyBytesOfUser};
  UniqueFd wake_;  ///< eventfd: stop
  std::unique_ptr<WatchHub> watches_;
  const Shared shared_;
  std::vector<Listener> listeners_;

  // The accepting thread's while it runs.
  Connections connections_{limits_.connections, limits_.connections_of_user};
  Connections refused_{kMostRefused, kMostRefusedOfUser};
  std::map<Peer, std::unique_ptr<PeerServer>> servers_;
  std::map<Refusal, std::unique_ptr<RefusingServer>> refusing_;
  std::thread thread_;
};

}  // namespace

/// A connection whose other end has gone may be open a moment longer, so there are up to twice as many.
std::size_t descriptors_of(const Limits& limits) {
  return 2 * (std::size_t{limits.connections} + kMostRefused);
}

Result<std::unique_ptr<Server>> Server::start(node::Node& node, store::Repository& repository,
                                              const ServerOptions& options) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return fail_errno("eventfd");
  auto server = std::make_unique<GrpcServer>(node, repository, options, std::move(wake));
  if (auto listening = server->listen(options); !listening) return std::unexpected(listening.error());
  return server;
}

}  // namespace sluice::api
