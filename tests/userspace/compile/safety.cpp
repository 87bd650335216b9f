// SPDX-License-Identifier: Apache-2.0
#include "safety.hpp"

#include <algorithm>

#include "compile/slots.hpp"

namespace sluice::compile {
namespace {

bool current(const ArrayTable<std::uint32_t>& generations, const sluice_ref& ref) {
  const auto found = generations.find(ref.slot);
  return found != generations.end() && found->second == ref.generation;
}

bool is_pod(const sluice_endpoint4& record) {
  return record.kind == SLUICE_ENDPOINT_POD_PEER || record.kind == SLUICE_ENDPOINT_POD_DEVICE;
}

std::string at(std::uint32_t network, std::uint32_t address) {
  return std::to_string(network) + "/" + Ipv4::from_wire(address).text();
}

std::string check_ring(const Tables& tables, const sluice_frontend4& record) {
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

std::string check_frontend(const Tables& tables, const Holders& holders, const sluice_frontend4& record) {
  const std::string place = "frontend " + at(record.self.network, record.self.address) + ": ";
  if (record.self.network != 0 && record.self.network != record.backend_network) return place + "of another network";
  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < record.backend_count; i++) {
    const auto found = tables.backends.find(record.backend_base + i);
    if (found == tables.backends.end()) return place + "a backend is not there";
    const sluice_backend& target = found->second;
    if (target.network != record.backend_network) return place + "a backend of another network";
    if (target.state == SLUICE_BACKEND_READY) ready++;
    // The select stage: the endpoint record must have the backend's ref; then the packet goes to its device.
    const auto record_of = tables.endpoints4.find({target.network, target.address4});
    if (record_of == tables.endpoints4.end() || !is_pod(record_of->second)) continue;
    const sluice_endpoint4& pod = record_of->second;
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
  for (const auto& [name, pod] : world.state.pods) {
    const std::uint32_t network = world.assignments.network_ids.at(name.network);
    const auto& record = tables.endpoints4.at({network, world.assignments.pod_addresses.at(name).wire()});
    // A pod that is attached nowhere has no flows, so the next one at its address may inherit the ref.
    const std::string holder = record.ifindex == 0 ? at(network, record.self.address) : name.text();
    const std::string wrong = give(pods_, record.ref, {holder, record.ifindex});
    if (!wrong.empty()) return wrong;
    if (!current(tables.endpoint_generations, record.ref)) return name.text() + " has a ref that is not current";
  }
  for (const auto& [key, record] : tables.frontends4) {
    const std::string owner = std::to_string(record.owner) + " in " + std::to_string(record.backend_network);
    const std::string wrong = give(frontends_, record.ref, {owner, 0});
    if (!wrong.empty()) return wrong;
    if (!current(tables.frontend_generations, record.ref)) return owner + " has a ref that is not current";
  }
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
  for (const auto& [key, record] : tables.endpoints4) {
    if (!is_pod(record)) continue;
    if (std::memcmp(&key, &record.self, sizeof(key)) != 0) return "an endpoint does not name itself";
    if (holders.pod(record.ref) == nullptr) return at(key.network, key.address) + " has a ref that nobody was given";
    if (record.ifindex != holders.ifindex(record.ref)) {
      return at(key.network, key.address) + " names the ref of another attachment";
    }
  }
  for (const auto& [ifindex, port] : tables.ports) {
    if (port.kind != SLUICE_PORT_POD || !current(tables.endpoint_generations, port.endpoint)) continue;
    if (holders.ifindex(port.endpoint) != ifindex) return "a port speaks for the pod of another device";
  }
  for (const auto& [key, record] : tables.frontends4) {
    const std::string wrong = check_frontend(tables, holders, record);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace sluice::compile
