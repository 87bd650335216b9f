// SPDX-License-Identifier: Apache-2.0
// What sluicectl's exit status means; docs/sluicectl.md and sluicectl(8) list the same numbers.
#pragma once

#include "base/result.hpp"

namespace sluice::cli {

enum class ExitStatus : int {
  kOk = 0,
  kNotFound = 1,     ///< nothing matched a filter, a resource does not exist, a check failed, or a comparison differs
  kUsage = 2,        ///< the command line or a value in it is wrong
  kUnreachable = 3,  ///< the daemon does not answer on its socket
  kPermission = 4,   ///< privilege is missing
  kNoPins = 5,       ///< the pinned maps are not where they are looked for
  kFailed = 6,       ///< anything else: a system call, or maps of another layout
  kRefused = 7,      ///< the daemon refused: exists already, in use, changed by somebody else, or a limit is reached
};

/// The status for a failure to read the pinned maps, where kPrecondition means that there are none.
constexpr ExitStatus exit_status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return ExitStatus::kUsage;
    case ErrorCode::kNotFound:
      return ExitStatus::kNotFound;
    case ErrorCode::kPermission:
      return ExitStatus::kPermission;
    case ErrorCode::kPrecondition:
      return ExitStatus::kNoPins;
    default:
      return ExitStatus::kFailed;
  }
}

}  // namespace sluice::cli
