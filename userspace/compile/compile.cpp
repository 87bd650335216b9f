// SPDX-License-Identifier: Apache-2.0
#include "compile/compile.hpp"

#include <algorithm>

#include "compile/build.hpp"

namespace sluice::compile {

Builder::Builder(const Input& input, const Tables& previous)
    : input_(input),
      previous_(previous),
      generations_(previous),
      endpoint_slots_("pod slots", input.limits.max_endpoint_slots, previous.endpoint_generations, generations_),
      frontend_slots_("service port slots", input.limits.max_frontend_slots, previous.frontend_generations,
                      generations_),
      backends_("backend elements", input.limits.backend_arena),
      rings_("ring blocks", input.limits.ring_arena),
      secret_{input.settings.secret[0], input.settings.secret[1]} {}

/// Everything that the maps refer to now is taken: the programs read it until the switch, and a plan that stopped
/// half-way left both the old and the new records.
void Builder::note_previous() {
  for (const auto& [ifindex, port] : previous_.ports) endpoint_slots_.note(port.endpoint);
  for (const auto& [key, endpoint] : previous_.endpoints4) endpoint_slots_.note(endpoint.ref);
  for (const auto& [key, frontend] : previous_.frontends4) {
    frontend_slots_.note(frontend.ref);
    backends_.reserve(frontend.backend_base, frontend.backend_count);
    rings_.reserve(frontend.ring_base, ring_blocks(frontend.ring_size));
  }
}

Status Builder::check_guarantees() const {
  std::uint64_t sum = 0;
  std::vector<std::pair<std::uint32_t, std::string>> networks;
  for (const auto& [name, network] : input_.state.networks) {
    sum += network.guaranteed_flows;
    networks.emplace_back(network.guaranteed_flows, name);
  }
  if (sum <= input_.limits.max_pairs) return {};
  std::ranges::sort(networks, std::greater<>{});
  constexpr std::size_t kShown = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(networks.size(), kShown); i++) {
    list += (i == 0 ? "" : ", ") + networks[i].second + " " + std::to_string(networks[i].first);
  }
  if (networks.size() > kShown) list += " and " + std::to_string(networks.size() - kShown) + " more";
  return fail(ErrorCode::kExhausted, "guaranteed_flows of the networks (" + list + ") add up to " +
                                         std::to_string(sum) + ", but the flow table has " +
                                         std::to_string(input_.limits.max_pairs) +
                                         " pairs; lower guaranteed_flows or raise the table's size");
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
  if (!next_.network_limits.emplace(slot->second, limits).second) {
    return fail(ErrorCode::kInvalid, place + ": slot " + std::to_string(slot->second) + " is assigned twice");
  }
  for (const auto& [name, other] : networks_) {
    if (other.id != id->second) continue;
    return fail(ErrorCode::kInvalid,
                place + ": id " + std::to_string(id->second) + " is assigned to network " + std::string(name) + " too");
  }
  NetworkView& view = networks_[network.name];
  view.network = &network;
  view.id = id->second;
  view.slot = static_cast<std::uint16_t>(slot->second);
  return {};
}

Result<Tables> Builder::run() {
  note_previous();
  if (Status done = check_guarantees(); !done) return std::unexpected(done.error());
  next_.settings = input_.settings;
  next_.settings.max_pairs = input_.limits.max_pairs;
  next_.settings.shared_pairs = input_.limits.max_pairs;
  for (const auto& [name, network] : input_.state.networks) {
    if (Status done = add_network(network); !done) return std::unexpected(done.error());
    next_.settings.shared_pairs -= network.guaranteed_flows;
  }
  using Part = Status (Builder::*)();
  for (const Part part :
       {&Builder::add_uplinks, &Builder::add_pods, &Builder::add_floating_ips, &Builder::add_services}) {
    if (Status done = (this->*part)(); !done) return std::unexpected(done.error());
  }
  Result<ArrayTable<std::uint32_t>> endpoints = endpoint_slots_.finish();
  if (!endpoints) return std::unexpected(endpoints.error());
  Result<ArrayTable<std::uint32_t>> frontends = frontend_slots_.finish();
  if (!frontends) return std::unexpected(frontends.error());
  next_.endpoint_generations = std::move(*endpoints);
  next_.frontend_generations = std::move(*frontends);
  return std::move(next_);
}

Result<Tables> compile(const Input& input, const Tables& previous) {
  return Builder(input, previous).run();
}

}  // namespace sluice::compile
