// SPDX-License-Identifier: Apache-2.0
// What a kernel and a process must have before anything is loaded.
#pragma once

#include <string>

#include "base/result.hpp"

namespace sluice::datapath {

/// kUnsupported unless a release such as "6.1.0-18-amd64" is 6.1 or newer.
Status check_release(const std::string& release);
/// kPermission naming the first capability that is missing: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN.
Status check_privileges();
/// Program types, map types and helpers, tried out; kUnsupported names the first that is missing.
Status check_features();
/// The running kernel's release.
std::string kernel_release();

}  // namespace sluice::datapath
