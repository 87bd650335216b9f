// SPDX-License-Identifier: Apache-2.0
// Calls a daemon over its unix socket.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "api/sluice.pb.h"
#include "base/result.hpp"

namespace sluice::api {

class Client {
 public:
  /// Does not connect yet. Each call ends after `deadline` at the latest.
  static Result<std::unique_ptr<Client>> open(const std::filesystem::path& socket,
                                              std::chrono::milliseconds deadline = std::chrono::seconds(30));
  virtual ~Client() = default;

  // The daemon's errors keep their code. kUnavailable with the socket's path: nobody answers there.
  virtual Result<v1::AttachPodResponse> attach_pod(const v1::AttachPodRequest& request) = 0;
  virtual Status detach_pod(const v1::DetachPodRequest& request) = 0;
  virtual Result<v1::GetStatusResponse> status() = 0;
};

}  // namespace sluice::api
