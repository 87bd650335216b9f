// SPDX-License-Identifier: Apache-2.0
// Files that are damaged, of another program, of another version: an error or the right data, never anything else.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <random>

#include "sqlite_store_test_base.hpp"
#include "store/sqlite.hpp"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SqliteDamageTest : public testing::Test {
 protected:
  /// A store with some history, as a process that was killed leaves it: half of it in the log.
  void fill(bool killed) {
    const pid_t child = fork();
    if (child == 0) {
      auto store = SqliteKeyValues::open(folder_.path()).value();
      for (int i = 0; i < 40; i++) {
        static_cast<void>(store->commit(
            {{}, {put_of("k" + std::to_string(i % 9), std::string(200, static_cast<char>('a' + i % 26)))}}));
      }
      static_cast<void>(store->commit({{}, {erase_of("k3")}}));
      if (!killed) store.reset();
      kill(getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    for (const char* name : {"store.db", "store.db-wal", "store.db-newest"}) {
      if (fs::exists(folder_ / name)) files_[name] = read_file(folder_ / name);
    }
    const auto store = open_or_fail(folder_.path());
    ASSERT_NE(store, nullptr);
    items_ = store->range("").value().items;
    changes_ = store->changes(0, 10'000).value().events;
    ASSERT_EQ(store->revision().value(), 41U);
  }

  /// Opens a store of these files; true if it was refused. Fails if it holds anything but what was written.
  bool refuses(const Files& files) {
    const TemporaryFolder folder;
    for (const auto& [name, bytes] : files) write_file(folder / name, bytes);
    auto store = SqliteKeyValues::open(folder.path());
    if (!store) {
      EXPECT_TRUE(store.error().message.contains((folder / "store.db").string())) << store.error().message;
      return true;
    }
    EXPECT_EQ((*store)->revision().value(), 41U);
    EXPECT_EQ((*store)->range("").value().items, items_);
    EXPECT_EQ((*store)->changes(0, 10'000).value().events, changes_);
    return false;
  }

  void flip_everywhere(const std::string& name, std::size_t step) {
    std::mt19937 random(7);
    int refused = 0;
    for (std::size_t at = 0; at < files_.at(name).size(); at += at < 512 ? 1 : 1 + random() % step) {
      Files files = files_;
      files[name][at] = static_cast<char>(files[name][at] ^ (1U << (random() % 8)));
      refused += refuses(files) ? 1 : 0;
      if (HasFailure()) FAIL() << "a bit of byte " << at << " of " << name;
    }
    EXPECT_GT(refused, 0) << "at least some of it matters";
  }

  TemporaryFolder folder_;
  Files files_;
  std::vector<KeyValue> items_;
  std::vector<Event> changes_;
};

TEST_F(SqliteDamageTest, RefusesFlippedBitsOfTheDatabaseOrHoldsTheRightData) {
  fill(false);
  ASSERT_FALSE(files_.contains("store.db-wal"));
  flip_everywhere("store.db", 64);
}

TEST_F(SqliteDamageTest, RefusesFlippedBitsOfTheLogOrHoldsTheRightData) {
  fill(true);
  ASSERT_GT(files_.at("store.db-wal").size(), 100'000U);
  flip_everywhere("store.db-wal", 4096);
}

TEST_F(SqliteDamageTest, TakesADamagedProofOfTheNewestRevisionForNone) {
  fill(true);
  for (std::size_t at = 0; at < files_.at("store.db-newest").size(); at++) {
    Files files = files_;
    files["store.db-newest"][at] ^= 1;
    EXPECT_FALSE(refuses(files)) << at;
  }
}

TEST_F(SqliteDamageTest, RefusesShortenedFilesOrHoldsTheRightData) {
  fill(true);
  std::mt19937 random(7);
  for (const std::string name : {"store.db", "store.db-wal"}) {
    for (std::size_t size = 0; size < files_.at(name).size(); size += size < 200 ? 10 : 1 + random() % 4096) {
      Files files = files_;
      files[name].resize(size);
      // A database that is in the log as a whole needs not be in its file.
      const bool refused = refuses(files);
      EXPECT_TRUE(refused || name == "store.db") << size;
      if (HasFailure()) FAIL() << name << " of " << size << " bytes";
    }
  }
  for (const std::string name : {"store.db", "store.db-wal"}) {
    Files files = files_;
    files.erase(name);
    EXPECT_TRUE(refuses(files)) << name << " is missing";
  }
}

TEST_F(SqliteDamageTest, NamesTheFileAndTheRemedy) {
  write_file(folder_ / "store.db", std::string(9000, 'x'));
  const Error error = opening_error(folder_.path());
  EXPECT_EQ(error.code, ErrorCode::kInvalid);
  EXPECT_EQ(error.message, "store " + (folder_ / "store.db").string() +
                               ": is no SQLite database; restore a backup (sluicectl store restore) or begin anew "
                               "(sluicectl store reset)");
}

TEST_F(SqliteDamageTest, NoticesDamageWhileItRuns) {
  const auto store = open_or_fail(folder_.path(), {.recent_bytes = 0});
  put(*store, "a", "1");
  auto other = Database::open(folder_ / "store.db").value();
  ASSERT_TRUE(other.execute("UPDATE present SET value = 'x'"));
  for (const Error& error : {store->range("").error(), store->commit({{{"a", 1}}, {put_of("a", "2")}}).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kInvalid);
    EXPECT_TRUE(error.message.contains("sluicectl store restore")) << error.message;
  }
  EXPECT_EQ(store->revision().value(), 1U);
}

TEST_F(SqliteDamageTest, RefusesAnotherProgramsDatabaseAndANewerSchemaAndTouchesNothing) {
  {
    auto other = Database::open(folder_ / "store.db", {.create = true}).value();
    ASSERT_TRUE(other.execute("CREATE TABLE t (a); PRAGMA application_id = 7; PRAGMA user_version = 1"));
  }
  std::string before = read_file(folder_ / "store.db");
  Error error = opening_error(folder_.path());
  EXPECT_EQ(error.code, ErrorCode::kPrecondition);
  EXPECT_TRUE(error.message.contains("another program")) << error.message;
  EXPECT_EQ(read_file(folder_ / "store.db"), before);
  fs::remove(folder_ / "store.db");
  ASSERT_NE(open_or_fail(folder_.path()), nullptr);
  ASSERT_TRUE(Database::open(folder_ / "store.db").value().execute("PRAGMA user_version = 3"));
  before = read_file(folder_ / "store.db");
  error = opening_error(folder_.path());
  EXPECT_EQ(error.code, ErrorCode::kPrecondition);
  EXPECT_EQ(error.message,
            "store " + (folder_ / "store.db").string() + ": has schema 3, this program knows 2; use a newer sluiced");
  EXPECT_EQ(read_file(folder_ / "store.db"), before);
}

TEST_F(SqliteDamageTest, BringsAnOlderSchemaToTheNewestStepByStepOrNotAtAll) {
  put(*open_or_fail(folder_.path()), "a", "1");
  const Migration first = store_migrations()[0];
  const Migration second = store_migrations()[1];
  const auto halfway = [](Database& database) -> Status {
    if (Status done = database.execute("CREATE TABLE half (a)"); !done) return done;
    return database.execute("no SQL");
  };
  const std::array broken = {first, second, Migration{3, halfway}};
  static_cast<void>(opening_error(folder_.path(), {.migrations = broken}));
  ASSERT_NE(open_or_fail(folder_.path()), nullptr) << "nothing of the failed step stays";
  const std::array newer = {
      first, second, Migration{3, [](Database& database) { return database.execute("CREATE TABLE labels (a)"); }},
      Migration{4, [](Database& database) { return database.execute("ALTER TABLE labels ADD COLUMN b"); }}};
  {
    const auto store = open_or_fail(folder_.path(), {.migrations = newer});
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->range("").value().items, (std::vector<KeyValue>{{"a", "1", 1, 1}}));
  }
  ASSERT_NE(open_or_fail(folder_.path(), {.migrations = newer}), nullptr);
  EXPECT_EQ(opening_error(folder_.path()).code, ErrorCode::kPrecondition) << "the older program refuses it";
}

}  // namespace
}  // namespace sluice::store
