// SPDX-License-Identifier: Apache-2.0
// How many files the process may have open (RLIMIT_NOFILE).
#pragma once

#include <cstddef>

#include "base/result.hpp"

namespace sluice::daemon {

/// Raises the limit as far as it goes: shells and services often start with 1,024. kPrecondition if `for_sockets` and
/// what the rest of the daemon takes do not fit into it, so that no caller can ever use up what the others need.
Status provide_descriptors(std::size_t for_sockets);

}  // namespace sluice::daemon
