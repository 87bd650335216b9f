// SPDX-License-Identifier: Apache-2.0
// What the node sees of one resource: who serves a service, and why somebody does not.
#include <algorithm>
#include <utility>

#include "model/selection.hpp"
#include "model/validate.hpp"
#include "node/node.hpp"

namespace sluice::node {
/// The first cause in the order in which an operator would look for it; empty if the backend gets new flows.
std::string Node::unused_because(const model::Name& service, const model::Pod& pod,
                                 const model::ServicePort& port) const {
  if (!model::target_port(port, pod)) {
    return "the pod has no port named '" + std::get<std::string>(port.target_port) + "' with protocol " +
           std::string(model::name(port.protocol));
  }
  if (const auto out = reconciler_.left_out().find(service); out != reconciler_.left_out().end()) {
    return "the tables have no room for the service: " + out->second;
  }
  const model::Addresses& pods = desired_->assignments.pod_addresses.at(pod.name);
  const model::Addresses& services = desired_->assignments.service_addresses.at(service);
  if (pods.of_families(services).none()) {
    return "the pod has no " + std::string(services.v4 ? "IPv4" : "IPv6") + " address, the service nothing else";
  }
  if (book_.find(pod.name) == nullptr) return "the pod is not attached on this node";
  if (book_.find(pod.name)->leaves_at) return "the pod is being detached";
  if (pod.draining) return "the pod is draining";
  if (pod.weight == 0) return "the pod's weight is 0";
  if (!synced_) return "the maps do not hold the newest state yet" + (map_error_.empty() ? "" : ": " + map_error_);
  return {};
}

void Node::add_backends(const model::Service& service, const model::Pod& pod,
                        std::vector<BackendReport>& reports) const {
  constexpr std::size_t kMostReports = 2000;  // nobody reads on, and the loop has other work
  const model::Addresses& pods = desired_->assignments.pod_addresses.at(pod.name);
  const model::Addresses& services = desired_->assignments.service_addresses.at(service.name);
  for (const model::ServicePort& port : service.ports) {
    if (reports.size() >= kMostReports) return;
    reports.push_back({.service = service.name,
                       .pod = pod.name,
                       .port = std::to_string(port.port) + "/" + std::string(model::name(port.protocol)),
                       .addresses = pods.of_families(services),
                       .target_port = model::target_port(port, pod).value_or(0),
                       .weight = pod.weight,
                       .reason = unused_because(service.name, pod, port)});
  }
}

void Node::describe_in_network(const model::Key& key, Description& description) const {
  const model::State& state = desired_->state;
  const auto each = [&](const auto& resources, const auto& visit) {
    for (auto it = resources.lower_bound(model::Name{key.name.network, ""});
         it != resources.end() && it->first.network == key.name.network; ++it) {
      visit(it->second);
    }
  };
  if (key.kind == model::Kind::kService) {
    const auto service = state.services.find(key.name);
    if (service == state.services.end()) return;
    each(state.pods, [&](const model::Pod& pod) {
      if (model::matches(pod.labels, service->second.selector))
        add_backends(service->second, pod, description.backends);
    });
  } else {
    const auto pod = state.pods.find(key.name);
    if (pod == state.pods.end()) return;
    description.drained = is_drained(pod->second);
    if (const auto* attachment = book_.find(key.name)) {
      description.attachment = *attachment;
      const auto link = datapath::find_link(attachment->device);
      if (link && *link) description.mtu = (*link)->mtu;
      if (pod->second.draining || attachment->leaves_at) {
        if (const auto left = flows_to({key.name})) description.flows_left = left->front();
      }
    }
    each(state.services, [&](const model::Service& service) {
      if (model::matches(pod->second.labels, service.selector))
        add_backends(service, pod->second, description.backends);
    });
  }
}

Result<Description> Node::describe_now(const model::Key& key) {
  take_over_newest();  // into the maps too: what is said of backends is said of what packets meet
  auto stored = parts_.repository->get(key);
  if (!stored) return std::unexpected(stored.error());
  Description description;
  description.stored = std::move(*stored);
  description.events = events_.of(key);
  if (!desired_) return description;
  const model::State& state = desired_->state;
  switch (key.kind) {
    case model::Kind::kPod:
    case model::Kind::kService:
      describe_in_network(key, description);
      break;
    case model::Kind::kFloatingIp:
      for (const auto& [name, service] : state.services) {
        if (service.floating_ip == key.name.name) description.users.push_back(name);
      }
      break;
    case model::Kind::kNetwork: {
      const auto count = [&](const auto& resources) {
        const auto begin = resources.lower_bound(model::Name{key.name.name, ""});
        const auto end = resources.lower_bound(model::Name{key.name.name + '\0', ""});
        return static_cast<std::uint32_t>(std::distance(begin, end));
      };
      description.pods = count(state.pods);
      description.services = count(state.services);
      if (const auto slot = desired_->assignments.network_slots.find(key.name.name);
          slot != desired_->assignments.network_slots.end()) {
        if (const auto flows = parts_.datapath->flows_of(slot->second)) description.flows = *flows;
      }
      break;
    }
    case model::Kind::kNode:
      break;
  }
  return description;
}

}  // namespace sluice::node
