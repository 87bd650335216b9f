// SPDX-License-Identifier: Apache-2.0
// The store as a file, and the daemon's consent to one that was replaced.
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `store backup`, `restore`, `reset`, `inspect`, `adopt`.
void add_store_commands(CLI::App& root, Invocation& invocation);

}  // namespace sluice::cli
