// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_key_values.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <iostream>

#include "sqlite_store_test_base.hpp"

namespace sluice::store {
namespace {

/// The folder goes with the store.
std::shared_ptr<KeyValues> make_store(SqliteOptions options) {
  auto folder = std::make_shared<TemporaryFolder>();
  auto opened = SqliteKeyValues::open(folder->path(), options);
  if (!opened) {
    ADD_FAILURE() << opened.error().message;
    return nullptr;
  }
  return {opened->release(), [folder](KeyValues* store) { delete store; }};
}

INSTANTIATE_TEST_SUITE_P(Sqlite, KeyValuesConformance, testing::Values([] { return make_store({}); }));
// Every event from the disk.
INSTANTIATE_TEST_SUITE_P(SqliteWithoutMemory, KeyValuesConformance,
                         testing::Values([] { return make_store({.recent_bytes = 0}); }));
INSTANTIATE_TEST_SUITE_P(SqliteWithLittleMemory, KeyValuesConformance,
                         testing::Values([] { return make_store({.recent_events = 5}); }));

class SqliteKeyValuesTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(SqliteKeyValuesTest, KeepsEverythingAcrossARestart) {
  auto store = open_or_fail(folder_.path());
  put(*store, "a", "1");
  put(*store, "a", "2");
  put(*store, "b", "3");
  ASSERT_TRUE(store->compact(1));
  const Identity identity = store->identity();
  const auto range = store->range("").value();
  const auto changes = store->changes(1, 100).value().events;
  store = nullptr;
  store = open_or_fail(folder_.path());
  EXPECT_EQ(store->identity(), identity);
  EXPECT_EQ(store->revision().value(), 3U);
  EXPECT_EQ(store->compacted().value(), 1U);
  EXPECT_EQ(store->range("").value().items, range.items);
  EXPECT_EQ(store->changes(1, 100).value().events, changes);
  EXPECT_EQ(put(*store, "c", "4"), 4U);
}

TEST_F(SqliteKeyValuesTest, KeepsItsFilesFromOthersAndGivesEachStoreAUuid) {
  const auto store = open_or_fail(folder_.path());
  put(*store, "a", "1");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    struct stat info{};
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << entry.path();
    files++;
  }
  EXPECT_EQ(files, 4) << "database, log, index of the log, newest revision";
  const TemporaryFolder other;
  EXPECT_NE(open_or_fail(other.path())->identity().uuid, store->identity().uuid);
  EXPECT_EQ(store->identity().epoch, 1U);
}

TEST_F(SqliteKeyValuesTest, CompactsByItselfAboveItsLimitsAndKeepsTheNewestRevision) {
  {
    const auto store = open_or_fail(folder_.path(), {.max_revisions = 100});
    for (int i = 1; i <= 300; i++) put(*store, "k" + std::to_string(i % 7), "v");
    EXPECT_EQ(store->compacted().value(), 200U);
    EXPECT_EQ(store->changes(200, 1000).value().events.size(), 100U);
    EXPECT_EQ(store->changes(199, 1000).error().code, ErrorCode::kOutOfRange);
  }
  auto store = open_or_fail(folder_.path(), {.max_change_bytes = 10'000, .recent_bytes = 0});
  for (int i = 0; i < 50; i++) put(*store, "big", std::string(3000, 'b'));
  const std::uint64_t compacted = store->compacted().value();
  EXPECT_GE(compacted, 348U);
  EXPECT_LE(compacted, 349U);
  put(*store, "big", std::string(100'000, 'b'));
  EXPECT_EQ(store->compacted().value(), 350U);
  EXPECT_EQ(store->changes(350, 10).value().events.size(), 1U) << "though it is larger than the limit";
  store = nullptr;
  EXPECT_NE(open_or_fail(folder_.path()), nullptr) << "and its sums agree";
}

TEST_F(SqliteKeyValuesTest, CompactsAHugeTransactionInSlicesAndAgreesWithItsSumsAtEachStep) {
  auto store = open_or_fail(folder_.path(), {.max_revisions = 1});
  CommitRequest set;
  for (int i = 0; i < 20'000; i++) set.operations.push_back(put_of("k" + std::to_string(i), "v"));
  ASSERT_TRUE(store->commit(set));
  put(*store, "a", "1");
  put(*store, "a", "2");
  EXPECT_EQ(store->compacted().value(), 1U) << "the rest of the set is not gone yet";
  store = nullptr;
  store = open_or_fail(folder_.path());
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->range("").value().items.size(), 20'001U);
  ASSERT_TRUE(store->compact(3));
  store = nullptr;
  ASSERT_NE(open_or_fail(folder_.path()), nullptr);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(SqliteKeyValuesTest, TellsHowFastItIs) {
  auto store = open_or_fail(folder_.path());
  const std::string value(300, 'v');
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 2000; i++) put(*store, "one/" + std::to_string(i), value);
  std::cout << "durable commits one by one: " << 2000 / seconds_since(start) << "/s\n";
  start = std::chrono::steady_clock::now();
  for (int set = 0; set < 100; set++) {
    CommitRequest request;
    for (int i = 0; i < 1000; i++) {
      request.operations.push_back(put_of("set/" + std::to_string(set) + "/" + std::to_string(i), value));
    }
    ASSERT_TRUE(store->commit(request));
  }
  std::cout << "puts in sets of 1,000: " << 100'000 / seconds_since(start) << "/s\n";
  start = std::chrono::steady_clock::now();
  ASSERT_EQ(store->range("").value().items.size(), 102'000U);
  std::cout << "range of 102,000: " << seconds_since(start) << " s\n";
  store = nullptr;
  start = std::chrono::steady_clock::now();
  store = open_or_fail(folder_.path());
  std::cout << "open and check of 102,000 keys with their changes: " << seconds_since(start) << " s\n";
  ASSERT_EQ(store->range("").value().items.size(), 102'000U);
}

}  // namespace
}  // namespace sluice::store
