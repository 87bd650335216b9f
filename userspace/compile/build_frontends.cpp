// SPDX-License-Identifier: Apache-2.0
// Services: frontends, and their regions in the arenas of backends and rings.
#include <algorithm>
#include <iterator>
#include <unordered_set>

#include "compile/build.hpp"
#include "compile/records.hpp"
#include "model/selection.hpp"

namespace sluice::compile {
namespace {

/// Round robin goes by the ring only where it must: in the list's order the turns of equals are evenly apart.
std::uint8_t algorithm(model::Algorithm algorithm, bool weighted) {
  switch (algorithm) {
    case model::Algorithm::kSource:
      return SLUICE_ALGORITHM_SOURCE;
    case model::Algorithm::kRandom:
      return SLUICE_ALGORITHM_RANDOM;
    case model::Algorithm::kRoundRobin:
      return weighted ? SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN : SLUICE_ALGORITHM_ROUND_ROBIN;
    case model::Algorithm::kLeastConnections:
      return SLUICE_ALGORITHM_LEAST_CONNECTIONS;
    case model::Algorithm::kHash:
      break;
  }
  return SLUICE_ALGORITHM_HASH;
}

/// The parts of an element that may not change while a frontend uses it.
bool same_place(const sluice_backend& a, const sluice_backend& b) {
  return a.network == b.network && a.address4 == b.address4 && BytesEqual{}(a.address6, b.address6) &&
         a.port == b.port && a.identity == b.identity;
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

template <typename F>
const typename F::Frontend* Builder::former(const ServiceView& service, const typename F::FrontendKey& key) const {
  const auto* before = find_record(previous_.*F::kFrontends, key);
  const bool same =
      before != nullptr && before->owner == service.owner && before->backend_network == service.network->id;
  return same ? before : nullptr;
}

/// A ring with the same fingerprint is trusted and stays where it is; another one goes to a free place.
template <typename F>
Result<Builder::Ring> Builder::place_ring(const ServiceView& service, std::span<const typename F::FrontendKey> keys,
                                          std::span<const Candidate> list) {
  std::vector<RingMember> members;
  members.reserve(list.size());
  for (const Candidate& candidate : list) members.push_back({candidate.identity, candidate.weight});
  simplify_weights(members);
  std::uint32_t current = 0;
  for (const auto& key : keys) {
    const auto* before = former<F>(service, key);
    if (before != nullptr && current == 0) current = before->ring_size;
  }
  const Result<std::uint32_t> size = model::required_ring_size(members, input_.limits.slots_per_backend, current);
  if (!size) return std::unexpected(size.error());
  if (*size == 0) return Ring{};
  const bool weighted =
      std::ranges::adjacent_find(members, std::ranges::not_equal_to{}, &RingMember::weight) != members.end();
  Ring ring{0, *size, fingerprint(members, *size, secret_), weighted};

  for (const auto& key : keys) {
    const auto* before = former<F>(service, key);
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

template <typename Frontend>
bool Builder::holds(const Frontend& frontend, std::span<const sluice_backend> wanted) const {
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
template <typename F>
Result<Builder::Region> Builder::place_backends(const ServiceView& service,
                                                std::span<const typename F::FrontendKey> keys,
                                                std::span<const Candidate> list, bool echo) {
  std::vector<sluice_backend> wanted;
  wanted.reserve(list.size());
  Region region{0, static_cast<std::uint32_t>(list.size()), 0};
  for (const Candidate& candidate : list) {
    sluice_backend backend{};
    backend.network = service.network->id;
    F::backend_address(backend) = F::wire(*F::of(candidate.pod->addresses));
    backend.endpoint = candidate.pod->ref;
    backend.port = echo ? std::uint16_t{0} : to_wire(candidate.port);
    backend.state = backend_state(*candidate.pod->pod, candidate.pod->attachment);
    backend.weight = static_cast<std::uint8_t>(std::max<std::uint16_t>(candidate.weight, 1) - 1);
    backend.identity = candidate.identity;
    wanted.push_back(backend);
    if (backend.state == SLUICE_BACKEND_READY) region.ready++;
  }
  if (wanted.empty()) return region;
  const typename F::Frontend* same = nullptr;
  for (const auto& key : keys) {
    const auto* before = former<F>(service, key);
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

template <typename F>
Status Builder::add_frontend(const ServiceView& service, const typename F::FrontendKey& key, const Region& region,
                             const Ring& ring) {
  typename F::Frontend frontend{};
  frontend.self = frontend.self_end = key;
  frontend.backend_network = service.network->id;
  frontend.backend_base = region.base;
  frontend.backend_count = region.count;
  frontend.ready_count = region.ready;
  frontend.ring_base = ring.base;
  frontend.ring_size = ring.size;
  F::router_of(frontend) = F::wire(*F::router(*service.network->network));
  frontend.cidr_length = F::prefix_length(*service.network->network);
  frontend.network_slot = service.network->slot;
  frontend.algorithm = algorithm(service.service->algorithm, ring.weighted);
  frontend.affinity = service.service->affinity;
  frontend.owner = service.owner;
  frontend.fingerprint = ring.fingerprint;
  if ((next_.*F::kFrontends).contains(key) || others_hold(F::kFrontends, key)) {
    return fail(ErrorCode::kExists, "port " + std::to_string(from_wire(key.port)) + " with protocol " +
                                        std::to_string(key.protocol) + " on " + F::from_wire(key.address).text() +
                                        " is taken");
  }
  const auto* before = former<F>(service, key);
  if (const std::optional<sluice_ref> kept = before != nullptr ? frontend_slots_.keep(before->ref) : std::nullopt) {
    frontend.ref = *kept;
  } else {
    const auto* other = find_record(previous_.*F::kFrontends, key);
    const Result<sluice_ref> taken = frontend_slots_.take(other != nullptr ? other->ref : sluice_ref{});
    if (!taken) return std::unexpected(taken.error());
    frontend.ref = *taken;
  }
  (next_.*F::kFrontends).emplace(key, frontend);
  return {};
}

/// The service's port and the floating IP's share one region and one ring. ICMP echo has backends of its own
/// (without a port) under the same identities, and so the same ring.
template <typename F>
Status Builder::add_service_port(const ServiceView& service, const model::ServicePort& port,
                                 std::span<const PodView* const> pods, bool first) {
  using Key = typename F::FrontendKey;
  const auto protocol = static_cast<std::uint8_t>(port.protocol);
  const std::vector<Candidate> list = candidates(service, port, pods);
  const Key echo = echo_key<F>(service.network->id, *F::of(service.addresses));
  std::vector<Key> keys{frontend_key<F>(service.network->id, *F::of(service.addresses), port.port, protocol)};
  if (F::of(service.floating)) keys.push_back(frontend_key<F>(0, *F::of(service.floating), port.port, protocol));
  std::vector<Key> ring_keys = keys;
  if (first) ring_keys.push_back(echo);

  const Result<Ring> ring = place_ring<F>(service, ring_keys, list);
  if (!ring) return std::unexpected(ring.error());
  const Result<Region> region = place_backends<F>(service, keys, list, false);
  if (!region) return std::unexpected(region.error());
  for (const Key& key : keys) {
    if (Status done = add_frontend<F>(service, key, *region, *ring); !done) return done;
  }
  if (!first) return {};
  const Result<Region> echo_region = place_backends<F>(service, {&echo, 1}, list, true);
  if (!echo_region) return std::unexpected(echo_region.error());
  return add_frontend<F>(service, echo, *echo_region, *ring);
}

/// The backends of an address are the pods that have its family.
template <typename F>
Status Builder::add_service_address(const ServiceView& service, const std::vector<const PodView*>& pods) {
  auto endpoint = make_endpoint<F>(service.network->id, *F::of(service.addresses), SLUICE_ENDPOINT_SERVICE);
  std::ranges::copy(kRouterMac, endpoint.mac);
  const std::string holder = "service " + service.service->name.text();
  if (Status done = add_endpoint<F>(endpoint, holder); !done) return done;
  std::vector<const PodView*> backends;
  std::ranges::copy_if(pods, std::back_inserter(backends),
                       [](const PodView* pod) { return F::of(pod->addresses).has_value(); });
  for (std::size_t i = 0; i < service.service->ports.size(); i++) {
    const Status done = add_service_port<F>(service, service.service->ports[i], backends, i == 0);
    if (!done) return fail_in(holder, done);
  }
  return {};
}

Status Builder::add_service(const ServiceView& service) {
  const auto pods = select_pods(*service.network, service.service->selector);
  if (!pods) return fail_in("service " + service.service->name.text(), pods);
  return try_each_family([&]<typename F>(F) -> Status {
    return F::of(service.addresses) ? add_service_address<F>(service, *pods) : Status{};
  });
}

Status Builder::add_service(const model::Service& service) {
  const std::string holder = "service " + service.name.text();
  const Result<NetworkView*> network = find_network(service.name.network, holder);
  if (!network) return std::unexpected(network.error());
  const auto addresses = input_.assignments.service_addresses.find(service.name);
  if (addresses == input_.assignments.service_addresses.end() || addresses->second.none()) {
    return fail(ErrorCode::kPrecondition, holder + " has no address assigned");
  }
  if (addresses->second.v6 && !(*network)->network->cidr6) {
    return fail(ErrorCode::kPrecondition, holder + " has an IPv6 address, and its network none");
  }
  ServiceView view{&service, *network, service_owner((*network)->id, service.name.name), addresses->second, {}};
  if (service.floating_ip) {
    const auto floating = input_.state.floating_ips.find(*service.floating_ip);
    if (floating == input_.state.floating_ips.end()) {
      return fail(ErrorCode::kInvalid, holder + ": floating IP " + *service.floating_ip + " does not exist");
    }
    view.floating = floating->second.addresses();
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
