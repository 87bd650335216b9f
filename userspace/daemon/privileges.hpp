// SPDX-License-Identifier: Apache-2.0
// The daemon's capabilities (docs/security.md says what each is for).
#pragma once

#include <span>
#include <string_view>

#include "base/result.hpp"

namespace sluice::daemon {

/// Names as in capabilities(7), of all that the daemon keeps.
std::span<const std::string_view> kept_capabilities();

/// Gives up, for good, every other capability of this thread and of what it starts: permitted, effective, inheritable,
/// ambient and bounding sets; and sets no_new_privs. Must be called before any thread is made. Capabilities that the
/// process never had are no failure: the calls that need them say so.
Status drop_privileges();

}  // namespace sluice::daemon
