// SPDX-License-Identifier: Apache-2.0
// How many flows pods still have. endpoint_pairs does not say it: it counts a reset connection until the sweep takes
// its pair, which would keep a pod that leaves waiting, and goes by slot, with what a former holder has left there.
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
