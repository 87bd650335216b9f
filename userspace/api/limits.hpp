// SPDX-License-Identifier: Apache-2.0
// How much of the daemon its callers may take. Root is neither counted nor limited: whatever the others do, it gets in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api/peer.hpp"

namespace sluice::api {

/// From the configuration. Of users: by the uid of SO_PEERCRED, whatever their group and whichever socket.
struct Limits {
  std::uint32_t connections = 1024;  ///< of all users together
  std::uint32_t connections_of_user = 64;
  std::uint32_t watches = 1024;  ///< of all users together
  std::uint32_t watches_of_user = 256;
};

inline bool is_limited(const Peer& peer) {
  return peer.uid != 0;
}

// What one gRPC server, which works for one user of one group on one socket, may take.
inline constexpr int kMostThreads = 32;
inline constexpr std::size_t kMostServers = 64;       ///< of all users but root
inline constexpr std::size_t kMostServersOfUser = 8;  ///< groups and sockets that it comes with
/// Calls at once over one connection, beside as many watches as the user may have. HTTP/2 lets the others wait.
inline constexpr int kMostCallsOfConnection = 64;
inline constexpr int kLargestMessage = 64 * 1024 * 1024;  ///< a set of 100,000 resources
inline constexpr int kLargestQuestion = 64 * 1024;        ///< over the read-only socket
/// Buffers for what comes in. gRPC looks at a message's size only after it has taken all of it.
inline constexpr std::size_t kWritersMemory = 256UL * 1024 * 1024;
inline constexpr std::size_t kReadersMemory = 32UL * 1024 * 1024;

// Replies that were made and have not been taken yet.
inline constexpr std::size_t kMostReplyBytesOfUser = 256UL * 1024 * 1024;
inline constexpr std::size_t kMostReplyBytes = 1024UL * 1024 * 1024;

}  // namespace sluice::api
