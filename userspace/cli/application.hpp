// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

/// Parses the command line and runs what it asks for.
ExitStatus run_application(int argc, const char* const* argv, const Streams& streams);

}  // namespace sluice::cli
