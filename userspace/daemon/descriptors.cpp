// SPDX-License-Identifier: Apache-2.0
#include "daemon/descriptors.hpp"

#include <sys/resource.h>

#include <string>

namespace sluice::daemon {
namespace {

/// Maps, programs, databases, gRPC's own, namespaces while pods are attached, and root's connections.
constexpr std::size_t kOwn = 512;

}  // namespace

Status provide_descriptors(std::size_t for_sockets) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("getrlimit RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("setrlimit RLIMIT_NOFILE");
  const std::size_t needed = for_sockets + kOwn;
  if (limit.rlim_max >= needed) return {};
  return fail(ErrorCode::kPrecondition, "max_connections: so many may need " + std::to_string(needed) +
                                            " open files, and the process may have " + std::to_string(limit.rlim_max) +
                                            "; lower max_connections, or raise LimitNOFILE= of the unit (ulimit -Hn)");
}

}  // namespace sluice::daemon
