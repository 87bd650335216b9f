// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "api/sluice.pb.h"
#include "cli/report.hpp"

namespace sluice::cli {

/// Prints what the daemon says about itself: a summary, its pods, its services; or all of it as one JSON document.
void print_status(const v1::GetStatusResponse& status, Format format, std::ostream& out);

}  // namespace sluice::cli
