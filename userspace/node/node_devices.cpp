// SPDX-License-Identifier: Apache-2.0
// The node's devices: attachments that end, and what the kernel tells about links.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "datapath/multicast.hpp"
#include "datapath/pod_mtu.hpp"
#include "node/log.hpp"
#include "node/node.hpp"

namespace sluice::node {

void Node::take(const model::Name& pod, const char* cause) {
  auto attachment = book_.take(pod);
  if (!attachment) return;
  spdlog::info("event=attachment_ended pod={} device={} cause={}", pod.text(), attachment->device, cause);
  note(pod, Severity::kWarning, "attachment_ended", std::string(cause) + ", device " + attachment->device);
  pending_.attachments.insert(pod);
  reconciler_.forget_wanted();
  leaving_.forget(pod);
  ending_.erase(pod);
  endings_.push_back({pod, std::move(*attachment), EventLoop::Clock::now()});
}

void Node::note(const model::Name& pod, Severity severity, const char* kind, std::string text) {
  events_.add({model::Kind::kPod, pod}, severity, kind, std::move(text));
}

Status Node::finish(const Ending& ending) {
  // The pod may have been attached anew in the meantime; then the record is the new one's.
  if (book_.find(ending.pod) != nullptr) return parts_.devices->detach(ending.attachment);
  return book_.finish(ending.pod, ending.attachment);
}

/// Removing a device waits for the kernel (20 to 70 ms): one a turn of the loop, so that requests and vanished pods
/// do not wait for all of them, and none while requests come in, if that takes no more than a second.
void Node::finish_later() {
  constexpr std::chrono::seconds kMostPatience{1};
  if (endings_.empty() || finish_timer_ != 0 || !hold_.empty()) return;
  const bool patient = busy() && EventLoop::Clock::now() - endings_.front().since < kMostPatience;
  const auto delay = patient ? options_.settle_delay : std::chrono::milliseconds{0};
  finish_timer_ = loop_.after(delay, [this, patient] {
    finish_timer_ = 0;
    if (patient) return finish_later();
    if (endings_.empty()) return;
    const Ending ending = std::move(endings_.front());
    endings_.pop_front();
    if (auto finished = finish(ending); !finished) {
      spdlog::warn("event=detach_failed pod={} error={}", ending.pod.text(), quote(finished.error().message));
      put_back(ending);
    } else if (endings_.empty() && failed_endings_.empty()) {
      put_back_delay_ = std::chrono::milliseconds{0};
    }
    finish_later();
  });
}

/// A device that could not be removed is tried again, each time after a longer wait, or when its pod is asked for.
void Node::put_back(Ending ending) {
  failed_endings_.push_back(std::move(ending));
  if (put_back_timer_ != 0) return;
  put_back_delay_ = std::clamp(put_back_delay_ * 2, options_.retry_minimum, options_.retry_maximum);
  put_back_timer_ = loop_.after(put_back_delay_, [this] {
    put_back_timer_ = 0;
    std::ranges::move(failed_endings_, std::back_inserter(endings_));
    failed_endings_.clear();
    finish_later();
  });
}

Status Node::finish_now(const model::Name& pod) {
  Status outcome;
  std::vector<Ending> wanted;
  for (auto* endings : {&endings_, &failed_endings_}) {
    const auto others = std::ranges::stable_partition(*endings, [&pod](const Ending& one) { return one.pod != pod; });
    std::ranges::move(others, std::back_inserter(wanted));
    endings->erase(others.begin(), others.end());
  }
  for (Ending& ending : wanted) {
    auto finished = finish(ending);
    if (finished) continue;
    outcome = std::move(finished);
    put_back(std::move(ending));
  }
  return outcome;
}

// ---- what the kernel tells ------------------------------------------------------------------------------------------

void Node::links_changed() {
  if (follow_links()) static_cast<void>(reconcile());
  finish_later();
}

/// True if input() has changed.
bool Node::follow_links() {
  auto batch = parts_.links->read();
  if (!batch) {  // the events are lost; the retry looks at every device
    spdlog::warn("event=link_watch_failed error={}", quote(batch.error().message));
    links_lost_ = true;
    retry_later();
    return false;
  }
  bool uplinks = batch->resynced, mtu = batch->resynced;
  std::vector<model::Name> gone;
  for (const datapath::LinkEvent& event : batch->events) {
    uplinks = uplinks || uplinks_.concerns(event.link);
    mtu = mtu || uplinks_.concerns(event.link);
    const auto pod = book_.by_ifindex(event.link.ifindex);
    if (!pod) continue;
    mtu = mtu || event.link.mtu != uplinks_.pod_mtu();
    if (event.kind == datapath::LinkEvent::Kind::kGone) {
      gone.push_back(*pod);
    } else if (auto renamed = book_.rename(*pod, event.link.name); !renamed) {
      spdlog::warn("event=rename_failed pod={} error={}", pod->text(), quote(renamed.error().message));
    }
  }
  for (const model::Name& pod : gone) take(pod, "device_gone");
  bool changed = !gone.empty();
  if (batch->resynced && check_attachments()) changed = true;
  if (uplinks && refresh_uplinks()) changed = true;
  if (mtu) follow_mtu();
  return changed;
}

/// Compares the attachments with the devices that there are. True if one has ended. A list may lack a device that came
/// or went while it was made, so that whatever it lacks is asked for once more by name.
bool Node::check_attachments() {
  auto links = datapath::list_links();
  if (!links) {
    spdlog::warn("event=list_links_failed error={}", quote(links.error().message));
    links_lost_ = true;
    retry_later();
    return false;
  }
  links_lost_ = false;
  std::vector<model::Name> gone;
  std::vector<std::pair<model::Name, std::string>> renamed;
  for (const auto& [pod, attachment] : book_.all()) {
    const auto link = std::ranges::find(*links, attachment.ifindex, &datapath::LinkInfo::ifindex);
    if (link != links->end()) {
      if (link->name != attachment.device) renamed.emplace_back(pod, link->name);
    } else if (auto lives = device_lives(attachment); lives && !*lives) {
      gone.push_back(pod);
    }
  }
  for (const auto& [pod, device] : renamed) {
    if (auto done = book_.rename(pod, device); !done) {
      spdlog::warn("event=rename_failed pod={} error={}", pod.text(), quote(done.error().message));
    }
  }
  for (const model::Name& pod : gone) take(pod, "device_gone");
  return !gone.empty();
}

/// True if input() has changed.
bool Node::refresh_uplinks() {
  auto refreshed = uplinks_.refresh();
  if (!refreshed) {
    spdlog::warn("event=uplinks_failed error={}", quote(refreshed.error().message));
    return false;
  }
  if (*refreshed) input_changed();
  const bool egress = look_at_egress();
  return *refreshed || egress;
}

void Node::addresses_changed() {
  const auto changed = parts_.addresses->changed();
  if (!changed) spdlog::warn("event=address_watch_failed error={}", quote(changed.error().message));
  if (!changed.value_or(true) || !look_at_egress()) return;
  if (desired_) static_cast<void>(reconcile());  // a failed write is retried, and stands in the status
}

/// True if input() has changed.
bool Node::look_at_egress() {
  egress_.look();
  return decide_egress();
}

/// From what is known of the host. True if input() has changed.
bool Node::decide_egress() {
  static const model::State kNone;
  const model::State& state = desired_ ? desired_->state : kNone;
  if (!egress_.decide(uplinks_.ifindex_of(egress_.device()), state.nodes, state.floating_ips)) return false;
  input_changed();
  return true;
}

/// The programs do not ask for the MTU of a device if a packet is no longer than this.
void Node::set_smallest_mtu(std::uint32_t mtu) {
  if (options_.settings.smallest_mtu == mtu) return;
  options_.settings.smallest_mtu = mtu;
  input_changed();
  if (desired_) static_cast<void>(reconcile());  // a failed write is retried, and stands in the status
}

/// Gives pods' devices the MTU that the uplinks leave them. What the programs take for small enough is never more than
/// the smallest device: it goes down before the devices do, and up after them.
void Node::follow_mtu() {
  if (!hold_.empty()) return;
  const std::uint32_t mtu = uplinks_.pod_mtu();
  const std::uint32_t smallest = std::min(mtu, uplinks_.smallest_mtu().value_or(mtu));
  if (options_.settings.smallest_mtu > smallest) set_smallest_mtu(smallest);
  std::map<std::uint32_t, std::uint64_t> pods;
  for (const auto& [pod, attachment] : book_.all()) pods.emplace(attachment.ifindex, attachment.netns_cookie);
  auto done = datapath::set_pod_mtus(pods, mtu);
  if (!done) return set_error(mtu_problem_, "the MTU of pods: " + done.error().message, "mtu_failed");
  if (done->changed != 0) spdlog::info("event=pod_mtu_changed mtu={} pods={}", mtu, done->changed);
  std::string problem;
  if (!done->failed.empty()) {
    const auto& [ifindex, why] = *done->failed.begin();
    const auto pod = book_.by_ifindex(ifindex);
    problem = "the MTU of " + std::to_string(done->failed.size()) + " pods is not " + std::to_string(mtu) + ", " +
              (pod ? pod->text() : std::to_string(ifindex)) + ": " + why + "; attach them anew";
  }
  set_error(mtu_problem_, problem, "mtu_failed");
  set_smallest_mtu(done->smallest == 0 ? smallest : std::min(smallest, done->smallest));
}

/// Lets the uplinks hear the neighbours that ask for addresses of IPv6 that the datapath answers for.
void Node::follow_groups() {
  std::set<Ipv6> addresses;
  if (const auto& leaving = egress_.current().v6; leaving && !leaving->shared) addresses.insert(leaving->address);
  for (const auto& [name, floating] : desired_->state.floating_ips) {
    if (floating.address6) addresses.insert(*floating.address6);
  }
  std::string problem;
  for (const compile::Uplink& uplink : uplinks_.current()) {
    if (auto done = datapath::follow_groups(uplink.ifindex, addresses); !done) problem = done.error().message;
  }
  set_error(group_problem_, problem, "groups_failed");
}

/// Without its program a pod's packets would enter the host's own stack: nobody else may take it away for long.
void Node::attach_programs_again() {
  for (const auto& [pod, attachment] : book_.all()) {
    if (auto attached = parts_.datapath->attach_pod(attachment.ifindex); !attached) {
      spdlog::warn("event=program_missing pod={} device={} error={}", pod.text(), attachment.device,
                   quote(attached.error().message));
    }
  }
}

}  // namespace sluice::node
