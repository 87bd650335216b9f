// SPDX-License-Identifier: Apache-2.0
// Words that messages have in common.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

/// "and 3 more problems"; without `what`, "and 3 more". `at_least`: nobody has counted further.
inline std::string and_more(std::size_t left, std::string_view what = {}, bool at_least = false) {
  std::string text = "and " + std::string(at_least ? "at least " : "") + std::to_string(left) + " more";
  if (!what.empty()) text.append(1, ' ').append(what);
  return text;
}

/// "a, b and 3 more": `text(i)` of the first of `count` things, and how many there are beyond. Only what is shown is
/// made.
template <typename Text>
std::string listed(std::size_t count, std::size_t shown, const Text& text) {
  std::string list;
  for (std::size_t i = 0; i < std::min(count, shown); i++) {
    if (i != 0) list += ", ";
    list += text(i);
  }
  if (count > shown) list += ' ' + and_more(count - shown);
  return list;
}

/// RFC 9562's form, as in 12345678-9abc-def0-1234-56789abcdef0.
std::string uuid_text(const std::array<std::uint8_t, 16>& bytes);

}  // namespace sluice
