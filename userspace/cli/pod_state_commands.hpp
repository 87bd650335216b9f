// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `pod drain`, `pod undrain`.
void add_pod_state_commands(CLI::App& pod, Invocation& invocation);

}  // namespace sluice::cli
