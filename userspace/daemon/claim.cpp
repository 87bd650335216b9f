// SPDX-License-Identifier: Apache-2.0
#include "daemon/claim.hpp"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace sluice::daemon {
namespace {

/// True if the socket of that address belongs to another user than ours.
bool is_of_another_user(const sockaddr_un& address, socklen_t size) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return false;
  // Whoever does not listen yet may be a daemon that starts at this moment: taken for one.
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return false;
  ucred peer{};
  socklen_t peer_size = sizeof(peer);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0) return false;
  return peer.uid != ::geteuid();
}

}  // namespace

Result<UniqueFd> claim_prefix(const std::string& prefix) {
  const std::string name = "sluice-" + prefix;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() + 1 > sizeof(address.sun_path)) {
    return fail(ErrorCode::kInvalid, "device_prefix: \"" + prefix + "\" is too long");
  }
  std::memcpy(&address.sun_path[1], name.data(), name.size());  // a zero before it: abstract
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("socket");
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) {
    if (::listen(socket.get(), 16) != 0) return fail_errno("listen on @" + name);
    return socket;
  }
  if (errno != EADDRINUSE) return fail_errno("bind @" + name);
  if (is_of_another_user(address, size)) {
    spdlog::warn("event=prefix_not_claimed prefix={} socket=@{} cause=held_by_another_user", prefix, name);
    return socket;
  }
  return fail(ErrorCode::kPrecondition, "device_prefix: another sluiced uses \"" + prefix +
                                            "\" in this network namespace (it holds the socket @" + name +
                                            "); stop it, or give this one another device_prefix and other uplinks");
}

}  // namespace sluice::daemon
