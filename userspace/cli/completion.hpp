// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `completion bash|zsh|fish`, and the hidden `complete` that the scripts call. Added last: it looks at all others.
void add_completion_command(CLI::App& root, Invocation& invocation);

}  // namespace sluice::cli
