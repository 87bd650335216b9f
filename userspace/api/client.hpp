// SPDX-License-Identifier: Apache-2.0
// Calls a daemon over its unix socket.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "api/sluice.pb.h"
#include "base/result.hpp"

namespace sluice::api {

class Client {
 public:
  /// Does not connect yet. Each call ends after `deadline` at the latest, but for watch().
  static Result<std::unique_ptr<Client>> open(const std::filesystem::path& socket,
                                              std::chrono::milliseconds deadline = std::chrono::seconds(30));
  virtual ~Client() = default;

  // The daemon's errors keep their code and details. kUnavailable with the socket's path: nobody answers there.
  virtual Result<v1::Resource> get(const v1::ResourceKey& key) = 0;
  virtual Result<v1::ListResponse> list(const v1::ListRequest& request) = 0;
  /// What the request waits for is added to the deadline.
  virtual Result<v1::ApplyResponse> apply(const v1::ApplyRequest& request) = 0;
  virtual Result<v1::ApplyResponse> remove(const v1::DeleteRequest& request) = 0;
  /// Calls `on_response` for each response until it returns false or the daemon ends the stream without an error.
  virtual Status watch(const v1::WatchRequest& request,
                       const std::function<bool(const v1::WatchResponse&)>& on_response) = 0;

  virtual Result<v1::AttachPodResponse> attach_pod(const v1::AttachPodRequest& request) = 0;
  virtual Result<v1::DetachPodResponse> detach_pod(const v1::DetachPodRequest& request) = 0;
  virtual Result<v1::GetStatusResponse> status() = 0;
  virtual Result<v1::DescribeResponse> describe(const v1::ResourceKey& key) = 0;
  /// Gives back the level that was in force.
  virtual Result<std::string> set_log_level(const std::string& level) = 0;
  /// Gives back why writes were refused; empty if they were not.
  virtual Result<std::string> adopt_store() = 0;
};

}  // namespace sluice::api
