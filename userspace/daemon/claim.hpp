// SPDX-License-Identifier: Apache-2.0
// One daemon for each device prefix and network namespace.
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::daemon {

/// Takes the device prefix in this network namespace for as long as the descriptor lives; it goes with the process
/// however that ends. kPrecondition if another daemon has it: its pods' devices are, by their names, leftovers to us.
///
/// An abstract unix socket, because those are the namespace's own, whatever folders a container sees. Every local user
/// may bind one, so a socket that another user holds is no daemon's and does not keep this one from starting.
Result<UniqueFd> claim_prefix(const std::string& prefix);

}  // namespace sluice::daemon
