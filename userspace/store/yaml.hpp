// SPDX-License-Identifier: Apache-2.0
// Hostile YAML into plain trees. What a bomb needs (anchors, aliases, tags, depth, size, control characters) is
// refused; everything is bounded, and a document is gone before the next one is read. Directives (%YAML, %TAG) are
// refused as well.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::store {

inline constexpr std::size_t kMaxYamlBytes = std::size_t{16} << 20;
/// One document; the largest legal resource has under 32 KiB. It bounds what yaml-cpp queues while it looks for the
/// end of an open '['.
inline constexpr std::size_t kMaxYamlDocumentBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxYamlDepth = 16;
/// Values in one document; the largest legal resource has under 1,000.
inline constexpr std::size_t kMaxYamlNodes = 10000;

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;          ///< scalars: '...', "...", | or >
  std::string text;             ///< scalars
  std::size_t line = 0;         ///< counted from 1
  std::vector<YamlNode> items;  ///< of a sequence; of a map key, value, key, value, ...
};

struct YamlProblem {
  std::size_t line = 0;  ///< 0: the text as a whole
  std::string message;
};

/// Calls `on_document` for each document that is not empty, in order; it returns false to end the reading. Stops at
/// the first problem: what follows a syntax error has no sure meaning.
std::optional<YamlProblem> read_yaml(std::string_view text, const std::function<bool(YamlNode&&)>& on_document);

}  // namespace sluice::store
