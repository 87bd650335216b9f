// SPDX-License-Identifier: Apache-2.0
#include "compile/compile.hpp"

#include <algorithm>

#include "compile/build.hpp"
#include "compile/records.hpp"
#include "model/validate.hpp"

namespace sluice::compile {

/// Everything that the maps refer to now is taken: the programs read it until the switch, and a plan that stopped
/// half-way left both the old and the new records. `space` knows it.
Builder::Builder(const Input& input, const Tables& previous, const model::Index& index, Space& space)
    : input_(input),
      previous_(previous),
      index_(index),
      space_(space),
      generations_(space.last_generation()),
      endpoint_slots_("pod slots", space.endpoint_slots_.arena, previous.endpoint_generations, generations_),
      frontend_slots_("service port slots", space.frontend_slots_.arena, previous.frontend_generations, generations_),
      backends_(space.backends_.arena),
      rings_(space.rings_.arena),
      secret_{input.settings.secret[0], input.settings.secret[1]} {}

Status Builder::check_guarantees() const {
  const auto excess = model::excess_of_guarantees(input_.state.networks, input_.limits.max_pairs);
  if (!excess) return {};
  return fail(ErrorCode::kExhausted, "networks: limits.guaranteed_flows: " + *excess);
}

Status Builder::add_network(const model::Network& network) {
  const std::string place = "network " + network.name;
  const auto id = input_.assignments.network_ids.find(network.name);
  const auto slot = input_.assignments.network_slots.find(network.name);
  if (id == input_.assignments.network_ids.end() || slot == input_.assignments.network_slots.end()) {
    return fail(ErrorCode::kPrecondition, place + " has no id or slot assigned");
  }
  if (id->second == 0 || id->second > 0xFFFFFF) {
    return fail(ErrorCode::kInvalid, place + ": id " + std::to_string(id->second) + " is not 1 to 16777215");
  }
  if (slot->second == 0 || slot->second >= SLUICE_MAX_NETWORK_SLOTS) {
    return fail(ErrorCode::kExhausted, place + ": slot " + std::to_string(slot->second) + " is not 1 to " +
                                           std::to_string(SLUICE_MAX_NETWORK_SLOTS - 1) +
                                           ": too many networks on this node");
  }
  const std::uint32_t table = input_.limits.max_pairs;
  const std::uint32_t most = std::min(std::max(network.max_flows, network.guaranteed_flows), table);
  const sluice_network_limits limits{id->second, network.guaranteed_flows, most,
                                     std::min(network.max_half_open_flows, most)};
  if (!next_.network_limits.emplace(slot->second, limits).second ||
      others_hold(&Tables::network_limits, slot->second)) {
    return fail(ErrorCode::kInvalid, place + ": slot " + std::to_string(slot->second) + " is assigned twice");
  }
  const auto [holder, first] = network_names_.emplace(id->second, network.name);
  if (!first && holder->second != network.name) {
    return fail(ErrorCode::kInvalid, place + ": id " + std::to_string(id->second) + " is assigned to network " +
                                         std::string(holder->second) + " too");
  }
  NetworkView& view = networks_[network.name];
  view.network = &network;
  view.id = id->second;
  view.slot = static_cast<std::uint16_t>(slot->second);
  return add_way_out(view);
}

Result<Tables> Builder::all() {
  if (Status done = check_guarantees(); !done) return std::unexpected(done.error());
  next_.settings = input_.settings;
  next_.settings.max_pairs = input_.limits.max_pairs;
  next_.settings.shared_pairs = input_.limits.max_pairs;
  for (const auto& [name, network] : input_.state.networks) {
    if (Status done = add_network(network); !done) return std::unexpected(done.error());
    next_.settings.shared_pairs -= network.guaranteed_flows;
  }
  using Part = Status (Builder::*)();
  for (const Part part : {&Builder::add_uplinks, &Builder::add_pods, &Builder::add_floating_ips, &Builder::add_egress,
                          &Builder::add_services}) {
    if (Status done = (this->*part)(); !done) return std::unexpected(done.error());
  }
  set_filter();
  const auto finish = [](SlotSpace& slots, const ArrayTable<std::uint32_t>& before,
                         ArrayTable<std::uint32_t>& after) -> Status {
    if (Status done = slots.end_all(); !done) return done;
    after = before;
    for (const auto& [slot, generation] : slots.changes()) after.insert_or_assign(slot, generation);
    return {};
  };
  Status done = finish(endpoint_slots_, previous_.endpoint_generations, next_.endpoint_generations);
  if (done) done = finish(frontend_slots_, previous_.frontend_generations, next_.frontend_generations);
  if (!done) return std::unexpected(done.error());
  return std::move(next_);
}

Result<Tables> compile(const Input& input, const Tables& previous, const model::Index& index, Space& space) {
  if (!space.usable(input.limits)) return compile(input, previous);
  return Builder(input, previous, index, space).all();
}

bool is_configured_for(const sluice_port& port, const model::Network& network, const model::Addresses& addresses) {
  const sluice_port wanted = pod_port({&network, port.network, port.network_slot}, addresses, {}, {});
  return port.address4 == wanted.address4 && port.router4 == wanted.router4 && port.mask4 == wanted.mask4 &&
         BytesEqual{}(port.address6, wanted.address6) && BytesEqual{}(port.router6, wanted.router6) &&
         port.cidr6_length == wanted.cidr6_length;
}

BackendCounts backends_of(const Tables& tables, std::uint32_t network, const model::Addresses& addresses,
                          const model::ServicePort& port) {
  BackendCounts counts;
  each_family([&]<typename F>(F) {
    if (!F::of(addresses)) return;
    const auto key = frontend_key<F>(network, *F::of(addresses), port.port, static_cast<std::uint8_t>(port.protocol));
    const auto* frontend = find_record(tables.*F::kFrontends, key);
    if (frontend == nullptr || frontend->backend_count < counts.configured) return;
    counts = {frontend->backend_count, frontend->ready_count};
  });
  return counts;
}

Result<Tables> compile(const Input& input, const Tables& previous) {
  Space space(input.limits, previous);
  return Builder(input, previous, model::Index(input.state), space).all();
}

}  // namespace sluice::compile
