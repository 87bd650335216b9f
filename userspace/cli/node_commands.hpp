// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `pod attach`, `pod detach`, `status`.
void add_node_commands(CLI::App& root, Invocation& invocation);

/// `--socket`: the daemon's socket. Taken before and after the command's name.
void add_socket_option(CLI::App& command, Invocation& invocation);

/// The path as the daemon must see it: absolute, and without /proc/self, which would be the daemon's own.
std::string netns_path_for_daemon(const std::string& path);

}  // namespace sluice::cli
