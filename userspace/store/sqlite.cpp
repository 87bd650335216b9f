// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.hpp"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

namespace sluice::store {
namespace {

/// The file system's own reason, where SQLite has one and it decides what to do.
enum class Cause { kOther, kFull, kForbidden };

Cause cause_of(sqlite3* database, int code) {
  if (code == SQLITE_FULL) return Cause::kFull;
  if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN) return Cause::kOther;
  switch (sqlite3_system_errno(database)) {
    case ENOSPC:
    case EDQUOT:
      return Cause::kFull;
    case EROFS:
    case EACCES:
    case EPERM:
      return Cause::kForbidden;
    default:
      return Cause::kOther;
  }
}

std::unexpected<Error> fail_sqlite(const DatabaseHandle& database, std::string_view what) {
  const int code = sqlite3_errcode(database.raw) & 0xFF;
  const std::string message = (what.empty() ? "" : std::string(what) + ": ") + sqlite3_errmsg(database.raw);
  const Cause cause = cause_of(database.raw, code);
  // The disk, not a limit of ours: it passes when somebody makes room, so it is tried again.
  if (cause == Cause::kFull) {
    return fail(database.options.when_full, message + "; make room on the disk of the state folder");
  }
  if (cause == Cause::kForbidden) return fail(ErrorCode::kPermission, message);
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(ErrorCode::kInvalid, message);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return fail(ErrorCode::kPermission, message);
    case SQLITE_CONSTRAINT:
      return fail(ErrorCode::kExists, message);
    default:
      return fail(ErrorCode::kSystem, message);
  }
}

std::unexpected<Error> fail_sqlite(const DatabaseHandle& database) {
  return fail_sqlite(database, database.options.name);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}
void Database::Close::operator()(DatabaseHandle* database) const {
  // v2: a statement that outlives its database is no leak and no crash.
  sqlite3_close_v2(database->raw);
  delete database;
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  note(sqlite3_bind_int64(statement_.get(), parameter, value));
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view text) {
  note(sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int parameter, std::span<const std::uint8_t> blob) {
  note(sqlite3_bind_blob64(statement_.get(), parameter, blob.data(), blob.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_borrowed(int parameter, std::string_view blob) {
  // A null pointer would be NULL and not the empty blob.
  const char* bytes = blob.empty() ? "" : blob.data();
  note(sqlite3_bind_blob64(statement_.get(), parameter, bytes, blob.size(), SQLITE_STATIC));
  return *this;
}

Result<bool> Statement::step() {
  if (bind_code_ != SQLITE_OK) return fail_sqlite(*database_);
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail_sqlite(*database_);
}

Status Statement::run() {
  const Result<bool> row = step();
  reset();
  if (!row) return std::unexpected(row.error());
  return {};
}

void Statement::reset() {
  // An error was taken from the step; sqlite3_reset() only repeats it.
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bind_code_ = SQLITE_OK;
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  return std::string(bytes(column));
}

std::string_view Statement::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr || size <= 0) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(size)};
}

Result<Database> Database::open(const std::filesystem::path& file, DatabaseOptions options) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE | (options.create ? SQLITE_OPEN_CREATE : 0);
  Database database(new DatabaseHandle{nullptr, std::move(options)});
  // SQLite wants a failed handle closed too.
  const int code = sqlite3_open_v2(file.c_str(), &database.database_->raw, flags, nullptr);
  if (code != SQLITE_OK) return fail_sqlite(*database.database_, "open " + file.string());
  sqlite3_busy_timeout(database.database_->raw, 5000);  // an operator may look into it with the sqlite3 shell
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database_->raw, sql.data(), static_cast<int>(sql.size()), &raw, nullptr) != SQLITE_OK) {
    return fail_sqlite(*database_);
  }
  return Statement(database_.get(), raw);
}

Status Database::execute(const std::string& sql) {
  if (sqlite3_exec(database_->raw, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return fail_sqlite(*database_);
  }
  return {};
}

Result<std::int64_t> Database::number(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  const Result<bool> row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->number(0) : 0;
}

Result<std::string> Database::text(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  const Result<bool> row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->text(0) : std::string();
}

std::int64_t Database::changed() const {
  return sqlite3_changes64(database_->raw);
}

void Database::keep_log_on_close(bool keep) {
  sqlite3_db_config(database_->raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
}

Status Database::copy_to(Database& target) {
  const DatabaseHandle& to = *target.database_;
  sqlite3_backup* backup = sqlite3_backup_init(to.raw, "main", database_->raw, "main");
  if (backup == nullptr) return fail_sqlite(to);
  // All in one step: one read transaction, so that a write in between does not start it over.
  sqlite3_backup_step(backup, -1);
  if (sqlite3_backup_finish(backup) != SQLITE_OK) return fail_sqlite(to);
  return {};
}

Result<Transaction> Transaction::begin(Database& database) {
  if (Status begun = database.execute("BEGIN IMMEDIATE"); !begun) return std::unexpected(begun.error());
  return Transaction(database);
}

Transaction::~Transaction() {
  // SQLite rolls back by itself after some errors; a second time is harmless.
  if (database_ != nullptr) static_cast<void>(database_->execute("ROLLBACK"));
}

Status Transaction::commit() {
  Status done = database_->execute("COMMIT");
  if (done) database_ = nullptr;
  return done;
}

}  // namespace sluice::store
