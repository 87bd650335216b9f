// SPDX-License-Identifier: Apache-2.0
// KeyValues in one SQLite file, `<folder>/store.db`: write-ahead log, synced at each commit. The caller holds the
// folder's lock (state_folder.hpp).
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "store/key_values.hpp"
#include "store/recent_events.hpp"
#include "store/sqlite.hpp"
#include "store/store_database.hpp"

namespace sluice::store {

struct SqliteOptions {
  /// The changes are compacted, oldest first, while there are more than either of these. The newest revision stays.
  std::uint64_t max_revisions = 100'000;
  std::uint64_t max_change_bytes = 64ULL * 1024 * 1024;
  /// The newest events in memory.
  std::size_t recent_bytes = 16UL * 1024 * 1024;
  std::size_t recent_events = 20'000;
  std::span<const Migration> migrations = store_migrations();
};

class SqliteKeyValues : public KeyValues {
 public:
  /// Opens the store, or makes one with a random uuid, epoch 1 and revision 0. Reads all of it: see open_store() for
  /// the errors, docs/store.md for the time.
  static Result<std::unique_ptr<SqliteKeyValues>> open(const std::filesystem::path& folder, SqliteOptions options = {});

  [[nodiscard]] Identity identity() const override { return identity_; }
  Result<std::uint64_t> revision() override;
  Result<Range> range(std::string_view prefix) override;
  Result<CommitReply> commit(const CommitRequest& request) override;
  Result<Changes> changes(const Position& after, std::size_t limit) override;
  Status compact(std::uint64_t revision) override;
  Result<std::uint64_t> compacted() override;

 private:
  struct Statements {
    Statement find, range, range_to_end, put, erase, add_change, read_changes, oldest_change, erase_change, meta;
  };
  /// What a slice of compaction may do.
  struct Slice {
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };

  SqliteKeyValues(std::filesystem::path file, SqliteOptions options, OpenStore store, Statements statements,
                  AcknowledgedRevision acknowledged);
  static Result<Statements> prepare(Database& database);

  // With database_mutex_ held:
  Status refresh();
  Result<CommitReply> commit_now(const CommitRequest& request, std::span<const Operation* const> operations);
  Result<std::optional<KeyValue>> find(std::string_view key);
  Result<std::vector<KeyValue>> failing(std::span<const Compare> compares);
  Result<std::optional<Event>> write(const Operation& operation, StoreMeta& meta);
  Status log_change(const Event& event, StoreMeta& meta);
  Status purge(StoreMeta& meta, Slice slice);
  Status purge_slice();
  Result<Changes> stored_changes(const Position& after, std::size_t limit);
  Error failed(const Error& error);

  // With head_mutex_ held:
  Status check_changes_from(const Position& after) const;
  void publish(const StoreMeta& meta);

  Result<StoreMeta> head();

  const std::filesystem::path file_;
  const SqliteOptions options_;
  const Identity identity_;

  std::mutex database_mutex_;  ///< taken before head_mutex_
  Database database_;
  Statements statements_;
  AcknowledgedRevision acknowledged_;
  std::atomic<bool> stale_ = false;  ///< a write failed, and what the disk says now has not been read yet

  std::mutex head_mutex_;  ///< never held during disk access
  StoreMeta head_;         ///< what is committed; changed with both mutexes held
  RecentEvents recent_;
};

}  // namespace sluice::store
