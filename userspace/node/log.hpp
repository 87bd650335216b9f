// SPDX-License-Identifier: Apache-2.0
// Log lines are key=value fields; quote() makes a value of any text.
#pragma once

#include <string>
#include <string_view>

namespace sluice::node {

/// The text in double quotes, with quotes, backslashes and control characters escaped: one field, one line.
std::string quote(std::string_view text);

}  // namespace sluice::node
