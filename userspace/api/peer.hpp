// SPDX-License-Identifier: Apache-2.0
// Who calls.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace sluice::api {

/// From SO_PEERCRED (unix(7)): the credentials that the peer had when it connected.
struct Peer {
  uid_t uid = 0;
  gid_t gid = 0;
  bool read_only = false;  ///< came by the read-only socket
  auto operator<=>(const Peer&) const = default;
};

/// kPermission if the peer came by the read-only socket.
Status may_write(const Peer& peer, const char* call);

/// Writes down every call that changes something, refused ones included: one line with who, what and the outcome.
void audit(const Peer& peer, const char* call, const std::string& what, const Error* refused);

}  // namespace sluice::api
