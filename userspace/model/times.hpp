// SPDX-License-Identifier: Apache-2.0
// Durations and moments as users write them. A moment is milliseconds since 1970 (UTC): the only clock that means the
// same after a restart, and on another machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice::model {

/// The longest time that a pod is given to lose its flows: whoever wants more wants no deadline.
inline constexpr std::chrono::milliseconds kLongestGrace = std::chrono::hours(24);

/// "100ms", "30s", "5m", "2h"; at most a year.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// A duration, or seconds without a unit; 1 ms to kLongestGrace.
Result<std::chrono::milliseconds> parse_grace(std::string_view text);
/// The same of a number that came over the wire.
Status check_grace(std::int64_t milliseconds);

/// The end of the year 9999, which is as far as the texts go.
inline constexpr std::int64_t kLatestMoment = 253402300799999;
/// "2026-01-31T12:00:00Z", with milliseconds if there are any: "2026-01-31T12:00:00.250Z". 0 to kLatestMoment.
std::string moment_text(std::int64_t milliseconds);
/// What moment_text() gives (RFC 3339 in UTC, one to three decimals).
Result<std::int64_t> parse_moment(std::string_view text);
/// The wall clock.
std::int64_t moment_now();

}  // namespace sluice::model
