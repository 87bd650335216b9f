// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Errors are values everywhere in Sluice; exceptions are for bugs and for
// memory exhaustion only.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

/// What kind of failure: decides the exit status of the programs and the gRPC status code.
enum class ErrorCode {
  kInvalid,       ///< the input is wrong and will stay wrong
  kNotFound,      ///< something that was named does not exist
  kExists,        ///< the thing exists already, or what it asks for is taken
  kPrecondition,  ///< right request, wrong moment (not attached, another daemon runs, ...)
  kUnsupported,   ///< this kernel or build cannot do it
  kPermission,    ///< privilege is missing
  kExhausted,     ///< a table, a pool or a limit is full
  kUnavailable,   ///< somebody that must answer does not
  kAborted,       ///< somebody else has changed what the request was based on; read again, then decide anew
  kOutOfRange,    ///< a revision that is not there: compacted, or not made yet
  kSystem,        ///< a system call failed
};

/// The name of a code as the programs print it, e.g. "INVALID".
std::string_view name(ErrorCode code);

/// One problem of a request, taken apart for programs. Any part but the problem may be empty.
struct Detail {
  std::string resource;  ///< "service shop/web"
  std::string field;     ///< "ports[0].port"
  std::string value;     ///< what was given
  std::string problem;   ///< what is wrong with it
  std::string remedy;    ///< what to do instead
  bool operator==(const Detail&) const = default;
};

/// What went wrong, in words for the user: what was tried, with which value, and what would be right.
struct Error {
  ErrorCode code = ErrorCode::kSystem;
  std::string message;
  std::vector<Detail> details{};  ///< of a refused request, the same facts once more

  /// The same error with the place in front: Error("...").in("pin services4") reads "pin services4: ...".
  [[nodiscard]] Error in(std::string_view place) const;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// An error made from a message, ready to be returned from any function that gives a Result.
inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

/// An error made from errno (or the given positive errno value): "what: strerror".
/// EPERM and EACCES become kPermission, ENOENT kNotFound, EEXIST kExists, the rest kSystem.
std::unexpected<Error> fail_errno(std::string_view what, int error_number);
std::unexpected<Error> fail_errno(std::string_view what);

/// Hands the error of a failed result on, with the place in front.
template <typename T>
std::unexpected<Error> fail_in(std::string_view place, const Result<T>& failed) {
  return std::unexpected<Error>(failed.error().in(place));
}

}  // namespace sluice
