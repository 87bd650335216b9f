// SPDX-License-Identifier: Apache-2.0
// Repository: the resources in a durable store, with every rule judged in the transaction that writes.
//
// The World in memory is what the store holds, always: a write is made in the World, then in the store, and taken back
// from the World if the store refuses. One writer at a time; readers share.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "model/world.hpp"
#include "store/codec.hpp"
#include "store/fair_shared_mutex.hpp"
#include "store/key_values.hpp"
#include "store/store.hpp"

namespace sluice::store {

struct WriteRequest {
  struct Edit {
    model::Edit edit;
    /// The write fails with kAborted unless the resource was last changed at this revision; 0: it must not exist.
    std::optional<std::uint64_t> expected;
  };
  std::vector<Edit> edits{};
  model::EditOptions options{};
  bool dry_run = false;
  bool ignore_missing = false;  ///< deleting what does not exist changes nothing
  /// Called with what the state would be, before anything is stored; its error refuses the write. It may not use the
  /// repository.
  std::function<Status(const model::State&, const model::Assignments&)> judge{};
};

struct Outcome {
  enum class Action : std::uint8_t { kCreated, kChanged, kUnchanged, kDeleted };
  model::Key key;
  Action action = Action::kUnchanged;
  std::optional<Stored> before;
  std::optional<Stored> after;
};

struct WriteReply {
  std::uint64_t revision = 0;
  std::vector<Outcome> outcomes;  ///< the request's edits in their order, then what came with them
};

struct Listing {
  std::uint64_t revision = 0;
  std::vector<Stored> items;  ///< by key
};

class Repository final : public Store {
 public:
  /// Reads everything. kInvalid if the store contradicts itself.
  static Result<std::unique_ptr<Repository>> open(std::unique_ptr<KeyValues> key_values, model::Capacity capacity);

  // From any thread.

  /// All of it or nothing; durable when it returns. Errors: those of model::World::edit, kAborted, kPrecondition while
  /// writes are refused, and the store's.
  Result<WriteReply> write(WriteRequest request);
  /// Makes the resources those of `state`, in one transaction.
  Result<WriteReply> replace(const model::State& state,
                             std::function<Status(const model::State&, const model::Assignments&)> judge);

  Result<Stored> get(const model::Key& key) const;
  /// Of one kind; of one network if one is given; with all of `labels`.
  Listing list(model::Kind kind, const std::string& network, const model::Labels& labels) const;
  /// The next resources of a kind after `last`, at most `limit`; nothing after the last one.
  Listing page(model::Kind kind, const std::optional<model::Name>& last, std::size_t limit) const;
  /// As KeyValues::changes; events of other keys than resources are left out.
  Result<Changes> changes(const Position& after, std::size_t limit) const;
  std::uint64_t revision() const;
  Result<std::uint64_t> compacted() const { return key_values_->compacted(); }
  [[nodiscard]] Identity identity() const { return key_values_->identity(); }

  /// Writes fail with kPrecondition and this reason; empty: they are taken.
  void refuse_writes(std::string reason);
  std::string refuses_writes() const;
  /// Floating IPs that exist stay, whatever the pools.
  void set_pools(std::vector<model::Pool> pools);

  /// Calls `notify` after each revision, on the writer's thread, while others may read and write: with several writers
  /// not always in the order of the revisions. It must be quick, and may neither subscribe nor unsubscribe.
  using Subscription = std::uint64_t;
  Subscription subscribe(std::function<void(std::uint64_t)> notify);
  /// When it returns, `notify` runs no more.
  void unsubscribe(Subscription subscription);

  // Store
  Result<Update> updates(std::uint64_t revision) override;
  [[nodiscard]] int watch_fd() const override { return wake_.get(); }
  Result<bool> drain() override;

 private:
  struct Versions {
    std::uint64_t created = 0;
    std::uint64_t modified = 0;
    std::int64_t created_seconds = 0;
  };

  Repository(std::unique_ptr<KeyValues> key_values, model::Capacity capacity, UniqueFd wake)
      : key_values_(std::move(key_values)), world_(std::move(capacity)), wake_(std::move(wake)) {}

  Status load();
  [[nodiscard]] Stored stored(model::Resource resource) const;
  [[nodiscard]] std::optional<Stored> find(const model::Key& key) const;
  Status check_expected(const std::vector<WriteRequest::Edit>& edits) const;
  [[nodiscard]] wire::Assigned assigned(const model::Key& key) const;
  [[nodiscard]] std::optional<Stored> former(const model::Key& key, const model::Change& change) const;
  Result<WriteReply> write_and_announce(WriteRequest& request, std::unique_lock<FairSharedMutex> lock);
  Result<WriteReply> write_locked(WriteRequest& request);
  Status get_in_step();
  void publish(std::uint64_t revision, const model::Change& change, std::vector<Outcome>& outcomes);
  Result<std::uint64_t> commit(const model::World::Transaction& transaction, std::vector<Outcome>& outcomes);
  void announce(std::uint64_t revision);
  static void copy_present(const model::World& world, const model::Change& change, Update& update);

  std::unique_ptr<KeyValues> key_values_;
  mutable FairSharedMutex mutex_;  ///< guards all down to refusal_
  model::World world_;
  std::map<model::Key, Versions> versions_;
  std::uint64_t revision_ = 0;
  bool in_step_ = true;  ///< whether the world is known to be what the store holds
  std::deque<std::pair<std::uint64_t, model::Change>> recent_;  ///< for updates(), oldest first
  std::size_t recent_resources_ = 0;                            ///< of recent_
  std::uint64_t recent_from_ = 0;                               ///< recent_ has everything after this revision
  std::string refusal_;
  UniqueFd wake_;  ///< eventfd

  std::mutex subscribers_mutex_;
  std::map<Subscription, std::function<void(std::uint64_t)>> subscribers_;
  Subscription last_subscription_ = 0;
};

}  // namespace sluice::store
