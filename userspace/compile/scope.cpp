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
  bool add_pod_records(std::uint32_t network, Ipv4 address);
  bool add_floating_ip(const std::string& name, const std::optional<model::FloatingIp>& former);
  bool add_service_records(const model::Name& name);
  bool add_service_records(const model::Service& service, Ipv4 address);
  bool add_endpoint(std::uint32_t network, Ipv4 address, bool (*expected)(const sluice_endpoint4&));
  bool add_frontend(const sluice_frontend4_key& key);
  [[nodiscard]] std::optional<std::uint32_t> former_id(const std::string& network) const;
  [[nodiscard]] std::optional<Ipv4> former_address(const std::string& floating_ip) const;

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

std::optional<Ipv4> Finder::former_address(const std::string& floating_ip) const {
  if (const auto changed = change_.floating_ips.find(floating_ip); changed != change_.floating_ips.end()) {
    return changed->second ? std::optional(changed->second->address) : std::nullopt;
  }
  const auto found = input_.state.floating_ips.find(floating_ip);
  return found == input_.state.floating_ips.end() ? std::nullopt : std::optional(found->second.address);
}

bool Finder::add_endpoint(std::uint32_t network, Ipv4 address, bool (*expected)(const sluice_endpoint4&)) {
  const auto found = previous_.endpoints4.find({network, address.wire()});
  if (found == previous_.endpoints4.end() || !expected(found->second)) return false;
  scope_.before.endpoints4.insert(*found);
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
    if (now->second.cidr4 != former->network.cidr4 || now->second.router() != former->network.router()) return false;
  }
  const auto limits = previous_.network_limits.find(former->slot);
  if (limits == previous_.network_limits.end() || limits->second.network != former->id) return false;
  scope_.before.network_limits.insert(*limits);
  return add_endpoint(former->id, former->network.router(),
                      [](const sluice_endpoint4& endpoint) { return endpoint.kind == SLUICE_ENDPOINT_ROUTER; });
}

bool Finder::add_pod_records(std::uint32_t network, Ipv4 address) {
  if (!add_endpoint(network, address, is_pod)) return false;
  const std::uint32_t ifindex = scope_.before.endpoints4.at({network, address.wire()}).ifindex;
  if (ifindex == 0) return true;
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
  return id && add_pod_records(*id, former->address);
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
  return !former || add_endpoint(0, former->address, [](const sluice_endpoint4& endpoint) {
    return endpoint.kind == SLUICE_ENDPOINT_FLOATING;
  });
}

bool Finder::add_frontend(const sluice_frontend4_key& key) {
  const auto found = previous_.frontends4.find(key);
  if (found == previous_.frontends4.end()) return false;
  scope_.before.frontends4.insert(*found);
  return true;
}

bool Finder::add_service_records(const model::Service& service, Ipv4 address) {
  const std::optional<std::uint32_t> id = former_id(service.name.network);
  if (!id) return false;
  const auto is_service = [](const sluice_endpoint4& endpoint) { return endpoint.kind == SLUICE_ENDPOINT_SERVICE; };
  if (!add_endpoint(*id, address, is_service)) return false;
  if (service.ports.empty()) return true;
  std::optional<Ipv4> floating;
  if (service.floating_ip) {
    floating = former_address(*service.floating_ip);
    if (!floating) return false;
  }
  return add_frontend(echo_key(*id, address)) &&
         std::ranges::all_of(service.ports, [&](const model::ServicePort& port) {
           const auto protocol = static_cast<std::uint8_t>(port.protocol);
           return add_frontend(frontend_key(*id, address, port.port, protocol)) &&
                  (!floating || add_frontend(frontend_key(0, *floating, port.port, protocol)));
         });
}

bool Finder::add_service_records(const model::Name& name) {
  if (const auto changed = change_.services.find(name); changed != change_.services.end()) {
    return !changed->second || add_service_records(changed->second->service, changed->second->address);
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
