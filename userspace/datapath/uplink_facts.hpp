// SPDX-License-Identifier: Apache-2.0
// What else is on a device, asked without changing it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sluice::datapath {

/// The id of the XDP program on a device, ours or not; 0: none.
Result<std::uint32_t> xdp_program(std::uint32_t ifindex);
/// The ids of the TCX programs on a device's ingress in running order; none on kernels without TCX.
Result<std::vector<std::uint32_t>> tc_ingress_programs(std::uint32_t ifindex);
/// Whether a program has the name of one of ours.
bool is_ours(std::uint32_t program_id);
/// Whether the device merges received packets in hardware; an error if its driver cannot say.
Result<bool> lro_enabled(const std::string& device);

}  // namespace sluice::datapath
