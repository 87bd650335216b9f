// SPDX-License-Identifier: Apache-2.0
// Errors of Sluice as gRPC statuses and back.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.hpp"

namespace sluice::api {

grpc::Status to_grpc(const Error& error);

/// The error behind a status that is not OK. A server that does not answer is kUnavailable.
Error from_grpc(const grpc::Status& status);

}  // namespace sluice::api
