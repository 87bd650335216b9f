// SPDX-License-Identifier: Apache-2.0
#include "store/repository.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "model/validate.hpp"
#include "store/manifest.hpp"

namespace sluice::store {
namespace {

constexpr std::size_t kRecentChanges = 4096;  // transactions; who is further behind reads everything

std::int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// One error for all problems of a request, with every detail.
Error refused(const std::vector<Error>& problems) {
  Error error = summarize(problems);
  for (const Error& problem : problems)
    error.details.insert(error.details.end(), problem.details.begin(), problem.details.end());
  return error;
}

}  // namespace

Result<std::unique_ptr<Repository>> Repository::open(std::unique_ptr<KeyValues> key_values, model::Capacity capacity) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return fail_errno("eventfd");
  std::unique_ptr<Repository> repository(
      new Repository(std::move(key_values), std::move(capacity), std::move(wake)));
  if (Status loaded = repository->load(); !loaded) return fail_in("store", loaded);
  return repository;
}

// ---- load ------------------------------------------------------------------------------------------------------------

Status Repository::load() {
  auto range = key_values_->range("");
  if (!range) return std::unexpected(range.error());
  revision_ = range->revision;
  recent_from_ = revision_;
  std::map<model::Kind, std::vector<const KeyValue*>> by_kind;
  for (const KeyValue& pair : range->items) {
    if (const auto key = parse_key(pair.key)) by_kind[key->kind].push_back(&pair);
  }
  for (const auto& [kind, pairs] : by_kind) {  // Kind's order: what others refer to comes first
    for (const KeyValue* pair : pairs) {
      auto stored = decode(*pair);
      if (!stored) return std::unexpected(stored.error());
      const wire::Assigned& assigned = stored->assigned;
      const Status put =
          world_.restore(stored->resource, assigned.address4, assigned.network_id, assigned.network_slot);
      if (!put) return put;
      versions_[model::key_of(stored->resource)] = {assigned.created, assigned.modified, assigned.created_seconds};
    }
  }
  for (const KeyValue& pair : range->items) {
    if (pair.key == kCursors) {
      const auto cursors = decode_cursors(pair.value);
      if (!cursors) return std::unexpected(cursors.error());
      world_.restore(*cursors);
    } else if (pair.key.starts_with(kNetworkCursors)) {
      const auto cursors = decode_network_cursors(pair.value);
      if (!cursors) return std::unexpected(cursors.error());
      world_.restore(pair.key.substr(kNetworkCursors.size()), *cursors);
    }
  }
  return {};
}

// ---- read ------------------------------------------------------------------------------------------------------------

/// With what Sluice has set; the resource must be in the world.
Stored Repository::stored(model::Resource resource) const {
  const model::Key key = model::key_of(resource);
  wire::Assigned assigned;
  const model::Assignments& assignments = world_.assignments();
  if (key.kind == model::Kind::kNetwork) {
    assigned.network_id = assignments.network_ids.at(key.name.name);
    assigned.network_slot = assignments.network_slots.at(key.name.name);
  } else if (key.kind == model::Kind::kPod) {
    assigned.address4 = assignments.pod_addresses.at(key.name);
  } else if (key.kind == model::Kind::kService) {
    assigned.address4 = assignments.service_addresses.at(key.name);
  }
  if (const auto versions = versions_.find(key); versions != versions_.end()) {
    assigned.created = versions->second.created;
    assigned.modified = versions->second.modified;
    assigned.created_seconds = versions->second.created_seconds;
  }
  return {std::move(resource), assigned};
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
    const bool matches = std::ranges::all_of(labels, [&](const auto& label) {
      const auto found = resource.labels.find(label.first);
      return found != resource.labels.end() && found->second == label.second;
    });
    if (matches) listing.items.push_back(stored(model::Resource(resource)));
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

Result<std::vector<Event>> Repository::changes(std::uint64_t revision, std::size_t limit) const {
  auto events = key_values_->changes(revision, limit);
  if (!events) return events;
  std::erase_if(*events, [](const Event& event) { return !event.now.key.starts_with(kResources); });
  return events;
}

std::uint64_t Repository::revision() const {
  const std::shared_lock lock(mutex_);
  return revision_;
}

// ---- write -----------------------------------------------------------------------------------------------------------

void Repository::refuse_writes(std::string reason) {
  const std::unique_lock lock(mutex_);
  refusal_ = std::move(reason);
}

std::string Repository::refuses_writes() const {
  const std::shared_lock lock(mutex_);
  return refusal_;
}

Status Repository::check_expected(const std::vector<WriteRequest::Edit>& edits) const {
  std::vector<Error> conflicts;
  for (const WriteRequest::Edit& edit : edits) {
    if (!edit.expected) continue;
    const auto versions = versions_.find(edit.edit.key);
    const std::uint64_t modified = versions == versions_.end() ? 0 : versions->second.modified;
    if (modified == *edit.expected) continue;
    const std::string resource = model::describe(edit.edit.key);
    std::string problem;
    if (modified == 0) {
      problem = "was deleted by somebody else";
    } else if (*edit.expected == 0) {
      problem = "was made by somebody else at revision " + std::to_string(modified);
    } else {
      problem = "was changed by somebody else at revision " + std::to_string(modified) + " (expected " +
                std::to_string(*edit.expected) + ")";
    }
    Error error{ErrorCode::kAborted, resource + ": " + problem + "; read it again, then decide anew"};
    error.details.push_back({.resource = resource,
                             .field = "metadata.modified_revision",
                             .value = std::to_string(*edit.expected),
                             .problem = problem,
                             .remedy = "read it again, then decide anew"});
    conflicts.push_back(std::move(error));
  }
  if (conflicts.empty()) return {};
  return std::unexpected(refused(conflicts));
}

/// What the transaction has changed, and the cursors that it moved, as one durable step.
Result<std::uint64_t> Repository::commit(const model::World::Transaction& transaction,
                                         std::vector<Outcome>& outcomes) {
  CommitRequest request;
  for (Outcome& outcome : outcomes) {
    if (outcome.action == Outcome::Action::kUnchanged) continue;
    if (outcome.action == Outcome::Action::kDeleted) {
      request.operations.push_back({Operation::Kind::kDelete, key_text(outcome.key), {}});
      continue;
    }
    if (outcome.action == Outcome::Action::kCreated) outcome.after->assigned.created_seconds = now_seconds();
    request.operations.push_back({Operation::Kind::kPut, key_text(outcome.key), encode(*outcome.after)});
  }
  const auto networks = [&](const model::Key& key) { return key.kind == model::Kind::kNetwork; };
  if (std::ranges::any_of(transaction.keys(), networks)) {
    request.operations.push_back({Operation::Kind::kPut, std::string(kCursors), encode(world_.cursors())});
  }
  std::set<std::string> cursors = transaction.cursor_networks();
  for (const model::Key& key : transaction.keys()) {
    if (networks(key)) cursors.insert(key.name.name);
  }
  for (const std::string& network : cursors) {
    const std::string key = std::string(kNetworkCursors) + network;
    if (world_.state().networks.contains(network)) {
      request.operations.push_back({Operation::Kind::kPut, key, encode(world_.cursors(network))});
    } else {
      request.operations.push_back({Operation::Kind::kDelete, key, {}});
    }
  }
  auto reply = key_values_->commit(request);
  if (!reply) return fail_in("store", reply);
  return reply->revision;
}

Result<WriteReply> Repository::write_locked(WriteRequest& request) {
  if (!refusal_.empty()) return fail(ErrorCode::kPrecondition, refusal_);
  if (auto expected = check_expected(request.edits); !expected) return std::unexpected(expected.error());
  if (request.ignore_missing) {
    std::erase_if(request.edits, [this](const WriteRequest::Edit& edit) {
      return !edit.edit.resource && !world_.find(edit.edit.key);
    });
  }
  std::vector<model::Edit> edits;
  std::map<model::Key, std::optional<Stored>> before;
  for (const WriteRequest::Edit& edit : request.edits) {
    edits.push_back(edit.edit);
    before.emplace(edit.edit.key, find(edit.edit.key));
  }
  const model::World& world = world_;
  auto transaction = world_.edit(std::move(edits), request.options);
  if (!transaction) return std::unexpected(refused(transaction.error()));

  WriteReply reply{.revision = revision_, .outcomes = {}};
  const auto add = [&](const model::Key& key, std::optional<Stored> former) {
    Outcome outcome{.key = key, .action = Outcome::Action::kUnchanged, .before = std::move(former), .after = find(key)};
    const bool changed = transaction->keys().contains(key);
    if (!outcome.before && outcome.after) outcome.action = Outcome::Action::kCreated;
    if (outcome.before && !outcome.after) outcome.action = Outcome::Action::kDeleted;
    if (outcome.before && outcome.after && changed) outcome.action = Outcome::Action::kChanged;
    if (outcome.before || outcome.after) reply.outcomes.push_back(std::move(outcome));
  };
  for (const WriteRequest::Edit& edit : request.edits) add(edit.edit.key, before.at(edit.edit.key));
  for (const model::Key& key : transaction->keys()) {  // by cascade, and the default network
    if (before.contains(key)) continue;
    std::optional<Stored> former;
    const model::Change& change = transaction->change();
    if (key.kind == model::Kind::kPod && change.pods.at(key.name)) {
      former = Stored{model::Resource(change.pods.at(key.name)->pod), {}};
      former->assigned.address4 = change.pods.at(key.name)->address;
    } else if (key.kind == model::Kind::kService && change.services.at(key.name)) {
      former = Stored{model::Resource(change.services.at(key.name)->service), {}};
      former->assigned.address4 = change.services.at(key.name)->address;
    }
    add(key, std::move(former));
  }
  if (transaction->keys().empty()) return reply;
  if (request.judge) {
    if (auto good = request.judge(world.state(), world.assignments()); !good) return std::unexpected(good.error());
  }
  if (request.dry_run) return reply;
  auto revision = commit(*transaction, reply.outcomes);
  if (!revision) return std::unexpected(revision.error());

  transaction->keep();
  reply.revision = revision_ = *revision;
  for (Outcome& outcome : reply.outcomes) {
    if (outcome.action == Outcome::Action::kUnchanged) continue;
    if (!outcome.after) {
      versions_.erase(outcome.key);
      continue;
    }
    Versions& versions = versions_[outcome.key];
    if (outcome.action == Outcome::Action::kCreated) {
      versions.created = revision_;
      versions.created_seconds = outcome.after->assigned.created_seconds;
    }
    versions.modified = revision_;
    outcome.after->assigned.created = versions.created;
    outcome.after->assigned.modified = versions.modified;
  }
  recent_.emplace_back(revision_, transaction->change());
  while (recent_.size() > kRecentChanges) {
    recent_from_ = recent_.front().first;
    recent_.pop_front();
  }
  return reply;
}

Result<WriteReply> Repository::write(WriteRequest request) {
  std::uint64_t before = 0;
  Result<WriteReply> reply;
  {
    const std::unique_lock lock(mutex_);
    before = revision_;
    reply = write_locked(request);
  }
  if (reply && reply->revision != before) announce(reply->revision);
  return reply;
}

Result<WriteReply> Repository::replace(
    const model::State& state, std::function<Status(const model::State&, const model::Assignments&)> judge) {
  WriteRequest request;
  request.options = {.cascade = false, .recreate = true};
  request.judge = std::move(judge);
  request.ignore_missing = true;
  const auto put_all = [&](const auto& resources) {
    for (const auto& [name, resource] : resources) {
      model::Resource value(resource);
      const model::Key key = model::key_of(value);
      request.edits.push_back({{key, std::move(value)}, std::nullopt});
    }
  };
  const auto remove_missing = [&](const auto& present, const auto& wanted) {
    for (const auto& [name, resource] : present) {
      if (!wanted.contains(name)) request.edits.push_back({{model::key_of(model::Resource(resource)), {}}, {}});
    }
  };
  put_all(state.networks);
  put_all(state.floating_ips);
  put_all(state.pods);
  put_all(state.services);
  {
    const std::shared_lock lock(mutex_);
    const model::State& present = world_.state();
    remove_missing(present.networks, state.networks);
    remove_missing(present.floating_ips, state.floating_ips);
    remove_missing(present.pods, state.pods);
    remove_missing(present.services, state.services);
  }
  return write(std::move(request));
}

// ---- followers -------------------------------------------------------------------------------------------------------

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
  for (const auto& [at, change] : recent_) {
    if (at > revision) update.change.append(change);
  }
  copy_present(world_, update.change, update);
  return update;
}

}  // namespace sluice::store
