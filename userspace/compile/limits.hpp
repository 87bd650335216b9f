// SPDX-License-Identifier: Apache-2.0
// What the daemon's configuration decides about the maps.
#pragma once

#include <sluice/abi.h>

#include <cstdint>

#include "model/table_room.hpp"

namespace sluice::compile {

struct Limits {
  std::uint32_t max_pairs = 262144;
  std::uint32_t max_endpoint_slots = SLUICE_MAX_ENDPOINT_SLOTS;
  std::uint32_t max_frontend_slots = SLUICE_MAX_FRONTEND_SLOTS;
  std::uint32_t backend_arena = 1048576;  ///< elements of `backends`
  std::uint32_t ring_arena = 262144;      ///< blocks of `rings`
  std::uint32_t slots_per_backend = 100;  ///< Maglev size >= this times the backends (32 in a memory mode)
};

/// As the World judges by them.
inline model::TableSizes table_sizes(const Limits& limits) {
  return {.service_port_slots = limits.max_frontend_slots - 1,
          .backends = limits.backend_arena,
          .ring_blocks = limits.ring_arena,
          .slots_per_backend = limits.slots_per_backend};
}

}  // namespace sluice::compile
