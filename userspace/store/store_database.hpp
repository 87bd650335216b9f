// SPDX-License-Identifier: Apache-2.0
// The file of the SQLite store: its schema and versions, what proves that it is whole, how it is made and opened.
// What happens in it is sqlite_key_values.hpp's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "store/key_values.hpp"
#include "store/sqlite.hpp"

namespace sluice::store {

inline constexpr const char* kStoreFile = "store.db";
/// Beside the database: the newest revision that was acknowledged (AcknowledgedRevision).
inline constexpr const char* kNewestSuffix = "-newest";
inline constexpr const char* kLogSuffix = "-wal";
inline constexpr const char* kIndexSuffix = "-shm";

/// The one row that says what the store is at. The digests are sums (modulo 2^64) of the rows' checksums, so that a
/// row that is lost or appears again is noticed, though the database around it is in order.
struct StoreMeta {
  Identity identity;
  std::uint64_t revision = 0;
  std::uint64_t compacted = 0;
  std::uint64_t keys = 0;
  std::uint64_t keys_digest = 0;
  std::uint64_t changes = 0;       ///< rows, some of which may be of compacted revisions still
  std::uint64_t change_bytes = 0;  ///< of their keys and values
  std::uint64_t changes_digest = 0;

  [[nodiscard]] std::int64_t checksum() const;
};

/// kInvalid if the row is missing or damaged.
Result<StoreMeta> read_meta(Database& database);
/// The statement of write_meta().
Result<Statement> prepare_meta_update(Database& database);
/// Writes all but the identity; kAborted if the row's revision is not `from` any more.
Status write_meta(Database& database, Statement& update, const StoreMeta& meta, std::uint64_t from);

std::int64_t checksum_of(std::string_view key, std::string_view value, std::uint64_t created, std::uint64_t modified);
std::int64_t checksum_of_change(std::uint64_t revision, std::string_view key, bool deleted, std::string_view value,
                                std::string_view before, std::uint64_t created);

/// One step of the schema, run in a transaction of its own that also sets the version.
struct Migration {
  std::int64_t to = 0;  ///< 1, 2, 3, ... without gaps
  Status (*run)(Database& database) = nullptr;
};
/// All steps from an empty file to this program's schema.
std::span<const Migration> store_migrations();

/// Opens `<folder>/store.db`, makes it if there never was one, brings it to the newest schema, and reads all of it to
/// prove that it is whole. kPrecondition for a newer schema, kInvalid for a damaged file or another program's,
/// kPermission for a disk that cannot be written to, kExhausted for a full one.
struct OpenStore {
  Database database;
  StoreMeta meta;
};
Result<OpenStore> open_store(const std::filesystem::path& folder, std::span<const Migration> migrations);

/// Opens the file of a store for a look at it or a copy while its owner may be at work; checks what it is and its
/// schema's version, not whether it is whole.
Result<Database> open_store_file(const std::filesystem::path& file, std::span<const Migration> migrations);
/// Reads everything and compares it with the checksums; kInvalid with what is wrong.
Status verify_store(Database& database, const StoreMeta& meta, std::span<const Migration> migrations);
/// Makes a new store in the file, which must be empty. Not synced.
Status make_store(const std::filesystem::path& file, std::uint64_t epoch, std::span<const Migration> migrations);
/// Refuses, from the file's first bytes alone, what is no store or is of a newer schema. Not for a file that this
/// process has open: closing it would drop SQLite's locks.
Status check_header(const std::filesystem::path& file, std::span<const Migration> migrations);

/// `error` with the file's name in front and, for a damaged file, what to do about it.
Error store_error(const Error& error, const std::filesystem::path& file);

/// Proof against a log that lost its tail: SQLite takes a damaged or shortened log for one that ends there. The file
/// is written after each commit and not synced, so it is never ahead of what was durable.
class AcknowledgedRevision {
 public:
  /// kInvalid if the store has gone back behind what was acknowledged. A file that is missing, torn or another life's
  /// proves nothing and is made anew.
  static Result<AcknowledgedRevision> open(const std::filesystem::path& store, const StoreMeta& meta);
  void set(std::uint64_t revision);

 private:
  AcknowledgedRevision(UniqueFd file, const Identity& identity) : file_(std::move(file)), identity_(identity) {}
  UniqueFd file_;
  Identity identity_;
};

}  // namespace sluice::store
