// SPDX-License-Identifier: Apache-2.0
#include "store/store_database.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "store/draft_file.hpp"
#include "store/store_schema.hpp"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

bool has_bytes(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return !error && size > 0;
}

/// SQLite itself falls back to reading where it may not write; the store is of no use then.
Status check_access(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) return fail_disk("open");
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return fail_disk("stat");
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::kInvalid, "is no regular file");
  if ((info.st_mode & 077) != 0 && fchmod(fd.get(), 0600) != 0) return fail_disk("chmod 0600");
  return {};
}

Status set_up(Database& database) {
  for (const char* setting : {"PRAGMA synchronous = FULL", "PRAGMA cache_size = -16384", "PRAGMA cell_size_check = ON",
                              "PRAGMA trusted_schema = OFF", "PRAGMA journal_size_limit = 16777216"}) {
    if (Status done = database.execute(setting); !done) return done;
  }
  return {};
}

Status migrate(Database& database, std::span<const Migration> migrations) {
  const Result<std::int64_t> version = database.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  bool changed = false;
  for (const Migration& step : migrations) {
    if (step.to <= *version) continue;
    Result<Transaction> transaction = Transaction::begin(database);
    if (!transaction) return std::unexpected(transaction.error());
    const std::string place = "schema " + std::to_string(step.to);
    if (Status done = step.run(database); !done) return fail_in(place, done);
    if (Status done = database.execute("PRAGMA user_version = " + std::to_string(step.to)); !done) return done;
    if (Status done = transaction->commit(); !done) return fail_in(place, done);
    changed = true;
  }
  // check_header() reads the version from the file, not from the log.
  return changed ? database.execute("PRAGMA wal_checkpoint(TRUNCATE)") : Status{};
}

/// A store that was here and is not any more must not pass for one that never was.
Status make_first(const fs::path& file, std::span<const Migration> migrations) {
  for (const char* suffix : {kLogSuffix, kNewestSuffix}) {
    if (has_bytes(beside(file, suffix))) {
      return fail(ErrorCode::kInvalid,
                  "is missing, though " + beside(file, suffix).string() + " shows that it was here");
    }
  }
  // Under another name until it is whole, so that an empty file is never a new store.
  Result<DraftFile> fresh = DraftFile::make(beside(file, ".new"));
  if (!fresh) return std::unexpected(fresh.error());
  if (Status done = make_store(fresh->path(), 1, migrations); !done) return done;
  return fresh->move_to(file, false);
}

Result<OpenStore> open_whole(const fs::path& file, std::span<const Migration> migrations) {
  if (Status done = check_access(file); !done) return std::unexpected(done.error());
  if (Status done = check_header(file, migrations); !done) return std::unexpected(done.error());
  Result<Database> database = open_store_file(file, migrations);
  if (!database) return std::unexpected(database.error());
  const Result<std::string> mode = database->text("PRAGMA journal_mode = WAL");
  if (!mode) return std::unexpected(mode.error());
  if (*mode != "wal") return fail(ErrorCode::kUnsupported, "the file system cannot keep a shared write-ahead log");
  if (Status done = check_schema(*database, migrations); !done) return std::unexpected(done.error());
  if (Status done = migrate(*database, migrations); !done) return std::unexpected(done.error());
  const Result<StoreMeta> meta = read_meta(*database);
  if (!meta) return std::unexpected(meta.error());
  if (Status done = verify_store(*database, *meta, migrations); !done) return std::unexpected(done.error());
  return OpenStore{std::move(*database), *meta};
}

}  // namespace

Result<OpenStore> open_store(const fs::path& folder, std::span<const Migration> migrations) {
  const fs::path file = folder / kStoreFile;
  std::error_code error;
  const bool missing = fs::symlink_status(file, error).type() == fs::file_type::not_found;
  if (missing) {
    if (Status done = make_first(file, migrations); !done) return std::unexpected(store_error(done.error(), file));
  }
  Result<OpenStore> store = open_whole(file, migrations);
  if (!store) return std::unexpected(store_error(store.error(), file));
  return store;
}

Result<Database> open_store_file(const fs::path& file, std::span<const Migration> migrations) {
  Result<Database> database = Database::open(file, {.name = "", .when_full = ErrorCode::kExhausted});
  if (!database) return database;
  // Closing a damaged store must not throw away the part of its log that could be saved.
  database->keep_log_on_close(true);
  if (Status done = set_up(*database); !done) return std::unexpected(done.error());
  const Result<std::int64_t> application = database->number("PRAGMA application_id");
  if (!application) return std::unexpected(application.error());
  const Result<std::int64_t> version = database->number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (Status done = check_version(*application, *version, migrations); !done) return std::unexpected(done.error());
  return database;
}

Status make_store(const fs::path& file, std::uint64_t epoch, std::span<const Migration> migrations) {
  Result<Database> database = Database::open(file, {.name = "", .when_full = ErrorCode::kExhausted});
  if (!database) return std::unexpected(database.error());
  if (Status done = migrate(*database, migrations); !done) return done;
  if (epoch == 1) return {};
  Result<StoreMeta> meta = read_meta(*database);
  if (!meta) return std::unexpected(meta.error());
  meta->identity.epoch = epoch;
  return write_epoch(*database, *meta);
}

Status check_header(const fs::path& file, std::span<const Migration> migrations) {
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  constexpr std::size_t kVersionAt = 60;  // SQLite's "Database File Format", section "The Database Header"
  constexpr std::size_t kApplicationAt = 68;
  std::array<char, 100> header{};
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_disk("open");
  const ssize_t size = pread(fd.get(), header.data(), header.size(), 0);
  if (size < 0) return fail_disk("read");
  if (size == 0) return fail(ErrorCode::kInvalid, "is empty");
  if (size < static_cast<ssize_t>(header.size()) ||
      !std::string_view(header.data(), header.size()).starts_with(kMagic)) {
    return fail(ErrorCode::kInvalid, "is no SQLite database");
  }
  const auto number = [&header](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; i++) value = (value << 8U) | static_cast<std::uint8_t>(header.at(i));
    return static_cast<std::int64_t>(value);
  };
  return check_version(number(kApplicationAt), number(kVersionAt), migrations);
}

Error store_error(const Error& error, const fs::path& file) {
  Error result = error.in("store " + file.string());
  // A constraint that does not hold: this program writes no such row.
  if (result.code == ErrorCode::kExists) result.code = ErrorCode::kInvalid;
  if (result.code == ErrorCode::kInvalid) {
    result.message += "; restore a backup (sluicectl store restore) or begin anew (sluicectl store reset)";
  }
  return result;
}

}  // namespace sluice::store
