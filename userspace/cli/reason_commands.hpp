// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `reasons`: the list of verdict reasons, from which docs/reasons.md is made.
void add_reason_commands(CLI::App& root, Invocation& invocation);

}  // namespace sluice::cli
