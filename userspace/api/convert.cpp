// SPDX-License-Identifier: Apache-2.0
#include "api/convert.hpp"

#include <chrono>
#include <string_view>
#include <variant>

#include "base/text.hpp"
#include "model/names.hpp"
#include "model/times.hpp"
#include "model/validate.hpp"
#include "wire/convert.hpp"

namespace sluice::api {
namespace {

constexpr std::size_t kLongestName = 63;    // RFC 1123, a DNS label
constexpr std::size_t kLongestPath = 4096;  // PATH_MAX
constexpr std::size_t kShownBytes = 80;     // of a wrong value, in a message

std::string shown(std::string_view value) {
  if (value.size() <= kShownBytes) return "\"" + std::string(value) + "\"";
  return "\"" + std::string(value.substr(0, kShownBytes)) + "...\" (" + std::to_string(value.size()) + " bytes)";
}

Status check_name(std::string_view field, const std::string& value) {
  if (value.empty()) return fail(ErrorCode::kInvalid, std::string(field) + ": missing");
  if (value.size() > kLongestName) {
    return fail(ErrorCode::kInvalid, std::string(field) + ": " + shown(value) + " is longer than 63 characters");
  }
  return {};
}

template <typename Message>
void set_addresses(const model::Addresses& addresses, Message& message) {
  if (addresses.v4) message.set_address4(addresses.v4->text());
  if (addresses.v6) message.set_address6(addresses.v6->text());
}

std::string_view text_of(node::Severity severity) {
  switch (severity) {
    case node::Severity::kInfo:
      return "info";
    case node::Severity::kWarning:
      return "warning";
    case node::Severity::kError:
      return "error";
  }
  return "";
}

}  // namespace

Result<model::Name> pod_name(const std::string& network, const std::string& name) {
  if (auto valid = check_name("network", network); !valid) return std::unexpected(valid.error());
  if (auto valid = check_name("name", name); !valid) return std::unexpected(valid.error());
  return model::Name{network, name};
}

Result<node::AttachRequest> from_message(const v1::AttachPodRequest& message) {
  auto name = pod_name(message.network(), message.name());
  if (!name) return std::unexpected(name.error());
  if (message.netns().size() > kLongestPath || message.netns().find('\0') != std::string::npos ||
      !message.netns().starts_with('/')) {
    return fail(ErrorCode::kInvalid, "netns: " + shown(message.netns()) +
                                         " is no absolute path of at most 4096 bytes, e.g. /run/netns/web-1");
  }
  node::AttachRequest request{.pod = std::move(*name), .netns = message.netns()};
  if (!message.interface().empty()) request.interface = message.interface();
  if (request.interface.size() > kLongestName) {
    return fail(ErrorCode::kInvalid, "interface: " + shown(request.interface) + " is longer than 15 characters");
  }
  return request;
}

Result<node::DetachRequest> from_message(const v1::DetachPodRequest& message) {
  auto name = pod_name(message.network(), message.name());
  if (!name) return std::unexpected(name.error());
  if (message.grace_milliseconds() != 0) {
    if (auto valid = model::check_grace(message.grace_milliseconds()); !valid) {
      const std::string number = std::to_string(message.grace_milliseconds());
      const std::string resource = model::describe_pod(*name);
      Error error{ErrorCode::kInvalid, resource + ": grace: " + valid.error().message};
      error.details.push_back({resource, "grace", number, "is out of range", "choose 1ms to 24h"});
      return std::unexpected(std::move(error));
    }
  }
  return node::DetachRequest{std::move(*name), std::chrono::milliseconds(message.grace_milliseconds())};
}

v1::StoreIdentity to_message(const store::Identity& identity) {
  v1::StoreIdentity message;
  message.set_uuid(uuid_text(identity.uuid));
  message.set_epoch(identity.epoch);
  return message;
}

Status check_store(const v1::StoreIdentity& expected, const store::Identity& present) {
  const std::string uuid = uuid_text(present.uuid);
  const auto refuse = [](const std::string& field, const std::string& value, const std::string& problem) {
    const std::string remedy = "list again and go on from there";
    Error error{ErrorCode::kOutOfRange, "store: " + problem + ": its revisions are others; " + remedy};
    error.details.push_back({"store", field, value, problem, remedy});
    return std::unexpected(std::move(error));
  };
  if (!expected.uuid().empty() && expected.uuid() != uuid) {
    const std::string value = model::printable(expected.uuid().substr(0, kShownBytes));
    return refuse("store.uuid", value, "the daemon's is " + uuid + ", not " + value);
  }
  if (expected.epoch() != 0 && expected.epoch() != present.epoch) {
    const std::string value = std::to_string(expected.epoch());
    return refuse("store.epoch", value, "it is in epoch " + std::to_string(present.epoch) + ", not " + value);
  }
  return {};
}

v1::AttachPodResponse to_message(const node::AttachReply& reply) {
  v1::AttachPodResponse message;
  if (reply.addresses.v4) {
    message.set_address4(reply.addresses.v4->text() + "/" + std::to_string(reply.prefix_length));
    message.set_router4(reply.router.text());
  }
  if (reply.addresses.v6) {
    message.set_address6(reply.addresses.v6->text() + "/" + std::to_string(reply.prefix_length6));
  }
  message.set_mac(reply.mac.text());
  message.set_mtu(reply.mtu);
  message.set_device(reply.device);
  return message;
}

v1::DescribeResponse to_message(const node::Description& description) {
  v1::DescribeResponse message;
  *message.mutable_resource() = wire::to_message(description.stored.resource, description.stored.assigned);
  if (description.attachment) {
    message.set_attached(true);
    message.set_device(description.attachment->device);
    message.set_netns_cookie(std::to_string(description.attachment->netns_cookie));
    message.set_mac(description.attachment->mac.text());
    message.set_mtu(description.mtu);
    message.set_detaches_at(description.attachment->leaves_at.value_or(0));
  }
  if (description.flows_left) message.set_flows_left(*description.flows_left);
  message.set_drained(description.drained);
  for (const node::BackendReport& report : description.backends) {
    v1::BackendStatus& backend = *message.add_backends();
    *backend.mutable_pod() = wire::to_message(model::Key{model::Kind::kPod, report.pod});
    *backend.mutable_service() = wire::to_message(model::Key{model::Kind::kService, report.service});
    backend.set_port(report.port);
    set_addresses(report.addresses, backend);
    backend.set_target_port(report.target_port);
    backend.set_ready(report.reason.empty());
    backend.set_reason(report.reason);
    backend.set_weight(report.weight);
  }
  for (const model::Name& user : description.users)
    *message.add_users() = wire::to_message(model::Key{model::Kind::kService, user});
  if (const auto* network = std::get_if<model::Network>(&description.stored.resource)) {
    v1::NetworkUsage& usage = *message.mutable_usage();
    usage.set_pods(description.pods);
    usage.set_services(description.services);
    usage.set_flows(description.flows);
    usage.set_guaranteed_flows(network->guaranteed_flows);
    usage.set_max_flows(network->max_flows);
  }
  for (const node::Event& event : description.events) {
    v1::Event& added = *message.add_events();
    added.set_unix_milliseconds(
        std::chrono::duration_cast<std::chrono::milliseconds>(event.at.time_since_epoch()).count());
    added.set_severity(std::string(text_of(event.severity)));
    added.set_kind(event.kind);
    added.set_text(event.text);
    added.set_count(event.count);
  }
  return message;
}

namespace {

template <typename Address>
void set_egress_address(const compile::EgressAddress<Address>& egress, v1::EgressAddressStatus& message) {
  message.set_address(egress.address.text());
  message.set_shared(egress.shared);
  message.set_first_port(egress.ports.first);
  message.set_last_port(egress.ports.last);
}

void set_egress(const node::EgressStatus& egress, v1::EgressStatus& message) {
  message.set_device(egress.device);
  message.set_ifindex(egress.value.ifindex);
  message.set_flows_per_pod(egress.value.flows_per_pod);
  if (egress.value.v4) set_egress_address(*egress.value.v4, *message.mutable_address4());
  if (egress.value.v6) set_egress_address(*egress.value.v6, *message.mutable_address6());
}

}  // namespace

v1::GetStatusResponse to_message(const node::NodeStatus& status, const std::string& version) {
  v1::GetStatusResponse message;
  message.set_version(version);
  message.set_revision(status.revision);
  message.set_synced(status.synced);
  message.set_last_error(status.last_error);
  message.set_writes(status.counters.writes);
  message.set_write_failures(status.counters.write_failures);
  message.set_reconciles(status.counters.reconciles);
  message.set_drifts(status.counters.drifts);
  message.set_last_reconcile_microseconds(static_cast<std::uint64_t>(status.counters.last_duration.count()));
  message.set_tcx(status.tcx);
  v1::StoreStatus& store = *message.mutable_store();
  store.set_uuid(uuid_text(status.store.uuid));
  store.set_epoch(status.store.epoch);
  store.set_revision(status.store.revision);
  store.set_compacted(status.store.compacted);
  store.set_manifests(status.store.manifests);
  store.set_refuses_writes(status.store.refuses_writes);
  for (const std::string& warning : status.warnings) message.add_warnings(warning);
  message.set_pod_mtu(status.pod_mtu);
  if (status.egress) set_egress(*status.egress, *message.mutable_egress());
  for (const node::UplinkStatus& uplink : status.uplinks) {
    v1::UplinkStatus* added = message.add_uplinks();
    added->set_device(uplink.device);
    added->set_ifindex(uplink.ifindex);
    added->set_mtu(uplink.mtu);
  }
  for (const node::PodStatus& pod : status.pods) {
    v1::NodePodStatus* added = message.add_pods();
    added->set_network(pod.name.network);
    added->set_name(pod.name.name);
    set_addresses(pod.addresses, *added);
    added->set_attached(pod.attached);
    added->set_device(pod.device);
    added->set_draining(pod.draining);
    added->set_drain_deadline(pod.drain_deadline.value_or(0));
    added->set_drained(pod.drained);
    added->set_detaches_at(pod.leaves_at.value_or(0));
  }
  for (const node::ServiceStatus& service : status.services) {
    v1::NodeServiceStatus* added = message.add_services();
    added->set_network(service.name.network);
    added->set_name(service.name.name);
    set_addresses(service.addresses, *added);
    added->set_floating_ip(service.floating_ip);
    added->set_backends(service.backends);
    added->set_ready(service.ready);
  }
  return message;
}

}  // namespace sluice::api
