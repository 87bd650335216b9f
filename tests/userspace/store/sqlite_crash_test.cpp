// SPDX-License-Identifier: Apache-2.0
// kill -9 at random moments of a stream of transactions. SLUICE_STORE_KILLS sets how many (default 200).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "base/fd.hpp"
#include "sqlite_store_test_base.hpp"

namespace sluice::store {
namespace {

constexpr int kSet = 4;

/// Writes the same number to several keys and tells the pipe what was acknowledged; never returns.
[[noreturn]] void write_for_ever(const std::filesystem::path& folder, int pipe) {
  // Few changes are kept, so that compaction is cut off as well.
  auto store = SqliteKeyValues::open(folder, {.max_revisions = 20});
  if (!store) _exit(2);
  for (;;) {
    const std::string next = std::to_string((*store)->revision().value() + 1);
    CommitRequest request;
    for (int i = 0; i < kSet; i++) request.operations.push_back(put_of("set/" + std::to_string(i), next));
    // Keys that come and go, so that the tree changes its shape.
    const std::string other = "other/" + std::to_string(std::stoull(next) % 50);
    request.operations.push_back(std::stoull(next) % 3 == 0 ? erase_of(other) : put_of(other, std::string(500, 'o')));
    const auto reply = (*store)->commit(request);
    if (!reply) _exit(3);
    if (write(pipe, &reply->revision, sizeof(reply->revision)) != sizeof(reply->revision)) _exit(4);
  }
}

/// Kills a writer after it has acknowledged `commits` more and some time; gives the newest revision it acknowledged.
std::uint64_t run_and_kill(const std::filesystem::path& folder, int commits, int microseconds) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  UniqueFd read_end(ends[0]);
  const pid_t child = fork();
  if (child == 0) write_for_ever(folder, ends[1]);
  close(ends[1]);
  std::uint64_t newest = 0;
  std::uint64_t revision = 0;
  for (int i = 0; i < commits && read(read_end.get(), &revision, sizeof(revision)) == sizeof(revision); i++) {
    newest = revision;
  }
  usleep(static_cast<useconds_t>(microseconds));  // the moment is what is random here
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself with " << WEXITSTATUS(status);
  while (read(read_end.get(), &revision, sizeof(revision)) == sizeof(revision)) newest = revision;
  return newest;
}

void check(const std::filesystem::path& folder, std::uint64_t acknowledged) {
  const auto store = open_or_fail(folder, {.max_revisions = 20});
  ASSERT_NE(store, nullptr);
  const std::uint64_t revision = store->revision().value();
  ASSERT_GE(revision, acknowledged) << "an acknowledged commit is lost";
  ASSERT_LE(revision, acknowledged + 1) << "one commit at most was on its way";
  if (revision == 0) return;
  const auto items = store->range("set/").value().items;
  ASSERT_EQ(items.size(), static_cast<std::size_t>(kSet));
  for (const KeyValue& item : items) {
    ASSERT_EQ(item.value, std::to_string(revision)) << "half a transaction";
    ASSERT_EQ(item.modified, revision);
  }
  std::uint64_t seen = store->compacted().value();
  ASSERT_GE(seen + 20, revision);
  const std::vector<Event> events = store->changes(seen, 1000).value().events;
  for (const Event& event : events) {
    ASSERT_TRUE(event.revision == seen || event.revision == seen + 1) << "revisions are dense";
    seen = event.revision;
  }
  ASSERT_EQ(seen, revision);
}

TEST(SqliteCrash, LosesNoAcknowledgedCommitAndShowsNoHalfOneAfterKills) {
  const char* wanted = std::getenv("SLUICE_STORE_KILLS");
  const int kills = wanted == nullptr ? 200 : std::atoi(wanted);
  ASSERT_GT(kills, 0);
  const TemporaryFolder folder;
  std::mt19937 random(20261121);
  std::uint64_t newest = 0;
  for (int i = 0; i < kills; i++) {
    const int commits = static_cast<int>(random() % 20);
    const auto acknowledged = run_and_kill(folder.path(), commits, static_cast<int>(random() % 3000));
    newest = std::max(newest, acknowledged);
    check(folder.path(), newest);
    if (testing::Test::HasFatalFailure()) FAIL() << "at kill " << i;
    newest = open_or_fail(folder.path())->revision().value();
  }
  EXPECT_GT(newest, static_cast<std::uint64_t>(kills)) << "the writers got to write";
}

}  // namespace
}  // namespace sluice::store
