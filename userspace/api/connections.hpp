// SPDX-License-Identifier: Apache-2.0
// Which connections there are, by user.
//
// gRPC owns their descriptors and does not tell when it closes one, so the kernel is asked when the number matters: a
// descriptor that is closed, or is another socket by now, is the connection no more. Sockets are told apart by their
// cookie (SO_COOKIE, socket(7)), which the kernel gives to no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "api/peer.hpp"
#include "base/result.hpp"

namespace sluice::api {

/// For one thread.
class Connections {
 public:
  Connections(std::size_t most, std::size_t most_of_user) : most_(most), most_of_user_(most_of_user) {}

  enum class Verdict { kTaken, kTooManyOfUser, kTooMany };
  /// Counts the connection from now on, unless it is one too many.
  Verdict take(const Peer& peer, int fd);
  /// Whether the peer has any, as the kernel says now.
  bool any(const Peer& peer);

 private:
  /// Whose other end has hung up does not count, because gRPC closes it in a moment; but no more than so many of a user
  /// and in all, because a call that still runs for it keeps it open.
  static constexpr std::size_t kMostClosing = 16;

  struct Connection {
    Peer peer;
    int fd = -1;
    std::uint64_t cookie = 0;
  };
  struct Count {
    std::size_t open = 0;
    std::size_t closing = 0;
  };

  [[nodiscard]] Verdict judge(uid_t uid);
  template <typename Which>
  [[nodiscard]] Count count(Which which) const;
  void forget_closed();

  const std::size_t most_;
  const std::size_t most_of_user_;
  std::vector<Connection> connections_;  ///< and some that have been closed since
};

}  // namespace sluice::api
