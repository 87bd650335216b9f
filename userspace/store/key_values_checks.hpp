// SPDX-License-Identifier: Apache-2.0
// What every KeyValues asks of a request before it looks at its store.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/key_values.hpp"

namespace sluice::store {

/// The operations in the order of their keys; kExhausted above a limit, kInvalid for an empty key or one that comes
/// twice. They point into the request.
Result<std::vector<const Operation*>> checked_operations(const CommitRequest& request);

/// The first key that is greater than all keys with this prefix; empty if there is none.
std::string after_prefix(std::string_view prefix);

}  // namespace sluice::store
