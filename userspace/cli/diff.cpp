// SPDX-License-Identifier: Apache-2.0
// The difference of two short texts, as diff -u shows it.
#include <algorithm>
#include <sstream>
#include <vector>

#include "cli/specification.hpp"

namespace sluice::cli {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

struct DiffLine {
  char sign = ' ';
  std::string text;
};

/// The longest common subsequence; a resource has a few hundred lines at most.
std::vector<DiffLine> compare(const std::vector<std::string>& before, const std::vector<std::string>& after) {
  std::vector<std::vector<std::size_t>> common(before.size() + 1, std::vector<std::size_t>(after.size() + 1));
  for (std::size_t i = before.size(); i-- > 0;) {
    for (std::size_t j = after.size(); j-- > 0;) {
      common[i][j] = before[i] == after[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::vector<DiffLine> lines;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < before.size() || j < after.size()) {
    if (i < before.size() && j < after.size() && before[i] == after[j]) {
      lines.push_back({' ', before[i++]});
      j++;
    } else if (i < before.size() && (j == after.size() || common[i + 1][j] >= common[i][j + 1])) {
      lines.push_back({'-', before[i++]});
    } else {
      lines.push_back({'+', after[j++]});
    }
  }
  return lines;
}

std::string range_text(std::size_t first, std::size_t count) {
  const std::size_t begin = count == 0 ? first : first + 1;
  return std::to_string(begin) + (count == 1 ? "" : "," + std::to_string(count));
}

/// Lines [begin, end) with the head that says where they are.
std::string hunk(const std::vector<DiffLine>& lines, std::size_t begin, std::size_t end) {
  const auto counted = [&](std::size_t from, std::size_t to, char other) {
    return static_cast<std::size_t>(std::count_if(lines.begin() + static_cast<std::ptrdiff_t>(from),
                                                  lines.begin() + static_cast<std::ptrdiff_t>(to),
                                                  [&](const DiffLine& line) { return line.sign != other; }));
  };
  std::string text = "@@ -" + range_text(counted(0, begin, '+'), counted(begin, end, '+')) + " +" +
                     range_text(counted(0, begin, '-'), counted(begin, end, '-')) + " @@\n";
  for (std::size_t i = begin; i < end; i++) text += lines[i].sign + lines[i].text + "\n";
  return text;
}

}  // namespace

std::string unified_diff(const std::string& before, const std::string& after, const std::string& name) {
  constexpr std::size_t kAround = 3;
  const std::vector<DiffLine> lines = compare(lines_of(before), lines_of(after));
  std::string text;
  std::size_t i = 0;
  while (i < lines.size()) {
    if (lines[i].sign == ' ') {
      i++;
      continue;
    }
    const std::size_t begin = i < kAround ? 0 : i - kAround;
    std::size_t last = i;  // changed line; hunks that would touch are one
    for (std::size_t next = i; next < lines.size() && next <= last + 2 * kAround; next++) {
      if (lines[next].sign != ' ') last = next;
    }
    const std::size_t end = std::min(lines.size(), last + kAround + 1);
    text += hunk(lines, begin, end);
    i = end;
  }
  if (text.empty()) return "";
  return "--- " + (before.empty() ? std::string("/dev/null") : name + " (now)") + "\n+++ " +
         (after.empty() ? std::string("/dev/null") : name + " (then)") + "\n" + text;
}

std::string coloured_diff(const std::string& diff) {
  std::string text;
  for (const std::string& line : lines_of(diff)) {
    const std::string_view colour = line.starts_with("+++") || line.starts_with("---") ? "\x1b[1m"
                                    : line.starts_with('+')                            ? "\x1b[32m"
                                    : line.starts_with('-')                            ? "\x1b[31m"
                                    : line.starts_with('@')                            ? "\x1b[36m"
                                                                                       : "";
    text += colour.empty() ? line + "\n" : std::string(colour) + line + "\x1b[0m\n";
  }
  return text;
}

}  // namespace sluice::cli
