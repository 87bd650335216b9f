// SPDX-License-Identifier: Apache-2.0
// The array in front of `ports` (abi.h, port_slots): derived from what is written to `ports`, at the same place, so
// that nobody else needs to know of it.
#pragma once

#include <sluice/abi.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "compile/tables.hpp"

namespace sluice::datapath {

class PortSlots {
 public:
  /// Maps the array into memory, to write its elements as seqlocks. `map` must have BPF_F_MMAPABLE.
  static Result<PortSlots> open(int map);

  /// Empties the slots of all ports that `writes` are about to change or delete. Called before them, so that no port
  /// is admitted by its slot when the hash says otherwise, also if a write then fails.
  void clear(const std::vector<const compile::Write*>& writes) const;
  /// Fills the slots of the ports that were written. Called after the writes have succeeded.
  void fill(const std::vector<const compile::Write*>& writes) const;
  /// Makes the array agree with the hash, whatever a killed process or a failed write left. Writes what differs.
  void restore(const compile::HashTable<std::uint32_t, sluice_port>& ports) const;

 private:
  struct Unmap {
    void operator()(sluice_port_slot* slots) const;
  };
  void write(std::uint32_t index, const sluice_port& port) const;

  std::unique_ptr<sluice_port_slot[], Unmap> slots_;
};

}  // namespace sluice::datapath
