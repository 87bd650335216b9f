// SPDX-License-Identifier: Apache-2.0
#include "store/store_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "sqlite_store_test_base.hpp"
#include "store/sqlite.hpp"
#include "store/state_folder.hpp"

namespace sluice::store {
namespace {

class StoreFilesTest : public testing::Test {
 protected:
  StoreFilesTest() {
    std::filesystem::create_directory(state_);
    std::filesystem::permissions(state_, std::filesystem::perms::owner_all);
  }
  void write(const std::string& key, const std::string& value) { put(*open_or_fail(state_), key, value); }
  std::vector<KeyValue> items() { return open_or_fail(state_)->range("").value().items; }

  TemporaryFolder folder_;
  const std::filesystem::path state_ = folder_ / "state";
  const std::filesystem::path backup_ = folder_ / "backup";
};

TEST_F(StoreFilesTest, TellsWhatAStoreHolds) {
  EXPECT_EQ(inspect_store(state_).error().code, ErrorCode::kNotFound);
  const auto store = open_or_fail(state_);
  put(*store, "a", "1");
  put(*store, "b", "1");
  ASSERT_TRUE(store->compact(1));
  const auto info = inspect_store(state_);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->identity, store->identity());
  EXPECT_EQ(info->revision, 2U);
  EXPECT_EQ(info->compacted, 1U);
  EXPECT_EQ(info->keys, 2U);
  EXPECT_EQ(info->schema, store_migrations().back().to);
  EXPECT_GT(info->bytes, 4096U);
}

TEST_F(StoreFilesTest, BacksUpOneMomentWhileTheStoreIsWritten) {
  const auto store = open_or_fail(state_);
  std::atomic<bool> done = false;
  std::thread writer([&store, &done] {
    for (int i = 0; !done; i++) {
      const std::string text = std::to_string(i);
      ASSERT_TRUE(store->commit({{}, {put_of("a", text), put_of("b", text), put_of("k" + text, text)}}));
    }
  });
  for (int i = 0; i < 10; i++) {
    const auto info = backup_store(state_, backup_, true);
    EXPECT_TRUE(info) << info.error().message;
    const auto restored = restore_store(backup_, folder_ / "other");
    EXPECT_TRUE(restored) << restored.error().message;
    if (!info || !restored) break;
    const auto copy = open_or_fail(folder_ / "other");
    EXPECT_EQ(copy->revision().value(), info->revision);
    const auto pair = copy->range("").value().items;
    EXPECT_TRUE(pair.empty() || pair[0].value == pair[1].value);
  }
  done = true;
  writer.join();
  struct stat status{};
  ASSERT_EQ(stat(backup_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_FALSE(entry.path().string().contains(".new")) << entry.path();
  }
}

TEST_F(StoreFilesTest, OverwritesABackupOnlyWhenTold) {
  write("a", "1");
  write_file(backup_, "mine");
  EXPECT_EQ(backup_store(state_, backup_, false).error().code, ErrorCode::kExists);
  EXPECT_EQ(std::filesystem::file_size(backup_), 4U);
  EXPECT_TRUE(backup_store(state_, backup_, true));
  EXPECT_EQ(backup_store(folder_ / "none", backup_, true).error().code, ErrorCode::kNotFound);
}

TEST_F(StoreFilesTest, RestoresWithANewerEpochAndKeepsTheOldStore) {
  write("a", "old");
  const Identity first = open_or_fail(state_)->identity();
  ASSERT_TRUE(backup_store(state_, backup_, false));
  write("a", "new");
  const auto restored = restore_store(backup_, state_);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->now.identity.uuid, first.uuid);
  EXPECT_EQ(restored->now.identity.epoch, 2U);
  EXPECT_EQ(open_or_fail(state_)->identity(), restored->now.identity);
  EXPECT_EQ(items(), (std::vector<KeyValue>{{"a", "old", 1, 1}})) << "though a newer revision was acknowledged";
  ASSERT_TRUE(restored->kept.string().starts_with((state_ / "store.db.before-restore-").string()));
  const auto again = restore_store(restored->kept, state_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->now.identity.epoch, 3U) << "beyond the store's, though the file has 1";
  EXPECT_EQ(items().front().value, "new");
  EXPECT_NE(again->kept, restored->kept);
}

TEST_F(StoreFilesTest, RestoresOverADamagedStoreAndItsLog) {
  write("a", "1");
  ASSERT_TRUE(backup_store(state_, backup_, false));
  write_file(state_ / "store.db", std::string(5000, 'x'));
  write_file(state_ / "store.db-wal", std::string(5000, 'y'));
  const auto restored = restore_store(backup_, state_);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_GT(restored->now.identity.epoch, 1'000'000'000U) << "the old one could not be read";
  EXPECT_EQ(items(), (std::vector<KeyValue>{{"a", "1", 1, 1}}));
  EXPECT_EQ(std::filesystem::file_size(restored->kept), 5000U);
  EXPECT_EQ(std::filesystem::file_size(restored->kept.string() + "-wal"), 5000U);
}

TEST_F(StoreFilesTest, RefusesABackupThatIsDamagedNewerOrForeignAndChangesNothing) {
  write("a", "1");
  ASSERT_TRUE(backup_store(state_, backup_, false));
  const auto before = items();
  ASSERT_TRUE(Database::open(backup_).value().execute("UPDATE present SET value = 'x'"));
  EXPECT_EQ(restore_store(backup_, state_).error().code, ErrorCode::kInvalid);
  ASSERT_TRUE(Database::open(backup_).value().execute("PRAGMA user_version = 9"));
  EXPECT_EQ(restore_store(backup_, state_).error().code, ErrorCode::kPrecondition);
  write_file(backup_, "text");
  EXPECT_EQ(restore_store(backup_, state_).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(restore_store(folder_ / "none", state_).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(items(), before);
  EXPECT_EQ(open_or_fail(state_)->identity().epoch, 1U);
}

TEST_F(StoreFilesTest, NeedsTheFoldersLockToReplaceAStore) {
  write("a", "1");
  ASSERT_TRUE(backup_store(state_, backup_, false));
  const auto daemon = StateFolder::open(state_);
  ASSERT_TRUE(daemon) << daemon.error().message;
  EXPECT_EQ(restore_store(backup_, state_).error().code, ErrorCode::kPrecondition);
  EXPECT_EQ(reset_store(state_).error().code, ErrorCode::kPrecondition);
  EXPECT_TRUE(backup_store(state_, backup_, true)) << "a copy needs none";
}

TEST_F(StoreFilesTest, ResetsToAnEmptyStoreOfAnotherUuid) {
  write("a", "1");
  const Identity first = open_or_fail(state_)->identity();
  const auto reset = reset_store(state_);
  ASSERT_TRUE(reset) << reset.error().message;
  EXPECT_NE(reset->now.identity.uuid, first.uuid);
  EXPECT_EQ(reset->now.identity.epoch, 2U);
  EXPECT_EQ(open_or_fail(state_)->identity(), reset->now.identity);
  EXPECT_TRUE(items().empty());
  ASSERT_TRUE(restore_store(reset->kept, state_)) << "the old one can come back";
  EXPECT_EQ(items().front().value, "1");
}

}  // namespace
}  // namespace sluice::store
