// SPDX-License-Identifier: Apache-2.0
#include "compile/slots.hpp"

#include <algorithm>
#include <utility>

namespace sluice::compile {

Generations::Generations(const Tables& previous) {
  const auto see = [this](std::uint32_t generation) { last_ = std::max(last_, generation & ~kFreedSlot); };
  for (const auto& [slot, generation] : previous.endpoint_generations) see(generation);
  for (const auto& [slot, generation] : previous.frontend_generations) see(generation);
  for (const auto& [ifindex, port] : previous.ports) see(port.endpoint.generation);
  for (const auto& [key, endpoint] : previous.endpoints4) see(endpoint.ref.generation);
  for (const auto& [key, frontend] : previous.frontends4) see(frontend.ref.generation);
  for (const auto& [index, backend] : previous.backends) see(backend.endpoint.generation);
}

Result<std::uint32_t> Generations::next() {
  if (last_ == ~kFreedSlot) {
    return fail(ErrorCode::kExhausted,
                "all 2147483647 generations of these maps are used; drain the node and start with new maps");
  }
  return ++last_;
}

SlotSpace::SlotSpace(std::string what, std::uint32_t limit, const ArrayTable<std::uint32_t>& previous,
                     Generations& generations)
    : what_(std::move(what)), limit_(limit), array_(previous), generations_(generations) {
  const std::uint32_t known = previous.empty() ? 0 : previous.rbegin()->first + 1;
  named_.resize(std::max(limit, known));
  held_.resize(named_.size());
}

void SlotSpace::note(const sluice_ref& ref) {
  if (ref.slot != 0 && ref.slot < named_.size()) named_[ref.slot] = true;
}

std::optional<sluice_ref> SlotSpace::keep(const sluice_ref& ref) {
  if (ref.slot == 0 || ref.slot >= limit_ || held_[ref.slot]) return std::nullopt;
  const auto current = array_.find(ref.slot);
  if (current == array_.end() || current->second != ref.generation) return std::nullopt;
  held_[ref.slot] = true;
  return ref;
}

Result<sluice_ref> SlotSpace::take(const sluice_ref& former) {
  while (cursor_ < limit_ && (named_[cursor_] || held_[cursor_])) cursor_++;
  if (cursor_ < limit_) return hold(cursor_);
  if (former.slot != 0 && former.slot < limit_ && !held_[former.slot]) return hold(former.slot);
  return fail(ErrorCode::kExhausted, "all " + std::to_string(limit_ - std::min(limit_, 1U)) + " " + what_ +
                                         " are in use (those of the change before this one included)");
}

Result<sluice_ref> SlotSpace::hold(std::uint32_t slot) {
  const Result<std::uint32_t> generation = generations_.next();
  if (!generation) return std::unexpected(generation.error());
  held_[slot] = true;
  array_[slot] = *generation;
  return sluice_ref{slot, *generation};
}

Result<ArrayTable<std::uint32_t>> SlotSpace::finish() {
  for (auto& [slot, value] : array_) {
    if (slot == 0 || held_[slot] || (value & kFreedSlot) != 0) continue;
    const Result<std::uint32_t> generation = generations_.next();
    if (!generation) return std::unexpected(generation.error());
    value = *generation | kFreedSlot;
  }
  return std::move(array_);
}

}  // namespace sluice::compile
