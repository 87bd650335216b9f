// SPDX-License-Identifier: Apache-2.0
// The state folder: who may use it, what is wrong with it, and what a kill leaves behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <set>

#include "base/fd.hpp"
#include "states.hpp"
#include "store/allocations.hpp"
#include "store/sqlite.hpp"
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
  const auto opened = Allocations::open(folder / "deep/state");
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
  EXPECT_TRUE(Allocations::open(folder / "empty"));
  EXPECT_EQ(mode_of(folder / "empty"), 0700U);
  fs::create_directory(folder / "home");
  fs::permissions(folder / "home", fs::perms{0755});
  write_file(folder / "home/diary", "x");
  const auto refused = Allocations::open(folder / "home");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermission);
  EXPECT_EQ(mode_of(folder / "home"), 0755U);
}

TEST(StateFolder, BelongsToOneDaemonAtATimeAndTheRefusalNamesItsPid) {
  const TemporaryFolder folder;
  auto first = Allocations::open(folder / "state");
  ASSERT_TRUE(first);
  const auto second = Allocations::open(folder / "state");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kPrecondition);
  EXPECT_EQ(second.error().message, "state folder " + (folder / "state").string() +
                                        ": is in use by the process with pid " + std::to_string(getpid()) +
                                        "; stop it, or choose another folder");
  first->reset();
  EXPECT_TRUE(Allocations::open(folder / "state"));
}

TEST(StateFolder, RefusesAPathThatIsNoFolder) {
  const TemporaryFolder folder;
  write_file(folder / "file", "x");
  const auto refused = Allocations::open(folder / "file");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("is no folder"), std::string::npos);
}

TEST(StateDatabase, OfANewerSchemaIsRefusedAndLeftAlone) {
  const TemporaryFolder folder;
  ASSERT_TRUE(Allocations::open(folder / "state"));
  ASSERT_TRUE(Database::open(folder / "state/state.db")->execute("PRAGMA user_version = 2"));
  const auto refused = Allocations::open(folder / "state");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message.find("has schema version 2, this program knows 1"), std::string::npos);
  EXPECT_EQ(Database::open(folder / "state/state.db")->number("PRAGMA user_version").value(), 2);
}

TEST(StateDatabase, OfAnotherProgramIsRefused) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "state");
  write_file(folder / "state/state.db", "");
  ASSERT_TRUE(Database::open(folder / "state/state.db")->execute("CREATE TABLE music (title TEXT)"));
  const auto refused = Allocations::open(folder / "state");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("is a database of another program"), std::string::npos);
}

TEST(StateDatabase, ThatIsDamagedIsRefusedWithARemedy) {
  for (const std::string damage : {"header", "middle", "rows"}) {
    const TemporaryFolder folder;
    {
      model::State state;
      add_network(state, "shop");
      for (int i = 0; i < 3000; i++) add_pod(state, "shop", "pod-" + std::to_string(i));
      const auto allocations = Allocations::open(folder / "state");
      ASSERT_TRUE(allocations);
      ASSERT_TRUE((*allocations)->assign(state));
    }
    const fs::path file = folder / "state/state.db";
    if (damage == "rows") {
      ASSERT_TRUE(Database::open(file)->execute("DELETE FROM networks"));
    } else {
      const auto size = static_cast<off_t>(fs::file_size(file));
      const UniqueFd raw(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
      const std::string garbage(8192, 'G');
      ASSERT_GT(pwrite(raw.get(), garbage.data(), garbage.size(), damage == "header" ? 0 : size / 2), 0);
    }
    const auto refused = Allocations::open(folder / "state");
    ASSERT_FALSE(refused) << damage;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid) << damage;
    EXPECT_NE(refused.error().message.find("the file is damaged: restore a backup"), std::string::npos)
        << refused.error().message;
  }
}

TEST(StateDatabase, ThatFindsNoRoomSaysSoAndWorksOnceThereIsSome) {
  const TemporaryFolder folder;
  ASSERT_TRUE(Allocations::open(folder / "state"));
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

/// The child's state at step `step`: pods come and go, so that addresses are taken and given back.
model::State state_at(unsigned step) {
  model::State state;
  add_network(state, "shop", "10.0.0.0/26");
  for (unsigned pod = step; pod < step + 20; pod++) add_pod(state, "shop", "pod-" + std::to_string(pod));
  add_service(state, "shop", "web");
  return state;
}

/// What a child that has acknowledged `step` said about it.
struct Acknowledged {
  std::uint32_t step = 0;
  std::uint32_t newest_pod = 0;
  std::uint32_t service = 0;
};

[[noreturn]] void assign_forever(const fs::path& folder, unsigned step, int acknowledge) {
  auto allocations = Allocations::open(folder);
  if (!allocations) _exit(1);
  for (;; step++) {
    const auto assigned = (*allocations)->assign(state_at(step));
    if (!assigned) _exit(2);
    const Acknowledged said{step, assigned->pod_addresses.at({"shop", "pod-" + std::to_string(step + 19)}).value,
                            assigned->service_addresses.at({"shop", "web"}).value};
    if (::write(acknowledge, &said, sizeof(said)) != sizeof(said)) _exit(3);
  }
}

TEST(StateDatabase, KeepsEveryAcknowledgedAddressThroughKills) {
  const TemporaryFolder folder;
  std::mt19937 random(20);
  unsigned step = 0;
  for (int round = 0; round < 30; round++) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) assign_forever(folder / "state", step, writer.get());
    writer.reset();
    Acknowledged last;
    std::map<std::uint32_t, Acknowledged> all;
    for (auto wanted = 1 + random() % 12; wanted > 0; wanted--) {
      ASSERT_EQ(::read(reader.get(), &last, sizeof(last)), static_cast<ssize_t>(sizeof(last)));
      all[last.step] = last;
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);  // wherever it is by now
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed with status " << WEXITSTATUS(status);
    while (::read(reader.get(), &last, sizeof(last)) == static_cast<ssize_t>(sizeof(last))) all[last.step] = last;

    const auto allocations = Allocations::open(folder / "state");
    ASSERT_TRUE(allocations) << allocations.error().message;
    const auto assigned = (*allocations)->assign(state_at(last.step));
    ASSERT_TRUE(assigned) << assigned.error().message;
    std::set<std::uint32_t> addresses = {assigned->service_addresses.at({"shop", "web"}).value};
    EXPECT_EQ(*addresses.begin(), last.service);
    for (const auto& [name, address] : assigned->pod_addresses) {
      EXPECT_TRUE(addresses.insert(address.value).second) << name.text() << " shares " << address.text();
    }
    // The step after the last acknowledged one may be on the disk too; it frees this step's oldest pod alone.
    for (const auto& [at, said] : all) {
      const auto pod = assigned->pod_addresses.find({"shop", "pod-" + std::to_string(at + 19)});
      if (pod != assigned->pod_addresses.end() && at + 19 > last.step) {
        EXPECT_EQ(pod->second.value, said.newest_pod);
      }
    }
    step = last.step + 1;
  }
}

}  // namespace
}  // namespace sluice::store
