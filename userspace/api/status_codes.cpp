// SPDX-License-Identifier: Apache-2.0
#include "api/status_codes.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"
#include "wire/convert.hpp"

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

/// The front of the text that takes at most kMaxMessageBytes when gRPC encodes it: three bytes for each that is not
/// printable ASCII, or is '%'.
std::string cut_message(const std::string& text) {
  constexpr std::string_view kCut = "...";
  std::size_t encoded = 0;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool plain = text[i] >= 0x20 && text[i] <= 0x7e && text[i] != '%';
    encoded += plain ? 1 : 3;
    if (encoded + kCut.size() > kMaxMessageBytes) return text.substr(0, i) + std::string(kCut);
  }
  return text;
}

void cut(std::string& text) {
  constexpr std::size_t kLongest = 512;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
}

/// The first problems, as many as the metadata may hold, and as a last one how many there are beyond.
v1::Problems cut_problems(const Error& error) {
  v1::Problems cut_down;
  std::size_t bytes = 0;
  v1::Problems all = wire::to_message(error);
  for (v1::Problem& problem : *all.mutable_problems()) {
    for (std::string* text : {problem.mutable_resource(), problem.mutable_field(), problem.mutable_value(),
                              problem.mutable_problem(), problem.mutable_remedy()}) {
      cut(*text);
    }
    constexpr std::size_t kTagAndLength = 4;
    bytes += problem.ByteSizeLong() + kTagAndLength;
    if (bytes > kMaxProblemsBytes || cut_down.problems_size() == kMaxProblems) break;
    cut_down.add_problems()->Swap(&problem);
  }
  const int left = all.problems_size() - cut_down.problems_size();
  if (left > 0) cut_down.add_problems()->set_problem(and_more(static_cast<std::size_t>(left), "problems"));
  return cut_down;
}

}  // namespace

grpc::Status to_grpc(const Error& error) {
  for (const auto& [ours, theirs] : kCodes) {
    if (ours == error.code) return {theirs, cut_message(error.message)};
  }
  return {grpc::StatusCode::INTERNAL, cut_message(error.message)};
}

grpc::Status finish(grpc::ServerContextBase& context, const Error& error) {
  if (!error.details.empty()) {
    context.AddTrailingMetadata(kProblemsKey, cut_problems(error).SerializeAsString());
  }
  return to_grpc(error);
}

Error from_grpc(const grpc::Status& status) {
  for (const auto& [ours, theirs] : kCodes) {
    if (theirs == status.error_code()) return {ours, status.error_message()};
  }
  // A daemon that stops cancels what it has no answer for any more; a caller that cancels does not ask for the status.
  const bool silent =
      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED || status.error_code() == grpc::StatusCode::CANCELLED;
  return {silent ? ErrorCode::kUnavailable : ErrorCode::kSystem, status.error_message()};
}

Error from_grpc(const grpc::Status& status, const grpc::ClientContext& context) {
  Error error = from_grpc(status);
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(kProblemsKey);
  v1::Problems problems;
  if (found == metadata.end() || !problems.ParseFromArray(found->second.data(), static_cast<int>(found->second.size())))
    return error;
  for (const v1::Problem& problem : problems.problems()) {
    error.details.push_back(
        {problem.resource(), problem.field(), problem.value(), problem.problem(), problem.remedy()});
  }
  return error;
}

}  // namespace sluice::api
