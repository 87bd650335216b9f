// SPDX-License-Identifier: Apache-2.0
#include "store/store_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/fd.hpp"
#include "store/draft_file.hpp"
#include "store/state_folder.hpp"
#include "store/store_database.hpp"
#include "store/store_schema.hpp"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

std::uint64_t size_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return error ? 0 : size;
}

bool is_there(const fs::path& file) {
  std::error_code error;
  return fs::symlink_status(file, error).type() != fs::file_type::not_found;
}

Result<StoreInfo> read_info(Database& database, const fs::path& file) {
  const Result<StoreMeta> meta = read_meta(database);
  if (!meta) return std::unexpected(meta.error());
  const Result<std::int64_t> schema = database.number("PRAGMA user_version");
  if (!schema) return std::unexpected(schema.error());
  return StoreInfo{meta->identity, meta->revision, meta->compacted,
                   meta->keys,     *schema,        size_of(file) + size_of(beside(file, kLogSuffix))};
}

/// A file without a log beside it, which is all there is of the store.
Result<StoreInfo> check_copy(Database& copy, const fs::path& file) {
  if (Status done = copy.execute("PRAGMA journal_mode = DELETE"); !done) return std::unexpected(done.error());
  const Result<StoreMeta> meta = read_meta(copy);
  if (!meta) return std::unexpected(meta.error());
  if (Status done = verify_store(copy, *meta, store_migrations()); !done) return std::unexpected(done.error());
  return read_info(copy, file);
}

Status copy_bytes(const fs::path& from, const fs::path& to) {
  const UniqueFd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return fail_errno("open");
  const UniqueFd target(::open(to.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!target.valid()) return fail_errno("open " + to.string());
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t size = ::read(source.get(), buffer.data(), buffer.size());
    if (size == 0) return {};
    if (size < 0) return fail_errno("read");
    for (ssize_t done = 0; done < size;) {
      const ssize_t written = ::write(target.get(), buffer.data() + done, static_cast<std::size_t>(size - done));
      if (written < 0) return fail_disk("write " + to.string());
      done += written;
    }
  }
}

/// The old store's epoch, with its log written into its file; nothing if it cannot be read.
std::optional<std::uint64_t> close_old(const fs::path& file) {
  // The header first: what is no database at all is not given to SQLite, which would remove its log.
  if (!check_header(file, store_migrations())) return std::nullopt;
  Result<Database> old = open_store_file(file, store_migrations());
  if (!old) return std::nullopt;
  const Result<StoreMeta> meta = read_meta(*old);
  if (!meta || !old->execute("PRAGMA wal_checkpoint(TRUNCATE)")) return std::nullopt;
  return meta->identity.epoch;
}

std::uint64_t epoch_after(const fs::path& file, std::uint64_t least) {
  if (!is_there(file)) return least + 1;
  const std::optional<std::uint64_t> old = close_old(file);
  if (old) return std::max(*old, least) + 1;
  return std::max(static_cast<std::uint64_t>(std::time(nullptr)), least + 1);
}

fs::path name_for_old(const fs::path& file, const std::string& why) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%Y%m%dT%H%M%SZ", &parts);
  const std::string base = file.string() + ".before-" + why + "-" + stamp.data();
  std::string name = base;
  for (int i = 2; is_there(name); i++) name = base + "-" + std::to_string(i);
  return name;
}

/// At no moment is there no store: the draft takes the name from the old one, which has got a second name before.
Result<fs::path> replace(DraftFile& draft, const fs::path& file, const std::string& why) {
  fs::path kept;
  if (is_there(file)) {
    kept = name_for_old(file, why);
    if (::link(file.c_str(), kept.c_str()) != 0) return fail_disk("keep the old store as " + kept.string());
  }
  // A log that is still here belongs to a file that could not be read; with another file it would do harm.
  if (size_of(beside(file, kLogSuffix)) > 0) {
    const fs::path log = beside(kept.empty() ? name_for_old(file, why) : kept, kLogSuffix);
    if (::rename(beside(file, kLogSuffix).c_str(), log.c_str()) != 0) return fail_disk("keep " + log.string());
  }
  for (const char* suffix : {kLogSuffix, kIndexSuffix, kNewestSuffix}) {
    if (::unlink(beside(file, suffix).c_str()) != 0 && errno != ENOENT)
      return fail_disk("remove" + std::string(suffix));
  }
  if (Status done = draft.move_to(file, true); !done) return std::unexpected(done.error());
  return kept;
}

Status check_is_backup(const fs::path& file) {
  if (Status done = check_header(file, store_migrations()); !done) return done;
  if (size_of(beside(file, kLogSuffix)) == 0) return {};
  return fail(ErrorCode::kPrecondition,
              "has a log beside it: it is a store in use and no backup; make one with sluicectl store backup");
}

Result<StoreInfo> fill_from_backup(const fs::path& file, const DraftFile& draft, const fs::path& store) {
  if (Status done = check_is_backup(file); !done) return std::unexpected(done.error());
  if (Status done = copy_bytes(file, draft.path()); !done) return std::unexpected(done.error());
  Result<Database> copy = open_store_file(draft.path(), store_migrations());
  if (!copy) return std::unexpected(copy.error());
  const Result<StoreInfo> checked = check_copy(*copy, draft.path());
  if (!checked) return checked;
  Result<StoreMeta> meta = read_meta(*copy);
  if (!meta) return std::unexpected(meta.error());
  meta->identity.epoch = epoch_after(store, meta->identity.epoch);
  if (Status done = write_epoch(*copy, *meta); !done) return std::unexpected(done.error());
  return read_info(*copy, draft.path());
}

Result<StoreInfo> fill_from_store(const fs::path& store, const DraftFile& draft) {
  Result<Database> source = open_store_file(store, store_migrations());
  if (!source) return std::unexpected(store_error(source.error(), store));
  Result<Database> copy = Database::open(draft.path(), {.name = "", .when_full = ErrorCode::kExhausted});
  if (!copy) return std::unexpected(copy.error());
  if (Status done = source->copy_to(*copy); !done) return fail_in("copy " + store.string(), done);
  Result<StoreInfo> info = check_copy(*copy, draft.path());
  // The copy is what the store is.
  if (!info && info.error().code == ErrorCode::kInvalid) return std::unexpected(store_error(info.error(), store));
  return info;
}

}  // namespace

Result<StoreInfo> inspect_store(const fs::path& folder) {
  const fs::path file = folder / kStoreFile;
  if (!is_there(file)) return fail(ErrorCode::kNotFound, "store " + file.string() + ": there is none");
  Result<Database> database = open_store_file(file, store_migrations());
  if (!database) return std::unexpected(store_error(database.error(), file));
  Result<StoreInfo> info = read_info(*database, file);
  if (!info) return std::unexpected(store_error(info.error(), file));
  return info;
}

Result<StoreInfo> backup_store(const fs::path& folder, const fs::path& file, bool overwrite) {
  const fs::path store = folder / kStoreFile;
  const std::string shown = "backup " + file.string();
  if (!is_there(store)) return fail(ErrorCode::kNotFound, "store " + store.string() + ": there is none");
  if (!overwrite && is_there(file)) {
    return fail(ErrorCode::kExists, shown + ": is there already; choose another name, or ask to overwrite it");
  }
  Result<DraftFile> draft = DraftFile::make(beside(file, ".new-" + std::to_string(getpid())));
  if (!draft) return fail_in(shown, draft);
  Result<StoreInfo> info = fill_from_store(store, *draft);
  if (!info) return fail_in(shown, info);
  if (Status done = draft->move_to(file, overwrite); !done) return fail_in(shown, done);
  return info;
}

Result<ReplacedStore> restore_store(const fs::path& file, const fs::path& folder) {
  if (!is_there(file)) return fail(ErrorCode::kNotFound, "backup " + file.string() + ": there is none");
  const Result<StateFolder> lock = StateFolder::open(folder);
  if (!lock) return std::unexpected(lock.error());
  const fs::path store = folder / kStoreFile;
  Result<DraftFile> draft = DraftFile::make(beside(store, ".restoring"));
  if (!draft) return fail_in("store " + store.string(), draft);
  const Result<StoreInfo> info = fill_from_backup(file, *draft, store);
  if (!info) return fail_in("backup " + file.string(), info);
  const Result<fs::path> kept = replace(*draft, store, "restore");
  if (!kept) return fail_in("store " + store.string(), kept);
  return ReplacedStore{*info, *kept};
}

Result<ReplacedStore> reset_store(const fs::path& folder) {
  const Result<StateFolder> lock = StateFolder::open(folder);
  if (!lock) return std::unexpected(lock.error());
  const fs::path store = folder / kStoreFile;
  const std::string shown = "store " + store.string();
  Result<DraftFile> draft = DraftFile::make(beside(store, ".resetting"));
  if (!draft) return fail_in(shown, draft);
  if (Status done = make_store(draft->path(), epoch_after(store, 0), store_migrations()); !done) {
    return fail_in(shown, done);
  }
  StoreInfo info;
  {
    Result<Database> database = open_store_file(draft->path(), store_migrations());
    if (!database) return fail_in(shown, database);
    const Result<StoreInfo> read = read_info(*database, draft->path());
    if (!read) return fail_in(shown, read);
    info = *read;
  }
  const Result<fs::path> kept = replace(*draft, store, "reset");
  if (!kept) return fail_in(shown, kept);
  return ReplacedStore{info, *kept};
}

}  // namespace sluice::store
