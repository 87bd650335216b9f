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

enum class Direction { kIngress, kEgress };
/// The ids of the TCX programs on a device in running order; none on kernels without TCX.
Result<std::vector<std::uint32_t>> tcx_programs(std::uint32_t ifindex, Direction direction);
/// What runs on a device's tc hook besides our own programs, in words: TCX programs first, then the filters of its
/// clsact or ingress qdisc, each in running order. Kernels without TCX have the filters only.
Result<std::vector<std::string>> foreign_tc_programs(std::uint32_t ifindex, Direction direction);

/// Whether a program has the name of one of ours.
bool is_ours(std::uint32_t program_id);
/// Whether the device merges received packets in hardware; an error if its driver cannot say.
Result<bool> lro_enabled(const std::string& device);

/// Queues that are in use, and the most that the driver can have.
struct Queues {
  std::uint32_t receive = 0;
  std::uint32_t send = 0;
  std::uint32_t most_send = 0;
};
/// By ethtool and not from /sys, which shows the devices of the namespace in which it was mounted. An error if the
/// driver cannot say.
Result<Queues> queues_of(const std::string& device);
/// The driver's name, "" if it does not tell.
std::string driver_of(const std::string& device);

}  // namespace sluice::datapath
