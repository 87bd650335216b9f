// SPDX-License-Identifier: Apache-2.0
// `sluicectl store ...` on real stores in folders of their own.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "store/key_values.hpp"
#include "store/sqlite_key_values.hpp"
#include "store/state_folder.hpp"
#include "subprocess.hpp"

namespace sluice::testing {
namespace {

class StoreCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = (std::filesystem::temp_directory_path() / "sluicectl-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    ASSERT_EQ(::mkdir(state().c_str(), 0700), 0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string state() const { return (folder_ / "state").string(); }
  [[nodiscard]] std::string backup() const { return (folder_ / "backup").string(); }

  /// One transaction on the store, as a daemon would write it.
  void put(const std::string& key, const std::string& value) const {
    const auto store = store::SqliteKeyValues::open(state());
    ASSERT_TRUE(store) << store.error().message;
    ASSERT_TRUE((*store)->commit({{}, {{store::Operation::Kind::kPut, key, value}}}));
  }
  [[nodiscard]] std::string value_of(const std::string& key) const {
    const auto store = store::SqliteKeyValues::open(state());
    if (!store) return store.error().message;
    const auto range = (*store)->range("");
    if (!range) return range.error().message;
    for (const auto& item : range->items) {
      if (item.key == key) return item.value;
    }
    return "";
  }
  [[nodiscard]] Outcome run(const std::string& command, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"store", command});
    arguments.insert(arguments.end(), {"--state-dir", state()});
    return run_sluicectl(arguments);
  }
  [[nodiscard]] nlohmann::json inspected() const {
    const Outcome outcome = run("inspect", {"-o", "json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  std::filesystem::path folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(StoreCommands, RestoreBringsTheBackupBackAndKeepsTheFormerStore) {
  put("a", "old");
  const Outcome saved = run("backup", {backup()});
  EXPECT_EQ(saved.status, 0) << saved.err;
  EXPECT_TRUE(contains(saved.out, "revision 1, 1 keys, epoch 1")) << saved.out;
  struct stat facts{};
  ASSERT_EQ(::stat(backup().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);

  put("a", "new");
  const Outcome restored = run("restore", {backup(), "--yes"});
  EXPECT_EQ(restored.status, 0) << restored.err;
  EXPECT_TRUE(contains(restored.out, "revision 1, 1 keys, epoch 2")) << restored.out;
  EXPECT_TRUE(contains(restored.out, "store.db.before-restore-")) << restored.out;
  EXPECT_TRUE(contains(restored.out, "start sluiced")) << restored.out;
  EXPECT_TRUE(contains(restored.out, "sluicectl store adopt")) << restored.out;
  EXPECT_EQ(value_of("a"), "old");
}

TEST_F(StoreCommands, ReplaceNothingWithoutConsent) {
  put("a", "1");
  ASSERT_EQ(run("backup", {backup()}).status, 0);
  put("a", "2");
  for (const Outcome& outcome : {run("restore", {backup()}), run("reset", {})}) {
    EXPECT_EQ(outcome.status, 2);
    EXPECT_TRUE(contains(outcome.err, "--yes")) << outcome.err;
    EXPECT_TRUE(contains(outcome.err, state() + "/store.db")) << outcome.err;
  }
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(StoreCommands, BackupReplacesAFileOnlyByForce) {
  put("a", "1");
  ASSERT_EQ(run("backup", {backup()}).status, 0);
  put("a", "2");
  const Outcome refused = run("backup", {backup()});
  EXPECT_EQ(refused.status, 7);
  EXPECT_TRUE(contains(refused.err, "--force")) << refused.err;
  const Outcome forced = run("backup", {backup(), "--force"});
  EXPECT_EQ(forced.status, 0) << forced.err;
  EXPECT_TRUE(contains(forced.out, "revision 2")) << forced.out;
}

TEST_F(StoreCommands, AreRefusedWhileADaemonHasTheFolder) {
  put("a", "1");
  ASSERT_EQ(run("backup", {backup()}).status, 0);
  const auto lock = store::StateFolder::open(state());
  ASSERT_TRUE(lock) << lock.error().message;
  for (const Outcome& outcome : {run("restore", {backup(), "--yes"}), run("reset", {"--yes"})}) {
    EXPECT_EQ(outcome.status, 7);
    EXPECT_TRUE(contains(outcome.err, "in use by the process with pid")) << outcome.err;
  }
  EXPECT_EQ(run("backup", {backup(), "--force"}).status, 0) << "a copy needs no lock";
  EXPECT_EQ(inspected()["revision"], 1);
}

TEST_F(StoreCommands, ResetMakesAnotherEmptyStore) {
  put("a", "1");
  const nlohmann::json before = inspected();
  EXPECT_EQ(before["keys"], 1);
  const Outcome outcome = run("reset", {"--yes"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(contains(outcome.out, "store.db.before-reset-")) << outcome.out;
  const nlohmann::json after = inspected();
  EXPECT_EQ(after["keys"], 0);
  EXPECT_EQ(after["revision"], 0);
  EXPECT_NE(after["uuid"], before["uuid"]);
  EXPECT_GT(after["epoch"], before["epoch"]);
}

TEST_F(StoreCommands, TellWhatIsMissingOrDamaged) {
  EXPECT_EQ(run("inspect", {}).status, 1);
  EXPECT_EQ(run("backup", {backup()}).status, 1);
  EXPECT_EQ(run("restore", {backup(), "--yes"}).status, 1);
  put("a", "1");
  std::ofstream(backup()) << "this is no database, however long it is made to be";
  const Outcome refused = run("restore", {backup(), "--yes"});
  EXPECT_NE(refused.status, 0);
  EXPECT_TRUE(contains(refused.err, backup())) << refused.err;
  EXPECT_EQ(value_of("a"), "1") << "the store was touched";
}

TEST_F(StoreCommands, AdoptSaysThatNoDaemonAnswers) {
  const Outcome outcome = run_sluicectl({"store", "adopt", "--socket", (folder_ / "none.sock").string()});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_TRUE(contains(outcome.err, "is sluiced running?")) << outcome.err;
}

}  // namespace
}  // namespace sluice::testing
