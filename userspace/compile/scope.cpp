// SPDX-License-Identifier: Apache-2.0
#include "compile/scope.hpp"

#include <algorithm>

#include "compile/records.hpp"

namespace sluice::compile {
namespace {

class Finder {
 public:
  Finder(const Input& input, const Tables& previous, const model::Change& change, const model::Index& index)
      : input_(input), previous_(previous), change_(change), index_(index) {}

  std::optional<Scope> run();

 private:
  bool add_network(const std::string& name, const std::optional<model::FormerNetwork>& former);
  bool add_pod(const model::Name& name, const std::optional<model::FormerPod>& former);
  bool add_attachment(const model::Name& name);
  bool add_pod_records(std::uint32_t network, const model::Addresses& addresses);
  bool add_floating_ip(const std::string& name, const std::optional<model::FloatingIp>& former);
  bool add_service_records(const model::Name& name);
  bool add_service_records(const model::Service& service, const model::Addresses& addresses);
  template <typename F>
  bool add_service_address(const model::Service& service, std::uint32_t network, typename F::Address address,
                           const model::Addresses& floating);
  template <typename F, typename Expected>
  bool add_endpoint(std::uint32_t network, typename F::Address address, Expected expected);
  template <typename F>
  bool add_frontend(const typename F::FrontendKey& key);
  [[nodiscard]] std::optional<std::uint32_t> former_id(const std::string& network) const;
  [[nodiscard]] std::optional<model::Addresses> former_addresses(const std::string& floating_ip) const;

  const Input& input_;
  const Tables& previous_;
  const model::Change& change_;
  const model::Index& index_;
  Scope scope_;
};

std::optional<std::uint32_t> Finder::former_id(const std::string& network) const {
  if (const auto changed = change_.networks.find(network); changed != change_.networks.end()) {
    return changed->second ? std::optional(changed->second->id) : std::nullopt;
  }
  const auto found = input_.assignments.network_ids.find(network);
  return found == input_.assignments.network_ids.end() ? std::nullopt : std::optional(found->second);
}

std::optional<model::Addresses> Finder::former_addresses(const std::string& floating_ip) const {
  if (const auto changed = change_.floating_ips.find(floating_ip); changed != change_.floating_ips.end()) {
    return changed->second ? std::optional(changed->second->addresses()) : std::nullopt;
  }
  const auto found = input_.state.floating_ips.find(floating_ip);
  return found == input_.state.floating_ips.end() ? std::nullopt : std::optional(found->second.addresses());
}

template <typename F, typename Expected>
bool Finder::add_endpoint(std::uint32_t network, typename F::Address address, Expected expected) {
  const auto found = (previous_.*F::kEndpoints).find(endpoint_key<F>(network, address));
  if (found == (previous_.*F::kEndpoints).end() || !expected(found->second)) return false;
  (scope_.before.*F::kEndpoints).insert(*found);
  return true;
}

/// A network that stays may have other limits; everything else of it stands in records of all its pods and services.
bool Finder::add_network(const std::string& name, const std::optional<model::FormerNetwork>& former) {
  if (!former) return true;
  if (const auto now = input_.state.networks.find(name); now != input_.state.networks.end()) {
    const auto id = input_.assignments.network_ids.find(name);
    const auto slot = input_.assignments.network_slots.find(name);
    if (id == input_.assignments.network_ids.end() || id->second != former->id) return false;
    if (slot == input_.assignments.network_slots.end() || slot->second != former->slot) return false;
    const model::Network& before = former->network;
    if (now->second.cidr4 != before.cidr4 || now->second.router() != before.router()) return false;
    if (now->second.cidr6 != before.cidr6) return false;
  }
  const auto limits = previous_.network_limits.find(former->slot);
  if (limits == previous_.network_limits.end() || limits->second.network != former->id) return false;
  scope_.before.network_limits.insert(*limits);
  if (const auto way = previous_.egress.find(former->id); way != previous_.egress.end())
    scope_.before.egress.insert(*way);
  const auto is_router = [](const auto& endpoint) { return endpoint.kind == SLUICE_ENDPOINT_ROUTER; };
  bool found = true;
  each_family([&]<typename F>(F) {
    const auto router = F::router(former->network);
    if (router) found = found && add_endpoint<F>(former->id, *router, is_router);
  });
  return found;
}

bool Finder::add_pod_records(std::uint32_t network, const model::Addresses& addresses) {
  bool found = true;
  std::uint32_t ifindex = 0;
  each_family([&]<typename F>(F) {
    if (!F::of(addresses)) return;
    found = found && add_endpoint<F>(network, *F::of(addresses), [&ifindex](const auto& endpoint) {
              ifindex = endpoint.ifindex;
              return is_pod(endpoint);
            });
  });
  if (!found || ifindex == 0) return found;
  const auto port = previous_.ports.find(ifindex);
  if (port == previous_.ports.end()) return false;
  scope_.before.ports.insert(*port);
  return true;
}

bool Finder::add_pod(const model::Name& name, const std::optional<model::FormerPod>& former) {
  scope_.pods.insert(name);
  const auto now = input_.state.pods.find(name);
  if (now != input_.state.pods.end()) {
    index_.find_services(input_.state, name.network, now->second.labels, scope_.services);
  }
  if (!former) return true;
  index_.find_services(input_.state, name.network, former->pod.labels, scope_.services);
  const std::optional<std::uint32_t> id = former_id(name.network);
  return id && add_pod_records(*id, former->addresses);
}

/// compile() looks at attachments of declared pods alone.
bool Finder::add_attachment(const model::Name& name) {
  const auto pod = input_.state.pods.find(name);
  if (pod == input_.state.pods.end() || change_.pods.contains(name)) return true;
  const auto address = input_.assignments.pod_addresses.find(name);
  const std::optional<std::uint32_t> id = former_id(name.network);
  if (!id || address == input_.assignments.pod_addresses.end()) return false;
  scope_.pods.insert(name);
  index_.find_services(input_.state, name.network, pod->second.labels, scope_.services);
  return add_pod_records(*id, address->second);
}

bool Finder::add_floating_ip(const std::string& name, const std::optional<model::FloatingIp>& former) {
  if (const std::set<model::Name>* bound = index_.bound_to(name)) scope_.services.insert(bound->begin(), bound->end());
  if (!former) return true;
  const auto is_floating = [](const auto& endpoint) { return endpoint.kind == SLUICE_ENDPOINT_FLOATING; };
  bool found = true;
  each_family([&]<typename F>(F) {
    const model::Addresses addresses = former->addresses();
    if (F::of(addresses)) found = found && add_endpoint<F>(0, *F::of(addresses), is_floating);
  });
  return found;
}

template <typename F>
bool Finder::add_frontend(const typename F::FrontendKey& key) {
  const auto found = (previous_.*F::kFrontends).find(key);
  if (found == (previous_.*F::kFrontends).end()) return false;
  (scope_.before.*F::kFrontends).insert(*found);
  return true;
}

template <typename F>
bool Finder::add_service_address(const model::Service& service, std::uint32_t network, typename F::Address address,
                                 const model::Addresses& floating) {
  const auto is_service = [](const auto& endpoint) { return endpoint.kind == SLUICE_ENDPOINT_SERVICE; };
  if (!add_endpoint<F>(network, address, is_service)) return false;
  if (service.ports.empty()) return true;
  const auto& bound = F::of(floating);
  return add_frontend<F>(echo_key<F>(network, address)) &&
         std::ranges::all_of(service.ports, [&](const model::ServicePort& port) {
           const auto protocol = static_cast<std::uint8_t>(port.protocol);
           return add_frontend<F>(frontend_key<F>(network, address, port.port, protocol)) &&
                  (!bound || add_frontend<F>(frontend_key<F>(0, *bound, port.port, protocol)));
         });
}

bool Finder::add_service_records(const model::Service& service, const model::Addresses& addresses) {
  const std::optional<std::uint32_t> id = former_id(service.name.network);
  if (!id) return false;
  std::optional<model::Addresses> floating = model::Addresses{};
  if (service.floating_ip) floating = former_addresses(*service.floating_ip);
  if (!floating) return false;
  bool found = true;
  each_family([&]<typename F>(F) {
    if (F::of(addresses)) found = found && add_service_address<F>(service, *id, *F::of(addresses), *floating);
  });
  return found;
}

bool Finder::add_service_records(const model::Name& name) {
  if (const auto changed = change_.services.find(name); changed != change_.services.end()) {
    return !changed->second || add_service_records(changed->second->service, changed->second->addresses);
  }
  const auto address = input_.assignments.service_addresses.find(name);
  return address != input_.assignments.service_addresses.end() &&
         add_service_records(input_.state.services.at(name), address->second);
}

std::optional<Scope> Finder::run() {
  scope_.before.settings = previous_.settings;
  for (const auto& [name, former] : change_.networks) {
    if (!add_network(name, former)) return std::nullopt;
  }
  for (const auto& [name, former] : change_.pods) {
    if (!add_pod(name, former)) return std::nullopt;
  }
  for (const model::Name& name : change_.attachments) {
    if (!add_attachment(name)) return std::nullopt;
  }
  for (const auto& [name, former] : change_.floating_ips) {
    if (!add_floating_ip(name, former)) return std::nullopt;
  }
  for (const auto& [name, former] : change_.services) scope_.services.insert(name);
  for (const model::Name& name : scope_.services) {
    if (!add_service_records(name)) return std::nullopt;
  }
  return std::move(scope_);
}

}  // namespace

std::optional<Scope> scope_of(const Input& input, const Tables& previous, const model::Change& change,
                              const model::Index& index) {
  return Finder(input, previous, change, index).run();
}

}  // namespace sluice::compile
