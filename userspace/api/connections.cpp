// SPDX-License-Identifier: Apache-2.0
#include "api/connections.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

namespace sluice::api {
namespace {

/// Nothing if the descriptor is no socket, or closed.
std::optional<std::uint64_t> cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return std::nullopt;
  return cookie;
}

bool hung_up(int fd) {
  pollfd asked{fd, 0, 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

Connections::Verdict Connections::take(const Peer& peer, int fd) {
  const auto verdict = judge(peer.uid);
  if (verdict == Verdict::kTaken) connections_.push_back({peer, fd, cookie_of(fd).value_or(0)});
  return verdict;
}

bool Connections::any(const Peer& peer) {
  forget_closed();
  return std::ranges::find(connections_, peer, &Connection::peer) != connections_.end();
}

/// The kernel is asked only where the number that is remembered, which is never too small, is too great.
Connections::Verdict Connections::judge(uid_t uid) {
  const auto of_user = [uid](const Connection& connection) { return connection.peer.uid == uid; };
  const auto of_all = [](const Connection&) { return true; };
  if (static_cast<std::size_t>(std::ranges::count_if(connections_, of_user)) >= most_of_user_) {
    forget_closed();
    const Count users = count(of_user);
    if (users.open >= most_of_user_ || users.closing >= kMostClosing) return Verdict::kTooManyOfUser;
  }
  if (connections_.size() >= most_) {
    forget_closed();
    const Count all = count(of_all);
    if (all.open >= most_ || all.closing >= most_) return Verdict::kTooMany;
  }
  return Verdict::kTaken;
}

template <typename Which>
Connections::Count Connections::count(Which which) const {
  Count count;
  for (const Connection& connection : connections_) {
    if (which(connection)) (hung_up(connection.fd) ? count.closing : count.open)++;
  }
  return count;
}

void Connections::forget_closed() {
  std::erase_if(connections_,
                [](const Connection& connection) { return cookie_of(connection.fd) != connection.cookie; });
}

}  // namespace sluice::api
