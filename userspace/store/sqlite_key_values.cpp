// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_key_values.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "store/key_values_checks.hpp"

namespace sluice::store {
namespace {

// A slice of compaction that rides on a commit removes some more than the commit adds, so that it catches up.
constexpr std::uint64_t kSliceRows = 512;
constexpr std::uint64_t kSliceBytes = 1024UL * 1024;

std::int64_t to_number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

std::uint64_t count(const Statement& row, int column) {
  return static_cast<std::uint64_t>(row.number(column));
}

std::unexpected<Error> damaged(const std::string& what) {
  return fail(ErrorCode::kInvalid, "is damaged: " + what);
}

Result<KeyValue> read_key(const Statement& row) {
  KeyValue item{row.text(0), row.text(1), count(row, 2), count(row, 3)};
  if (checksum_of(item.key, item.value, item.created, item.modified) == row.number(4)) return item;
  return damaged("the value of key '" + item.key + "' does not match its sum");
}

Result<Event> read_event(const Statement& row) {
  Event event;
  event.revision = count(row, 0);
  event.deleted = row.number(2) != 0;
  event.now = {row.text(1), row.text(3), count(row, 5), event.revision};
  event.before = row.text(4);
  const std::int64_t sum = checksum_of_change(event.revision, event.now.key, event.deleted, event.now.value,
                                              event.before, event.now.created);
  if (sum == row.number(6)) return event;
  return damaged("a change of revision " + std::to_string(event.revision) + " does not match its sum");
}

}  // namespace

Result<std::unique_ptr<SqliteKeyValues>> SqliteKeyValues::open(const std::filesystem::path& folder,
                                                               SqliteOptions options) {
  const std::filesystem::path file = folder / kStoreFile;
  Result<OpenStore> store = open_store(folder, options.migrations);
  if (!store) return std::unexpected(store.error());
  Result<Statements> statements = prepare(store->database);
  if (!statements) return std::unexpected(store_error(statements.error(), file));
  Result<AcknowledgedRevision> acknowledged = AcknowledgedRevision::open(file, store->meta);
  if (!acknowledged) return std::unexpected(store_error(acknowledged.error(), file));
  store->database.keep_log_on_close(false);
  return std::unique_ptr<SqliteKeyValues>(
      new SqliteKeyValues(file, options, std::move(*store), std::move(*statements), std::move(*acknowledged)));
}

SqliteKeyValues::SqliteKeyValues(std::filesystem::path file, SqliteOptions options, OpenStore store,
                                 Statements statements, AcknowledgedRevision acknowledged)
    : file_(std::move(file)),
      options_(options),
      identity_(store.meta.identity),
      database_(std::move(store.database)),
      statements_(std::move(statements)),
      acknowledged_(std::move(acknowledged)),
      head_(store.meta),
      recent_(options.recent_bytes, options.recent_events) {
  recent_.restart(head_.revision);
}

Result<SqliteKeyValues::Statements> SqliteKeyValues::prepare(Database& database) {
  Result<Statement> find =
      database.prepare("SELECT key, value, created, modified, checksum FROM present WHERE key = ?1");
  Result<Statement> range = database.prepare(
      "SELECT key, value, created, modified, checksum FROM present WHERE key >= ?1 AND key < ?2 ORDER BY key");
  Result<Statement> range_to_end =
      database.prepare("SELECT key, value, created, modified, checksum FROM present WHERE key >= ?1 ORDER BY key");
  Result<Statement> put = database.prepare("INSERT OR REPLACE INTO present VALUES (?1, ?2, ?3, ?4, ?5)");
  Result<Statement> erase = database.prepare("DELETE FROM present WHERE key = ?1");
  Result<Statement> add_change = database.prepare("INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  Result<Statement> read_changes = database.prepare(
      "SELECT revision, key, deleted, value, before, created, checksum FROM changes "
      "WHERE (revision, key) > (?1, ?2) ORDER BY revision, key LIMIT ?3");
  Result<Statement> oldest = database.prepare(
      "SELECT revision, key, length(key) + length(value) + length(before), checksum FROM changes "
      "ORDER BY revision, key LIMIT 1");
  Result<Statement> erase_change = database.prepare("DELETE FROM changes WHERE revision = ?1 AND key = ?2");
  Result<Statement> meta = prepare_meta_update(database);
  for (const auto* statement :
       {&find, &range, &range_to_end, &put, &erase, &add_change, &read_changes, &oldest, &erase_change, &meta}) {
    if (!*statement) return std::unexpected(statement->error());
  }
  return Statements{std::move(*find),         std::move(*range),      std::move(*range_to_end), std::move(*put),
                    std::move(*erase),        std::move(*add_change), std::move(*read_changes), std::move(*oldest),
                    std::move(*erase_change), std::move(*meta)};
}

Error SqliteKeyValues::failed(const Error& error) {
  stale_ = true;
  // At once if the disk lets us, so that nobody sees what it does not say; otherwise before the next use.
  static_cast<void>(refresh());
  return store_error(error, file_);
}

Status SqliteKeyValues::refresh() {
  if (!stale_) return {};
  const Result<StoreMeta> meta = read_meta(database_);
  if (!meta) return std::unexpected(store_error(meta.error(), file_));
  const std::scoped_lock lock(head_mutex_);
  if (meta->revision != head_.revision) recent_.restart(meta->revision);
  publish(*meta);
  stale_ = false;
  return {};
}

void SqliteKeyValues::publish(const StoreMeta& meta) {
  head_ = meta;
  acknowledged_.set(meta.revision);
}

Result<StoreMeta> SqliteKeyValues::head() {
  if (stale_) {
    const std::scoped_lock lock(database_mutex_);
    if (Status done = refresh(); !done) return std::unexpected(done.error());
  }
  const std::scoped_lock lock(head_mutex_);
  return head_;
}

Result<std::uint64_t> SqliteKeyValues::revision() {
  const Result<StoreMeta> meta = head();
  if (!meta) return std::unexpected(meta.error());
  return meta->revision;
}

Result<std::uint64_t> SqliteKeyValues::compacted() {
  const Result<StoreMeta> meta = head();
  if (!meta) return std::unexpected(meta.error());
  return meta->compacted;
}

Result<Range> SqliteKeyValues::range(std::string_view prefix) {
  const std::string end = after_prefix(prefix);
  const std::scoped_lock lock(database_mutex_);
  if (Status done = refresh(); !done) return std::unexpected(done.error());
  Statement& select = end.empty() ? statements_.range_to_end : statements_.range;
  const StatementUse use(select);
  select.bind_borrowed(1, prefix);
  if (!end.empty()) select.bind_borrowed(2, end);
  Range result;
  result.revision = head_.revision;
  if (prefix.empty()) result.items.reserve(head_.keys);
  Result<bool> row = select.step();
  for (; row && *row; row = select.step()) {
    Result<KeyValue> item = read_key(select);
    if (!item) return std::unexpected(store_error(item.error(), file_));
    result.items.push_back(std::move(*item));
  }
  if (!row) return std::unexpected(store_error(row.error(), file_));
  return result;
}

Result<std::optional<KeyValue>> SqliteKeyValues::find(std::string_view key) {
  const StatementUse use(statements_.find);
  const Result<bool> row = statements_.find.bind_borrowed(1, key).step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::nullopt;
  return read_key(statements_.find);
}

Result<std::vector<KeyValue>> SqliteKeyValues::failing(std::span<const Compare> compares) {
  std::vector<KeyValue> conflicts;
  for (const Compare& compare : compares) {
    Result<std::optional<KeyValue>> found = find(compare.key);
    if (!found) return std::unexpected(found.error());
    const std::uint64_t modified = *found ? (*found)->modified : 0;
    if (modified == compare.modified) continue;
    conflicts.push_back(*found ? std::move(**found) : KeyValue{compare.key, {}, 0, 0});
  }
  return conflicts;
}

Result<CommitReply> SqliteKeyValues::commit(const CommitRequest& request) {
  const Result<std::vector<const Operation*>> operations = checked_operations(request);
  if (!operations) return std::unexpected(operations.error());
  const std::scoped_lock lock(database_mutex_);
  if (Status done = refresh(); !done) return std::unexpected(done.error());
  Result<CommitReply> reply = commit_now(request, *operations);
  if (!reply) return std::unexpected(failed(reply.error()));
  return reply;
}

Result<CommitReply> SqliteKeyValues::commit_now(const CommitRequest& request,
                                                std::span<const Operation* const> operations) {
  Result<std::vector<KeyValue>> conflicts = failing(request.compares);
  if (!conflicts) return std::unexpected(conflicts.error());
  if (!conflicts->empty()) return CommitReply{false, head_.revision, std::move(*conflicts)};
  if (operations.empty()) return CommitReply{true, head_.revision, {}};

  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  StoreMeta meta = head_;
  meta.revision++;
  std::vector<Event> events;
  events.reserve(operations.size());
  for (const Operation* operation : operations) {
    Result<std::optional<Event>> event = write(*operation, meta);
    if (!event) return std::unexpected(event.error());
    if (*event) events.push_back(std::move(**event));
  }
  if (events.empty()) return CommitReply{true, head_.revision, {}};
  const std::uint64_t added = meta.change_bytes - head_.change_bytes;
  if (Status done = purge(meta, {kSliceRows + 2 * events.size(), kSliceBytes + 2 * added}); !done) {
    return std::unexpected(done.error());
  }
  if (Status done = write_meta(database_, statements_.meta, meta, head_.revision); !done) {
    return std::unexpected(done.error());
  }
  if (Status done = transaction->commit(); !done) return std::unexpected(done.error());
  const std::scoped_lock lock(head_mutex_);
  recent_.push(std::move(events));
  publish(meta);
  return CommitReply{true, meta.revision, {}};
}

Result<std::optional<Event>> SqliteKeyValues::write(const Operation& operation, StoreMeta& meta) {
  Result<std::optional<KeyValue>> found = find(operation.key);
  if (!found) return std::unexpected(found.error());
  std::optional<KeyValue>& old = *found;
  const bool deleted = operation.kind == Operation::Kind::kDelete;
  if (deleted && !old) return std::nullopt;
  Event event{meta.revision, deleted, {operation.key, {}, 0, meta.revision}, {}};
  if (old) {
    meta.keys--;
    meta.keys_digest -= static_cast<std::uint64_t>(checksum_of(old->key, old->value, old->created, old->modified));
    event.before = std::move(old->value);
  }
  Status done;
  if (deleted) {
    done = statements_.erase.bind_borrowed(1, operation.key).run();
  } else {
    event.now.value = operation.value;
    event.now.created = old ? old->created : meta.revision;
    const std::int64_t sum = checksum_of(operation.key, operation.value, event.now.created, meta.revision);
    Statement& put = statements_.put.bind_borrowed(1, operation.key).bind_borrowed(2, operation.value);
    put.bind(3, to_number(event.now.created)).bind(4, to_number(meta.revision)).bind(5, sum);
    done = put.run();
    meta.keys++;
    meta.keys_digest += static_cast<std::uint64_t>(sum);
  }
  if (done) done = log_change(event, meta);
  if (!done) return std::unexpected(done.error());
  return event;
}

Status SqliteKeyValues::log_change(const Event& event, StoreMeta& meta) {
  const std::int64_t sum = checksum_of_change(event.revision, event.now.key, event.deleted, event.now.value,
                                              event.before, event.now.created);
  Statement& add = statements_.add_change.bind(1, to_number(event.revision)).bind_borrowed(2, event.now.key);
  add.bind(3, std::int64_t{event.deleted}).bind_borrowed(4, event.now.value).bind_borrowed(5, event.before);
  if (Status done = add.bind(6, to_number(event.now.created)).bind(7, sum).run(); !done) return done;
  meta.changes++;
  meta.change_bytes += event.now.key.size() + event.now.value.size() + event.before.size();
  meta.changes_digest += static_cast<std::uint64_t>(sum);
  return {};
}

/// Removes the oldest changes while they are compacted or too many. A revision that loses one of its changes is
/// compacted with that; the rest of them goes with the next slices.
Status SqliteKeyValues::purge(StoreMeta& meta, Slice slice) {
  for (std::uint64_t rows = 0, bytes = 0; rows < slice.rows && bytes < slice.bytes; rows++) {
    const bool too_many =
        meta.change_bytes > options_.max_change_bytes || meta.revision - meta.compacted > options_.max_revisions;
    const StatementUse use(statements_.oldest_change);
    const Result<bool> row = statements_.oldest_change.step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    const std::uint64_t revision = count(statements_.oldest_change, 0);
    if (revision > meta.compacted && (!too_many || revision == meta.revision)) return {};
    const std::string key = statements_.oldest_change.text(1);
    const std::uint64_t size = count(statements_.oldest_change, 2);
    meta.changes_digest -= count(statements_.oldest_change, 3);
    statements_.oldest_change.reset();
    if (Status done = statements_.erase_change.bind(1, to_number(revision)).bind_borrowed(2, key).run(); !done) {
      return done;
    }
    meta.changes--;
    meta.change_bytes -= size;
    meta.compacted = std::max(meta.compacted, revision);
    bytes += size;
  }
  return {};
}

Status SqliteKeyValues::check_changes_from(const Position& after) const {
  if (after.revision > head_.revision) {
    return fail(ErrorCode::kOutOfRange, "revision " + std::to_string(after.revision) +
                                            " has not been made; the newest is " + std::to_string(head_.revision));
  }
  // Of a revision that is cut, the rest is needed too.
  if (after.revision < head_.compacted || (after.revision == head_.compacted && !after.key.empty())) {
    return fail(ErrorCode::kOutOfRange, "the changes after revision " + std::to_string(after.revision) +
                                            " are compacted up to " + std::to_string(head_.compacted) +
                                            "; list again and go on from there");
  }
  return {};
}

Result<Changes> SqliteKeyValues::changes(const Position& after, std::size_t limit) {
  limit = std::max(limit, std::size_t{1});
  if (const Result<StoreMeta> fresh = head(); !fresh) return std::unexpected(fresh.error());
  std::optional<std::vector<RecentEvents::Slice>> recent;
  {
    const std::scoped_lock lock(head_mutex_);
    if (Status done = check_changes_from(after); !done) return std::unexpected(done.error());
    recent = recent_.after(after, limit);
  }
  if (!recent) return stored_changes(after, limit);
  Changes result{{}, after};
  for (const RecentEvents::Slice& slice : *recent) {
    const auto begin = slice.of->begin();
    result.events.insert(result.events.end(), begin + static_cast<std::ptrdiff_t>(slice.begin),
                         begin + static_cast<std::ptrdiff_t>(slice.end));
    const Event& last = result.events.back();
    result.next = slice.end == slice.of->size() ? Position(last.revision) : Position(last.revision, last.now.key);
  }
  return result;
}

Result<Changes> SqliteKeyValues::stored_changes(const Position& after, std::size_t limit) {
  const std::scoped_lock lock(database_mutex_);
  if (Status done = refresh(); !done) return std::unexpected(done.error());
  // They may have been compacted since. head_ changes under this mutex only.
  if (Status done = check_changes_from(after); !done) return std::unexpected(done.error());
  Statement& select = statements_.read_changes;
  const StatementUse use(select);
  // No key is empty, so all of a revision is all that comes before the next one's empty key.
  const std::uint64_t revision = after.key.empty() ? after.revision + 1 : after.revision;
  select.bind(1, to_number(revision)).bind_borrowed(2, after.key);
  Changes result{{}, after};
  Result<bool> row = select.bind(3, to_number(limit + 1)).step();  // one more: is the last revision cut?
  for (; row && *row && result.events.size() < limit; row = select.step()) {
    Result<Event> event = read_event(select);
    if (!event) return std::unexpected(store_error(event.error(), file_));
    result.events.push_back(std::move(*event));
  }
  if (!row) return std::unexpected(store_error(row.error(), file_));
  if (result.events.empty()) return result;
  const Event& last = result.events.back();
  const bool cut = *row && count(select, 0) == last.revision;
  result.next = cut ? Position(last.revision, last.now.key) : Position(last.revision);
  return result;
}

Status SqliteKeyValues::compact(std::uint64_t revision) {
  {
    const std::scoped_lock lock(database_mutex_);
    if (Status done = refresh(); !done) return done;
    if (revision > head_.revision) {
      return fail(ErrorCode::kOutOfRange, "revision " + std::to_string(revision) +
                                              " has not been made; the newest is " + std::to_string(head_.revision));
    }
    if (revision <= head_.compacted) return {};
    StoreMeta meta = head_;
    meta.compacted = revision;
    // One statement is a transaction of its own.
    Status done = write_meta(database_, statements_.meta, meta, head_.revision);
    if (!done) return std::unexpected(failed(done.error()));
    const std::scoped_lock head_lock(head_mutex_);
    publish(meta);
  }
  // The rest makes room only: what a slice cannot do now, the next commits do.
  for (bool more = true; more;) {
    const std::scoped_lock lock(database_mutex_);
    const std::uint64_t before = head_.changes;
    if (Status done = purge_slice(); !done) {
      static_cast<void>(failed(done.error()));
      return {};
    }
    more = head_.changes < before;
  }
  return {};
}

Status SqliteKeyValues::purge_slice() {
  if (Status done = refresh(); !done) return done;
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  StoreMeta meta = head_;
  if (Status done = purge(meta, {kSliceRows, kSliceBytes}); !done) return done;
  if (meta.changes == head_.changes) return {};
  if (Status done = write_meta(database_, statements_.meta, meta, head_.revision); !done) return done;
  if (Status done = transaction->commit(); !done) return done;
  const std::scoped_lock lock(head_mutex_);
  publish(meta);
  return {};
}

}  // namespace sluice::store
