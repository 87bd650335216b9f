// SPDX-License-Identifier: Apache-2.0
// What the maps will take, and what the kernel lets this process have.
//
// Linux charges the memory of a map to the control group of the process that makes it (RLIMIT_MEMLOCK is not asked
// since 5.11, below what we run on), and the flow table is made as a whole at the first start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "datapath/datapath.hpp"

namespace sluice::datapath {

/// About what the maps take once they are made. Records that are made later (endpoints, frontends) are not in it.
Result<std::uint64_t> map_bytes(const Options& options);

struct MemoryLimit {
  std::string control_group;  ///< path of the folder whose limit it is
  std::uint64_t limit = 0;
  std::uint64_t used = 0;
};
/// The tightest limit of this process's control group and of those around it (versions 1 and 2); nothing: none has one.
std::optional<MemoryLimit> memory_limit(const std::filesystem::path& process = "/proc/self");
/// Memory that the machine can still give, MemAvailable of /proc/meminfo.
std::optional<std::uint64_t> available_memory();

}  // namespace sluice::datapath
