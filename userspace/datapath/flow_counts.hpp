// SPDX-License-Identifier: Apache-2.0
// How many flows pods still have. The programs keep no such counts: a flow that is made or ends would have to write to
// one more shared word, and the question is asked of a pod that leaves alone.
#pragma once

#include <sluice/abi.h>

#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "datapath/maps.hpp"

namespace sluice::datapath {

/// See Datapath::flows_to().
Result<std::vector<std::uint64_t>> count_flows_to(const Maps& maps, const std::vector<sluice_ref>& pods);

}  // namespace sluice::datapath
