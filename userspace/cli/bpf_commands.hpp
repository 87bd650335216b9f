// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// `bpf ports|endpoints|frontends|backends|rings|flows|counters`.
void add_bpf_commands(CLI::App& root, Invocation& invocation);

}  // namespace sluice::cli
