// SPDX-License-Identifier: Apache-2.0
// Errors of Sluice as gRPC statuses and back, with their details as trailing metadata (sluice.v1.Problems).
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstddef>

#include "base/result.hpp"

namespace sluice::api {

inline constexpr const char* kProblemsKey = "sluice-problems-bin";

// A peer takes 8 KiB of metadata with a call's status unless it was told otherwise (GRPC_ARG_MAX_METADATA_SIZE), and
// reports RESOURCE_EXHAUSTED in place of the status if there is more. Message and problems together stay below.
inline constexpr std::size_t kMaxMessageBytes = 2048;  ///< as it is encoded (RFC 3986, percent)
inline constexpr std::size_t kMaxProblemsBytes = 4608;
inline constexpr int kMaxProblems = 50;

/// The status alone; a message that is too long is cut.
grpc::Status to_grpc(const Error& error);

/// The status, with the error's details put into the call's trailing metadata: the first ones, as many as fit.
grpc::Status finish(grpc::ServerContextBase& context, const Error& error);

/// The error behind a status that is not OK. A server that does not answer is kUnavailable.
Error from_grpc(const grpc::Status& status);
/// The same with the details that the server sent; metadata that does not parse is no detail.
Error from_grpc(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace sluice::api
