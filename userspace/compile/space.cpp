// SPDX-License-Identifier: Apache-2.0
#include "compile/space.hpp"

#include <algorithm>
#include <vector>

#include "compile/hashing.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {
namespace {

/// Slot 0 is nobody's.
Arena slot_arena(const char* what, std::uint32_t limit) {
  Arena arena(what, limit);
  arena.reserve(0, 1);
  return arena;
}

template <typename Table, typename Order, typename Call>
void each_sorted(const Table& table, Order order, Call call) {
  std::vector<const typename Table::mapped_type*> records;
  records.reserve(table.size());
  for (const auto& [key, record] : table) records.push_back(&record);
  std::ranges::sort(records, {}, [order](const auto* record) { return order(*record); });
  for (const auto* record : records) call(*record);
}

}  // namespace

void Space::Users::add(std::uint32_t base, std::uint32_t count) {
  if (count == 0) return;
  Region& region = regions[base];
  if (region.users == 0 || region.count != count) {
    overlap = overlap || region.users != 0 || !arena.is_free(base, count);
    region.count = std::max(region.count, count);
    arena.reserve(base, count);
  }
  region.users++;
}

void Space::Users::remove(std::uint32_t base, std::uint32_t count) {
  const auto found = count == 0 ? regions.end() : regions.find(base);
  if (found == regions.end() || --found->second.users != 0) return;
  arena.release(base, found->second.count);
  regions.erase(found);
}

/// A slot above the limit, of a node that had a higher one, is in nobody's way.
void Space::add_slot(Users& slots, const sluice_ref& ref) {
  if (ref.slot != 0) slots.add(ref.slot, 1);
}
void Space::remove_slot(Users& slots, const sluice_ref& ref) {
  if (ref.slot != 0) slots.remove(ref.slot, 1);
}

Space::Space(const Limits& limits, const Tables& tables)
    : endpoint_slots_{slot_arena("pod slots", limits.max_endpoint_slots), {}},
      frontend_slots_{slot_arena("service port slots", limits.max_frontend_slots), {}},
      backends_{Arena("backend elements", limits.backend_arena), {}},
      rings_{Arena("ring blocks", limits.ring_arena), {}} {
  // In the order of slots and regions, because an arena in a thousand pieces is slow.
  each_sorted(
      tables.ports, [](const sluice_port& port) { return port.endpoint.slot; },
      [this](const sluice_port& port) { add(port); });
  each_family([&]<typename F>(F) {
    each_sorted(
        tables.*F::kEndpoints, [](const auto& endpoint) { return endpoint.ref.slot; },
        [this](const auto& endpoint) { add(endpoint); });
    each_sorted(
        tables.*F::kFrontends, [](const auto& frontend) { return frontend.backend_base; },
        [this](const auto& frontend) { add(frontend); });
  });
  for (const auto& [network, egress] : tables.egress) add(egress);
  for (const auto& [slot, generation] : tables.endpoint_generations) see(generation);
  for (const auto& [slot, generation] : tables.frontend_generations) see(generation);
  for (const auto& [index, backend] : tables.backends) see(backend.endpoint.generation);
}

void Space::see(std::uint32_t generation) {
  last_generation_ = std::max(last_generation_, generation & ~kFreedSlot);
}

void Space::add(const sluice_port& port) {
  add_slot(endpoint_slots_, port.endpoint);
  see(port.endpoint.generation);
}

template <typename F>
void Space::add_endpoint(const typename F::Endpoint& endpoint) {
  add_slot(endpoint_slots_, endpoint.ref);
  see(endpoint.ref.generation);
  if (has_filter_bit(endpoint)) filter_[F::filter_bit(endpoint.self)]++;
}

template <typename Frontend>
void Space::add_frontend(const Frontend& frontend) {
  add_slot(frontend_slots_, frontend.ref);
  see(frontend.ref.generation);
  backends_.add(frontend.backend_base, frontend.backend_count);
  rings_.add(frontend.ring_base, ring_blocks(frontend.ring_size));
}

void Space::add(const sluice_egress& egress) {
  for (const sluice_ref& ref : {egress.ref4, egress.ref6}) {
    add_slot(frontend_slots_, ref);
    see(ref.generation);
  }
}

void Space::remove(const sluice_egress& egress) {
  for (const sluice_ref& ref : {egress.ref4, egress.ref6}) remove_slot(frontend_slots_, ref);
}

void Space::remove(const sluice_port& port) {
  remove_slot(endpoint_slots_, port.endpoint);
}

template <typename F>
void Space::remove_endpoint(const typename F::Endpoint& endpoint) {
  remove_slot(endpoint_slots_, endpoint.ref);
  if (!has_filter_bit(endpoint)) return;
  const auto found = filter_.find(F::filter_bit(endpoint.self));
  if (found != filter_.end() && --found->second == 0) filter_.erase(found);
}

template <typename Frontend>
void Space::remove_frontend(const Frontend& frontend) {
  remove_slot(frontend_slots_, frontend.ref);
  backends_.remove(frontend.backend_base, frontend.backend_count);
  rings_.remove(frontend.ring_base, ring_blocks(frontend.ring_size));
}

template void Space::add_endpoint<Four>(const sluice_endpoint4&);
template void Space::add_endpoint<Six>(const sluice_endpoint6&);
template void Space::remove_endpoint<Four>(const sluice_endpoint4&);
template void Space::remove_endpoint<Six>(const sluice_endpoint6&);
template void Space::add_frontend(const sluice_frontend4&);
template void Space::add_frontend(const sluice_frontend6&);
template void Space::remove_frontend(const sluice_frontend4&);
template void Space::remove_frontend(const sluice_frontend6&);

bool Space::usable(const Limits& limits) const {
  return !backends_.overlap && !rings_.overlap && endpoint_slots_.arena.size() == limits.max_endpoint_slots &&
         frontend_slots_.arena.size() == limits.max_frontend_slots && backends_.arena.size() == limits.backend_arena &&
         rings_.arena.size() == limits.ring_arena;
}

std::uint32_t Space::filter_count(std::uint32_t bit) const {
  const auto found = filter_.find(bit);
  return found == filter_.end() ? 0 : found->second;
}

}  // namespace sluice::compile
