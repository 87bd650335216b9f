// SPDX-License-Identifier: Apache-2.0
#include "datapath/port_slots.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstring>

namespace sluice::datapath {
namespace {

// The programs read without barriers; only here does the machine keep their loads and our stores in order.
#if defined(__x86_64__)
constexpr bool kOrdered = true;
#else
constexpr bool kOrdered = false;
#endif

constexpr std::size_t kBytes = sizeof(sluice_port_slot) * SLUICE_PORT_SLOTS;

std::uint32_t slot_of(std::uint32_t ifindex) {
  return ifindex % SLUICE_PORT_SLOTS;
}

std::uint32_t ifindex_of(const compile::Write& write) {
  std::uint32_t ifindex = 0;
  std::memcpy(&ifindex, write.key.data(), sizeof(ifindex));
  return ifindex;
}

bool same(const sluice_port& a, const sluice_port& b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0;
}

}  // namespace

void PortSlots::Unmap::operator()(sluice_port_slot* slots) const {
  munmap(slots, kBytes);
}

Result<PortSlots> PortSlots::open(int map) {
  static_assert(sizeof(sluice_port_slot) % 8 == 0, "the kernel's pitch is the size rounded up to 8");
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (memory == MAP_FAILED) return fail_errno("map port_slots into memory");
  PortSlots slots;
  slots.slots_.reset(static_cast<sluice_port_slot*>(memory));
  return slots;
}

/// A seqlock's writer. An odd sequence that a killed writer left is gone over as well: it only grows.
void PortSlots::write(std::uint32_t index, const sluice_port& port) const {
  sluice_port_slot& slot = slots_[index];
  std::atomic_ref<__u32> sequence(slot.sequence);
  const __u32 odd = sequence.load(std::memory_order_relaxed) | 1U;
  sequence.store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  slot.port = port;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  sequence.store(odd + 1, std::memory_order_release);
}

void PortSlots::clear(const std::vector<const compile::Write*>& writes) const {
  for (const compile::Write* one : writes) {
    const std::uint32_t ifindex = ifindex_of(*one);
    if (slots_[slot_of(ifindex)].port.self == ifindex) write(slot_of(ifindex), {});
  }
}

void PortSlots::fill(const std::vector<const compile::Write*>& writes) const {
  for (const compile::Write* one : writes) {
    if (!kOrdered || one->value.empty()) continue;
    sluice_port port{};
    std::memcpy(&port, one->value.data(), sizeof(port));
    write(slot_of(port.self), port);
  }
}

void PortSlots::restore(const compile::HashTable<std::uint32_t, sluice_port>& ports) const {
  std::vector<sluice_port> wanted(SLUICE_PORT_SLOTS);
  for (const auto& [ifindex, port] : ports) {
    if (kOrdered) wanted[slot_of(ifindex)] = port;
  }
  for (std::uint32_t index = 0; index < SLUICE_PORT_SLOTS; index++) {
    const sluice_port_slot& slot = slots_[index];
    // Of several ports with one slot any may hold it, as long as it is up to date.
    const auto holder = ports.find(slot.port.self);
    const bool current =
        kOrdered && holder != ports.end() && slot_of(holder->first) == index && same(slot.port, holder->second);
    const bool settled = (slot.sequence & 1) == 0;
    if (settled && (current || same(slot.port, wanted[index]))) continue;
    write(index, wanted[index]);
  }
}

}  // namespace sluice::datapath
