// SPDX-License-Identifier: Apache-2.0
#include "safety.hpp"

#include <algorithm>

#include "compile/family.hpp"
#include "compile/records.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {
namespace {

bool current(const ArrayTable<std::uint32_t>& generations, const sluice_ref& ref) {
  const auto found = generations.find(ref.slot);
  return found != generations.end() && found->second == ref.generation;
}

template <typename F>
std::string at(std::uint32_t network, const auto& address) {
  return std::to_string(network) + "/" + F::from_wire(address).text();
}

std::string check_ring(const Tables& tables, const auto& record) {
  const sluice_ring_block zero{};
  for (std::uint32_t first = 0; first < record.ring_size; first += SLUICE_RING_BLOCK) {
    const auto found = tables.rings.find(record.ring_base + first / SLUICE_RING_BLOCK);
    const sluice_ring_block& block = found == tables.rings.end() ? zero : found->second;
    const std::uint32_t used = std::min<std::uint32_t>(SLUICE_RING_BLOCK, record.ring_size - first);
    for (std::uint32_t i = 0; i < used; i++) {
      if (block.entries[i] >= record.backend_count) return "a ring names a backend that the frontend does not have";
    }
  }
  return {};
}

std::string way_name(const sluice_egress& way) {
  return "egress of " + std::to_string(way.self) + " by " + Six::from_wire(way.address6).text();
}

template <typename F>
std::string check_frontend(const Tables& tables, const Holders& holders, const typename F::Frontend& record) {
  const std::string place = "frontend " + at<F>(record.self.network, record.self.address) + ": ";
  if (record.self.network != 0 && record.self.network != record.backend_network) return place + "of another network";
  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < record.backend_count; i++) {
    const auto found = tables.backends.find(record.backend_base + i);
    if (found == tables.backends.end()) return place + "a backend is not there";
    sluice_backend target = found->second;
    if (target.network != record.backend_network) return place + "a backend of another network";
    if (target.state == SLUICE_BACKEND_READY) ready++;
    // The select stage: the endpoint record must have the backend's ref; then the packet goes to its device.
    typename F::EndpointKey key{};
    key.network = target.network;
    key.address = F::backend_address(target);
    const auto* record_of = find_record(tables.*F::kEndpoints, key);
    if (record_of == nullptr || !is_pod(*record_of)) continue;
    const auto& pod = *record_of;
    if (pod.ref.slot != target.endpoint.slot || pod.ref.generation != target.endpoint.generation) continue;
    if (pod.ifindex != holders.ifindex(target.endpoint)) return place + "delivers to a device of another pod";
  }
  if (record.ready_count > 0 && ready == 0) return place + "counts ready backends where none is";
  if (record.backend_count > SLUICE_RENDEZVOUS_MAX && record.ring_size == 0) return place + "has no ring";
  if (!current(tables.frontend_generations, record.ref)) return {};  // makes flows that never match: harmless
  const std::string* holder = holders.frontend(record.ref);
  const std::string owner = std::to_string(record.owner) + " in " + std::to_string(record.backend_network);
  if (holder == nullptr || *holder != owner) return place + "has a ref that was given to another service";
  const std::string ring = check_ring(tables, record);
  return ring.empty() ? ring : place + ring;
}

}  // namespace

std::string Holders::learn(const World& world, const Tables& tables) {
  const auto give = [](std::map<std::uint32_t, Holder>& map, const sluice_ref& ref, const Holder& holder) {
    const auto [entry, added] = map.emplace(ref.generation, holder);
    if (added || (entry->second.name == holder.name && entry->second.ifindex == holder.ifindex)) return std::string();
    return "generation " + std::to_string(ref.generation) + " of " + entry->second.name + " was given to " +
           holder.name;
  };
  std::string wrong;
  each_family([&]<typename F>(F) {
    for (const auto& [name, pod] : world.state.pods) {
      const auto& address = F::of(world.assignments.pod_addresses.at(name));
      if (!address || !wrong.empty()) continue;
      const std::uint32_t network = world.assignments.network_ids.at(name.network);
      const auto& record = (tables.*F::kEndpoints).at(endpoint_key<F>(network, *address));
      // A pod that is attached nowhere has no flows, so the next one at its address may inherit the ref.
      wrong = give(pods_, record.ref, {record.ifindex == 0 ? "nobody" : name.text(), record.ifindex});
      if (!current(tables.endpoint_generations, record.ref)) wrong = name.text() + " has a ref that is not current";
    }
    for (const auto& [key, record] : tables.*F::kFrontends) {
      const std::string owner = std::to_string(record.owner) + " in " + std::to_string(record.backend_network);
      if (wrong.empty()) wrong = give(frontends_, record.ref, {owner, 0});
      if (!current(tables.frontend_generations, record.ref)) wrong = owner + " has a ref that is not current";
    }
  });
  for (const auto& [network, way] : tables.egress) {
    for (const sluice_ref& ref : {way.ref4, way.ref6}) {
      if (wrong.empty()) wrong = give(frontends_, ref, {way_name(way), 0});
      if (!current(tables.frontend_generations, ref)) wrong = way_name(way) + " has a ref that is not current";
    }
  }
  if (!wrong.empty()) return wrong;
  for (const auto& [generation, holder] : pods_) {
    if (frontends_.contains(generation)) return "a pod and a service port share a generation";
  }
  return {};
}

void Holders::forget_unwritten(const Tables& actual) {
  std::uint32_t highest = 0;
  for (const auto* array : {&actual.endpoint_generations, &actual.frontend_generations}) {
    for (const auto& [slot, generation] : *array) highest = std::max(highest, generation & ~kFreedSlot);
  }
  pods_.erase(pods_.upper_bound(highest), pods_.end());
  frontends_.erase(frontends_.upper_bound(highest), frontends_.end());
}

const std::string* Holders::pod(const sluice_ref& ref) const {
  const auto found = pods_.find(ref.generation);
  return found == pods_.end() ? nullptr : &found->second.name;
}
const std::string* Holders::frontend(const sluice_ref& ref) const {
  const auto found = frontends_.find(ref.generation);
  return found == frontends_.end() ? nullptr : &found->second.name;
}
std::uint32_t Holders::ifindex(const sluice_ref& ref) const {
  const auto found = pods_.find(ref.generation);
  return found == pods_.end() ? ~0U : found->second.ifindex;
}

std::string broken(const Tables& tables, const Holders& holders) {
  std::string wrong;
  each_family([&]<typename F>(F) {
    for (const auto& [key, record] : tables.*F::kEndpoints) {
      if (!is_pod(record) || !wrong.empty()) continue;
      const std::string place = at<F>(key.network, key.address);
      if (std::memcmp(&key, &record.self, sizeof(key)) != 0) wrong = "an endpoint does not name itself";
      if (holders.pod(record.ref) == nullptr) wrong = place + " has a ref that nobody was given";
      if (record.ifindex != holders.ifindex(record.ref)) wrong = place + " names the ref of another attachment";
    }
  });
  if (!wrong.empty()) return wrong;
  for (const auto& [ifindex, port] : tables.ports) {
    if (port.kind != SLUICE_PORT_POD || !current(tables.endpoint_generations, port.endpoint)) continue;
    if (holders.ifindex(port.endpoint) != ifindex) return "a port speaks for the pod of another device";
  }
  each_family([&]<typename F>(F) {
    for (const auto& [key, record] : tables.*F::kFrontends) {
      if (wrong.empty()) wrong = check_frontend<F>(tables, holders, record);
    }
  });
  for (const auto& [network, way] : tables.egress) {
    for (const sluice_ref& ref : {way.ref4, way.ref6}) {
      const std::string* holder = holders.frontend(ref);
      if (current(tables.frontend_generations, ref) && (holder == nullptr || *holder != way_name(way)))
        return way_name(way) + " has a ref that was given to another";
    }
  }
  return wrong;
}

}  // namespace sluice::compile
