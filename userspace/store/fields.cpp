// SPDX-License-Identifier: Apache-2.0
#include "store/fields.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <utility>

#include "model/names.hpp"

namespace sluice::store {

using model::in_quotes;
using model::printable;

namespace {

/// Edits (insert, delete, replace, swap of neighbours) from one text to the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); i++) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); j++) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); i++) {
    for (std::size_t j = 1; j <= b.size(); j++) {
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

bool contains(std::span<const std::string_view> texts, std::string_view text) {
  return std::ranges::find(texts, text) != texts.end();
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view text, std::span<const std::string_view> candidates) {
  if (text.size() > 64) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t best_distance = 0;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(lower(text), lower(candidate));
    if (distance > std::max<std::size_t>(1, candidate.size() / 3)) continue;
    if (!best || distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggestion(std::string_view text, std::span<const std::string_view> candidates) {
  if (const auto best = nearest(text, candidates)) return "; did you mean '" + std::string(*best) + "'?";
  std::string list;
  for (std::string_view candidate : candidates) list += (list.empty() ? "" : ", ") + std::string(candidate);
  return "; known are: " + list;
}

std::string_view describe(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "empty";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a mapping";
  }
  return "unknown";
}

void Context::problem(ErrorCode code, std::size_t line, std::string_view field, std::string_view text) const {
  report->add(code, Place{file, line}, resource + ": " + std::string(field) + ": " + std::string(text));
}

void Fields::check(const FieldNames& names) const {
  std::map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i + 1 < map_.items.size(); i += 2) {
    const YamlNode& key = map_.items[i];
    const auto wrong = [&](std::string_view text, ErrorCode code = ErrorCode::kInvalid) {
      context_.problem(code, key.line, prefix_ + printable(key.text), text);
    };
    if (key.kind != YamlNode::Kind::kScalar) {
      context_.problem(ErrorCode::kInvalid, key.line, prefix_ + "?",
                       "a field's name is " + std::string(describe(key.kind)) + "; write 'name: value'");
      continue;
    }
    const auto [first, fresh] = seen.try_emplace(key.text, key.line);
    if (!fresh) {
      wrong("stands twice, first on line " + std::to_string(first->second) + "; remove one");
    } else if (contains(names.later, key.text)) {
      wrong("is not supported yet; remove it", ErrorCode::kUnsupported);
    } else if (!contains(names.known, key.text)) {
      wrong("unknown field" + suggestion(key.text, names.known));
    }
  }
}

const YamlNode* Fields::find(std::string_view field) const {
  for (std::size_t i = 0; i + 1 < map_.items.size(); i += 2) {
    const YamlNode& key = map_.items[i];
    if (key.kind == YamlNode::Kind::kScalar && key.text == field) return &map_.items[i + 1];
  }
  return nullptr;
}

std::size_t Fields::line_of(std::string_view field) const {
  const YamlNode* node = find(field);
  return node == nullptr ? map_.line : node->line;
}

void Fields::problem(std::string_view field, std::string_view text, ErrorCode code) const {
  context_.problem(code, line_of(field), prefix_ + std::string(field), text);
}

const YamlNode* Fields::of_kind(std::string_view field, YamlNode::Kind kind, std::string_view wanted) const {
  const YamlNode* node = find(field);
  if (node == nullptr) return nullptr;
  if (node->kind == kind) return node;
  problem(field, "is " + std::string(describe(node->kind)) + ", must be " + std::string(wanted) +
                     (node->kind == YamlNode::Kind::kNull ? "; fill it in or remove the line" : ""));
  return nullptr;
}

const YamlNode* Fields::map(std::string_view field) const {
  return of_kind(field, YamlNode::Kind::kMap, "a mapping of names to values");
}

std::optional<std::string> Fields::text(std::string_view field, bool required) const {
  if (required && !has(field)) {
    problem(field, "is missing; add it");
    return std::nullopt;
  }
  const YamlNode* node = of_kind(field, YamlNode::Kind::kScalar, "a text");
  if (node == nullptr) return std::nullopt;
  return node->text;
}

std::optional<std::uint32_t> Fields::number(std::string_view field, std::uint32_t lowest, std::uint32_t highest,
                                            bool required) const {
  const std::string range = std::to_string(lowest) + " to " + std::to_string(highest);
  if (required && !has(field)) {
    problem(field, "is missing; add a number, " + range);
    return std::nullopt;
  }
  const YamlNode* node = of_kind(field, YamlNode::Kind::kScalar, "a number, " + range);
  if (node == nullptr) return std::nullopt;
  if (node->quoted) {
    problem(field, in_quotes(node->text) + " is a text, must be a number, " + range + "; remove the quotes");
    return std::nullopt;
  }
  const char* begin = node->text.data();
  const char* end = begin + node->text.size();
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  const bool leading_zero = node->text.size() > 1 && node->text.front() == '0';  // octal to some readers
  if (error != std::errc{} || stop != end || leading_zero || value < lowest || value > highest) {
    problem(field, in_quotes(node->text) + " is not a whole number from " + range);
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

std::optional<model::Labels> Fields::labels(std::string_view field) const {
  const YamlNode* node = map(field);
  if (node == nullptr) return std::nullopt;
  model::Labels labels;
  for (std::size_t i = 0; i + 1 < node->items.size(); i += 2) {
    const YamlNode& key = node->items[i];
    const YamlNode& value = node->items[i + 1];
    const auto wrong = [&](std::size_t line, std::string_view text) {
      context_.problem(ErrorCode::kInvalid, line, prefix_ + std::string(field) + "." + printable(key.text), text);
    };
    if (key.kind != YamlNode::Kind::kScalar) {
      wrong(key.line, "a key is " + std::string(describe(key.kind)) + ", must be a text");
    } else if (value.kind != YamlNode::Kind::kScalar) {
      wrong(value.line, "is " + std::string(describe(value.kind)) + ", must be a text; an empty value is \"\"");
    } else if (!labels.emplace(key.text, value.text).second) {
      wrong(key.line, "stands twice; remove one");
    }
  }
  return labels;
}

std::optional<std::string_view> Fields::choice(std::string_view field,
                                               std::span<const std::string_view> choices) const {
  const std::optional<std::string> value = text(field);
  if (!value) return std::nullopt;
  const auto found = std::ranges::find(choices, *value);
  if (found != choices.end()) return *found;
  problem(field, in_quotes(*value) + " is unknown" + suggestion(*value, choices));
  return std::nullopt;
}

model::Families Fields::families(std::string_view field) const {
  const YamlNode* node = list(field);
  if (node == nullptr) return model::Families::kAll;
  constexpr std::string_view kRemedy = "; write [IPv4], [IPv6] or [IPv4, IPv6]";
  bool four = false;
  bool six = false;
  for (const YamlNode& item : node->items) {
    const bool known = item.kind == YamlNode::Kind::kScalar && (item.text == "IPv4" || item.text == "IPv6");
    if (!known || std::exchange(item.text == "IPv4" ? four : six, true)) {
      const std::string shown =
          item.kind == YamlNode::Kind::kScalar ? in_quotes(item.text) : std::string(describe(item.kind));
      problem(field, shown + (known ? " stands twice" : " is no family") + std::string(kRemedy));
      return model::Families::kAll;
    }
  }
  if (four && six) return model::Families::kDual;
  if (four) return model::Families::kIpv4;
  if (six) return model::Families::kIpv6;
  problem(field, "is empty" + std::string(kRemedy));
  return model::Families::kAll;
}

const YamlNode* Fields::list(std::string_view field) const {
  return of_kind(field, YamlNode::Kind::kSequence, "a list");
}

const YamlNode* Fields::list_of_maps(std::string_view field) const {
  const YamlNode* node = of_kind(field, YamlNode::Kind::kSequence, "a list");
  if (node == nullptr) return nullptr;
  bool good = true;
  for (std::size_t i = 0; i < node->items.size(); i++) {
    const YamlNode& item = node->items[i];
    if (item.kind == YamlNode::Kind::kMap) continue;
    good = false;
    context_.problem(ErrorCode::kInvalid, item.line, prefix_ + std::string(field) + "[" + std::to_string(i) + "]",
                     "is " + std::string(describe(item.kind)) + ", must be a mapping with the port's fields");
  }
  return good ? node : nullptr;
}

}  // namespace sluice::store
