// SPDX-License-Identifier: Apache-2.0
#include "model/times.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <utility>

#include "model/names.hpp"

namespace sluice::model {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::string_view kGraceRule = "choose 1ms to 24h, or none for no deadline";

/// The decimal digits that stand at the front of `text`, as many as `least` to `most`; they are taken off it.
std::optional<int> take_digits(std::string_view& text, std::size_t least, std::size_t most) {
  const auto end = std::ranges::find_if(text, [](const char c) { return c < '0' || c > '9'; });
  const auto count = static_cast<std::size_t>(end - text.begin());
  if (count < least || count > most) return std::nullopt;
  int value = 0;
  std::from_chars(text.data(), text.data() + count, value);
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

/// ".250" and the like; nothing if it is none, 0 if there is no point.
std::optional<int> take_decimals(std::string_view& text) {
  if (!take(text, '.')) return 0;
  const std::size_t before = text.size();
  auto value = take_digits(text, 1, 3);
  for (std::size_t digits = before - text.size(); value && digits < 3; digits++) *value *= 10;
  return value;
}

std::optional<std::int64_t> read_moment(std::string_view text) {
  const auto year = take_digits(text, 4, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2, 2);
  if (!day || !take(text, 'T')) return std::nullopt;
  const auto hour = take_digits(text, 2, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2, 2);
  if (!minute || *minute > 59 || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2, 2);
  if (!second || *second > 59) return std::nullopt;
  const auto decimals = take_decimals(text);
  if (!decimals || text != "Z") return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (*year < 1970 || !date.ok()) return std::nullopt;
  const auto moment = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
                      std::chrono::minutes(*minute) + std::chrono::seconds(*second) + milliseconds(*decimals);
  return std::chrono::duration_cast<milliseconds>(moment).count();
}

}  // namespace

Result<nanoseconds> parse_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, nanoseconds>, 4> kUnits{{{"ms", milliseconds(1)},
                                                                                   {"s", std::chrono::seconds(1)},
                                                                                   {"m", std::chrono::minutes(1)},
                                                                                   {"h", std::chrono::hours(1)}}};
  std::uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  if (error == std::errc{}) {
    for (const auto& [name, length] : kUnits) {
      if (name != unit) continue;
      if (number > std::chrono::hours(24 * 366) / length) break;
      return number * length;
    }
  }
  return fail(ErrorCode::kInvalid,
              in_quotes(text) + " is no duration; write a whole number and ms, s, m or h, e.g. 30s");
}

Status check_grace(std::int64_t value) {
  if (value >= 1 && value <= kLongestGrace.count()) return {};
  return fail(ErrorCode::kInvalid, std::to_string(value) + " ms is out of range; " + std::string(kGraceRule));
}

Result<milliseconds> parse_grace(std::string_view text) {
  const bool bare = !text.empty() && std::ranges::all_of(text, [](const char c) { return c >= '0' && c <= '9'; });
  const auto parsed = parse_duration(bare ? std::string(text) + "s" : std::string(text));
  if (!parsed) {
    return fail(ErrorCode::kInvalid, in_quotes(text) +
                                         " is no grace; write seconds, or a whole number and ms, s, m or " +
                                         "h, e.g. 30s: " + std::string(kGraceRule));
  }
  const auto grace = std::chrono::duration_cast<milliseconds>(*parsed);
  if (check_grace(grace.count())) return grace;
  return fail(ErrorCode::kInvalid, in_quotes(text) + " is out of range; " + std::string(kGraceRule));
}

std::string moment_text(std::int64_t value) {
  const std::chrono::sys_time<milliseconds> moment{milliseconds(std::clamp<std::int64_t>(value, 0, kLatestMoment))};
  const auto days = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss time(moment - days);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  std::string result = text.data();
  if (time.subseconds().count() != 0) {
    std::snprintf(text.data(), text.size(), ".%03d", static_cast<int>(time.subseconds().count()));
    result += text.data();
  }
  return result + "Z";
}

Result<std::int64_t> parse_moment(std::string_view text) {
  if (const auto moment = read_moment(text)) return *moment;
  return fail(ErrorCode::kInvalid,
              in_quotes(text) + " is no time; write it in UTC as RFC 3339 has it, e.g. 2026-01-31T12:00:00Z");
}

std::int64_t moment_now() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace sluice::model
