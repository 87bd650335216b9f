// SPDX-License-Identifier: Apache-2.0
// What names and labels may look like, and how text of unknown origin is shown in messages.
#pragma once

#include <string>
#include <string_view>

namespace sluice::model {

/// RFC 1123 label: 1 to 63 characters of a-z, 0-9 and '-', not beginning or ending with '-'. Lower case only, so
/// that a name is its own DNS spelling.
bool is_dns_label(std::string_view text);
/// One or more labels joined by dots, at most 253 characters, without a final dot.
bool is_dns_name(std::string_view text);
/// 1 to 63 characters of A-Z, a-z, 0-9, '.', '_', '/' and '-'.
bool is_label_key(std::string_view text);
/// Up to 63 printable ASCII characters; may be empty.
bool is_label_value(std::string_view text);

/// Control and non-ASCII bytes as \xNN, so that a terminal takes no orders from a manifest.
std::string escaped(std::string_view text);
/// The text for a message: control and non-ASCII bytes as \xNN, cut after 80 characters.
std::string printable(std::string_view text);
/// The same in single quotes.
std::string in_quotes(std::string_view text);

/// What to write instead of a bad name; ends every message about one.
inline constexpr std::string_view kDnsLabelRule = "use 1 to 63 characters a-z, 0-9 and '-', not '-' first or last";

}  // namespace sluice::model
