// SPDX-License-Identifier: Apache-2.0
#include "api/status_codes.hpp"

#include <array>
#include <utility>

namespace sluice::api {
namespace {

constexpr std::array<std::pair<ErrorCode, grpc::StatusCode>, 11> kCodes{{
    {ErrorCode::kInvalid, grpc::StatusCode::INVALID_ARGUMENT},
    {ErrorCode::kNotFound, grpc::StatusCode::NOT_FOUND},
    {ErrorCode::kExists, grpc::StatusCode::ALREADY_EXISTS},
    {ErrorCode::kPrecondition, grpc::StatusCode::FAILED_PRECONDITION},
    {ErrorCode::kUnsupported, grpc::StatusCode::UNIMPLEMENTED},
    {ErrorCode::kPermission, grpc::StatusCode::PERMISSION_DENIED},
    {ErrorCode::kExhausted, grpc::StatusCode::RESOURCE_EXHAUSTED},
    {ErrorCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
    {ErrorCode::kAborted, grpc::StatusCode::ABORTED},
    {ErrorCode::kOutOfRange, grpc::StatusCode::OUT_OF_RANGE},
    {ErrorCode::kSystem, grpc::StatusCode::INTERNAL},
}};

}  // namespace

grpc::Status to_grpc(const Error& error) {
  for (const auto& [ours, theirs] : kCodes) {
    if (ours == error.code) return {theirs, error.message};
  }
  return {grpc::StatusCode::INTERNAL, error.message};
}

Error from_grpc(const grpc::Status& status) {
  for (const auto& [ours, theirs] : kCodes) {
    if (theirs == status.error_code()) return {ours, status.error_message()};
  }
  const bool silent = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  return {silent ? ErrorCode::kUnavailable : ErrorCode::kSystem, status.error_message()};
}

}  // namespace sluice::api
