// SPDX-License-Identifier: Apache-2.0
// SQLite with owners and Results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::store {

/// How a database speaks of itself.
struct DatabaseOptions {
  std::string name = "state database";       ///< in front of its errors; empty: nothing
  ErrorCode when_full = ErrorCode::kSystem;  ///< the code of an error for want of room on the disk
  bool create = false;                       ///< makes the file if it is missing; ":memory:" needs no file
};

/// A connection, whose address stays when its Database is moved.
struct DatabaseHandle {
  sqlite3* raw = nullptr;
  DatabaseOptions options;
};

class Database;

/// A prepared statement. Parameters are counted from 1, columns from 0.
class Statement {
 public:
  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, std::string_view text);
  Statement& bind(int parameter, std::span<const std::uint8_t> blob);
  /// A blob that is not copied: it must stay until the statement is reset.
  Statement& bind_borrowed(int parameter, std::string_view blob);

  /// True: a row is there. Binding errors come out here as well.
  Result<bool> step();
  /// For statements without rows: runs it and makes it ready for the next parameters.
  Status run();
  /// Ready for the next parameters; ends the read of a statement whose rows were not all taken.
  void reset();

  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::string text(int column) const;
  /// The column's bytes, valid until the next step() or reset().
  [[nodiscard]] std::string_view bytes(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(const DatabaseHandle* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  void note(int code) {
    if (bind_code_ == 0) bind_code_ = code;
  }

  const DatabaseHandle* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_code_ = 0;
};

/// Resets a statement that is kept, on every way out of a scope.
class StatementUse {
 public:
  explicit StatementUse(Statement& statement) : statement_(statement) {}
  StatementUse(const StatementUse&) = delete;
  StatementUse& operator=(const StatementUse&) = delete;
  ~StatementUse() { statement_.reset(); }

 private:
  Statement& statement_;
};

class Database {
 public:
  static Result<Database> open(const std::filesystem::path& file, DatabaseOptions options = {});

  Result<Statement> prepare(std::string_view sql);
  /// One or more statements without results.
  Status execute(const std::string& sql);
  Result<std::int64_t> number(std::string_view sql);
  Result<std::string> text(std::string_view sql);
  /// Rows that the newest INSERT, UPDATE or DELETE changed.
  [[nodiscard]] std::int64_t changed() const;
  /// Whether closing leaves the log as it is, instead of writing it into the file and removing it.
  void keep_log_on_close(bool keep);
  /// Copies all of it, as it is at one moment, into `target`; others may write meanwhile.
  Status copy_to(Database& target);

 private:
  struct Close {
    void operator()(DatabaseHandle* database) const;
  };
  explicit Database(DatabaseHandle* database) : database_(database) {}
  std::unique_ptr<DatabaseHandle, Close> database_;
};

/// Rolls back when it goes without commit().
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(other.database_) { other.database_ = nullptr; }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace sluice::store
