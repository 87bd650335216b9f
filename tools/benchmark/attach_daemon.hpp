// SPDX-License-Identifier: Apache-2.0
// A real sluiced with manifests, state, socket and pins of its own, in the network namespace of the calling thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "api/client.hpp"
#include "base/result.hpp"

namespace sluice::benchmark {

inline constexpr unsigned kPodsOfService = 3;

/// "172.16.128.1" and up, one for each service.
std::string service_address(unsigned service);
/// A pod of a service.
std::string pod_name(unsigned service, unsigned pod);

class Daemon {
 public:
  /// With manifests: one network, a client, `services` services with three pods each.
  static Result<std::unique_ptr<Daemon>> make(const std::filesystem::path& program, unsigned services);
  /// Whose state comes by the API; it is empty at first.
  static Result<std::unique_ptr<Daemon>> make_empty(const std::filesystem::path& program);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Returns when the daemon accepts connections, before any request.
  Status start();
  Status stop();
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// A client that has not called yet.
  [[nodiscard]] Result<std::unique_ptr<api::Client>> client() const {
    return api::Client::open(folder_ / "socket", std::chrono::seconds(120));
  }

 private:
  Daemon(std::filesystem::path program, std::filesystem::path folder, std::filesystem::path pins)
      : program_(std::move(program)), folder_(std::move(folder)), pins_(std::move(pins)) {}
  static Result<std::unique_ptr<Daemon>> make_folder(const std::filesystem::path& program);
  Status write_manifests(unsigned services) const;
  Status write_config(bool manifests) const;
  [[nodiscard]] bool accepts() const;
  /// The end of the daemon's log.
  [[nodiscard]] std::string log() const;

  std::filesystem::path program_;
  std::filesystem::path folder_;
  std::filesystem::path pins_;
  pid_t process_ = 0;
};

}  // namespace sluice::benchmark
