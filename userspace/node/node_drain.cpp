// SPDX-License-Identifier: Apache-2.0
// Pods that lose their flows at a deadline: those that drain keep their attachment, those that are detached with a
// grace do not.
//
// At a drain's deadline the pod gets a new generation, which ends its flows in one write (docs/datapath.md). That is
// not what a state of the maps tells: they look the same before and after. So the attachment's record says for which
// deadline it has been done, or each start of the daemon would end the flows that the pod has opened since.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "model/times.hpp"
#include "node/log.hpp"
#include "node/node.hpp"

namespace sluice::node {
namespace {

/// Of a detachment with a grace, before its flows are counted for the first time: whoever was let in by the tables of a
/// moment ago has made its flow by then.
constexpr std::chrono::milliseconds kFirstLook{100};
constexpr std::chrono::milliseconds kLookInterval{250};
/// Counting takes no more than one part in so many of the loop's time.
constexpr int kLookShare = 20;
/// While the maps are not the daemon's to write.
constexpr std::chrono::seconds kHeldInterval{1};

}  // namespace

/// Takes note of the pod's drain as it is declared now.
void Node::note_drain(const model::Name& pod) {
  const auto found = desired_->state.pods.find(pod);
  if (found != desired_->state.pods.end() && found->second.draining && found->second.drain_deadline) {
    drains_.set(pod, *found->second.drain_deadline, Now::read());
    const model::Attachment* attachment = book_.find(pod);
    if (attachment != nullptr && attachment->drained_at == found->second.drain_deadline) drains_.pass(pod);
    // Another deadline than the one whose flows were about to end.
    if (const auto due = ending_.find(pod); due != ending_.end() && due->second != found->second.drain_deadline)
      ending_.erase(due);
  } else {
    drains_.forget(pod);
    ending_.erase(pod);
  }
}

void Node::note_drains() {
  std::set<model::Name> gone;
  for (const model::Name& pod : drains_.waiting()) gone.insert(pod);
  for (const auto& [name, pod] : desired_->state.pods) {
    if (!pod.drain_deadline) continue;
    note_drain(name);
    gone.erase(name);
  }
  for (const model::Name& pod : gone) note_drain(pod);
  schedule_deadlines();
}

void Node::schedule_deadlines() {
  loop_.cancel(std::exchange(deadline_timer_, 0));
  std::optional<EventLoop::Clock::time_point> next = drains_.next();
  const auto earlier = [&next](EventLoop::Clock::time_point when) { next = next ? std::min(*next, when) : when; };
  if (const auto leaves = leaving_.next()) {
    earlier(*leaves);
    earlier(next_look_);
  }
  if (!next) return;
  if (!hold_.empty() || !desired_) next = std::max(*next, EventLoop::Clock::now() + kHeldInterval);
  deadline_timer_ = loop_.at(*next, [this] {
    deadline_timer_ = 0;
    deadlines_passed();
  });
}

void Node::deadlines_passed() {
  if (hold_.empty() && desired_) {
    const Now now = Now::read();
    end_due_flows(now);
    const bool ended = end_due_attachments(now);
    const bool idle = now.steady >= next_look_ && end_idle_attachments();
    if (ended || idle || !ending_.empty()) static_cast<void>(reconcile_at_once());
    finish_later();
  }
  schedule_deadlines();
}

void Node::end_due_flows(const Now& now) {
  for (const model::Name& pod : drains_.due(now.steady)) {
    drains_.pass(pod);
    const model::Attachment* attachment = book_.find(pod);
    const std::int64_t deadline = *drains_.of(pod);
    if (attachment == nullptr || attachment->drained_at == deadline) continue;
    ending_[pod] = deadline;
    pending_.attachments.insert(pod);
    reconciler_.forget_wanted();
  }
}

/// The maps hold what ends the flows of all of ending_.
void Node::drains_are_done() {
  for (const auto& [pod, deadline] : std::exchange(ending_, {})) {
    spdlog::info("event=drained pod={} deadline={}", pod.text(), model::moment_text(deadline));
    note(pod, Severity::kInfo, "drained", "its flows ended at the deadline " + model::moment_text(deadline));
    if (auto recorded = book_.set_drained(pod, deadline); !recorded)
      spdlog::warn("event=record_failed pod={} error={}", pod.text(), quote(recorded.error().message));
  }
}

bool Node::is_drained(const model::Pod& pod) const {
  return pod.draining && drains_.has_passed(pod.name) && !ending_.contains(pod.name);
}

// ---- detach with a grace ------------------------------------------------------------------------------------------

Result<DetachReply> Node::detach_later(const DetachRequest& request) {
  const model::Name& pod = request.pod;
  if (!hold_.empty()) return fail(ErrorCode::kPrecondition, hold_);
  if (!desired_) return fail(ErrorCode::kPrecondition, "there is no valid desired state yet: " + state_error_);
  if (auto valid = model::check_grace(request.grace.count()); !valid)
    return fail_in("pod " + pod.text() + ": grace", valid);
  const Now now = Now::read();
  const std::int64_t leaves_at = now.wall + request.grace.count();
  if (auto recorded = book_.set_leaving(pod, leaves_at); !recorded) return fail_in("pod " + pod.text(), recorded);
  leaving_.set(pod, leaves_at, now);
  pending_.attachments.insert(pod);
  reconciler_.forget_wanted();
  next_look_ = std::max(next_look_, now.steady + kFirstLook);
  schedule_deadlines();
  spdlog::info("event=leaving pod={} until={}", pod.text(), model::moment_text(leaves_at));
  note(pod, Severity::kInfo, "leaving", "until " + model::moment_text(leaves_at) + " at the latest");
  static_cast<void>(reconcile_at_once());  // a failed write is retried
  return DetachReply{leaves_at};
}

/// Somebody wants the pod attached that was about to leave.
Status Node::stay(const model::Name& pod) {
  const model::Attachment* attachment = book_.find(pod);
  if (attachment == nullptr || !attachment->leaves_at) return {};
  if (auto recorded = book_.set_leaving(pod, std::nullopt); !recorded) return fail_in("pod " + pod.text(), recorded);
  leaving_.forget(pod);
  pending_.attachments.insert(pod);
  reconciler_.forget_wanted();
  spdlog::info("event=stays pod={}", pod.text());
  note(pod, Severity::kInfo, "stays", "attached again before it was detached");
  return {};
}

bool Node::end_due_attachments(const Now& now) {
  const std::vector<model::Name> due = leaving_.due(now.steady);
  for (const model::Name& pod : due) take(pod, "grace_over");
  return !due.empty();
}

bool Node::end_idle_attachments() {
  const auto begin = EventLoop::Clock::now();
  const std::vector<model::Name> pods = leaving_.waiting();
  bool ended = false;
  // Before the maps say that the pod takes no new flows, their absence says nothing.
  if (!pods.empty() && synced_ && pending_.empty()) {
    const auto left = flows_to(pods);
    if (!left) spdlog::warn("event=count_failed error={}", quote(left.error().message));
    for (std::size_t i = 0; left && i < pods.size(); i++) {
      if ((*left)[i] != 0) continue;
      take(pods[i], "no_flows_left");
      ended = true;
    }
  }
  const auto now = EventLoop::Clock::now();
  next_look_ = now + std::max<EventLoop::Clock::duration>(kLookInterval, (now - begin) * kLookShare);
  return ended;
}

/// In the order of `pods`. A pod that the maps do not know has none.
Result<std::vector<std::uint64_t>> Node::flows_to(const std::vector<model::Name>& pods) const {
  std::vector<sluice_ref> refs;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < pods.size(); i++) {
    const model::Attachment* attachment = book_.find(pods[i]);
    if (attachment == nullptr) continue;
    const auto port = reconciler_.actual().ports.find(attachment->ifindex);
    if (port == reconciler_.actual().ports.end()) continue;
    refs.push_back(port->second.endpoint);
    places.push_back(i);
  }
  std::vector<std::uint64_t> result(pods.size());
  if (refs.empty()) return result;
  auto counts = parts_.datapath->flows_to(refs);
  if (!counts) return std::unexpected(counts.error());
  for (std::size_t i = 0; i < places.size(); i++) result[places[i]] = (*counts)[i];
  return result;
}

}  // namespace sluice::node
