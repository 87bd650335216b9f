// SPDX-License-Identifier: Apache-2.0
#include "store/repository.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/selection.hpp"

namespace sluice::store {

Result<std::unique_ptr<Repository>> Repository::open(std::unique_ptr<KeyValues> key_values, model::Capacity capacity) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return fail_errno("eventfd");
  // What a store has given out it gives again: the seed is the store's.
  if (capacity.ula_seed)
    std::memcpy(capacity.ula_seed->data(), key_values->identity().uuid.data(), sizeof(model::UlaSeed));
  std::unique_ptr<Repository> repository(new Repository(std::move(key_values), std::move(capacity), std::move(wake)));
  if (Status loaded = repository->load(); !loaded) return fail_in("store", loaded);
  return repository;
}

// ---- load
// ------------------------------------------------------------------------------------------------------------

namespace {

std::unexpected<Error> unknown(const std::string& key) {
  return fail(ErrorCode::kInvalid,
              key + ": is the key of no resource that this program knows; the store is damaged: restore a backup");
}

Status restore_cursors(const KeyValue& pair, model::World& world) {
  if (pair.key == kCursors) {
    const auto cursors = decode_cursors(pair.value);
    if (!cursors) return std::unexpected(cursors.error());
    world.restore(*cursors);
  } else if (pair.key.starts_with(kNetworkCursors)) {
    const auto cursors = decode_network_cursors(pair);
    if (!cursors) return std::unexpected(cursors.error());
    world.restore(pair.key.substr(kNetworkCursors.size()), *cursors);
  } else if (pair.key.starts_with(kPoolCursors)) {
    const auto last = decode_pool_cursor(pair);
    if (!last) return std::unexpected(last.error());
    world.restore_pool(pair.key.substr(kPoolCursors.size()), *last);
  }
  return {};
}

}  // namespace

Status Repository::load() {
  auto range = key_values_->range("");
  if (!range) return std::unexpected(range.error());
  std::map<model::Kind, std::vector<const KeyValue*>> by_kind;
  for (const KeyValue& pair : range->items) {
    if (!pair.key.starts_with(kResources)) continue;
    const auto key = parse_key(pair.key);
    if (!key) return unknown(pair.key);
    by_kind[key->kind].push_back(&pair);
  }
  model::World world(world_.capacity());
  std::map<model::Key, Versions> versions;
  for (const auto& [kind, pairs] : by_kind) {  // Kind's order: what others refer to comes first
    for (const KeyValue* pair : pairs) {
      auto stored = decode(*pair);
      if (!stored) return std::unexpected(stored.error());
      const wire::Assigned& assigned = stored->assigned;
      const Status put =
          world.restore(stored->resource, assigned.addresses, assigned.network_id, assigned.network_slot);
      if (!put) return put;
      versions[model::key_of(stored->resource)] = {assigned.created, assigned.modified, assigned.created_seconds};
    }
  }
  for (const KeyValue& pair : range->items) {
    if (Status put = restore_cursors(pair, world); !put) return put;
  }
  world_ = std::move(world);
  versions_ = std::move(versions);
  recent_.clear();
  recent_resources_ = 0;
  recent_from_ = revision_ = range->revision;
  return {};
}

// ---- read
// ------------------------------------------------------------------------------------------------------------

/// The revisions alone.
wire::Assigned Repository::assigned(const model::Key& key) const {
  wire::Assigned assigned;
  if (const auto versions = versions_.find(key); versions != versions_.end()) {
    assigned.created = versions->second.created;
    assigned.modified = versions->second.modified;
    assigned.created_seconds = versions->second.created_seconds;
  }
  return assigned;
}

/// With what Sluice has set; the resource must be in the world.
Stored Repository::stored(model::Resource resource) const {
  const model::Key key = model::key_of(resource);
  wire::Assigned set = assigned(key);
  const model::Assignments& assignments = world_.assignments();
  if (key.kind == model::Kind::kNetwork) {
    set.network_id = assignments.network_ids.at(key.name.name);
    set.network_slot = assignments.network_slots.at(key.name.name);
  } else if (key.kind == model::Kind::kPod) {
    set.addresses = assignments.pod_addresses.at(key.name);
  } else if (key.kind == model::Kind::kService) {
    set.addresses = assignments.service_addresses.at(key.name);
  }
  return {std::move(resource), set};
}

std::optional<Stored> Repository::find(const model::Key& key) const {
  auto resource = world_.find(key);
  if (!resource) return std::nullopt;
  return stored(std::move(*resource));
}

Result<Stored> Repository::get(const model::Key& key) const {
  const std::shared_lock lock(mutex_);
  auto found = find(key);
  if (found) return std::move(*found);
  Error error{ErrorCode::kNotFound, model::describe(key) + ": does not exist"};
  error.details.push_back({.resource = model::describe(key),
                           .field = "name",
                           .value = key.name.name,
                           .problem = "does not exist",
                           .remedy = "see what there is: sluicectl get"});
  return std::unexpected(std::move(error));
}

Listing Repository::list(model::Kind kind, const std::string& network, const model::Labels& labels) const {
  const std::shared_lock lock(mutex_);
  Listing listing{revision_, {}};
  const auto add = [&](const auto& resource) {
    if (model::matches(resource.labels, labels)) listing.items.push_back(stored(model::Resource(resource)));
  };
  const auto add_all = [&](const auto& resources) {
    for (const auto& [name, resource] : resources) add(resource);
  };
  const auto add_in_network = [&](const auto& resources) {
    if (network.empty()) return add_all(resources);
    for (auto it = resources.lower_bound(model::Name{network, ""});
         it != resources.end() && it->first.network == network; ++it) {
      add(it->second);
    }
  };
  const model::State& state = world_.state();
  if (kind == model::Kind::kNetwork) add_all(state.networks);
  if (kind == model::Kind::kFloatingIp) add_all(state.floating_ips);
  if (kind == model::Kind::kNode) add_all(state.nodes);
  if (kind == model::Kind::kPod) add_in_network(state.pods);
  if (kind == model::Kind::kService) add_in_network(state.services);
  return listing;
}

Listing Repository::page(model::Kind kind, const std::optional<model::Name>& last, std::size_t limit) const {
  const std::shared_lock lock(mutex_);
  Listing listing{revision_, {}};
  const auto take = [&](const auto& resources, const auto& after) {
    auto it = last ? resources.upper_bound(after) : resources.begin();
    for (; it != resources.end() && listing.items.size() < limit; ++it)
      listing.items.push_back(stored(model::Resource(it->second)));
  };
  const model::Name after = last.value_or(model::Name{});
  const model::State& state = world_.state();
  if (kind == model::Kind::kNetwork) take(state.networks, after.name);
  if (kind == model::Kind::kFloatingIp) take(state.floating_ips, after.name);
  if (kind == model::Kind::kNode) take(state.nodes, after.name);
  if (kind == model::Kind::kPod) take(state.pods, after);
  if (kind == model::Kind::kService) take(state.services, after);
  return listing;
}

Result<Changes> Repository::changes(const Position& after, std::size_t limit) const {
  auto changes = key_values_->changes(after, limit);
  if (!changes) return changes;
  std::erase_if(changes->events, [](const Event& event) { return !event.now.key.starts_with(kResources); });
  return changes;
}

std::uint64_t Repository::revision() const {
  const std::shared_lock lock(mutex_);
  return revision_;
}

// ---- followers
// -------------------------------------------------------------------------------------------------------

void Repository::announce(std::uint64_t revision) {
  const std::uint64_t one = 1;
  // A full counter is readable already, which is all that it says.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof(one));
  const std::lock_guard lock(subscribers_mutex_);
  for (const auto& [id, notify] : subscribers_) notify(revision);
}

Repository::Subscription Repository::subscribe(std::function<void(std::uint64_t)> notify) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_.emplace(++last_subscription_, std::move(notify));
  return last_subscription_;
}

void Repository::unsubscribe(Subscription subscription) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_.erase(subscription);
}

Result<bool> Repository::drain() {
  std::uint64_t count = 0;
  return ::read(wake_.get(), &count, sizeof(count)) == sizeof(count);
}

void Repository::copy_present(const model::World& world, const model::Change& change, Update& update) {
  const model::State& state = world.state();
  const model::Assignments& assignments = world.assignments();
  const auto copy = [](const auto& from, auto& to, const auto& name) {
    if (const auto found = from.find(name); found != from.end()) to.insert(*found);
  };
  for (const auto& [name, former] : change.networks) {
    copy(state.networks, update.state.networks, name);
    copy(assignments.network_ids, update.assignments.network_ids, name);
    copy(assignments.network_slots, update.assignments.network_slots, name);
  }
  for (const auto& [name, former] : change.pods) {
    copy(state.pods, update.state.pods, name);
    copy(assignments.pod_addresses, update.assignments.pod_addresses, name);
  }
  for (const auto& [name, former] : change.services) {
    copy(state.services, update.state.services, name);
    copy(assignments.service_addresses, update.assignments.service_addresses, name);
  }
  for (const auto& [name, former] : change.floating_ips) copy(state.floating_ips, update.state.floating_ips, name);
  update.state.nodes = state.nodes;  // few, and in no change
}

Result<Update> Repository::updates(std::uint64_t revision) {
  const std::shared_lock lock(mutex_);
  Update update{.revision = revision_, .whole = false, .state = {}, .assignments = {}, .change = {}};
  if (revision == 0 || revision < recent_from_ || revision > revision_) {
    update.whole = true;
    update.state = world_.state();
    update.assignments = world_.assignments();
    return update;
  }
  auto next = std::ranges::upper_bound(recent_, revision, {}, [](const auto& entry) { return entry.first; });
  for (; next != recent_.end(); next++) update.change.append(next->second);
  copy_present(world_, update.change, update);
  return update;
}

}  // namespace sluice::store
