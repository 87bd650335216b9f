// SPDX-License-Identifier: Apache-2.0
// What happened in a session until the worlds differed: to be written to a file, replayed, and made smaller.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comparison.hpp"

namespace model {

struct Recording {
  std::uint64_t seed = 0;  ///< of the session
  std::vector<Event> events = {};
};

/// One line each: "session SEED", then "change SEED" and "packet ENTRY DEVICE HEXADECIMAL"; "#" begins a comment.
std::string to_text(const Recording& recording);
/// Throws if a line is none of those.
Recording from_text(const std::string& text);

/// Runs the events in a new session: the first difference, or that of the tables at the end; empty if there is none.
std::string replay(const Recording& recording);

/// Leaves out events and shortens frames for as long as `differs` says that the difference remains.
Recording minimised(Recording recording, const std::function<bool(const Recording&)>& differs);

}  // namespace model
