// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `pod attach|detach|drain|undrain`, `status`, `log-level`.
void add_node_commands(CLI::App& root, Invocation& invocation);

/// The path as the daemon must see it: absolute, and without /proc/self, which would be the daemon's own.
std::string netns_path_for_daemon(const std::string& path);

}  // namespace sluice::cli
