// SPDX-License-Identifier: Apache-2.0
// The SQLite store as a file: what an operator does with it besides running the daemon.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.hpp"
#include "store/key_values.hpp"

namespace sluice::store {

struct StoreInfo {
  Identity identity;
  std::uint64_t revision = 0;
  std::uint64_t compacted = 0;
  std::uint64_t keys = 0;
  std::int64_t schema = 0;
  std::uint64_t bytes = 0;  ///< on the disk, the log included
};

/// What restore_store() and reset_store() leave behind.
struct ReplacedStore {
  StoreInfo now;
  std::filesystem::path kept;  ///< where the old store is; empty if there was none
};

/// What the store of `folder` says of itself, without reading it all. The daemon may be running. kNotFound if there is
/// no store.
Result<StoreInfo> inspect_store(const std::filesystem::path& folder);

/// Copies the store of `folder`, as it is at one moment, into `file` (mode 0600), which is there as a whole or not at
/// all; the copy is read and checked first. The daemon may be running and writing. kExists if the file is there and
/// `overwrite` is not set.
Result<StoreInfo> backup_store(const std::filesystem::path& folder, const std::filesystem::path& file, bool overwrite);

/// Puts a backup in the place of the folder's store, which is kept as store.db.before-restore-<time>. Needs the
/// folder's lock: kPrecondition while a daemon runs. The backup is checked first; nothing happens if it is damaged
/// (kInvalid) or of a newer schema (kPrecondition). The epoch becomes greater than the old store's and the backup's;
/// if the old one cannot be read it becomes at least the time in seconds, which is greater than any before it.
Result<ReplacedStore> restore_store(const std::filesystem::path& file, const std::filesystem::path& folder);

/// A new, empty store with a uuid of its own; the old one is kept as store.db.before-reset-<time>. Needs the folder's
/// lock as well.
Result<ReplacedStore> reset_store(const std::filesystem::path& folder);

}  // namespace sluice::store
