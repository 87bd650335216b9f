// SPDX-License-Identifier: Apache-2.0
// follow(): what compile() and diff() give for a change, from the records of what it touches alone. The same Builder
// makes them; here the tables before and after are cut down to the scope, and diff() orders the writes as ever.
#include <cstdint>
#include <map>

#include "compile/build.hpp"

namespace sluice::compile {

/// The sum of the guarantees follows from what is left of the table.
Status Builder::touch_networks(const model::Change& change) {
  next_.settings = previous_.settings;
  if (change.networks.empty()) return {};
  for (const auto& [name, id] : input_.assignments.network_ids) {
    if (input_.state.networks.contains(name) && !change.networks.contains(name)) network_names_.emplace(id, name);
  }
  std::int64_t shared = previous_.settings.shared_pairs;
  for (const auto& [name, former] : change.networks) {
    if (former) shared += former->network.guaranteed_flows;
    const auto now = input_.state.networks.find(name);
    if (now == input_.state.networks.end()) continue;
    shared -= now->second.guaranteed_flows;
    if (Status done = add_network(now->second); !done) return done;
    if (Status done = add_router(networks_.at(name)); !done) return done;
  }
  if (shared < 0 || shared > input_.limits.max_pairs) {
    return fail(ErrorCode::kExhausted, "guaranteed_flows do not fit the flow table");
  }
  next_.settings.shared_pairs = static_cast<std::uint32_t>(shared);
  return {};
}

Status Builder::touch_resources(const model::Change& change, const Scope& scope) {
  for (const model::Name& name : scope.pods) {
    const auto pod = input_.state.pods.find(name);
    if (pod == input_.state.pods.end()) continue;
    if (Status done = add_pod(pod->second); !done) return done;
  }
  for (const auto& [name, former] : change.floating_ips) {
    const auto floating = input_.state.floating_ips.find(name);
    if (floating == input_.state.floating_ips.end()) continue;
    if (Status done = add_floating_ip(floating->second); !done) return done;
  }
  for (const model::Name& name : scope.services) {
    const auto service = input_.state.services.find(name);
    if (service == input_.state.services.end()) continue;
    if (Status done = add_service(service->second); !done) return done;
  }
  return {};
}

/// Slots that the scope's records named and name no more.
Status Builder::end_slots(Scope& scope) {
  std::set<std::uint32_t> pods;
  std::set<std::uint32_t> services;
  for (const auto& [ifindex, port] : scope.before.ports) pods.insert(port.endpoint.slot);
  each_family([&]<typename F>(F) {
    for (const auto& [key, endpoint] : scope.before.*F::kEndpoints) pods.insert(endpoint.ref.slot);
    for (const auto& [key, frontend] : scope.before.*F::kFrontends) services.insert(frontend.ref.slot);
  });
  for (const auto& [network, way] : scope.before.egress) services.insert({way.ref4.slot, way.ref6.slot});
  for (const std::uint32_t slot : pods) {
    if (Status done = endpoint_slots_.end(slot); !done) return done;
  }
  for (const std::uint32_t slot : services) {
    if (Status done = frontend_slots_.end(slot); !done) return done;
  }
  const auto take = [](const SlotSpace& slots, const ArrayTable<std::uint32_t>& previous,
                       ArrayTable<std::uint32_t>& before, ArrayTable<std::uint32_t>& after) {
    after = slots.changes();
    for (const auto& [slot, generation] : after) {
      if (const auto old = previous.find(slot); old != previous.end()) before.insert(*old);
    }
  };
  take(endpoint_slots_, previous_.endpoint_generations, scope.before.endpoint_generations, next_.endpoint_generations);
  take(frontend_slots_, previous_.frontend_generations, scope.before.frontend_generations, next_.frontend_generations);
  return {};
}

/// The regions that the scope's frontends had, rings that stay left out.
void Builder::take_regions(Scope& scope) const {
  const auto copy = [](const auto& from, std::uint32_t base, std::uint32_t count, auto& to) {
    const std::uint64_t end = std::uint64_t{base} + count;
    for (auto it = from.lower_bound(base); it != from.end() && it->first < end; ++it) to.insert(*it);
  };
  each_family([&]<typename F>(F) {
    for (const auto& [key, frontend] : scope.before.*F::kFrontends) {
      copy(previous_.backends, frontend.backend_base, frontend.backend_count, scope.before.backends);
      if (kept_rings_.contains(frontend.ring_base)) continue;
      copy(previous_.rings, frontend.ring_base, ring_blocks(frontend.ring_size), scope.before.rings);
    }
  });
}

/// A bit stays as long as one address has it.
void Builder::change_filter(Scope& scope) {
  std::map<std::uint32_t, std::int64_t> more;
  const auto count = [&more](const Tables& tables, std::int64_t step) {
    each_family([&]<typename F>(F) {
      for (const auto& [key, endpoint] : tables.*F::kEndpoints) {
        if (has_filter_bit(endpoint)) more[F::filter_bit(key)] += step;
      }
    });
  };
  count(scope.before, -1);
  count(next_, 1);
  for (const auto& [bit, difference] : more) {
    if (difference == 0) continue;
    const auto word = previous_.frontend_filter.find(bit / 64);
    const std::uint64_t before = word == previous_.frontend_filter.end() ? 0 : word->second;
    if (before != 0) scope.before.frontend_filter.emplace(bit / 64, before);
    std::uint64_t& after = next_.frontend_filter.emplace(bit / 64, before).first->second;
    const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
    after = space_.filter_count(bit) + difference > 0 ? after | mask : after & ~mask;
  }
}

Result<Plan> Builder::touched(const model::Change& change, Scope& scope) {
  before_ = &scope.before;
  if (Status done = touch_networks(change); !done) return std::unexpected(done.error());
  if (Status done = touch_resources(change, scope); !done) return std::unexpected(done.error());
  if (Status done = end_slots(scope); !done) return std::unexpected(done.error());
  take_regions(scope);
  change_filter(scope);
  return diff(scope.before, next_);
}

std::optional<Plan> follow(const Input& input, const Tables& previous, const model::Change& change,
                           const model::Index& index, Space& space) {
  if (!space.usable(input.limits)) return std::nullopt;
  std::optional<Scope> scope = scope_of(input, previous, change, index);
  if (!scope) return std::nullopt;
  Result<Plan> plan = Builder(input, previous, index, space).touched(change, *scope);
  return plan ? std::optional(std::move(*plan)) : std::nullopt;
}

}  // namespace sluice::compile
