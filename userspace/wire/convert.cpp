// SPDX-License-Identifier: Apache-2.0
#include "wire/convert.hpp"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "model/names.hpp"
#include "model/validate.hpp"
#include "wire/findings.hpp"

namespace sluice::wire {
namespace {

/// Who lowers the maximum alone wants less, not an error about a guarantee that they never wrote.
std::uint32_t default_guaranteed(std::uint32_t max_flows) {
  return std::min(model::Network{}.guaranteed_flows, max_flows);
}
std::uint32_t default_half_open(std::uint32_t max_flows) {
  return std::min(model::Network{}.max_half_open_flows, max_flows);
}

model::EgressWay read_egress(v1::EgressWay way, Findings& findings) {
  if (way == v1::EGRESS_NONE) return model::EgressWay::kNone;
  if (!v1::EgressWay_IsValid(way)) {
    const std::string number = std::to_string(static_cast<int>(way));
    findings.add("egress", number, "way " + number + " is unknown", "use EGRESS_NODE or EGRESS_NONE");
  }
  return model::EgressWay::kNode;
}

v1::Network network_message(const model::Network& network) {
  const model::Network defaults;
  v1::Network message;
  message.set_name(network.name);
  write_labels(network.labels, *message.mutable_labels());
  if (network.cidr4 != defaults.cidr4) message.set_cidr4(network.cidr4.text());
  if (network.router4) message.set_router4(network.router4->text());
  write_families(network.families, *message.mutable_families());
  if (network.cidr6) message.set_cidr6(network.cidr6->text());
  if (network.egress == model::EgressWay::kNone) message.set_egress(v1::EGRESS_NONE);
  if (network.domain != defaults.domain) message.set_domain(network.domain);
  if (network.guaranteed_flows != default_guaranteed(network.max_flows)) {
    message.mutable_limits()->set_guaranteed_flows(network.guaranteed_flows);
  }
  if (network.max_flows != defaults.max_flows) message.mutable_limits()->set_max_flows(network.max_flows);
  if (network.max_half_open_flows != default_half_open(network.max_flows)) {
    message.mutable_limits()->set_max_half_open_flows(network.max_half_open_flows);
  }
  return message;
}

Result<model::Network> read_network(const v1::Network& message) {
  model::Network network;
  network.name = message.name();
  Findings findings(model::describe(network));
  network.labels = read_labels(message.labels());
  network.cidr4 = read_prefix("cidr4", message.cidr4(), findings).value_or(network.cidr4);
  network.router4 = read_address("router4", message.router4(), findings);
  network.families = read_families(message.families(), findings);
  network.cidr6 = read_prefix6("cidr6", message.cidr6(), findings);
  network.egress = read_egress(message.egress(), findings);
  if (!message.domain().empty()) network.domain = message.domain();
  const v1::NetworkLimits& limits = message.limits();
  if (limits.has_max_flows()) network.max_flows = limits.max_flows();
  network.guaranteed_flows =
      limits.has_guaranteed_flows() ? limits.guaranteed_flows() : default_guaranteed(network.max_flows);
  network.max_half_open_flows =
      limits.has_max_half_open_flows() ? limits.max_half_open_flows() : default_half_open(network.max_flows);
  return std::move(findings).result(std::move(network));
}

/// Addresses and pool both, so that what is shown makes the same floating IP again elsewhere.
v1::FloatingIP floating_ip_message(const model::FloatingIp& floating_ip) {
  v1::FloatingIP message;
  message.set_name(floating_ip.name);
  write_labels(floating_ip.labels, *message.mutable_labels());
  message.set_pool(floating_ip.pool);
  if (floating_ip.addresses().none()) return message;
  if (floating_ip.address) {
    message.set_address(floating_ip.address->text());
    message.mutable_status()->set_address(floating_ip.address->text());
  }
  if (floating_ip.address6) {
    message.set_address6(floating_ip.address6->text());
    message.mutable_status()->set_address6(floating_ip.address6->text());
  }
  message.mutable_status()->set_pool(floating_ip.pool);
  return message;
}

Result<model::FloatingIp> read_floating_ip(const v1::FloatingIP& message) {
  model::FloatingIp floating_ip;
  floating_ip.name = message.name();
  Findings findings(model::describe(floating_ip));
  floating_ip.labels = read_labels(message.labels());
  floating_ip.pool = message.pool();
  floating_ip.address = read_address("address", message.address(), findings);
  if (floating_ip.address == Ipv4{}) {
    findings.add("address", message.address(), "0.0.0.0 is no unicast address", "choose an address of the public side");
  }
  floating_ip.address6 = read_address6("address6", message.address6(), findings);
  return std::move(findings).result(std::move(floating_ip));
}

v1::Node node_message(const model::Node& node) {
  v1::Node message;
  message.set_name(node.name);
  write_labels(node.labels, *message.mutable_labels());
  if (node.underlay4) message.set_underlay4(node.underlay4->text());
  message.set_public_key(node.public_key);
  return message;
}

Result<model::Node> read_node(const v1::Node& message) {
  model::Node node;
  node.name = message.name();
  Findings findings(model::describe(model::key_of(node)));
  node.labels = read_labels(message.labels());
  node.underlay4 = read_address("underlay4", message.underlay4(), findings);
  node.public_key = message.public_key();
  return std::move(findings).result(std::move(node));
}

template <typename AddressStatus>
void write_addresses(const model::Addresses& addresses, AddressStatus& status) {
  if (addresses.v4) status.set_address4(addresses.v4->text());
  if (addresses.v6) status.set_address6(addresses.v6->text());
}

void put(const model::Network& network, const Assigned& assigned, v1::Resource& message) {
  v1::Network& made = *message.mutable_network() = network_message(network);
  made.set_id(assigned.network_id);
  made.set_slot(assigned.network_slot);
}
void put(const model::Pod& pod, const Assigned& assigned, v1::Resource& message) {
  *message.mutable_pod() = pod_message(pod);
  write_addresses(assigned.addresses, *message.mutable_pod()->mutable_status());
}
void put(const model::Service& service, const Assigned& assigned, v1::Resource& message) {
  *message.mutable_service() = service_message(service);
  write_addresses(assigned.addresses, *message.mutable_service()->mutable_status());
}
void put(const model::FloatingIp& floating_ip, const Assigned&, v1::Resource& message) {
  *message.mutable_floating_ip() = floating_ip_message(floating_ip);
}
void put(const model::Node& node, const Assigned&, v1::Resource& message) {
  *message.mutable_node() = node_message(node);
}

template <typename Model>
Result<model::Resource> as_resource(Result<Model> read) {
  if (!read) return std::unexpected(std::move(read.error()));
  return model::Resource(std::move(*read));
}

/// The addresses that a store must have kept for a pod or service: one at least.
template <typename AddressStatus>
Status read_kept_addresses(const std::string& resource, const AddressStatus& status, Assigned& assigned) {
  Findings findings(resource);
  assigned.addresses = {read_address("status.address4", status.address4(), findings),
                        read_address6("status.address6", status.address6(), findings)};
  if (status.address4().empty() && status.address6().empty()) {
    findings.add("status.address4", "", "is missing", "the record is damaged: restore a backup");
  }
  const auto whole = std::move(findings).result(0);
  if (!whole) return std::unexpected(whole.error());
  return {};
}

}  // namespace

v1::Resource to_message(const model::Resource& resource, const Assigned& assigned) {
  v1::Resource message;
  std::visit([&](const auto& value) { put(value, assigned, message); }, resource);
  if (assigned.created == 0 && assigned.modified == 0 && assigned.created_seconds == 0) return message;
  message.mutable_metadata()->set_created_revision(assigned.created);
  message.mutable_metadata()->set_modified_revision(assigned.modified);
  message.mutable_metadata()->set_created_seconds(assigned.created_seconds);
  return message;
}

Result<model::Resource> to_model(const v1::Resource& message) {
  switch (message.kind_case()) {
    case v1::Resource::kNetwork:
      return as_resource(read_network(message.network()));
    case v1::Resource::kPod:
      return as_resource(read_pod(message.pod()));
    case v1::Resource::kService:
      return as_resource(read_service(message.service()));
    case v1::Resource::kFloatingIp:
      return as_resource(read_floating_ip(message.floating_ip()));
    case v1::Resource::kNode:
      return as_resource(read_node(message.node()));
    case v1::Resource::KIND_NOT_SET:
      break;
  }
  Findings findings("resource");
  findings.add("kind", "", "is missing", "set one of network, pod, service, floating_ip, node");
  return std::move(findings).result(model::Resource());
}

Result<Assigned> assigned_of(const v1::Resource& message) {
  Assigned assigned;
  assigned.created = message.metadata().created_revision();
  assigned.modified = message.metadata().modified_revision();
  assigned.created_seconds = message.metadata().created_seconds();
  Status whole;
  if (message.has_network()) {
    const v1::Network& network = message.network();
    assigned.network_id = network.id();
    assigned.network_slot = network.slot();
    Findings findings("network " + model::printable(network.name()));
    if (network.id() == 0) findings.add("id", "0", "is missing", "the record is damaged: restore a backup");
    if (network.slot() == 0) findings.add("slot", "0", "is missing", "the record is damaged: restore a backup");
    return std::move(findings).result(assigned);
  }
  if (message.has_pod()) {
    const v1::Pod& pod = message.pod();
    whole = read_kept_addresses(model::describe_pod({pod.network(), pod.name()}), pod.status(), assigned);
  } else if (message.has_service()) {
    const v1::Service& service = message.service();
    whole =
        read_kept_addresses(model::describe_service({service.network(), service.name()}), service.status(), assigned);
  } else if (message.kind_case() == v1::Resource::KIND_NOT_SET) {
    whole = fail(ErrorCode::kInvalid, "resource: kind: is missing; the record is damaged: restore a backup");
  }
  if (!whole) return std::unexpected(whole.error());
  return assigned;
}

v1::Kind to_message(model::Kind kind) {
  switch (kind) {
    case model::Kind::kNetwork:
      return v1::NETWORK;
    case model::Kind::kFloatingIp:
      return v1::FLOATING_IP;
    case model::Kind::kNode:
      return v1::NODE;
    case model::Kind::kPod:
      return v1::POD;
    case model::Kind::kService:
      return v1::SERVICE;
  }
  return v1::KIND_UNSPECIFIED;
}

Result<model::Kind> to_model(v1::Kind kind) {
  for (const auto known : {model::Kind::kNetwork, model::Kind::kFloatingIp, model::Kind::kNode, model::Kind::kPod,
                           model::Kind::kService}) {
    if (to_message(known) == kind) return known;
  }
  Findings findings("request");
  const std::string number = std::to_string(static_cast<int>(kind));
  findings.add("kind", number, kind == v1::KIND_UNSPECIFIED ? "is missing" : "kind " + number + " is unknown",
               "use NETWORK, POD, SERVICE, FLOATING_IP or NODE");
  return std::move(findings).result(model::Kind::kNetwork);
}

v1::ResourceKey to_message(const model::Key& key) {
  v1::ResourceKey message;
  message.set_kind(to_message(key.kind));
  message.set_network(key.name.network);
  message.set_name(key.name.name);
  return message;
}

Result<model::Key> to_model(const v1::ResourceKey& message) {
  const Result<model::Kind> kind = to_model(message.kind());
  if (!kind) return std::unexpected(kind.error());
  model::Key key{*kind, {message.network(), message.name()}};
  if (model::is_in_network(*kind)) key.name = read_name(message.network(), message.name());
  Findings findings(model::describe(key));
  if (message.name().empty()) findings.add("name", "", "is missing", "name the resource");
  if (!model::is_in_network(*kind) && !message.network().empty()) {
    findings.add("network", message.network(), "a " + std::string(model::name(*kind)) + " is in no network",
                 "leave it empty");
  }
  return std::move(findings).result(std::move(key));
}

v1::Problems to_message(const Error& error) {
  v1::Problems message;
  for (const Detail& detail : error.details) {
    v1::Problem& problem = *message.add_problems();
    problem.set_resource(model::escaped(detail.resource));
    problem.set_field(model::escaped(detail.field));
    problem.set_value(model::escaped(detail.value));
    problem.set_problem(model::escaped(detail.problem));
    problem.set_remedy(model::escaped(detail.remedy));
  }
  if (error.details.empty()) message.add_problems()->set_problem(model::escaped(error.message));
  return message;
}

}  // namespace sluice::wire
