// SPDX-License-Identifier: Apache-2.0
// The place of a unix socket.
#pragma once

#include <filesystem>

#include "base/result.hpp"

namespace sluice::api {

/// kInvalid unless the path is absolute and fits a sockaddr_un (107 bytes).
Status check_socket_path(const std::filesystem::path& path);

/// Makes the folder (0755) if it is missing and removes a socket on which nobody listens. kPrecondition if somebody
/// does, kExists if the path is something other than a socket.
Status clear_socket_path(const std::filesystem::path& path);

}  // namespace sluice::api
