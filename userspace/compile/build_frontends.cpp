// SPDX-License-Identifier: Apache-2.0
// Services: frontends, and their regions in the arenas of backends and rings.
#include <algorithm>
#include <unordered_set>

#include "compile/build.hpp"
#include "compile/records.hpp"
#include "model/selection.hpp"

namespace sluice::compile {
namespace {

std::uint8_t algorithm(model::Algorithm algorithm) {
  switch (algorithm) {
    case model::Algorithm::kSource:
      return SLUICE_ALGORITHM_SOURCE;
    case model::Algorithm::kRandom:
      return SLUICE_ALGORITHM_RANDOM;
    case model::Algorithm::kHash:
      break;
  }
  return SLUICE_ALGORITHM_HASH;
}

/// The parts of an element that may not change while a frontend uses it.
bool same_place(const sluice_backend& a, const sluice_backend& b) {
  return a.network == b.network && a.address4 == b.address4 && a.port == b.port && a.identity == b.identity;
}

}  // namespace

/// By name.
Result<std::vector<const Builder::PodView*>> Builder::select_pods(NetworkView& network, const model::Labels& selector) {
  std::vector<const PodView*> selected;
  const model::Index::Names* names = index_.pods(network.network->name, selector);
  if (names == nullptr) return selected;
  for (const std::string& name : *names) {
    const auto known = network.pods.find(name);
    const model::Pod* pod = known != network.pods.end() ? known->second.pod : nullptr;
    if (pod == nullptr) {
      const auto declared = input_.state.pods.find({network.network->name, name});
      if (declared == input_.state.pods.end()) {
        return fail(ErrorCode::kPrecondition, "pod " + network.network->name + "/" + name + " is in the index alone");
      }
      pod = &declared->second;
    }
    if (!model::matches(pod->labels, selector)) continue;
    const Result<const PodView*> view = find_pod(network, *pod);
    if (!view) return std::unexpected(view.error());
    selected.push_back(*view);
  }
  return selected;
}

/// Ordered by identity: the order depends on nothing but the set. Pods come by name, so of two that collide the
/// later name is salted, always the same one.
std::vector<Builder::Candidate> Builder::candidates(const ServiceView& service, const model::ServicePort& port,
                                                    std::span<const PodView* const> pods) {
  std::vector<Candidate> list;
  list.reserve(pods.size());
  std::unordered_set<std::uint32_t> taken;
  for (const PodView* pod : pods) {
    const std::optional<std::uint16_t> target = model::target_port(port, *pod->pod);
    if (!target) continue;
    std::uint32_t salt = 0;
    std::uint32_t identity = 0;
    do {
      identity = backend_identity(service.network->id, pod->pod->name.name, *target, salt++);
    } while (!taken.insert(identity).second);
    list.push_back({identity, pod, *target, pod->pod->weight});
  }
  std::ranges::sort(list, {}, &Candidate::identity);
  return list;
}

const sluice_frontend4* Builder::former(const ServiceView& service, const sluice_frontend4_key& key) const {
  const auto found = previous_.frontends4.find(key);
  if (found == previous_.frontends4.end()) return nullptr;
  const sluice_frontend4& before = found->second;
  return before.owner == service.owner && before.backend_network == service.network->id ? &before : nullptr;
}

/// A ring with the same fingerprint is trusted and stays where it is; another one goes to a free place.
Result<Builder::Ring> Builder::place_ring(const ServiceView& service, std::span<const sluice_frontend4_key> keys,
                                          std::span<const Candidate> list) {
  std::vector<RingMember> members;
  members.reserve(list.size());
  for (const Candidate& candidate : list) members.push_back({candidate.identity, candidate.weight});
  simplify_weights(members);
  std::uint32_t current = 0;
  for (const sluice_frontend4_key& key : keys) {
    const sluice_frontend4* before = former(service, key);
    if (before != nullptr && current == 0) current = before->ring_size;
  }
  const Result<std::uint32_t> size = model::required_ring_size(members, input_.limits.slots_per_backend, current);
  if (!size) return std::unexpected(size.error());
  if (*size == 0) return Ring{};
  Ring ring{0, *size, fingerprint(members, *size, secret_)};

  for (const sluice_frontend4_key& key : keys) {
    const sluice_frontend4* before = former(service, key);
    if (before == nullptr || before->fingerprint != ring.fingerprint || before->ring_size != ring.size) continue;
    const std::uint64_t end = std::uint64_t{before->ring_base} + ring_blocks(ring.size);
    if (end > rings_.size()) continue;
    ring.base = before->ring_base;
    if (before_ != nullptr) {
      kept_rings_.insert(ring.base);
      return ring;
    }
    for (auto it = previous_.rings.lower_bound(ring.base); it != previous_.rings.end() && it->first < end; ++it) {
      next_.rings.insert_or_assign(it->first, it->second);
    }
    return ring;
  }
  const Result<std::uint32_t> base = rings_.allocate(ring_blocks(ring.size));
  if (!base) return std::unexpected(base.error());
  ring.base = *base;
  std::uint32_t index = ring.base;
  for (const sluice_ring_block& block : pack_ring(build_ring(members, ring.size, secret_))) {
    if (!BytesEqual{}(block, sluice_ring_block{})) next_.rings.insert_or_assign(index, block);
    index++;
  }
  return ring;
}

bool Builder::holds(const sluice_frontend4& frontend, std::span<const sluice_backend> wanted) const {
  if (frontend.backend_count != wanted.size()) return false;
  if (std::uint64_t{frontend.backend_base} + wanted.size() > backends_.size()) return false;
  auto it = previous_.backends.find(frontend.backend_base);
  for (std::uint32_t i = 0; i < wanted.size(); i++, ++it) {
    if (it == previous_.backends.end() || it->first != frontend.backend_base + i) return false;
    if (!same_place(it->second, wanted[i])) return false;
  }
  return true;
}

/// The same configured set stays in place and changes only in state and endpoint ref: a ref that is half-way
/// between two writes does not match the endpoint record, which is a counted drop.
Result<Builder::Region> Builder::place_backends(const ServiceView& service, std::span<const sluice_frontend4_key> keys,
                                                std::span<const Candidate> list, bool echo) {
  std::vector<sluice_backend> wanted;
  wanted.reserve(list.size());
  Region region{0, static_cast<std::uint32_t>(list.size()), 0};
  for (const Candidate& candidate : list) {
    sluice_backend backend{};
    backend.network = service.network->id;
    backend.address4 = candidate.pod->address.wire();
    backend.endpoint = candidate.pod->ref;
    backend.port = echo ? std::uint16_t{0} : to_wire(candidate.port);
    backend.state = backend_state(*candidate.pod->pod, candidate.pod->attachment);
    backend.identity = candidate.identity;
    wanted.push_back(backend);
    if (backend.state == SLUICE_BACKEND_READY) region.ready++;
  }
  if (wanted.empty()) return region;
  const sluice_frontend4* same = nullptr;
  for (const sluice_frontend4_key& key : keys) {
    const sluice_frontend4* before = former(service, key);
    if (same == nullptr && before != nullptr && holds(*before, wanted)) same = before;
  }
  if (same != nullptr) {
    region.base = same->backend_base;
  } else {
    const Result<std::uint32_t> base = backends_.allocate(region.count);
    if (!base) return std::unexpected(base.error());
    region.base = *base;
  }
  for (std::uint32_t i = 0; i < region.count; i++) next_.backends.insert_or_assign(region.base + i, wanted[i]);
  return region;
}

Status Builder::add_frontend(const ServiceView& service, const sluice_frontend4_key& key, const Region& region,
                             const Ring& ring) {
  sluice_frontend4 frontend{};
  frontend.self = frontend.self_end = key;
  frontend.backend_network = service.network->id;
  frontend.backend_base = region.base;
  frontend.backend_count = region.count;
  frontend.ready_count = region.ready;
  frontend.ring_base = ring.base;
  frontend.ring_size = ring.size;
  frontend.router4 = service.network->network->router().wire();
  frontend.cidr_length = service.network->network->cidr4.length;
  frontend.network_slot = service.network->slot;
  frontend.algorithm = algorithm(service.service->algorithm);
  frontend.owner = service.owner;
  frontend.fingerprint = ring.fingerprint;
  if (next_.frontends4.contains(key) || others_hold(&Tables::frontends4, key)) {
    return fail(ErrorCode::kExists, "port " + std::to_string(from_wire(key.port)) + " with protocol " +
                                        std::to_string(key.protocol) + " on " + Ipv4::from_wire(key.address).text() +
                                        " is taken");
  }
  const sluice_frontend4* before = former(service, key);
  if (const std::optional<sluice_ref> kept = before != nullptr ? frontend_slots_.keep(before->ref) : std::nullopt) {
    frontend.ref = *kept;
  } else {
    const auto other = previous_.frontends4.find(key);
    const Result<sluice_ref> taken =
        frontend_slots_.take(other != previous_.frontends4.end() ? other->second.ref : sluice_ref{});
    if (!taken) return std::unexpected(taken.error());
    frontend.ref = *taken;
  }
  next_.frontends4.emplace(key, frontend);
  return {};
}

/// The service's port and the floating IP's share one region and one ring. ICMP echo has backends of its own
/// (without a port) under the same identities, and so the same ring.
Status Builder::add_service_port(const ServiceView& service, const model::ServicePort& port,
                                 std::span<const PodView* const> pods, bool first) {
  const auto protocol = static_cast<std::uint8_t>(port.protocol);
  const std::vector<Candidate> list = candidates(service, port, pods);
  const sluice_frontend4_key echo = echo_key(service.network->id, service.address);
  std::vector<sluice_frontend4_key> keys{frontend_key(service.network->id, service.address, port.port, protocol)};
  if (service.floating) keys.push_back(frontend_key(0, *service.floating, port.port, protocol));
  std::vector<sluice_frontend4_key> ring_keys = keys;
  if (first) ring_keys.push_back(echo);

  const Result<Ring> ring = place_ring(service, ring_keys, list);
  if (!ring) return std::unexpected(ring.error());
  const Result<Region> region = place_backends(service, keys, list, false);
  if (!region) return std::unexpected(region.error());
  for (const sluice_frontend4_key& key : keys) {
    if (Status done = add_frontend(service, key, *region, *ring); !done) return done;
  }
  if (!first) return {};
  const Result<Region> echo_region = place_backends(service, {&echo, 1}, list, true);
  if (!echo_region) return std::unexpected(echo_region.error());
  return add_frontend(service, echo, *echo_region, *ring);
}

Status Builder::add_service(const ServiceView& service) {
  sluice_endpoint4 endpoint{};
  endpoint.self = endpoint.self_end = {service.network->id, service.address.wire()};
  endpoint.kind = SLUICE_ENDPOINT_SERVICE;
  std::ranges::copy(kRouterMac, endpoint.mac);
  const std::string holder = "service " + service.service->name.text();
  if (Status done = add_endpoint(endpoint, holder); !done) return done;
  const auto pods = select_pods(*service.network, service.service->selector);
  if (!pods) return fail_in(holder, pods);
  for (std::size_t i = 0; i < service.service->ports.size(); i++) {
    const Status done = add_service_port(service, service.service->ports[i], *pods, i == 0);
    if (!done) return fail_in(holder, done);
  }
  return {};
}

Status Builder::add_service(const model::Service& service) {
  const std::string holder = "service " + service.name.text();
  const Result<NetworkView*> network = find_network(service.name.network, holder);
  if (!network) return std::unexpected(network.error());
  const auto address = input_.assignments.service_addresses.find(service.name);
  if (address == input_.assignments.service_addresses.end()) {
    return fail(ErrorCode::kPrecondition, holder + " has no address assigned");
  }
  ServiceView view{&service, *network, service_owner((*network)->id, service.name.name), address->second, {}};
  if (service.floating_ip) {
    const auto floating = input_.state.floating_ips.find(*service.floating_ip);
    if (floating == input_.state.floating_ips.end()) {
      return fail(ErrorCode::kInvalid, holder + ": floating IP " + *service.floating_ip + " does not exist");
    }
    view.floating = floating->second.address;
  }
  return add_service(view);
}

Status Builder::add_services() {
  for (const auto& [name, service] : input_.state.services) {
    if (Status done = add_service(service); !done) return done;
  }
  return {};
}

}  // namespace sluice::compile
