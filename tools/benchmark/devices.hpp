// SPDX-License-Identifier: Apache-2.0
// A network namespace of the benchmark's own, with the devices that its packets seem to come in by.
#pragma once

#include <cstdint>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::benchmark {

/// Interface indexes; the devices vanish with the process.
struct Devices {
  std::uint32_t client = 0;
  std::uint32_t backend = 0;
  std::uint32_t uplink = 0;
};

/// Moves this process into a new network namespace and makes the devices there.
Result<Devices> make_devices();

}  // namespace sluice::benchmark
