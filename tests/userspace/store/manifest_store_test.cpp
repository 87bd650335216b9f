// SPDX-License-Identifier: Apache-2.0
#include "store/manifest_store.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "temporary_folder.hpp"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;

std::string network(const std::string& name) {
  return "kind: Network\nname: " + name + "\n";
}

/// Waits for an event that concerns the store; false after ten seconds.
bool changed(ManifestStore& store) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait{store.watch_fd(), POLLIN, 0};
    if (poll(&wait, 1, 1000) != 1) continue;
    const Result<bool> relevant = store.drain();
    EXPECT_TRUE(relevant.has_value());
    if (relevant && *relevant) return true;
  }
  return false;
}

std::unique_ptr<ManifestStore> open(const fs::path& path) {
  auto store = ManifestStore::open(path);
  if (store) return std::move(*store);
  ADD_FAILURE() << store.error().message;
  return nullptr;
}

/// The names of the networks, or the error.
std::string networks(ManifestStore& store) {
  const Result<Snapshot> snapshot = store.read();
  if (!snapshot) return snapshot.error().message;
  std::string names;
  for (const auto& [name, value] : snapshot->state->networks) names += (names.empty() ? "" : " ") + name;
  return names;
}

TEST(ManifestStore, ReadsAFileAndAFolderInTheOrderOfNames) {
  const TemporaryFolder folder;
  write_file(folder / "b.yaml", network("b"));
  write_file(folder / "a.yml", network("a"));
  write_file(folder / "c.txt", network("c"));
  write_file(folder / ".d.yaml", network("d"));
  EXPECT_EQ(networks(*open(folder.path())), "a b");
  EXPECT_EQ(networks(*open(folder / "c.txt")), "c");
}

TEST(ManifestStore, KnowsTheConfiguredPools) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", "kind: FloatingIP\nname: x\npool: east\n");
  const auto store =
      ManifestStore::open(folder.path(), {.pools = {{"east", {Cidr4::parse("203.0.113.0/30").value()}}}});
  ASSERT_TRUE(store) << store.error().message;
  const auto snapshot = (*store)->read();
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  EXPECT_EQ(snapshot->state->floating_ips.at("x").pool, "east");
  EXPECT_NE(networks(*open(folder.path())).find("no configured pool"), std::string::npos);
}

TEST(ManifestStore, CountsARevisionForEachChangeOfContentOnly) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a"));
  const auto store = open(folder.path());
  EXPECT_EQ(store->read()->revision, 1U);
  EXPECT_EQ(store->read()->revision, 1U);
  write_file(folder / "a.yaml", "# a comment\n" + network("a"));
  EXPECT_EQ(store->read()->revision, 1U);
  write_file(folder / "a.yaml", network("b"));
  EXPECT_EQ(store->read()->revision, 2U);
  write_file(folder / "a.yaml", "kind: Nonsense\n");
  EXPECT_FALSE(store->read());
  write_file(folder / "a.yaml", network("b"));
  EXPECT_EQ(store->read()->revision, 2U);
}

TEST(ManifestStore, NeverTakesAbsenceForAnEmptyState) {
  const TemporaryFolder folder;
  const auto missing = open(folder / "nowhere/manifests");
  EXPECT_EQ(missing->read().error().code, ErrorCode::kNotFound);
  const auto empty = open(folder.path());
  EXPECT_NE(networks(*empty).find("has no *.yaml or *.yml file"), std::string::npos);
  write_file(folder / "a.yaml", "# nothing\n");
  EXPECT_NE(networks(*empty).find("declare nothing"), std::string::npos);
  write_file(folder / "a.yaml", "kind: Empty\n");
  EXPECT_EQ(networks(*empty), "");
}

TEST(ManifestStore, RefusesAFileThatIsBeingWritten) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a") + "---\n" + network("b"));
  const auto store = open(folder.path());
  EXPECT_EQ(networks(*store), "a b");
  {
    std::ofstream half(folder / "a.yaml", std::ios::trunc);
    half << network("a") << std::flush;
    const auto read = store->read();
    ASSERT_FALSE(read) << "half a file was taken for the whole";
    EXPECT_EQ(read.error().code, ErrorCode::kPrecondition);
    half << "---\n" << network("c");
  }
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "a c");
}

TEST(ManifestStore, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "a.yaml").c_str(), 0600), 0);
  EXPECT_NE(networks(*open(folder.path())).find("is no regular file"), std::string::npos);
  fs::remove(folder / "a.yaml");
  fs::create_directory(folder / "a.yaml");
  EXPECT_NE(networks(*open(folder.path())).find("is no regular file"), std::string::npos);
  fs::remove(folder / "a.yaml");
  fs::create_symlink("nowhere", folder / "a.yaml");
  EXPECT_FALSE(open(folder.path())->read());
}

TEST(ManifestStore, RefusesAFileAboveTheLimitWithoutReadingItWhole) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", "");
  fs::resize_file(folder / "a.yaml", std::uintmax_t{1} << 40);  // sparse
  EXPECT_NE(networks(*open(folder.path())).find("which is the limit"), std::string::npos);
}

TEST(ManifestStoreWatch, SeesAFileWrittenInPlace) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a"));
  for (const fs::path& path : {folder.path(), folder / "a.yaml"}) {
    const auto store = open(path);
    write_file(folder / "a.yaml", network("b"));
    EXPECT_TRUE(changed(*store));
    EXPECT_EQ(networks(*store), "b");
  }
}

TEST(ManifestStoreWatch, SeesAFileRenamedOverIt) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a"));
  const auto store = open(folder / "a.yaml");
  for (const std::string name : {"b", "c", "d"}) {
    write_file(folder / ".new", network(name));
    fs::rename(folder / ".new", folder / "a.yaml");
    EXPECT_TRUE(changed(*store));
    EXPECT_EQ(networks(*store), name);
  }
}

TEST(ManifestStoreWatch, SeesDeletionAndReCreation) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a"));
  const auto store = open(folder / "a.yaml");
  fs::remove(folder / "a.yaml");
  EXPECT_TRUE(changed(*store));
  EXPECT_FALSE(store->read());
  write_file(folder / "a.yaml", network("b"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "b");
}

TEST(ManifestStoreWatch, SeesAReplacedFolderAndWhatComesIntoTheNewOne) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "x/manifests");
  write_file(folder / "x/manifests/a.yaml", network("a"));
  const auto store = open(folder / "x/manifests");
  fs::rename(folder / "x", folder / "old");
  EXPECT_TRUE(changed(*store));
  EXPECT_FALSE(store->read());
  fs::create_directories(folder / "y/manifests");
  write_file(folder / "y/manifests/a.yaml", network("b"));
  fs::rename(folder / "y", folder / "x");
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "b");
  write_file(folder / "x/manifests/c.yaml", network("c"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "b c");
  write_file(folder / "old/manifests/a.yaml", network("zombie"));
  EXPECT_FALSE(store->drain().value()) << "the old folder is no longer ours";
}

TEST(ManifestStoreWatch, SeesAFolderThatIsMadeLater) {
  const TemporaryFolder folder;
  const auto store = open(folder / "one/two");
  fs::create_directory(folder / "one");
  EXPECT_TRUE(changed(*store));
  fs::create_directory(folder / "one/two");
  EXPECT_TRUE(changed(*store));
  write_file(folder / "one/two/a.yaml", network("a"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "a");
}

TEST(ManifestStoreWatch, SeesASymbolicLinkThatIsSwapped) {
  const TemporaryFolder folder;
  for (const std::string name : {"one", "two"}) {
    fs::create_directory(folder / name);
    write_file(folder / (name + "/a.yaml"), network(name));
  }
  fs::create_symlink("one", folder / "current");
  const auto store = open(folder / "current");
  EXPECT_EQ(networks(*store), "one");
  fs::create_symlink("two", folder / ".swap");
  fs::rename(folder / ".swap", folder / "current");
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "two");
  write_file(folder / "two/a.yaml", network("three"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "three");
}

// The layout of a mounted Kubernetes ConfigMap: a.yaml -> ..data/a.yaml, ..data -> ..1, swapped by rename.
TEST(ManifestStoreWatch, SeesASwapBehindALinkInTheFolder) {
  const TemporaryFolder folder;
  for (const std::string name : {"..1", "..2"}) {
    fs::create_directory(folder / name);
    write_file(folder / (name + "/a.yaml"), network("n" + name.substr(2)));
  }
  fs::create_symlink("..1", folder / "..data");
  fs::create_symlink("..data/a.yaml", folder / "a.yaml");
  const auto store = open(folder.path());
  EXPECT_EQ(networks(*store), "n1");
  fs::create_symlink("..2", folder / "..data_tmp");
  fs::rename(folder / "..data_tmp", folder / "..data");
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "n2");
  write_file(folder / "..2/a.yaml", network("n3"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "n3");
}

TEST(ManifestStoreWatch, IgnoresFilesThatAreNoManifests) {
  const TemporaryFolder folder;
  write_file(folder / "a.yaml", network("a"));
  const auto store = open(folder.path());
  write_file(folder / "notes.txt", "x");
  write_file(folder / ".a.yaml.swp", "x");
  EXPECT_FALSE(store->drain().value());
}

TEST(ManifestStoreWatch, SurvivesALoopOfLinks) {
  const TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  const auto store = open(folder / "a");
  EXPECT_FALSE(store->read());
  fs::remove(folder / "a");
  write_file(folder / "a", network("a"));
  EXPECT_TRUE(changed(*store));
  EXPECT_EQ(networks(*store), "a");
}

}  // namespace
}  // namespace sluice::store
