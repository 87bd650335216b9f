// SPDX-License-Identifier: Apache-2.0
// What other threads ask of the node: attach, detach, status.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "datapath/namespaces.hpp"
#include "node/log.hpp"
#include "node/node.hpp"

namespace sluice::node {
namespace {

/// The kernel's limit for an interface name is 15 characters; the rest is what ip(8) accepts too.
Status check_interface(const std::string& interface) {
  const bool fits = !interface.empty() && interface.size() <= 15 && interface != "." && interface != "..";
  const bool plain = std::ranges::all_of(interface, [](const char c) { return c > ' ' && c < 0x7f && c != '/'; });
  if (fits && plain) return {};
  return fail(ErrorCode::kInvalid, "interface: \"" + interface + "\" is no interface name; give 1 to 15 printable " +
                                       "characters without '/', e.g. eth0");
}

}  // namespace

template <typename T, typename Work>
Result<T> Node::on_loop(Work work) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto answer = promise->get_future();
  const bool accepted = loop_.post([promise, work = std::move(work)] { promise->set_value(work()); });
  if (!accepted) return fail(ErrorCode::kPrecondition, "the daemon is stopping");
  return answer.get();
}

Result<AttachReply> Node::attach(const AttachRequest& request) {
  if (auto valid = check_interface(request.interface); !valid) return std::unexpected(valid.error());
  // Opened on the caller's thread: a path on a file system that hangs holds up nobody else.
  auto netns = datapath::open_netns(request.netns);
  if (!netns) return fail_in("netns", netns);
  auto cookie = datapath::netns_cookie(*netns);
  if (!cookie) return fail_in("netns " + request.netns.string(), cookie);
  return on_loop<AttachReply>([&] { return attach_now(request, *netns, *cookie); });
}

Result<DetachReply> Node::detach(const DetachRequest& request) {
  return on_loop<DetachReply>([&] { return detach_now(request); });
}

Result<std::string> Node::adopt_store() {
  return on_loop<std::string>([this]() -> Result<std::string> {
    std::string reason = std::exchange(hold_, {});
    if (reason.empty()) return reason;
    parts_.repository->refuse_writes({});
    spdlog::warn("event=store_adopted former={}", quote(reason));
    mark_due_ = true;
    input_changed();
    if (desired_) forget_void_attachments();
    reload();
    finish_later();
    return reason;
  });
}

std::string Node::refuses_changes() const {
  std::string reason = parts_.repository->refuses_writes();
  if (!reason.empty() || !parts_.manifests) return reason;
  return "the resources come from the manifests in " + parts_.manifests->path().string() +
         "; change them there, or remove `manifests` from the daemon's configuration";
}

Result<Description> Node::describe(const model::Key& key) {
  return on_loop<Description>([&] { return describe_now(key); });
}

Result<NodeStatus> Node::status() {
  return on_loop<NodeStatus>([this] { return Result<NodeStatus>(status_now()); });
}

// ---- attach ------------------------------------------------------------------------------------------------------

Result<AttachReply> Node::attach_now(const AttachRequest& request, const UniqueFd& netns, std::uint64_t cookie) {
  last_request_ = EventLoop::Clock::now();
  // It may have been declared a moment ago and not been read yet.
  if (!has_pod(request.pod)) reload();
  if (!hold_.empty()) return fail(ErrorCode::kPrecondition, hold_);
  if (!desired_) return fail(ErrorCode::kPrecondition, "there is no valid desired state yet: " + state_error_);
  if (!has_pod(request.pod)) {
    return fail(ErrorCode::kNotFound,
                "pod " + request.pod.text() + " is not declared; " +
                    (follower_ ? "add it to the manifests" : "declare it: sluicectl apply -f FILE") +
                    (state_error_.empty() ? "" : ", which are not valid now: " + state_error_));
  }
  schedule_settle();
  auto before = existing(request, netns, cookie);
  if (!before) return std::unexpected(before.error());
  if (before->has_value()) return **before;
  // An old device of this pod may still be in the namespace, with the same interface name.
  if (auto finished = finish_now(request.pod); !finished) {
    static_cast<void>(reconcile_at_once());  // existing() may have ended the attachment
    return std::unexpected(finished.error());
  }
  return attach_new(request, netns, cookie);
}

/// The answer if the pod is attached to this very namespace; nothing if it is not attached (any more).
Result<std::optional<AttachReply>> Node::existing(const AttachRequest& request, const UniqueFd& netns,
                                                  std::uint64_t cookie) {
  const model::Attachment* attachment = book_.find(request.pod);
  if (attachment == nullptr) return std::nullopt;
  auto lives = device_lives(*attachment);
  if (!lives) return std::unexpected(lives.error());
  if (!*lives) {  // its RTM_DELLINK has not been read yet
    take(request.pod, "device_gone");
    return std::nullopt;
  }
  if (attachment->netns_cookie != cookie) {
    return fail(ErrorCode::kExists, "pod " + request.pod.text() + " is attached to another namespace with device " +
                                        attachment->device + "; detach it first: sluicectl pod detach " +
                                        request.pod.text());
  }
  // No interface with the pod's MAC: the pod has changed it, so nothing can be said.
  auto interface = datapath::interface_with(netns, attachment->mac);
  if (!interface) return std::unexpected(interface.error());
  if (interface->value_or(request.interface) != request.interface) {
    return fail(ErrorCode::kExists, "interface: pod " + request.pod.text() + " is attached to this namespace with " +
                                        "interface \"" + **interface +
                                        "\"; ask for that one, or detach the pod first: " + "sluicectl pod detach " +
                                        request.pod.text());
  }
  if (auto stays = stay(request.pod); !stays) return std::unexpected(stays.error());
  if (auto there = reconcile_at_once(Reconciler::Input::kSame); !there) return std::unexpected(there.error());
  return reply_of(request.pod, *attachment);
}

/// Device, maps, record, in this order: the pod is served before the disk is waited for. A crash in between leaves a
/// device without a record, which the next start removes, and a caller without an answer, who asks again.
Result<AttachReply> Node::attach_new(const AttachRequest& request, const UniqueFd& netns, std::uint64_t cookie) {
  auto device = device_of(request);
  if (!device) return std::unexpected(device.error());
  const auto neighbour = book_.by_cookie(cookie);
  auto attachment = book_.attach(request.pod, netns, *device);
  if (!attachment) {
    std::string place = "pod " + request.pod.text();
    if (neighbour) place += " (the namespace is that of pod " + neighbour->text() + ")";
    return fail_in(place, attachment);
  }
  pending_.attachments.insert(request.pod);
  // A deadline that has passed already has nothing to end here.
  Status done;
  if (drains_.has_passed(request.pod)) done = book_.set_drained(request.pod, *drains_.of(request.pod));
  if (done) done = reconcile_at_once();
  if (done) done = book_.record(request.pod);
  if (!done) {
    take(request.pod, "attach_failed");
    static_cast<void>(reconcile());
    static_cast<void>(finish_now(request.pod));
    return fail_in("pod " + request.pod.text(), done);
  }
  note(request.pod, Severity::kInfo, "attached", "to device " + attachment->device);
  spdlog::info("event=attached pod={} device={} ifindex={} address={}", request.pod.text(), attachment->device,
               attachment->ifindex, desired_->assignments.pod_addresses.at(request.pod).text());
  return reply_of(request.pod, *attachment);
}

Result<datapath::PodDevice> Node::device_of(const AttachRequest& request) {
  const auto network = desired_->state.networks.find(request.pod.network);
  const auto id = desired_->assignments.network_ids.find(request.pod.network);
  const auto addresses = desired_->assignments.pod_addresses.find(request.pod);
  if (network == desired_->state.networks.end() || id == desired_->assignments.network_ids.end() ||
      addresses == desired_->assignments.pod_addresses.end()) {
    return fail(ErrorCode::kPrecondition, "pod " + request.pod.text() + " has no address yet");
  }
  return datapath::PodDevice{.interface = request.interface,
                             .mac = model::pod_mac(id->second, addresses->second),
                             .address = addresses->second.v4,
                             .cidr = network->second.cidr4,
                             .router = network->second.router(),
                             .mtu = uplinks_.pod_mtu(),
                             .address6 = addresses->second.v6,
                             .cidr6 = network->second.cidr6.value_or(Cidr6{})};
}

AttachReply Node::reply_of(const model::Name& pod, const model::Attachment& attachment) const {
  const model::Network& network = desired_->state.networks.at(pod.network);
  return {.addresses = desired_->assignments.pod_addresses.at(pod),
          .prefix_length = network.cidr4.length,
          .prefix_length6 = network.cidr6.value_or(Cidr6{}).length,
          .mac = attachment.mac,
          .router = network.router(),
          .mtu = uplinks_.pod_mtu(),
          .device = attachment.device};
}

// ---- detach and status ---------------------------------------------------------------------------------------------

Result<DetachReply> Node::detach_now(const DetachRequest& request) {
  const model::Name& pod = request.pod;
  last_request_ = EventLoop::Clock::now();
  const bool attached = book_.find(pod) != nullptr;
  if (!attached && !has_pod(pod)) return fail(ErrorCode::kNotFound, "pod " + pod.text() + " is not declared");
  if (attached && request.grace.count() != 0) return detach_later(request);
  if (attached) {
    take(pod, "detach");
    // Removing the device ends its traffic even if the maps cannot be written now; the retry repairs them.
    if (desired_) static_cast<void>(reconcile_at_once());
  }
  // If it was not attached: a device of it that could not be removed before.
  if (auto finished = finish_now(pod); !finished) return std::unexpected(finished.error());
  return DetachReply{};
}

NodeStatus Node::status_now() const {
  NodeStatus status;
  status.revision = applied_revision_;
  status.synced = synced_ && pending_.empty() && state_error_.empty() && hold_.empty();
  status.last_error = !hold_.empty() ? hold_ : state_error_.empty() ? map_error_ : state_error_;
  const store::Identity identity = parts_.repository->identity();
  status.store = {.uuid = identity.uuid,
                  .epoch = identity.epoch,
                  .revision = parts_.repository->revision(),
                  .compacted = parts_.repository->compacted().value_or(0),
                  .manifests = parts_.manifests ? parts_.manifests->path().string() : "",
                  .refuses_writes = refuses_changes()};
  status.warnings = uplinks_.problems();
  std::ranges::copy(egress_.problems(), std::back_inserter(status.warnings));
  for (const std::string& problem : {mtu_problem_, group_problem_}) {
    if (!problem.empty()) status.warnings.push_back(problem);
  }
  status.pod_mtu = uplinks_.pod_mtu();
  for (const auto& [service, why] : reconciler_.left_out()) status.warnings.push_back(why + " (it is left out)");
  status.counters = reconciler_.counters();
  status.services = service_status();
  status.tcx = parts_.datapath->uses_tcx();
  for (const UplinkConfig& uplink : uplinks_.wanted()) {
    status.uplinks.push_back({uplink.device, uplinks_.ifindex_of(uplink.device), uplinks_.mtu_of(uplink.device)});
  }
  if (options_.egress) status.egress = {egress_.device(), egress_.current()};
  if (!desired_) return status;
  for (const auto& [name, pod] : desired_->state.pods) {
    const model::Attachment* attachment = book_.find(name);
    const auto addresses = desired_->assignments.pod_addresses.find(name);
    const bool known = addresses != desired_->assignments.pod_addresses.end();
    status.pods.push_back({.name = name,
                           .addresses = known ? addresses->second : model::Addresses{},
                           .attached = attachment != nullptr,
                           .device = attachment == nullptr ? "" : attachment->device,
                           .draining = pod.draining,
                           .drain_deadline = pod.drain_deadline,
                           .drained = is_drained(pod),
                           .leaves_at = attachment == nullptr ? std::nullopt : attachment->leaves_at});
  }
  return status;
}

std::vector<ServiceStatus> Node::service_status() const {
  std::vector<ServiceStatus> services;
  if (!desired_) return services;
  for (const auto& [name, service] : desired_->state.services) {
    const auto addresses = desired_->assignments.service_addresses.find(name);
    const auto network = desired_->assignments.network_ids.find(name.network);
    if (addresses == desired_->assignments.service_addresses.end() ||
        network == desired_->assignments.network_ids.end()) {
      continue;
    }
    ServiceStatus status{.name = name, .addresses = addresses->second, .floating_ip = service.floating_ip.value_or("")};
    if (!service.ports.empty()) {
      const auto counts =
          compile::backends_of(reconciler_.actual(), network->second, addresses->second, service.ports.front());
      status.backends = counts.configured;
      status.ready = counts.ready;
    }
    services.push_back(std::move(status));
  }
  return services;
}

}  // namespace sluice::node
