// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <system_error>

#include "base/result.hpp"

namespace sluice {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalid:
      return "INVALID";
    case ErrorCode::kNotFound:
      return "NOT_FOUND";
    case ErrorCode::kExists:
      return "EXISTS";
    case ErrorCode::kPrecondition:
      return "PRECONDITION";
    case ErrorCode::kUnsupported:
      return "UNSUPPORTED";
    case ErrorCode::kPermission:
      return "PERMISSION";
    case ErrorCode::kExhausted:
      return "EXHAUSTED";
    case ErrorCode::kUnavailable:
      return "UNAVAILABLE";
    case ErrorCode::kAborted:
      return "ABORTED";
    case ErrorCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case ErrorCode::kSystem:
      return "SYSTEM";
  }
  return "UNKNOWN";
}

Error Error::in(std::string_view place) const {
  return Error{code, std::string(place) + ": " + message, details};
}

std::unexpected<Error> fail_errno(std::string_view what, int error_number) {
  ErrorCode code = ErrorCode::kSystem;
  switch (error_number) {
    case EPERM:
    case EACCES:
      code = ErrorCode::kPermission;
      break;
    case ENOENT:
      code = ErrorCode::kNotFound;
      break;
    case EEXIST:
      code = ErrorCode::kExists;
      break;
    case E2BIG:
    case ENOSPC:
      code = ErrorCode::kExhausted;
      break;
    default:
      break;
  }
  return fail(code, std::string(what) + ": " + std::generic_category().message(error_number));
}

std::unexpected<Error> fail_errno(std::string_view what) {
  return fail_errno(what, errno);
}

}  // namespace sluice
