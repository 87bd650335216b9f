// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "store/manifest.hpp"
#include "store/repository.hpp"

namespace sluice::store {
namespace {

constexpr std::size_t kRecentChanges = 4096;  // transactions; who is further behind reads everything
/// Of these together: a platform may change a hundred thousand in one.
constexpr std::size_t kRecentResources = 200'000;

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

void Repository::refuse_writes(std::string reason) {
  const std::unique_lock lock(mutex_);
  refusal_ = std::move(reason);
}

void Repository::set_pools(std::vector<model::Pool> pools) {
  const std::unique_lock lock(mutex_);
  world_.set_pools(std::move(pools));
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
Result<std::uint64_t> Repository::commit(const model::World::Transaction& transaction, std::vector<Outcome>& outcomes) {
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
  for (const std::string& pool : transaction.cursor_pools()) {
    const std::string key = std::string(kPoolCursors) + pool;
    request.operations.push_back({Operation::Kind::kPut, key, encode_pool_cursor(world_.pool_cursors().at(pool))});
  }
  auto reply = key_values_->commit(request);
  if (!reply) return fail_in("store", reply);
  return reply->revision;
}

/// A pod or service as it was before the change; nothing of other kinds, which nothing deletes by the way.
std::optional<Stored> Repository::former(const model::Key& key, const model::Change& change) const {
  std::optional<Stored> former;
  if (key.kind == model::Kind::kPod && change.pods.at(key.name)) {
    former = Stored{model::Resource(change.pods.at(key.name)->pod), assigned(key)};
    former->assigned.addresses = change.pods.at(key.name)->addresses;
  } else if (key.kind == model::Kind::kService && change.services.at(key.name)) {
    former = Stored{model::Resource(change.services.at(key.name)->service), assigned(key)};
    former->assigned.addresses = change.services.at(key.name)->addresses;
  }
  return former;
}

/// The world makes what the store has committed its own.
void Repository::publish(std::uint64_t revision, const model::Change& change, std::vector<Outcome>& outcomes) {
  revision_ = revision;
  for (Outcome& outcome : outcomes) {
    if (outcome.action == Outcome::Action::kUnchanged) continue;
    if (!outcome.after) {
      versions_.erase(outcome.key);
      continue;
    }
    Versions& versions = versions_[outcome.key];
    if (outcome.action == Outcome::Action::kCreated) {
      versions.created = revision;
      versions.created_seconds = outcome.after->assigned.created_seconds;
    }
    versions.modified = revision;
    outcome.after->assigned.created = versions.created;
    outcome.after->assigned.modified = versions.modified;
  }
  recent_.emplace_back(revision, change);
  recent_resources_ += change.size();
  while (recent_.size() > kRecentChanges || (recent_resources_ > kRecentResources && recent_.size() > 1)) {
    recent_from_ = recent_.front().first;
    recent_resources_ -= recent_.front().second.size();
    recent_.pop_front();
  }
}

Result<WriteReply> Repository::write_locked(WriteRequest& request) {
  if (auto known = get_in_step(); !known) return std::unexpected(known.error());
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
    add(key, former(key, transaction->change()));
  }
  if (transaction->keys().empty()) return reply;
  if (request.judge) {
    if (auto good = request.judge(world.state(), world.assignments()); !good) return std::unexpected(good.error());
  }
  if (request.dry_run) return reply;
  in_step_ = false;  // until all of it is known to have gone well, whatever happens on the way
  auto revision = commit(*transaction, reply.outcomes);
  if (!revision) return std::unexpected(revision.error());

  transaction->keep();
  reply.revision = *revision;
  publish(*revision, transaction->change(), reply.outcomes);
  in_step_ = true;
  return reply;
}

/// After a commit that failed nobody knows whether the disk has it: an error on the way back looks the same. The store
/// is asked, and read anew if it has.
Status Repository::get_in_step() {
  if (in_step_) return {};
  const auto newest = key_values_->revision();
  if (!newest) return fail_in("store", newest);
  if (*newest != revision_) {
    if (Status loaded = load(); !loaded) return fail_in("store", loaded);
  }
  in_step_ = true;
  return {};
}

Result<WriteReply> Repository::write_and_announce(WriteRequest& request, std::unique_lock<FairSharedMutex> lock) {
  const std::uint64_t before = revision_;
  auto reply = write_locked(request);
  static_cast<void>(get_in_step());  // at once if it can be; otherwise before the next write
  const std::uint64_t now = revision_;
  lock.unlock();
  if (now != before) announce(now);
  return reply;
}

Result<WriteReply> Repository::write(WriteRequest request) {
  return write_and_announce(request, std::unique_lock(mutex_));
}

Result<WriteReply> Repository::replace(const model::State& state,
                                       std::function<Status(const model::State&, const model::Assignments&)> judge) {
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
  put_all(state.nodes);
  std::unique_lock lock(mutex_);  // nobody adds anything between the comparison and the write
  const model::State& present = world_.state();
  remove_missing(present.networks, state.networks);
  remove_missing(present.floating_ips, state.floating_ips);
  remove_missing(present.pods, state.pods);
  remove_missing(present.services, state.services);
  remove_missing(present.nodes, state.nodes);
  return write_and_announce(request, std::move(lock));
}

}  // namespace sluice::store
