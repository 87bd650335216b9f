// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `--grace`: how long a pod may keep its flows.
void add_grace_option(CLI::App& command, const std::string& help,
                      const std::function<void(std::chrono::milliseconds)>& store);

/// `pod drain`, `pod undrain`.
void add_pod_state_commands(CLI::App& pod, Invocation& invocation);

}  // namespace sluice::cli
