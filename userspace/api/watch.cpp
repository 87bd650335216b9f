// SPDX-License-Identifier: Apache-2.0
#include "api/watch.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "api/convert.hpp"
#include "api/status_codes.hpp"
#include "wire/convert.hpp"

namespace sluice::api {
/// What a watch shows.
struct WatchFilter {
  std::set<model::Kind> kinds;
  std::string network;

  [[nodiscard]] bool passes(const model::Key& key) const {
    if (!kinds.empty() && !kinds.contains(key.kind)) return false;
    if (network.empty()) return true;
    return key.name.network == network || (key.kind == model::Kind::kNetwork && key.name.name == network);
  }
};

namespace {

// Of one response; so much of each watch is in memory, and one event may be larger.
constexpr std::size_t kBatch = 256;
constexpr std::size_t kBatchBytes = 256UL * 1024;

constexpr std::array<model::Kind, 5> kKinds{model::Kind::kNetwork, model::Kind::kFloatingIp, model::Kind::kNode,
                                            model::Kind::kPod, model::Kind::kService};

Result<WatchFilter> filter_of(const v1::WatchRequest& request) {
  WatchFilter filter{.kinds = {}, .network = request.network()};
  for (const int kind : request.kinds()) {
    auto wanted = wire::to_model(static_cast<v1::Kind>(kind));
    if (!wanted) return std::unexpected(wanted.error());
    filter.kinds.insert(*wanted);
  }
  return filter;
}

v1::WatchEvent present(const store::Stored& stored, const model::Key& key) {
  v1::WatchEvent event;
  event.set_type(v1::WatchEvent::CREATED);
  event.set_revision(stored.assigned.modified);
  *event.mutable_key() = wire::to_message(key);
  *event.mutable_resource() = wire::to_message(stored.resource, stored.assigned);
  return event;
}

Result<v1::WatchEvent> event_of(const store::Event& event, const model::Key& key) {
  v1::WatchEvent message;
  message.set_revision(event.revision);
  *message.mutable_key() = wire::to_message(key);
  auto stored = store::decode(event.deleted ? std::string_view(event.before) : std::string_view(event.now.value));
  if (!stored) return fail_in(event.now.key, stored);
  stored->assigned.created = event.now.created;
  stored->assigned.modified = event.revision;
  *message.mutable_resource() = wire::to_message(stored->resource, stored->assigned);
  message.set_type(event.deleted                         ? v1::WatchEvent::DELETED
                   : event.now.created == event.revision ? v1::WatchEvent::CREATED
                                                         : v1::WatchEvent::CHANGED);
  return message;
}

}  // namespace

/// Lives until gRPC says OnDone: it holds itself.
class WatchHub::Watch final : public grpc::ServerWriteReactor<v1::WatchResponse>,
                              public std::enable_shared_from_this<WatchHub::Watch> {
 public:
  Watch(WatchHub& hub, grpc::CallbackServerContext& context, const Peer& peer, WatchFilter filter, std::uint64_t after,
        bool snapshot)
      : hub_(hub),
        context_(context),
        peer_(peer),
        filter_(std::move(filter)),
        store_(to_message(hub.repository_.identity())),
        position_(after),
        part_(snapshot ? kKinds.begin() : kKinds.end()) {}

  [[nodiscard]] const Peer& peer() const { return peer_; }
  void hold(std::shared_ptr<Watch> self) { self_ = std::move(self); }

  /// Sends what there is, unless a write is under way or the watch has ended.
  void pump() {
    const std::lock_guard lock(mutex_);
    pump_locked();
  }

  void end(const grpc::Status& status) {
    const std::lock_guard lock(mutex_);
    end_locked(status);
  }
  void end(const Error& error) {
    const std::lock_guard lock(mutex_);
    end_locked(finish(context_, error));
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return end_locked(grpc::Status(grpc::StatusCode::CANCELLED, "the watcher has gone"));
    pump_locked();
  }
  void OnCancel() override { end(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled")); }
  void OnDone() override {
    {
      const std::lock_guard lock(hub_.mutex_);
      hub_.watches_.erase(shared_from_this());
      hub_.changed_.notify_all();
    }
    const std::shared_ptr<Watch> last = std::move(self_);
  }

 private:
  /// The next page of the snapshot. What changes while it is read is sent again afterwards.
  v1::WatchResponse next_page() {
    if (part_ == kKinds.begin() && !last_) position_ = hub_.repository_.revision();
    v1::WatchResponse response;
    const store::Listing page = hub_.repository_.page(*part_, last_, kBatch);
    std::size_t bytes = 0;
    bool cut = page.items.size() == kBatch;
    for (const store::Stored& stored : page.items) {
      const model::Key key = model::key_of(stored.resource);
      last_ = key.name;
      if (!filter_.passes(key)) continue;
      *response.add_events() = present(stored, key);
      bytes += response.events().rbegin()->ByteSizeLong();
      if (bytes < kBatchBytes) continue;
      cut = true;
      break;
    }
    if (!cut) {
      ++part_;
      last_.reset();
    }
    if (part_ == kKinds.end()) {
      response.set_revision(position_.revision);
      response.set_synced(true);
    }
    return response;
  }

  /// The next events that pass the filter; nothing if there are none at all. What a long transaction has changed comes
  /// in several responses, and only the last one has its revision, so that who resumes from there has seen all of it.
  Result<std::optional<v1::WatchResponse>> next_events() {
    auto changes = hub_.repository_.changes(position_, kBatch);
    if (!changes) return std::unexpected(changes.error());
    if (changes->next == position_) return std::nullopt;
    position_ = changes->next;
    v1::WatchResponse response;
    std::size_t bytes = 0;
    for (const store::Event& event : changes->events) {
      const auto key = store::parse_key(event.now.key);
      if (!key || !filter_.passes(*key)) continue;
      auto message = event_of(event, *key);
      if (!message) return std::unexpected(message.error());
      bytes += message->ByteSizeLong();
      *response.add_events() = std::move(*message);
      if (bytes < kBatchBytes || &event == &changes->events.back()) continue;
      position_ = {event.revision, event.now.key};
      break;
    }
    response.set_revision(position_.key.empty() ? position_.revision : position_.revision - 1);
    return response;
  }

  [[nodiscard]] v1::WatchResponse nothing_new() const {
    v1::WatchResponse response;
    response.set_revision(position_.revision);
    return response;
  }

  void pump_locked() {
    if (ended_ || writing_) return;
    if (part_ != kKinds.end()) {
      sending_ = next_page();
    } else {
      auto events = next_events();
      if (!events) return end_locked(finish(context_, events.error()));
      // A watch that has nothing to say yet says at least that it has begun, and with which store.
      if (!*events && greeted_) return;
      sending_ = *events ? std::move(**events) : nothing_new();
    }
    greeted_ = true;
    *sending_.mutable_store() = store_;
    writing_ = true;
    StartWrite(&sending_);
  }

  void end_locked(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    Finish(status);
  }

  WatchHub& hub_;
  grpc::CallbackServerContext& context_;
  const Peer peer_;
  const WatchFilter filter_;
  const v1::StoreIdentity store_;
  std::shared_ptr<Watch> self_;
  std::mutex mutex_;                       ///< guards what follows
  store::Position position_;               ///< everything up to here has been read
  decltype(kKinds)::const_iterator part_;  ///< of the snapshot, that comes next; the end: it is complete
  std::optional<model::Name> last_;        ///< of that part, what was read last
  v1::WatchResponse sending_;
  bool greeted_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

WatchHub::WatchHub(store::Repository& repository, const Limits& limits) : repository_(repository), limits_(limits) {
  subscription_ = repository_.subscribe([this](std::uint64_t revision) {
    const std::lock_guard lock(mutex_);
    newest_ = std::max(newest_, revision);
    changed_.notify_all();
  });
  thread_ = std::thread([this] { run(); });
}

WatchHub::~WatchHub() {
  stop();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return watches_.empty(); });  // their calls end with the server
}

void WatchHub::stop() {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    watches.assign(watches_.begin(), watches_.end());
    changed_.notify_all();
  }
  repository_.unsubscribe(subscription_);
  thread_.join();
  for (const auto& watch : watches)
    watch->end(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the daemon is stopping; resume the watch later"));
}

/// Wakes the watches that wait; those that are writing go on by themselves.
void WatchHub::run() {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || newest_ != seen; });
    if (stopping_) return;
    seen = newest_;
    const std::vector<std::shared_ptr<Watch>> watches(watches_.begin(), watches_.end());
    lock.unlock();
    for (const auto& watch : watches) watch->pump();
    lock.lock();
  }
}

/// Root's do not count.
Status WatchHub::check_room(const Peer& peer) const {
  if (!is_limited(peer)) return {};
  std::size_t own = 0;
  std::size_t all = 0;
  for (const auto& watch : watches_) {
    own += watch->peer().uid == peer.uid ? 1 : 0;
    all += is_limited(watch->peer()) ? 1 : 0;
  }
  const bool of_user = own >= limits_.watches_of_user;
  if (!of_user && all < limits_.watches) return {};
  const std::string number = std::to_string(of_user ? limits_.watches_of_user : limits_.watches);
  const std::string problem = of_user ? "this user has " + number + " already, as many as one may have"
                                      : "all users have " + number + " together, as many as the daemon takes";
  const std::string remedy = std::string("end some, or raise ") + (of_user ? "max_watches_per_user" : "max_watches") +
                             " in the daemon's configuration";
  Error error{ErrorCode::kExhausted, "watches: " + problem + "; " + remedy};
  error.details.push_back({"watch", "watches", number, problem, remedy});
  return std::unexpected(std::move(error));
}

grpc::ServerWriteReactor<v1::WatchResponse>* WatchHub::open(grpc::CallbackServerContext& context,
                                                            const v1::WatchRequest& request, const Peer& peer) {
  auto filter = filter_of(request);
  auto watch = std::make_shared<Watch>(*this, context, peer, filter ? *filter : WatchFilter{}, request.after_revision(),
                                       request.snapshot());
  watch->hold(watch);
  const Status same_store = request.snapshot() ? Status() : check_store(request.store(), repository_.identity());
  Status taken = fail(ErrorCode::kUnavailable, "the daemon is stopping; resume the watch later");
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) taken = check_room(peer);
    if (taken) watches_.insert(watch);
  }
  if (!taken) {
    watch->end(taken.error());
  } else if (!filter) {
    watch->end(filter.error());
  } else if (!same_store) {
    watch->end(same_store.error());
  } else {
    watch->pump();
  }
  return watch.get();
}

}  // namespace sluice::api
