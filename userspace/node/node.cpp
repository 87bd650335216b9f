// SPDX-License-Identifier: Apache-2.0
#include "node/node.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "node/log.hpp"

namespace sluice::node {
namespace {

sluice_settings complete(sluice_settings settings, const store::NodeRecords& records, const compile::Limits& limits) {
  const auto secret = records.secret();
  settings.secret[0] = secret[0];
  settings.secret[1] = secret[1];
  settings.max_pairs = limits.max_pairs;
  return settings;
}

}  // namespace

Node::Node(EventLoop& loop, Parts parts, Options options)
    : loop_(loop),
      parts_(std::move(parts)),
      options_(std::move(options)),
      reconciler_(*parts_.datapath),
      book_(*parts_.records, *parts_.datapath, *parts_.devices),
      uplinks_(*parts_.datapath, options_.uplinks, options_.mtu),
      egress_(options_.egress) {
  options_.settings = complete(options_.settings, *parts_.records, options_.limits);
}

Node::~Node() {
  end_waits();
  for (const auto timer : {retry_timer_, settle_timer_, verify_timer_, finish_timer_, put_back_timer_, deadline_timer_})
    loop_.cancel(timer);
  loop_.forget(parts_.repository->watch_fd());
  loop_.forget(parts_.links->fd());
  loop_.forget(parts_.addresses->fd());
}

Status Node::start() {
  auto restored = book_.restore({options_.device_prefix, datapath::device_group(parts_.records->uuid())});
  if (!restored) return std::unexpected(restored.error());
  for (const model::Name& pod : *restored) take(pod, "program_missing");
  for (const auto& [pod, attachment] : book_.all()) {
    if (attachment.leaves_at) leaving_.set(pod, *attachment.leaves_at, Now::read());
  }
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
  if (auto checked = check_mark(); !checked) return checked;
  egress_.resume(compile::egress_of(reconciler_.actual()));
  static_cast<void>(look_at_egress());
  follow_mtu();
  if (auto followed = follow_manifests(); !followed) return followed;
  if (take_updates()) static_cast<void>(reconcile());  // a failed write is retried, and stands in the status
  finish_later();
  spdlog::info("event=started synced={} writes={} pods_attached={} revision={}", synced_, reconciler_.counters().writes,
               book_.all().size(), applied_revision_);
  return begin_watching();
}

Status Node::begin_watching() {
  if (auto watched = loop_.watch(parts_.repository->watch_fd(), [this] { store_changed(); }); !watched) return watched;
  if (auto watched = loop_.watch(parts_.links->fd(), [this] { links_changed(); }); !watched) return watched;
  if (auto watched = loop_.watch(parts_.addresses->fd(), [this] { addresses_changed(); }); !watched) return watched;
  verify_timer_ = loop_.after(options_.verify_interval, [this] { verify(); });
  schedule_settle();
  schedule_deadlines();
  return {};
}

// ---- desired state ----------------------------------------------------------------------------------------------

/// Whose are the maps? Another store's, or a later state of this one (a restored backup): then what this store lacks
/// must not be taken away before somebody has said that it is right.
Status Node::check_mark() {
  auto mark = parts_.datapath->mark();
  if (!mark) return fail_in("meta", mark);
  const store::Identity identity = parts_.repository->identity();
  const std::uint64_t revision = parts_.repository->revision();
  constexpr std::string_view kRemedy =
      "; nothing is written until you run: sluicectl store adopt (this store is right, the maps follow it), or stop "
      "sluiced and run: sluicectl store restore";
  if (mark->uuid == decltype(mark->uuid){}) {
    // New maps: nobody's yet.
  } else if (mark->uuid != identity.uuid) {
    hold_ = "the maps were made by store " + uuid_text(mark->uuid) + ", this is store " + uuid_text(identity.uuid);
  } else if (mark->epoch != identity.epoch) {
    hold_ = "the maps were made in epoch " + std::to_string(mark->epoch) + " of the store, this is epoch " +
            std::to_string(identity.epoch);
  } else if (mark->revision > revision) {
    hold_ = "the maps hold revision " + std::to_string(mark->revision) + " of the store, which is at " +
            std::to_string(revision) + " only";
  }
  if (hold_.empty()) return {};
  hold_ += kRemedy;
  parts_.repository->refuse_writes(hold_);
  spdlog::error("event=store_held error={}", quote(hold_));
  return {};
}

Status Node::follow_manifests() {
  if (!parts_.manifests) return {};
  follower_.emplace(loop_, *parts_.manifests, *parts_.repository, options_.debounce, options_.debounce_limit);
  auto watched = follower_->watch(
      [this](const model::State& state, const model::Assignments& assignments) {
        return reconciler_.check({state, assignments, book_.all(), uplinks_.current(), options_.settings,
                                  options_.limits, egress_.current()});
      },
      [this] {
        static_cast<void>(read_manifests());
        take_over_newest();
      });
  if (!watched) return watched;
  static_cast<void>(follower_->take());
  static_cast<void>(read_manifests());
  return {};
}

/// Takes note of how the last reading of the manifests went. False: it failed, and the last good state stays.
bool Node::read_manifests() {
  read_again_ = follower_->may_pass();
  set_error(state_error_, follower_->error(), "state_refused");
  if (read_again_) retry_later();
  return follower_->error().empty();
}

void Node::store_changed() {
  static_cast<void>(parts_.repository->drain());
  take_over_newest();
}

void Node::reload() {
  if (follower_) {
    static_cast<void>(follower_->take());
    static_cast<void>(read_manifests());
  }
  take_over_newest();
}

void Node::change_settings(const sluice_settings& settings) {
  const std::uint32_t floor = options_.settings.smallest_mtu;
  options_.settings = complete(settings, *parts_.records, options_.limits);
  options_.settings.smallest_mtu = floor;
  input_changed();
  if (desired_) static_cast<void>(reconcile());  // a failed write is retried, and stands in the status
}

void Node::change_mtu(const MtuPolicy& policy) {
  options_.mtu = policy;
  uplinks_.change_policy(policy);
  follow_mtu();
}

void Node::change_egress(std::optional<EgressConfig> config) {
  options_.egress = config;
  egress_.change(std::move(config));
  if (look_at_egress() && desired_) static_cast<void>(reconcile());  // a failed write is retried
}

void Node::change_pools(const std::vector<model::Pool>& pools) {
  parts_.repository->set_pools(pools);
  if (parts_.manifests) parts_.manifests->set_pools(pools);
}

void Node::take_over_newest() {
  const bool taken = take_updates();
  if (!taken && synced_ && pending_.empty()) return;
  static_cast<void>(reconcile(taken ? Reconciler::Input::kNew : Reconciler::Input::kSame));
  finish_later();
  schedule_settle();
}

/// True if there is something new.
bool Node::take_updates() {
  // A folder that never had a valid state says nothing: not even that there is nothing.
  if (follower_ && parts_.repository->revision() == 0) return false;
  auto update = parts_.repository->updates(desired_ ? desired_->revision : 0);
  if (!update) {
    set_error(map_error_, update.error().message, "store_failed");
    retry_later();
    return false;
  }
  // Nor while the maps are not right: what is compiled anew gives out other slots, and each failed write of a retry
  // would begin from the start.
  if (desired_ && update->revision == desired_->revision) return false;
  take_in(std::move(*update));
  if (hold_.empty()) forget_void_attachments();  // else the store may be the wrong one
  return true;
}

void Node::take_in(store::Update update) {
  if (update.whole || !desired_) {
    desired_ = Desired{update.revision, std::move(update.state), std::move(update.assignments)};
    pending_ = {};
    input_changed();
    note_drains();
    static_cast<void>(decide_egress());
    return;
  }
  const auto replace = [](auto& target, auto& source, const auto& name) {
    if (auto node = source.extract(name)) {
      target.insert_or_assign(name, std::move(node.mapped()));
    } else {
      target.erase(name);
    }
  };
  for (const auto& [name, former] : update.change.networks) {
    replace(desired_->state.networks, update.state.networks, name);
    replace(desired_->assignments.network_ids, update.assignments.network_ids, name);
    replace(desired_->assignments.network_slots, update.assignments.network_slots, name);
  }
  for (const auto& [name, former] : update.change.pods) {
    replace(desired_->state.pods, update.state.pods, name);
    replace(desired_->assignments.pod_addresses, update.assignments.pod_addresses, name);
    note_drain(name);
  }
  for (const auto& [name, former] : update.change.services) {
    replace(desired_->state.services, update.state.services, name);
    replace(desired_->assignments.service_addresses, update.assignments.service_addresses, name);
  }
  for (const auto& [name, former] : update.change.floating_ips)
    replace(desired_->state.floating_ips, update.state.floating_ips, name);
  desired_->state.nodes = std::move(update.state.nodes);
  desired_->revision = update.revision;
  pending_.append(std::move(update.change));
  reconciler_.forget_wanted();
  schedule_deadlines();
  static_cast<void>(decide_egress());
}

/// Ends the attachments of pods that are no longer declared, or whose address, prefix length or router is another one
/// now: the interface in the namespace has the old ones and could not reach its network, or nothing outside it.
void Node::forget_void_attachments() {
  std::vector<std::pair<model::Name, const char*>> ended;
  for (const auto& [pod, attachment] : book_.all()) {
    if (!has_pod(pod)) {
      ended.emplace_back(pod, "pod_deleted");
    } else if (attachment.mac != model::pod_mac(desired_->assignments.network_ids.at(pod.network),
                                                desired_->assignments.pod_addresses.at(pod))) {
      ended.emplace_back(pod, "address_changed");
    } else if (has_old_network(pod, attachment)) {
      ended.emplace_back(pod, "network_changed");
    }
  }
  for (const auto& [pod, cause] : ended) take(pod, cause);
}

/// The maps say with what the interface was made, also after a restart with other manifests: its addresses may be
/// others with the same MAC.
bool Node::has_old_network(const model::Name& pod, const model::Attachment& attachment) const {
  const auto port = reconciler_.actual().ports.find(attachment.ifindex);
  if (!reconciler_.known() || port == reconciler_.actual().ports.end()) return false;
  const model::Network& network = desired_->state.networks.at(pod.network);
  const model::Addresses& addresses = desired_->assignments.pod_addresses.at(pod);
  return !compile::is_configured_for(port->second, network, addresses);
}

// ---- reconcile and timers ------------------------------------------------------------------------------------------

/// Something other than attachments has changed in input(): a retry must not go on with what was compiled before.
void Node::input_changed() {
  synced_ = false;
  reconciler_.forget_wanted();
}

compile::Input Node::input() const {
  compile::Input input{desired_->state,   desired_->assignments, book_.all(),      uplinks_.current(),
                       options_.settings, options_.limits,       egress_.current()};
  for (const auto& [pod, deadline] : ending_) input.ending.insert(pod);
  return input;
}

/// Without a valid state there is nothing to compare with, and nothing is written.
Status Node::reconcile(Reconciler::Input kind) {
  if (!hold_.empty()) return fail(ErrorCode::kPrecondition, hold_);
  if (!desired_) return fail(ErrorCode::kPrecondition, "there is no valid desired state yet: " + state_error_);
  auto writes = synced_ ? reconciler_.follow(input(), pending_) : reconciler_.reconcile(input(), kind);
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
  // Out of step, anything may have changed; otherwise pending_ knows whether a floating IP has.
  if (!synced_ || !pending_.floating_ips.empty()) follow_groups();
  synced_ = true;
  drains_are_done();
  maps_are_right(*writes);
  set_error(map_error_, "", "reconcile_failed");
  if (!read_again_ && !links_lost_) {
    loop_.cancel(std::exchange(retry_timer_, 0));
    retry_delay_ = std::chrono::milliseconds{0};
  }
  return {};
}

/// They hold input(), all of it, after so many writes.
void Node::maps_are_right(std::size_t writes) {
  pending_ = {};
  if (applied_revision_ != desired_->revision || writes != 0) mark_due_ = true;
  applied_revision_ = desired_->revision;
  if (mark_due_) mark_maps();
  answer_waiters();
}

/// So that a later start knows what the maps were made from.
void Node::mark_maps() {
  const store::Identity identity = parts_.repository->identity();
  const datapath::StoreMark mark{identity.uuid, identity.epoch, applied_revision_};
  auto marked = parts_.datapath->set_mark(mark);
  mark_due_ = !marked;
  if (!marked) spdlog::warn("event=mark_failed error={}", quote(marked.error().message));
}

void Node::answer_waiters() {
  while (!waiters_.empty() && waiters_.begin()->first <= applied_revision_) {
    waiters_.begin()->second->set_value(true);
    waiters_.erase(waiters_.begin());
  }
}

void Node::end_waits() {
  for (auto& [revision, waiter] : waiters_) waiter->set_value(false);
  waiters_.clear();
}

bool Node::wait_applied(std::uint64_t revision, std::chrono::milliseconds wait) {
  auto promise = std::make_shared<std::promise<bool>>();
  auto answer = promise->get_future();
  const bool accepted = loop_.post([this, promise, revision] {
    store_changed();
    if (applied_revision_ >= revision) {
      promise->set_value(true);
    } else {
      waiters_.emplace(revision, promise);
    }
  });
  if (!accepted || answer.wait_for(wait) != std::future_status::ready) {
    // Whoever has gone waits no more: the loop forgets it, or it would keep as many as there are impatient callers.
    static_cast<void>(loop_.post([this, promise] {
      std::erase_if(waiters_, [&promise](const auto& waiter) { return waiter.second == promise; });
    }));
    return false;
  }
  return answer.get();
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
  if (read_again_ && follower_) {
    static_cast<void>(follower_->take());
    static_cast<void>(read_manifests());
  }
  const bool taken = take_updates();
  if (desired_ && hold_.empty()) {
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
  follow_mtu();
  finish_later();
  if (!desired_ || !synced_ || !hold_.empty()) return;  // a retry is under way and reads back by itself
  const std::uint64_t drifts = reconciler_.counters().drifts;
  auto writes = reconciler_.verify(input());
  if (!writes) {
    synced_ = false;
    set_error(map_error_, writes.error().message, "verify_failed");
    retry_later();
    return;
  }
  follow_groups();
  if (reconciler_.counters().drifts != drifts) spdlog::warn("event=drift_repaired writes={}", *writes);
  maps_are_right(*writes);
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
  return desired_ && desired_->state.pods.contains(pod);
}

}  // namespace sluice::node
