// SPDX-License-Identifier: Apache-2.0
#include "node/node.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "node/log.hpp"

namespace sluice::node {
namespace {

sluice_settings complete(sluice_settings settings, const store::Allocations& allocations,
                         const compile::Limits& limits) {
  const auto secret = allocations.secret();
  settings.secret[0] = secret[0];
  settings.secret[1] = secret[1];
  settings.max_pairs = limits.max_pairs;
  return settings;
}

/// True if the same thing may work later without a change of the manifests.
bool may_pass(const Error& error) {
  return error.code == ErrorCode::kSystem;
}

}  // namespace

Node::Node(EventLoop& loop, Parts parts, Options options)
    : loop_(loop),
      parts_(std::move(parts)),
      options_(std::move(options)),
      reconciler_(*parts_.datapath),
      book_(*parts_.allocations, *parts_.datapath, *parts_.devices),
      uplinks_(*parts_.datapath, options_.uplinks, options_.pod_mtu) {
  options_.settings = complete(options_.settings, *parts_.allocations, options_.limits);
}

Node::~Node() {
  for (const auto timer : {debounce_timer_, retry_timer_, settle_timer_, verify_timer_, finish_timer_, put_back_timer_})
    loop_.cancel(timer);
  loop_.forget(parts_.store->watch_fd());
  loop_.forget(parts_.links->fd());
}

Status Node::start() {
  auto restored = book_.restore({options_.device_prefix, datapath::device_group(parts_.allocations->uuid())});
  if (!restored) return std::unexpected(restored.error());
  for (const model::Name& pod : *restored) take(pod, "program_missing");
  if (auto refreshed = uplinks_.refresh(); !refreshed) return std::unexpected(refreshed.error());
  auto attached = parts_.datapath->attached();
  if (!attached) return std::unexpected(attached.error());
  if (auto read = reconciler_.read_back(); !read) return read;
  for (const std::uint32_t ifindex : *attached) {
    if (book_.by_ifindex(ifindex) || uplinks_.holds(ifindex)) continue;
    // Both, whatever its port says: an uplink is attached before a valid state has written one.
    for (const Status& detached : {parts_.datapath->detach_pod(ifindex), parts_.datapath->detach_uplink(ifindex)}) {
      if (!detached)
        spdlog::error("event=leftover_stays ifindex={} error={}", ifindex, quote(detached.error().message));
    }
  }
  if (read_desired()) static_cast<void>(reconcile());  // a failed write is retried, and stands in the status
  finish_later();
  spdlog::info("event=started synced={} writes={} pods_attached={} revision={}", synced_, reconciler_.counters().writes,
               book_.all().size(), applied_revision_);
  return begin_watching();
}

Status Node::begin_watching() {
  if (auto watched = loop_.watch(parts_.store->watch_fd(), [this] { store_changed(); }); !watched) return watched;
  if (auto watched = loop_.watch(parts_.links->fd(), [this] { links_changed(); }); !watched) return watched;
  verify_timer_ = loop_.after(options_.verify_interval, [this] { verify(); });
  schedule_settle();
  return {};
}

// ---- desired state ----------------------------------------------------------------------------------------------

void Node::store_changed() {
  auto worthwhile = parts_.store->drain();
  if (!worthwhile) {
    set_error(state_error_, worthwhile.error().message, "store_failed");
    read_again_ = true;
    retry_later();
    return;
  }
  if (!*worthwhile) return;
  // Editors and tools write in several steps, and a folder that is replaced file by file lacks some in the middle:
  // their pods would be ended. So the wait begins anew with each step, but changes that never end do not hold it up for
  // ever.
  const auto now = EventLoop::Clock::now();
  if (debounce_timer_ == 0) debounce_end_ = now + options_.debounce_limit;
  loop_.cancel(debounce_timer_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(debounce_end_ - now);
  debounce_timer_ = loop_.after(std::clamp(left, std::chrono::milliseconds{0}, options_.debounce), [this] {
    debounce_timer_ = 0;
    reload();
  });
}

void Node::reload() {
  if (!read_desired()) return;
  static_cast<void>(reconcile());
  finish_later();
  schedule_settle();
}

/// Takes the newest state if it is valid, its addresses can be assigned and its tables fit. False: the last good one
/// stays.
bool Node::read_desired() {
  read_again_ = false;
  auto taken = take_newest();
  set_error(state_error_, taken ? "" : taken.error().message, "state_refused");
  if (taken) {
    input_changed();
    forget_void_attachments();
  } else if (may_pass(taken.error())) {
    read_again_ = true;
    retry_later();
  }
  return taken.has_value();
}

/// Addresses are given out and freed last, so that a state that is refused has moved no pod.
Status Node::take_newest() {
  auto snapshot = parts_.store->read();
  if (!snapshot) return std::unexpected(snapshot.error());
  auto proposed = parts_.allocations->propose(*snapshot->state);
  if (!proposed) return std::unexpected(proposed.error());
  const compile::Input candidate{*snapshot->state,   *proposed,         book_.all(),
                                 uplinks_.current(), options_.settings, options_.limits};
  if (auto fits = reconciler_.check(candidate); !fits) return fits;
  auto assignments = parts_.allocations->assign(*snapshot->state);
  if (!assignments) return std::unexpected(assignments.error());
  desired_ = std::move(*snapshot);
  assignments_ = std::move(*assignments);
  return {};
}

/// Ends the attachments of pods that are no longer declared, or whose address, prefix length or router is another one
/// now: the interface in the namespace has the old ones and could not reach its network, or nothing outside it.
void Node::forget_void_attachments() {
  std::vector<std::pair<model::Name, const char*>> ended;
  for (const auto& [pod, attachment] : book_.all()) {
    if (!has_pod(pod)) {
      ended.emplace_back(pod, "pod_deleted");
    } else if (attachment.mac !=
               model::pod_mac(assignments_.network_ids.at(pod.network), assignments_.pod_addresses.at(pod))) {
      ended.emplace_back(pod, "address_changed");
    } else if (has_old_network(pod, attachment)) {
      ended.emplace_back(pod, "network_changed");
    }
  }
  for (const auto& [pod, cause] : ended) take(pod, cause);
}

/// The maps say with what the interface was made, also after a restart with other manifests.
bool Node::has_old_network(const model::Name& pod, const model::Attachment& attachment) const {
  const auto port = reconciler_.actual().ports.find(attachment.ifindex);
  if (!reconciler_.known() || port == reconciler_.actual().ports.end()) return false;
  const model::Network& network = desired_->state->networks.at(pod.network);
  return port->second.router4 != network.router().wire() || port->second.mask4 != Ipv4{network.cidr4.mask()}.wire();
}

// ---- reconcile and timers ------------------------------------------------------------------------------------------

/// Something other than attachments has changed in input(): a retry must not go on with what was compiled before.
void Node::input_changed() {
  synced_ = false;
  reconciler_.forget_wanted();
}

compile::Input Node::input() const {
  return {*desired_->state, assignments_, book_.all(), uplinks_.current(), options_.settings, options_.limits};
}

/// Without a valid state there is nothing to compare with, and nothing is written.
Status Node::reconcile(Reconciler::Input kind) {
  if (!desired_) return fail(ErrorCode::kPrecondition, "there is no valid desired state yet: " + state_error_);
  model::Change change;
  change.attachments = touched_;
  auto writes = synced_ ? reconciler_.follow(input(), change) : reconciler_.reconcile(input(), kind);
  if (!writes) {
    synced_ = false;
    set_error(map_error_, writes.error().message, "reconcile_failed");
    // While the maps are known it was compile() that refused, and it would refuse the same input again.
    if (!reconciler_.known()) retry_later();
    return std::unexpected(writes.error());
  }
  if (*writes != 0 || !synced_) {
    spdlog::info("event=reconciled revision={} writes={} duration_us={}", desired_->revision, *writes,
                 reconciler_.counters().last_duration.count());
  }
  synced_ = true;
  touched_.clear();
  applied_revision_ = desired_->revision;
  set_error(map_error_, "", "reconcile_failed");
  if (!read_again_ && !links_lost_) {
    loop_.cancel(std::exchange(retry_timer_, 0));
    retry_delay_ = std::chrono::milliseconds{0};
  }
  return {};
}

/// For a caller that waits: a failed write leaves what was written before it, so tries that make progress come through
/// where one in ten writes fails. Bounded in time, because the loop waits too.
Status Node::reconcile_at_once(Reconciler::Input kind) {
  constexpr int kTriesWithoutProgress = 5;
  const auto deadline = EventLoop::Clock::now() + std::chrono::milliseconds(500);
  Status outcome = reconcile(kind);
  std::size_t least = reconciler_.last_plan();
  int idle = 0;
  while (!outcome && desired_ && !reconciler_.known() && idle < kTriesWithoutProgress &&
         EventLoop::Clock::now() < deadline) {
    outcome = reconcile(Reconciler::Input::kSame);
    idle = reconciler_.last_plan() < least ? 0 : idle + 1;
    least = std::min(least, reconciler_.last_plan());
  }
  return outcome;
}

void Node::retry_later() {
  if (retry_timer_ != 0) return;
  retry_delay_ = std::clamp(retry_delay_ * 2, options_.retry_minimum, options_.retry_maximum);
  retry_timer_ = loop_.after(retry_delay_, [this] { retry(); });
}

void Node::retry() {
  retry_timer_ = 0;
  if (links_lost_) {
    static_cast<void>(check_attachments());
    if (!links_lost_) static_cast<void>(refresh_uplinks());
  }
  const bool taken = read_again_ && read_desired();
  if (desired_) {
    const std::size_t before = reconciler_.last_plan();
    auto outcome = reconcile_at_once(taken ? Reconciler::Input::kNew : Reconciler::Input::kSame);
    // The back-off is for what does not get better; a plan that shrinks does.
    if (!outcome && reconciler_.last_plan() < before) retry_delay_ = std::chrono::milliseconds{0};
  }
  finish_later();
}

/// Looks at everything that somebody else could have changed: devices, programs, maps. Reads every map, which takes
/// tens of milliseconds where there are thousands of records: between requests if it can.
void Node::verify() {
  constexpr int kMostDelays = 50;
  if (busy() && verify_delays_++ < kMostDelays) {
    verify_timer_ = loop_.after(options_.settle_delay, [this] { verify(); });
    return;
  }
  verify_delays_ = 0;
  verify_timer_ = loop_.after(options_.verify_interval, [this] { verify(); });
  const bool ended = check_attachments();
  attach_programs_again();
  const bool uplinks = refresh_uplinks();
  if (ended || uplinks) static_cast<void>(reconcile());
  finish_later();
  if (!desired_ || !synced_) return;  // a retry is under way and reads back by itself
  const std::uint64_t drifts = reconciler_.counters().drifts;
  auto writes = reconciler_.verify(input());
  if (!writes) {
    synced_ = false;
    set_error(map_error_, writes.error().message, "verify_failed");
    retry_later();
  } else if (reconciler_.counters().drifts != drifts) {
    spdlog::warn("event=drift_repaired writes={}", *writes);
  }
}

bool Node::busy() const {
  return last_request_ && EventLoop::Clock::now() - *last_request_ < options_.settle_delay;
}

void Node::schedule_settle() {
  loop_.cancel(settle_timer_);
  settle_timer_ = loop_.after(options_.settle_delay, [this] { settle(); });
}

/// One device a call: it waits for the kernel, and a request must not wait for more than one.
void Node::settle() {
  settle_timer_ = 0;
  auto more = parts_.devices->settle();
  if (!more) {
    spdlog::warn("event=settle_failed error={}", quote(more.error().message));
    settle_timer_ = loop_.after(options_.retry_maximum, [this] { settle(); });
  } else if (*more) {
    schedule_settle();
  }
}

/// An error is logged when it appears or changes, and when it has gone, not at each retry.
void Node::set_error(std::string& slot, const std::string& message, const char* event) {
  if (slot == message) return;
  slot = message;
  if (message.empty()) {
    spdlog::info("event={} error=none", event);
  } else {
    spdlog::error("event={} error={}", event, quote(message));
  }
}

bool Node::has_pod(const model::Name& pod) const {
  return desired_ && desired_->state->pods.contains(pod);
}

}  // namespace sluice::node
