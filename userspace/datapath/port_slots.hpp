// SPDX-License-Identifier: Apache-2.0
// The array in front of `ports` (abi.h, port_slots): derived from what is written to `ports`, at the same place, so
// that nobody else needs to know of it.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "compile/tables.hpp"

namespace sluice::datapath {

/// Does for the array what `writes` are about to do to the hash. Called before them: if it fails the hash still
/// differs from what is wanted, and the next run does both again. A port never stays admitted by its slot alone.
Status write_port_slots(int slots, const std::vector<const compile::Write*>& writes);

/// Makes the array agree with the hash, whatever a killed process left. Writes only what differs.
Status restore_port_slots(int slots, const compile::HashTable<std::uint32_t, sluice_port>& ports);

}  // namespace sluice::datapath
