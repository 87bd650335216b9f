// SPDX-License-Identifier: Apache-2.0
// Who has which address, and who sends through which device.
#include <algorithm>

#include "compile/build.hpp"
#include "compile/records.hpp"

namespace sluice::compile {
namespace {

sluice_endpoint4 make_endpoint(std::uint32_t network, Ipv4 address, std::uint8_t kind) {
  sluice_endpoint4 endpoint{};
  endpoint.self = endpoint.self_end = {network, address.wire()};
  endpoint.kind = kind;
  return endpoint;
}

}  // namespace

Status Builder::add_endpoint(const sluice_endpoint4& endpoint, const std::string& holder) {
  const bool first = next_.endpoints4.emplace(endpoint.self, endpoint).second;
  if (first && !others_hold(&Tables::endpoints4, endpoint.self)) return {};
  std::string other = "another resource";
  const Ipv4 address = Ipv4::from_wire(endpoint.self.address);
  for (const auto& [name, view] : networks_) {
    if (view.id != endpoint.self.network) continue;
    if (view.network->router() == address) other = "the router";
    for (const auto& [pod_name, pod] : view.pods) {
      if (pod.address == address) other = "pod " + pod.pod->name.text();
    }
    for (const auto& [service, taken] : input_.assignments.service_addresses) {
      if (service.network == name && taken == address && "service " + service.text() != holder) {
        other = "service " + service.text();
      }
    }
  }
  return fail(ErrorCode::kExists, holder + ": address " + address.text() + " is taken by " + other);
}

Status Builder::add_port(const sluice_port& port, const std::string& holder) {
  const bool first = next_.ports.emplace(port.self, port).second;
  if (first && !others_hold(&Tables::ports, port.self)) return {};
  return fail(ErrorCode::kInvalid,
              holder + ": device with ifindex " + std::to_string(port.self) + " belongs to another pod or uplink");
}

Status Builder::add_uplinks() {
  for (const Uplink& uplink : input_.uplinks) {
    sluice_port port{};
    port.self = port.self_end = uplink.ifindex;
    port.kind = SLUICE_PORT_UPLINK;
    port.delivery = SLUICE_DELIVER_UPLINK;
    std::ranges::copy(uplink.mac.bytes, port.mac);
    if (Status done = add_port(port, "uplink"); !done) return done;
  }
  return {};
}

/// Same address and same attachment: the same ref, so that flows go on. Anything else, detaching included, is a new
/// holder: the tables do not know pods by name, and flows to a device that has gone reach nobody anyway. Device
/// kind and MAC count, because flow records hold copies of both.
Result<sluice_ref> Builder::pod_ref(const sluice_endpoint4& endpoint) {
  const auto before = previous_.endpoints4.find(endpoint.self);
  if (before == previous_.endpoints4.end() || !is_pod(before->second)) return endpoint_slots_.take({});
  const sluice_endpoint4& old = before->second;
  if (same_attachment(old, endpoint)) {
    if (const std::optional<sluice_ref> kept = endpoint_slots_.keep(old.ref)) return *kept;
  }
  return endpoint_slots_.take(old.ref);
}

/// In a scope, networks come when they are needed.
Result<Builder::NetworkView*> Builder::find_network(const std::string& name, const std::string& holder) {
  if (const auto known = networks_.find(name); known != networks_.end()) return &known->second;
  const auto network = input_.state.networks.find(name);
  const auto id = input_.assignments.network_ids.find(name);
  const auto slot = input_.assignments.network_slots.find(name);
  if (before_ == nullptr || network == input_.state.networks.end() || id == input_.assignments.network_ids.end() ||
      slot == input_.assignments.network_slots.end()) {
    return fail(ErrorCode::kInvalid, holder + ": network " + name + " does not exist");
  }
  NetworkView& view = networks_[network->first];
  view.network = &network->second;
  view.id = id->second;
  view.slot = static_cast<std::uint16_t>(slot->second);
  return &view;
}

/// Without its ref.
Result<Builder::PodView> Builder::place_pod(const model::Pod& pod) const {
  const auto address = input_.assignments.pod_addresses.find(pod.name);
  if (address == input_.assignments.pod_addresses.end()) {
    return fail(ErrorCode::kPrecondition, "pod " + pod.name.text() + " has no address assigned");
  }
  return PodView{&pod, address->second, find_attachment(input_.attachments, pod.name), {}};
}

/// Pods outside of the scope have the ref that they had.
Result<const Builder::PodView*> Builder::find_pod(NetworkView& network, const model::Pod& pod) {
  if (const auto known = network.pods.find(pod.name.name); known != network.pods.end()) return &known->second;
  Result<PodView> view = place_pod(pod);
  if (!view) return std::unexpected(view.error());
  const auto before = previous_.endpoints4.find({network.id, view->address.wire()});
  if (before == previous_.endpoints4.end() || !is_pod(before->second)) {
    return fail(ErrorCode::kPrecondition, "pod " + pod.name.text() + " is not in the tables yet");
  }
  view->ref = before->second.ref;
  return &network.pods.emplace(pod.name.name, *view).first->second;
}

Status Builder::add_pod(const model::Pod& pod) {
  const std::string holder = "pod " + pod.name.text();
  Result<NetworkView*> network = find_network(pod.name.network, holder);
  if (!network) return std::unexpected(network.error());
  Result<PodView> view = place_pod(pod);
  if (!view) return std::unexpected(view.error());
  const NetworkPlace place{(*network)->network, (*network)->id, (*network)->slot};
  sluice_endpoint4 endpoint = pod_endpoint(place, view->address, view->attachment);
  const Result<sluice_ref> ref = pod_ref(endpoint);
  if (!ref) return fail_in(holder, ref);
  endpoint.ref = view->ref = *ref;
  if (Status done = add_endpoint(endpoint, holder); !done) return done;
  (*network)->pods.emplace(pod.name.name, *view);
  return view->attachment == nullptr ? Status{} : add_port(pod_port(place, endpoint), holder);
}

Status Builder::add_router(const NetworkView& network) {
  sluice_endpoint4 endpoint = make_endpoint(network.id, network.network->router(), SLUICE_ENDPOINT_ROUTER);
  std::ranges::copy(kRouterMac, endpoint.mac);
  return add_endpoint(endpoint, "router of network " + network.network->name);
}

Status Builder::add_pods() {
  next_.endpoints4.reserve(input_.state.pods.size() + input_.state.services.size() + networks_.size() +
                           input_.state.floating_ips.size());
  for (const auto& [name, network] : networks_) {
    if (Status done = add_router(network); !done) return done;
  }
  for (const auto& [name, pod] : input_.state.pods) {
    if (Status done = add_pod(pod); !done) return done;
  }
  return {};
}

/// A floating IP has a record without a service too: it answers ARP and ping, and refuses the rest.
Status Builder::add_floating_ip(const model::FloatingIp& floating) {
  return add_endpoint(make_endpoint(0, floating.address, SLUICE_ENDPOINT_FLOATING), "floating IP " + floating.name);
}

Status Builder::add_floating_ips() {
  for (const auto& [name, floating] : input_.state.floating_ips) {
    if (Status done = add_floating_ip(floating); !done) return done;
  }
  return {};
}

/// Whatever may have frontends needs its bit; a bit too many only costs a lookup.
void Builder::set_filter() {
  for (const auto& [key, endpoint] : next_.endpoints4) {
    if (!has_filter_bit(endpoint)) continue;
    const std::uint32_t bit = sluice_filter_bit(key.network, key.address);
    next_.frontend_filter[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
}

}  // namespace sluice::compile
