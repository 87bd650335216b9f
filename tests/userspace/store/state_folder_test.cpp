// SPDX-License-Identifier: Apache-2.0
// The state folder and the node's database in it: who may use them, and what is wrong with them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.hpp"
#include "store/node_records.hpp"
#include "store/sqlite.hpp"
#include "store/state_folder.hpp"
#include "temporary_folder.hpp"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

unsigned mode_of(const fs::path& path) {
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777U;
}

TEST(StateFolder, IsForRootAlone) {
  const TemporaryFolder folder;
  const mode_t old = umask(0);
  const auto opened = NodeRecords::open(folder / "deep/state");
  umask(old);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(mode_of(folder / "deep/state"), 0700U);
  for (const auto& entry : fs::directory_iterator(folder / "deep/state")) {
    EXPECT_EQ(mode_of(entry.path()), 0600U) << entry.path();
  }
}

TEST(StateFolder, MakesAnEmptyOpenFolderPrivateButNotSomebodyElses) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "empty");
  fs::permissions(folder / "empty", fs::perms{0755});
  EXPECT_TRUE(NodeRecords::open(folder / "empty"));
  EXPECT_EQ(mode_of(folder / "empty"), 0700U);
  fs::create_directory(folder / "home");
  fs::permissions(folder / "home", fs::perms{0755});
  write_file(folder / "home/diary", "x");
  const auto refused = NodeRecords::open(folder / "home");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermission);
  EXPECT_EQ(mode_of(folder / "home"), 0755U);
}

TEST(StateFolder, IsOursWithEitherDatabaseAndIsMadePrivateAgain) {
  for (const std::string file : {"state.db", "store.db"}) {
    const TemporaryFolder folder;
    write_file(folder / file, "");
    fs::permissions(folder.path(), fs::perms{0755});
    const auto opened = StateFolder::open(folder.path());
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(mode_of(folder.path()), 0700U) << file;
  }
}

TEST(StateFolder, BelongsToOneDaemonAtATimeAndTheRefusalNamesItsPid) {
  const TemporaryFolder folder;
  auto first = NodeRecords::open(folder / "state");
  ASSERT_TRUE(first);
  const auto second = NodeRecords::open(folder / "state");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kPrecondition);
  EXPECT_EQ(second.error().message, "state folder " + (folder / "state").string() +
                                        ": is in use by the process with pid " + std::to_string(getpid()) +
                                        "; stop it, or choose another folder");
  first->reset();
  EXPECT_TRUE(NodeRecords::open(folder / "state"));
}

TEST(StateFolder, RefusesAPathThatIsNoFolder) {
  const TemporaryFolder folder;
  write_file(folder / "file", "x");
  const auto refused = NodeRecords::open(folder / "file");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("is no folder"), std::string::npos);
}

TEST(StateDatabase, OfANewerSchemaIsRefusedAndLeftAlone) {
  const TemporaryFolder folder;
  ASSERT_TRUE(NodeRecords::open(folder / "state"));
  ASSERT_TRUE(Database::open(folder / "state/state.db")->execute("PRAGMA user_version = 3"));
  const auto refused = NodeRecords::open(folder / "state");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message.find("has schema version 3, this program knows 2"), std::string::npos);
  EXPECT_EQ(Database::open(folder / "state/state.db")->number("PRAGMA user_version").value(), 3);
}

TEST(StateDatabase, OfAnotherProgramIsRefused) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "state");
  write_file(folder / "state/state.db", "");
  ASSERT_TRUE(Database::open(folder / "state/state.db")->execute("CREATE TABLE music (title TEXT)"));
  const auto refused = NodeRecords::open(folder / "state");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("is a database of another program"), std::string::npos);
}

TEST(StateDatabase, ThatIsDamagedIsRefusedWithARemedy) {
  for (const std::string damage : {"header", "middle", "rows"}) {
    const TemporaryFolder folder;
    {
      const auto records = NodeRecords::open(folder / "state");
      ASSERT_TRUE(records) << records.error().message;
      StoredAttachment stored;
      stored.boot_id = std::string(400, 'b');
      for (int i = 0; i < 200; i++) {
        stored.pod = {"shop", "pod-" + std::to_string(i)};
        ASSERT_TRUE((*records)->put_attachment(stored));
      }
    }
    const fs::path file = folder / "state/state.db";
    if (damage == "rows") {
      ASSERT_TRUE(Database::open(file)->execute("DELETE FROM meta"));
    } else {
      const auto size = static_cast<off_t>(fs::file_size(file));
      const UniqueFd raw(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
      const std::string garbage(8192, 'G');
      ASSERT_GT(pwrite(raw.get(), garbage.data(), garbage.size(), damage == "header" ? 0 : size / 2), 0);
    }
    const auto refused = NodeRecords::open(folder / "state");
    ASSERT_FALSE(refused) << damage;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid) << damage;
    EXPECT_NE(refused.error().message.find("the file is damaged: move it away"), std::string::npos)
        << refused.error().message;
  }
}

TEST(StateDatabase, ThatFindsNoRoomSaysSoAndWorksOnceThereIsSome) {
  const TemporaryFolder folder;
  ASSERT_TRUE(NodeRecords::open(folder / "state"));
  auto database = Database::open(folder / "state/state.db");
  ASSERT_TRUE(database) << database.error().message;
  ASSERT_TRUE(database->execute("CREATE TABLE filler (bytes BLOB)"));
  const std::string write = "INSERT INTO filler VALUES (zeroblob(100000))";
  ASSERT_TRUE(database->execute("PRAGMA max_page_count = 1"));  // SQLite takes what it has as the least
  const Status full = database->execute(write);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kSystem) << "kExhausted is not tried again";
  EXPECT_NE(full.error().message.find("make room"), std::string::npos) << full.error().message;
  ASSERT_TRUE(database->execute("PRAGMA max_page_count = 1000000"));
  const Status written = database->execute(write);
  EXPECT_TRUE(written) << written.error().message;
}

}  // namespace
}  // namespace sluice::store
