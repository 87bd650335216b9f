// SPDX-License-Identifier: Apache-2.0
#include "compile/slots.hpp"

#include <algorithm>

namespace sluice::compile {

Result<std::uint32_t> Generations::next() {
  if (last_ == ~kFreedSlot) {
    return fail(ErrorCode::kExhausted,
                "all 2147483647 generations of these maps are used; drain the node and start with new maps");
  }
  return ++last_;
}

std::optional<sluice_ref> SlotSpace::keep(const sluice_ref& ref) {
  if (ref.slot == 0 || ref.slot >= slots_.size() || held_.contains(ref.slot)) return std::nullopt;
  const auto current = previous_.find(ref.slot);
  if (current == previous_.end() || current->second != ref.generation) return std::nullopt;
  held_.insert(ref.slot);
  return ref;
}

Result<sluice_ref> SlotSpace::take(const sluice_ref& former) {
  if (!slots_.full()) {
    if (const Result<std::uint32_t> slot = slots_.allocate(1)) return hold(*slot);
  }
  if (former.slot != 0 && former.slot < slots_.size() && !held_.contains(former.slot)) return hold(former.slot);
  return fail(ErrorCode::kExhausted, "all " + std::to_string(slots_.size() - std::min(slots_.size(), 1U)) + " " +
                                         what_ + " are in use (those of the change before this one included)");
}

Result<sluice_ref> SlotSpace::hold(std::uint32_t slot) {
  const Result<std::uint32_t> generation = generations_.next();
  if (!generation) return std::unexpected(generation.error());
  held_.insert(slot);
  changes_[slot] = *generation;
  return sluice_ref{slot, *generation};
}

Status SlotSpace::end(std::uint32_t slot) {
  const auto before = previous_.find(slot);
  if (slot == 0 || before == previous_.end() || held_.contains(slot) || changes_.contains(slot)) return {};
  if ((before->second & kFreedSlot) != 0) return {};
  const Result<std::uint32_t> generation = generations_.next();
  if (!generation) return std::unexpected(generation.error());
  changes_[slot] = *generation | kFreedSlot;
  return {};
}

Status SlotSpace::end_all() {
  for (const auto& [slot, generation] : previous_) {
    if (Status done = end(slot); !done) return done;
  }
  return {};
}

}  // namespace sluice::compile
