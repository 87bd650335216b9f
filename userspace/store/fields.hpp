// SPDX-License-Identifier: Apache-2.0
// Typed, checked access to the fields of one YAML mapping. Every problem goes into a Report with its place.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/names.hpp"
#include "model/resources.hpp"
#include "store/yaml.hpp"

namespace sluice::store {

/// Where something stands in the user's files.
struct Place {
  std::string file;
  std::size_t line = 0;
  [[nodiscard]] std::string text() const { return line == 0 ? file : file + ":" + std::to_string(line); }
};

/// The problems of all files.
class Report {
 public:
  /// Above this many nobody reads on, and hostile input must not fill the memory.
  static constexpr std::size_t kMaxProblems = 1000;

  void add(ErrorCode code, const Place& place, std::string_view message) {
    if (!full()) errors_.push_back(Error{code, place.text() + ": " + model::escaped(message)});
  }
  [[nodiscard]] bool full() const { return errors_.size() >= kMaxProblems; }
  [[nodiscard]] bool empty() const { return errors_.empty(); }
  [[nodiscard]] std::size_t size() const { return errors_.size(); }
  std::vector<Error> take() { return std::move(errors_); }

 private:
  std::vector<Error> errors_;
};

/// The candidate that `text` was probably meant to be, or nothing.
std::optional<std::string_view> nearest(std::string_view text, std::span<const std::string_view> candidates);
/// "; did you mean 'labels'?" or the list of all candidates.
std::string suggestion(std::string_view text, std::span<const std::string_view> candidates);

/// One resource while it is read: its file, how messages call it, and where problems go.
struct Context {
  std::string file;
  std::string resource;  ///< "pod shop/web-1"; before the name is known the kind and line
  Report* report = nullptr;

  void problem(ErrorCode code, std::size_t line, std::string_view field, std::string_view text) const;
};

/// What a mapping may hold.
struct FieldNames {
  std::vector<std::string_view> known;
  std::vector<std::string_view> later;  ///< of the product's plan, not in this release
};

class Fields {
 public:
  static constexpr std::size_t kLongestAddress = 64;

  /// `prefix` stands before field names in messages, like "ports[0]." Duplicate, unknown, later and non-text keys
  /// are reported by check().
  Fields(const YamlNode& map, const Context& context, std::string prefix = "")
      : map_(map), context_(context), prefix_(std::move(prefix)) {}

  void check(const FieldNames& names) const;

  [[nodiscard]] bool has(std::string_view field) const { return find(field) != nullptr; }
  /// The field's value as text; reported if it is absent and required, or no text.
  std::optional<std::string> text(std::string_view field, bool required = false) const;
  /// A plain decimal number; reported if it is quoted, no number or out of range.
  std::optional<std::uint32_t> number(std::string_view field, std::uint32_t lowest, std::uint32_t highest,
                                      bool required = false) const;
  /// A mapping of texts.
  std::optional<model::Labels> labels(std::string_view field) const;
  /// One of `choices`; nothing if it is absent or reported.
  std::optional<std::string_view> choice(std::string_view field, std::span<const std::string_view> choices) const;
  /// A list of IPv4 and IPv6; kAll if it is absent or reported.
  model::Families families(std::string_view field) const;
  [[nodiscard]] const YamlNode* map(std::string_view field) const;
  /// A list; nullptr if it is absent or reported.
  [[nodiscard]] const YamlNode* list(std::string_view field) const;
  /// A list of mappings; nullptr if it is absent or reported.
  [[nodiscard]] const YamlNode* list_of_maps(std::string_view field) const;

  template <typename Address>
  std::optional<Address> address(std::string_view field, bool required = false) const {
    const std::optional<std::string> value = text(field, required);
    if (!value) return std::nullopt;
    if (value->size() > kLongestAddress) {
      problem(field, model::in_quotes(*value) + " is too long for an address");
      return std::nullopt;
    }
    Result<Address> parsed = Address::parse(*value);
    if (parsed) return *parsed;
    problem(field, parsed.error().message);
    return std::nullopt;
  }

  void problem(std::string_view field, std::string_view text, ErrorCode code = ErrorCode::kInvalid) const;
  [[nodiscard]] std::size_t line_of(std::string_view field) const;

 private:
  [[nodiscard]] const YamlNode* find(std::string_view field) const;
  const YamlNode* of_kind(std::string_view field, YamlNode::Kind kind, std::string_view wanted) const;

  const YamlNode& map_;
  const Context& context_;
  std::string prefix_;
};

/// "a mapping", "a list", ... for messages.
std::string_view describe(YamlNode::Kind kind);

}  // namespace sluice::store
