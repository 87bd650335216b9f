// SPDX-License-Identifier: Apache-2.0
// Who has which address, and who sends through which device.
#include <algorithm>

#include "compile/build.hpp"
#include "compile/records.hpp"

namespace sluice::compile {
/// Who else has the address; for messages.
template <typename F>
std::string Builder::holder_of(const typename F::EndpointKey& key, const std::string& except) const {
  const typename F::Address address = F::from_wire(key.address);
  std::string other = "another resource";
  if (key.network == 0 && F::egress(input_.egress) && F::egress(input_.egress)->address == address)
    other = "the node's egress";
  for (const auto& [name, floating] : input_.state.floating_ips) {
    if (key.network == 0 && F::of(floating.addresses()) == address && "floating IP " + name != except)
      other = "floating IP " + name;
  }
  for (const auto& [name, view] : networks_) {
    if (view.id != key.network) continue;
    if (F::router(*view.network) == address) other = "the router";
    for (const auto& [pod_name, pod] : view.pods) {
      if (F::of(pod.addresses) == address) other = "pod " + pod.pod->name.text();
    }
    for (const auto& [service, taken] : input_.assignments.service_addresses) {
      if (service.network == name && F::of(taken) == address && "service " + service.text() != except) {
        other = "service " + service.text();
      }
    }
  }
  return other;
}

template <typename F>
Status Builder::add_endpoint(const typename F::Endpoint& endpoint, const std::string& holder) {
  const bool first = (next_.*F::kEndpoints).emplace(endpoint.self, endpoint).second;
  if (first && !others_hold(F::kEndpoints, endpoint.self)) return {};
  return fail(ErrorCode::kExists, holder + ": address " + F::from_wire(endpoint.self.address).text() + " is taken by " +
                                      holder_of<F>(endpoint.self, holder));
}

template Status Builder::add_endpoint<Four>(const sluice_endpoint4&, const std::string&);
template Status Builder::add_endpoint<Six>(const sluice_endpoint6&, const std::string&);

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

/// What the tables have for a pod with these addresses, of whichever family.
std::optional<sluice_ref> Builder::former_ref(std::uint32_t network, const model::Addresses& addresses) const {
  std::optional<sluice_ref> ref;
  each_family([&]<typename F>(F) {
    if (!F::of(addresses) || ref) return;
    const auto* before = find_record(previous_.*F::kEndpoints, endpoint_key<F>(network, *F::of(addresses)));
    if (before != nullptr && is_pod(*before)) ref = before->ref;
  });
  return ref;
}

/// Whether each address of the pod has this ref and the attachment that it has now.
bool Builder::goes_on(std::uint32_t network, const PodView& view, const sluice_ref& ref) const {
  bool same = true;
  each_family([&]<typename F>(F) {
    if (!F::of(view.addresses)) return;
    const auto now = pod_endpoint<F>(network, *F::of(view.addresses), view.attachment);
    const auto* before = find_record(previous_.*F::kEndpoints, now.self);
    same =
        same && before != nullptr && is_pod(*before) && BytesEqual{}(before->ref, ref) && same_attachment(*before, now);
  });
  return same;
}

/// Same addresses and same attachment: the same ref, so that flows go on. Anything else, detaching included, is a new
/// holder: the tables do not know pods by name, and flows to a device that has gone reach nobody anyway. Device
/// kind and MAC count, because flow records hold copies of both.
Result<sluice_ref> Builder::pod_ref(std::uint32_t network, const PodView& view) {
  const std::optional<sluice_ref> before = former_ref(network, view.addresses);
  if (before && !input_.ending.contains(view.pod->name) && goes_on(network, view, *before)) {
    if (const std::optional<sluice_ref> kept = endpoint_slots_.keep(*before)) return *kept;
  }
  return endpoint_slots_.take(before.value_or(sluice_ref{}));
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
  const auto addresses = input_.assignments.pod_addresses.find(pod.name);
  if (addresses == input_.assignments.pod_addresses.end() || addresses->second.none()) {
    return fail(ErrorCode::kPrecondition, "pod " + pod.name.text() + " has no address assigned");
  }
  return PodView{&pod, addresses->second, find_attachment(input_.attachments, pod.name), {}};
}

/// Pods outside of the scope have the ref that they had.
Result<const Builder::PodView*> Builder::find_pod(NetworkView& network, const model::Pod& pod) {
  if (const auto known = network.pods.find(pod.name.name); known != network.pods.end()) return &known->second;
  Result<PodView> view = place_pod(pod);
  if (!view) return std::unexpected(view.error());
  const std::optional<sluice_ref> before = former_ref(network.id, view->addresses);
  if (!before) return fail(ErrorCode::kPrecondition, "pod " + pod.name.text() + " is not in the tables yet");
  view->ref = *before;
  return &network.pods.emplace(pod.name.name, *view).first->second;
}

Status Builder::add_pod(const model::Pod& pod) {
  const std::string holder = "pod " + pod.name.text();
  Result<NetworkView*> network = find_network(pod.name.network, holder);
  if (!network) return std::unexpected(network.error());
  Result<PodView> view = place_pod(pod);
  if (!view) return std::unexpected(view.error());
  const NetworkPlace place{(*network)->network, (*network)->id, (*network)->slot};
  const Result<sluice_ref> ref = pod_ref(place.id, *view);
  if (!ref) return fail_in(holder, ref);
  view->ref = *ref;
  const Status added = try_each_family([&]<typename F>(F) -> Status {
    if (!F::of(view->addresses)) return {};
    auto endpoint = pod_endpoint<F>(place.id, *F::of(view->addresses), view->attachment);
    endpoint.ref = *ref;
    return add_endpoint<F>(endpoint, holder);
  });
  if (!added) return added;
  (*network)->pods.emplace(pod.name.name, *view);
  if (view->attachment == nullptr) return {};
  return add_port(pod_port(place, view->addresses, *view->attachment, *ref), holder);
}

Status Builder::add_router(const NetworkView& network) {
  return try_each_family([&]<typename F>(F) -> Status {
    const auto router = F::router(*network.network);
    if (!router) return {};
    auto endpoint = make_endpoint<F>(network.id, *router, SLUICE_ENDPOINT_ROUTER);
    std::ranges::copy(kRouterMac, endpoint.mac);
    return add_endpoint<F>(endpoint, "router of network " + network.network->name);
  });
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

/// A floating IP has a record without a service too: it answers ARP, ND and ping, and refuses the rest.
Status Builder::add_floating_ip(const model::FloatingIp& floating) {
  return try_each_family([&]<typename F>(F) -> Status {
    const model::Addresses addresses = floating.addresses();
    if (!F::of(addresses)) return {};
    const auto endpoint = make_endpoint<F>(0, *F::of(addresses), SLUICE_ENDPOINT_FLOATING);
    return add_endpoint<F>(endpoint, "floating IP " + floating.name);
  });
}

Status Builder::add_floating_ips() {
  for (const auto& [name, floating] : input_.state.floating_ips) {
    if (Status done = add_floating_ip(floating); !done) return done;
  }
  return {};
}

/// Whatever may have frontends needs its bit; a bit too many only costs a lookup.
void Builder::set_filter() {
  each_family([this]<typename F>(F) {
    for (const auto& [key, endpoint] : next_.*F::kEndpoints) {
      if (!has_filter_bit(endpoint)) continue;
      const std::uint32_t bit = F::filter_bit(key);
      next_.frontend_filter[bit / 64] |= std::uint64_t{1} << (bit % 64);
    }
  });
}

}  // namespace sluice::compile
