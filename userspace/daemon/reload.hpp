// SPDX-License-Identifier: Apache-2.0
// What a configuration that was read again changes.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"

namespace sluice::daemon {

/// Keys, by their names in the file, whose values differ between two configurations.
struct Differences {
  std::vector<std::string_view> live;           ///< can change while the daemon runs
  std::vector<std::string_view> needs_restart;  ///< were used once, at the start
  [[nodiscard]] bool has_live(std::string_view key) const { return std::ranges::find(live, key) != live.end(); }
};

Differences differences(const Config& running, const Config& read);

/// All keys of the file's top level that differences() knows.
std::vector<std::string_view> compared_keys();

}  // namespace sluice::daemon
