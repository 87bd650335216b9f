// SPDX-License-Identifier: Apache-2.0
#include "datapath/port_slots.hpp"

#include <bpf/bpf.h>
#include <sluice/abi.h>

#include <cstring>

namespace sluice::datapath {
namespace {

std::uint32_t slot_of(std::uint32_t ifindex) { return ifindex % SLUICE_PORT_SLOTS; }

Result<sluice_port_slot> read_slot(int slots, std::uint32_t index) {
  sluice_port_slot slot{};
  if (bpf_map_lookup_elem(slots, &index, &slot) != 0) return fail_errno("read map port_slots");
  return slot;
}

Status write_slot(int slots, std::uint32_t index, const sluice_port_slot& slot) {
  if (bpf_map_update_elem(slots, &index, &slot, BPF_ANY) != 0) return fail_errno("write map port_slots");
  return {};
}

}  // namespace

Status write_port_slots(int slots, const std::vector<const compile::Write*>& writes) {
  for (const compile::Write* write : writes) {
    std::uint32_t ifindex = 0;
    std::memcpy(&ifindex, write->key.data(), sizeof(ifindex));
    sluice_port_slot slot{};
    if (write->value.empty()) {
      const auto held = read_slot(slots, slot_of(ifindex));
      if (!held) return std::unexpected(held.error());
      if (held->port.self != ifindex) continue;  // another port's slot; this one is in the hash alone
    } else {
      std::memcpy(&slot.port, write->value.data(), sizeof(slot.port));
      slot.tail = ifindex;
    }
    if (auto written = write_slot(slots, slot_of(ifindex), slot); !written) return written;
  }
  return {};
}

Status restore_port_slots(int slots, const compile::HashTable<std::uint32_t, sluice_port>& ports) {
  std::vector<sluice_port_slot> wanted(SLUICE_PORT_SLOTS);
  for (const auto& [ifindex, port] : ports) wanted[slot_of(ifindex)] = {.port = port, .tail = ifindex};
  for (std::uint32_t index = 0; index < SLUICE_PORT_SLOTS; index++) {
    const auto held = read_slot(slots, index);
    if (!held) return std::unexpected(held.error());
    // Of several ports with one slot any may hold it, as long as it is up to date.
    const auto holder = ports.find(held->port.self);
    const bool current = holder != ports.end() && slot_of(holder->first) == index && held->tail == holder->first &&
                         std::memcmp(&held->port, &holder->second, sizeof(held->port)) == 0;
    const bool both_empty = wanted[index].tail == 0 && held->tail == 0 && held->port.self == 0;
    if (current || both_empty) continue;
    if (auto written = write_slot(slots, index, wanted[index]); !written) return written;
  }
  return {};
}

}  // namespace sluice::datapath
