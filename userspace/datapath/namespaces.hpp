// SPDX-License-Identifier: Apache-2.0
// Network namespaces of pods, and the identity of this boot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace sluice::datapath {

/// Opens a network namespace by path. kNotFound if the path does not exist, kInvalid if it is no network namespace.
Result<UniqueFd> open_netns(const std::filesystem::path& path);
/// SO_NETNS_COOKIE of that namespace (Linux >= 5.14), unique per boot.
Result<std::uint64_t> netns_cookie(const UniqueFd& netns);
Result<std::uint64_t> own_netns_cookie();
/// Whether that namespace is the one in which this process runs.
Result<bool> is_own_netns(const UniqueFd& netns);
/// Runs `work` on a short-lived thread inside the namespace. Sockets that it opens stay in that namespace; the
/// caller's thread never leaves its own.
Status run_in_netns(const UniqueFd& netns, const std::function<Status()>& work);
/// Open descriptors of the namespaces with these cookies, as far as they have a name or a process. A descriptor keeps
/// its namespace alive: close it soon, or pods never end.
std::map<std::uint64_t, UniqueFd> find_netns(const std::set<std::uint64_t>& cookies);
/// /proc/sys/kernel/random/boot_id
Result<std::string> boot_id();

}  // namespace sluice::datapath
