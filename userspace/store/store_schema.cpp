// SPDX-License-Identifier: Apache-2.0
#include "store/store_schema.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <string>

#include "store/checksum.hpp"

namespace sluice::store {
namespace {

constexpr std::int64_t kApplicationId = 0x534C4353;  // "SLCS"

constexpr const char* kSchema1 = R"(
PRAGMA application_id = 0x534C4353;
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  uuid BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  compacted INTEGER NOT NULL,
  keys INTEGER NOT NULL,
  keys_digest INTEGER NOT NULL,
  changes INTEGER NOT NULL,
  change_bytes INTEGER NOT NULL,
  changes_digest INTEGER NOT NULL,
  checksum INTEGER NOT NULL
);
CREATE TABLE present (
  key BLOB PRIMARY KEY,
  value BLOB NOT NULL,
  created INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE changes (
  revision INTEGER NOT NULL,
  key BLOB NOT NULL,
  deleted INTEGER NOT NULL,
  value BLOB NOT NULL,
  before BLOB NOT NULL,
  created INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (revision, key)
) WITHOUT ROWID;
)";

std::unexpected<Error> damaged(std::string what) {
  return fail(ErrorCode::kInvalid, "is damaged: " + std::move(what));
}

std::uint64_t unsigned_number(const Statement& row, int column) {
  return static_cast<std::uint64_t>(row.number(column));
}

std::string_view uuid_bytes(const StoreMeta& meta) {
  return {reinterpret_cast<const char*>(meta.identity.uuid.data()), meta.identity.uuid.size()};
}

Status make_schema_1(Database& database) {
  if (Status done = database.execute(kSchema1); !done) return done;
  StoreMeta meta;
  meta.identity.epoch = 1;
  auto& uuid = meta.identity.uuid;
  // Up to 256 bytes come whole once the pool is initialized (getrandom(2)).
  if (getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) return fail_errno("getrandom");
  uuid.at(6) = static_cast<std::uint8_t>((uuid.at(6) & 0x0FU) | 0x40U);  // RFC 4122, version 4
  uuid.at(8) = static_cast<std::uint8_t>((uuid.at(8) & 0x3FU) | 0x80U);
  Result<Statement> insert = database.prepare("INSERT INTO meta VALUES (1, ?1, 1, 0, 0, 0, 0, 0, 0, 0, ?2)");
  if (!insert) return std::unexpected(insert.error());
  return insert->bind_borrowed(1, uuid_bytes(meta)).bind(2, meta.checksum()).run();
}

/// Values may hold IPv6 addresses, which a program that knows schema 1 alone would drop.
Status make_schema_2(Database&) {
  return {};
}

constexpr std::array kMigrations = {Migration{1, make_schema_1}, Migration{2, make_schema_2}};

Result<std::string> schema_text(Database& database) {
  Result<Statement> select = database.prepare("SELECT type, name, sql FROM sqlite_master ORDER BY type, name");
  if (!select) return std::unexpected(select.error());
  std::string text;
  Result<bool> row = select->step();
  for (; row && *row; row = select->step()) {
    for (int column = 0; column < 3; column++) text.append(select->bytes(column)).push_back('\n');
  }
  if (!row) return std::unexpected(row.error());
  return text;
}

Status verify_keys(Database& database, const StoreMeta& meta) {
  Result<Statement> select =
      database.prepare("SELECT key, value, created, modified, checksum FROM present ORDER BY key");
  if (!select) return std::unexpected(select.error());
  std::uint64_t keys = 0;
  std::uint64_t digest = 0;
  Result<bool> row = select->step();
  for (; row && *row; row = select->step()) {
    const std::int64_t sum =
        checksum_of(select->bytes(0), select->bytes(1), unsigned_number(*select, 2), unsigned_number(*select, 3));
    if (sum != select->number(4)) return damaged("the value of key '" + select->text(0) + "' does not match its sum");
    keys++;
    digest += static_cast<std::uint64_t>(sum);
  }
  if (!row) return std::unexpected(row.error());
  if (keys != meta.keys || digest != meta.keys_digest) {
    return damaged("it holds " + std::to_string(keys) + " keys that are not the " + std::to_string(meta.keys) +
                   " that were written");
  }
  return {};
}

/// The revisions after the compacted one have no gaps.
Status verify_changes(Database& database, const StoreMeta& meta) {
  Result<Statement> select = database.prepare(
      "SELECT revision, key, deleted, value, before, created, checksum FROM changes ORDER BY revision, key");
  if (!select) return std::unexpected(select.error());
  StoreMeta found;
  std::uint64_t newest = meta.compacted;
  Result<bool> row = select->step();
  for (; row && *row; row = select->step()) {
    const std::uint64_t revision = unsigned_number(*select, 0);
    const std::int64_t sum = checksum_of_change(revision, select->bytes(1), select->number(2) != 0, select->bytes(3),
                                                select->bytes(4), unsigned_number(*select, 5));
    if (sum != select->number(6))
      return damaged("a change of revision " + std::to_string(revision) + " does not match its sum");
    if (revision > newest + 1) return damaged("revision " + std::to_string(newest + 1) + " is missing");
    newest = std::max(newest, revision);
    found.changes++;
    found.changes_digest += static_cast<std::uint64_t>(sum);
    found.change_bytes += select->bytes(1).size() + select->bytes(3).size() + select->bytes(4).size();
  }
  if (!row) return std::unexpected(row.error());
  if (newest != meta.revision || found.changes != meta.changes || found.changes_digest != meta.changes_digest ||
      found.change_bytes != meta.change_bytes) {
    return damaged("its changes are not those that were written");
  }
  return {};
}

}  // namespace

std::span<const Migration> store_migrations() {
  return kMigrations;
}

std::int64_t StoreMeta::checksum() const {
  Checksum sum;
  sum.add(uuid_bytes(*this)).add(identity.epoch).add(revision).add(compacted);
  return sum.add(keys).add(keys_digest).add(changes).add(change_bytes).add(changes_digest).number();
}

std::int64_t checksum_of(std::string_view key, std::string_view value, std::uint64_t created, std::uint64_t modified) {
  return Checksum().add(key).add(value).add(created).add(modified).number();
}

std::int64_t checksum_of_change(std::uint64_t revision, std::string_view key, bool deleted, std::string_view value,
                                std::string_view before, std::uint64_t created) {
  return Checksum().add(revision).add(key).add(deleted ? 1U : 0U).add(value).add(before).add(created).number();
}

Result<StoreMeta> read_meta(Database& database) {
  Result<Statement> select = database.prepare(
      "SELECT uuid, epoch, revision, compacted, keys, keys_digest, changes, change_bytes, changes_digest, checksum "
      "FROM meta WHERE one = 1");
  if (!select) return std::unexpected(select.error());
  const Result<bool> row = select->step();
  if (!row) return std::unexpected(row.error());
  StoreMeta meta;
  if (!*row || select->bytes(0).size() != meta.identity.uuid.size()) return damaged("its first facts are missing");
  std::ranges::copy(select->bytes(0), meta.identity.uuid.begin());
  int column = 1;
  for (std::uint64_t* value : {&meta.identity.epoch, &meta.revision, &meta.compacted, &meta.keys, &meta.keys_digest,
                               &meta.changes, &meta.change_bytes, &meta.changes_digest}) {
    *value = unsigned_number(*select, column++);
  }
  if (select->number(column) != meta.checksum()) return damaged("its first facts do not match their sum");
  return meta;
}

Result<Statement> prepare_meta_update(Database& database) {
  return database.prepare(
      "UPDATE meta SET revision = ?1, compacted = ?2, keys = ?3, keys_digest = ?4, changes = ?5, change_bytes = ?6, "
      "changes_digest = ?7, checksum = ?8 WHERE one = 1 AND revision = ?9 AND epoch = ?10");
}

Status write_meta(Database& database, Statement& update, const StoreMeta& meta, std::uint64_t from) {
  int parameter = 1;
  for (const std::uint64_t value : {meta.revision, meta.compacted, meta.keys, meta.keys_digest, meta.changes,
                                    meta.change_bytes, meta.changes_digest}) {
    update.bind(parameter++, static_cast<std::int64_t>(value));
  }
  update.bind(8, meta.checksum()).bind(9, static_cast<std::int64_t>(from));
  if (Status done = update.bind(10, static_cast<std::int64_t>(meta.identity.epoch)).run(); !done) return done;
  if (database.changed() == 1) return {};
  return fail(ErrorCode::kAborted, "another program has written to it; stop that, then start sluiced again");
}

Status write_epoch(Database& database, const StoreMeta& meta) {
  Result<Statement> update = database.prepare("UPDATE meta SET epoch = ?1, checksum = ?2 WHERE one = 1");
  if (!update) return std::unexpected(update.error());
  return update->bind(1, static_cast<std::int64_t>(meta.identity.epoch)).bind(2, meta.checksum()).run();
}

Status check_version(std::int64_t application, std::int64_t version, std::span<const Migration> migrations) {
  const std::int64_t known = migrations.back().to;
  if (application != kApplicationId) {
    return fail(ErrorCode::kPrecondition, "is a database of another program; move it away or choose another folder");
  }
  if (version > known) {
    return fail(ErrorCode::kPrecondition, "has schema " + std::to_string(version) + ", this program knows " +
                                              std::to_string(known) + "; use a newer sluiced");
  }
  if (version < 1) return damaged("it has no schema version");
  return {};
}

Status check_schema(Database& database, std::span<const Migration> migrations) {
  const Result<std::int64_t> version = database.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  Result<Database> model = Database::open(":memory:", {.name = "schema", .create = true});
  if (!model) return std::unexpected(model.error());
  for (const Migration& step : migrations) {
    if (step.to > *version) break;
    if (Status done = step.run(*model); !done) return done;
  }
  const Result<std::string> wanted = schema_text(*model);
  if (!wanted) return std::unexpected(wanted.error());
  const Result<std::string> found = schema_text(database);
  if (!found) return std::unexpected(found.error());
  if (*found != *wanted) return damaged("its tables are not those of schema " + std::to_string(*version));
  return {};
}

Status verify_store(Database& database, const StoreMeta& meta, std::span<const Migration> migrations) {
  if (Status done = check_schema(database, migrations); !done) return done;
  const Result<std::string> check = database.text("PRAGMA quick_check(1)");
  if (!check) return std::unexpected(check.error());
  if (*check != "ok") return damaged(*check);
  if (Status done = verify_keys(database, meta); !done) return done;
  return verify_changes(database, meta);
}

}  // namespace sluice::store
