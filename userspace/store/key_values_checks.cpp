// SPDX-License-Identifier: Apache-2.0
#include "store/key_values_checks.hpp"

#include <algorithm>

namespace sluice::store {
namespace {

Status check_key(std::string_view key) {
  if (key.empty()) return fail(ErrorCode::kInvalid, "a key is empty; give it at least one byte");
  if (key.size() <= kMaxKeyBytes) return {};
  return fail(ErrorCode::kExhausted, "key '" + std::string(key.substr(0, 64)) + "...' has " +
                                         std::to_string(key.size()) + " bytes, the limit is " +
                                         std::to_string(kMaxKeyBytes));
}

Status check_count(std::size_t count, const char* what) {
  if (count <= kMaxOperations) return {};
  return fail(ErrorCode::kExhausted, "the transaction has " + std::to_string(count) + " " + what + ", the limit is " +
                                         std::to_string(kMaxOperations) + "; split it");
}

}  // namespace

Result<std::vector<const Operation*>> checked_operations(const CommitRequest& request) {
  if (Status done = check_count(request.operations.size(), "operations"); !done) return std::unexpected(done.error());
  if (Status done = check_count(request.compares.size(), "comparisons"); !done) return std::unexpected(done.error());
  for (const Compare& compare : request.compares) {
    if (Status done = check_key(compare.key); !done) return std::unexpected(done.error());
  }
  std::vector<const Operation*> operations;
  operations.reserve(request.operations.size());
  for (const Operation& operation : request.operations) {
    if (Status done = check_key(operation.key); !done) return std::unexpected(done.error());
    if (operation.value.size() > kMaxValueBytes) {
      return fail(ErrorCode::kExhausted, "key '" + operation.key + "': its value has " +
                                             std::to_string(operation.value.size()) + " bytes, the limit is " +
                                             std::to_string(kMaxValueBytes));
    }
    operations.push_back(&operation);
  }
  std::ranges::sort(operations, {}, [](const Operation* operation) { return std::string_view(operation->key); });
  const auto twice = std::ranges::adjacent_find(
      operations, {}, [](const Operation* operation) { return std::string_view(operation->key); });
  if (twice != operations.end()) {
    return fail(ErrorCode::kInvalid, "key '" + (*twice)->key + "' comes twice in one transaction; give it once");
  }
  return operations;
}

std::string after_prefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xFF') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1U);
  return end;
}

}  // namespace sluice::store
