// SPDX-License-Identifier: Apache-2.0
// Namespaces whose servers answer every connection with one byte.
#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::benchmark {

/// A network namespace of its own.
Result<UniqueFd> new_namespace();
/// As a daemon finds it by path.
std::string path_of(const UniqueFd& netns);

/// Listens in many namespaces, accepts on one thread.
class ByteServer {
 public:
  static constexpr std::uint16_t kPort = 8080;

  ByteServer() = default;
  ~ByteServer();
  ByteServer(const ByteServer&) = delete;
  ByteServer& operator=(const ByteServer&) = delete;

  /// On 0.0.0.0:8080 of this namespace. Before start().
  Status listen(const UniqueFd& netns);
  Status start();

 private:
  void serve() const;

  UniqueFd epoll_;
  UniqueFd end_;
  std::vector<UniqueFd> listeners_;
  std::thread thread_;
};

/// A TCP socket in this namespace whose calls end after five seconds.
Result<UniqueFd> client_socket(const UniqueFd& netns);
/// Connects and reads one byte.
Status fetch_byte(const UniqueFd& socket, const std::string& address, std::uint16_t port);

}  // namespace sluice::benchmark
