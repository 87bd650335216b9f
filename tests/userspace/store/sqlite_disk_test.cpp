// SPDX-License-Identifier: Apache-2.0
// Real disks that are full or read-only; needs root for the mounts.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "sqlite_store_test_base.hpp"

namespace sluice::store {
namespace {

class Mount {
 public:
  explicit Mount(std::filesystem::path at) : at_(std::move(at)) { std::filesystem::create_directories(at_); }
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount() { umount2(at_.c_str(), MNT_DETACH); }
  const std::filesystem::path& path() const { return at_; }

 private:
  std::filesystem::path at_;
};

TEST(SqliteDisk, RefusesWritesOnAFullDiskReadsOnAndWorksAgainWhenThereIsRoom) {
  const TemporaryFolder folder;
  const Mount mount(folder / "small");
  ASSERT_EQ(::mount("tmpfs", mount.path().c_str(), "tmpfs", 0, "size=1m,mode=0700"), 0) << strerror(errno);
  // Something else takes the room.
  write_file(mount.path() / "other", std::string(200'000, 'x'));
  auto store = open_or_fail(mount.path());
  ASSERT_NE(store, nullptr);
  std::uint64_t newest = 0;
  Error error;
  for (int i = 0; i < 1000; i++) {
    const auto reply = store->commit({{}, {put_of("k" + std::to_string(i), std::string(2000, 'v'))}});
    if (!reply) {
      error = reply.error();
      break;
    }
    newest = reply->revision;
  }
  EXPECT_EQ(error.code, ErrorCode::kExhausted) << error.message;
  EXPECT_TRUE(error.message.contains("make room")) << error.message;
  EXPECT_GT(newest, 10U);
  EXPECT_EQ(store->revision().value(), newest);
  EXPECT_EQ(store->range("").value().items.size(), newest);
  EXPECT_EQ(store->changes(newest - 1, 10).value().events.size(), 1U);
  EXPECT_EQ(store->commit({{}, {put_of("again", std::string(100'000, 'v'))}}).error().code, ErrorCode::kExhausted);
  std::filesystem::remove(mount.path() / "other");
  EXPECT_EQ(put(*store, "after", "1"), newest + 1);
  store = nullptr;
  store = open_or_fail(mount.path());
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->revision().value(), newest + 1);
}

TEST(SqliteDisk, MakesNoStoreOnAFullDiskAndLeavesNothingThere) {
  const TemporaryFolder folder;
  const Mount mount(folder / "small");
  ASSERT_EQ(::mount("tmpfs", mount.path().c_str(), "tmpfs", 0, "size=16k,mode=0700"), 0) << strerror(errno);
  EXPECT_EQ(opening_error(mount.path()).code, ErrorCode::kExhausted);
  EXPECT_TRUE(std::filesystem::is_empty(mount.path()));
}

TEST(SqliteDisk, NamesThePathOnAReadOnlyDisk) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "store");
  ASSERT_NE(open_or_fail(folder / "store"), nullptr);
  for (const char* source : {"store", "empty"}) {
    std::filesystem::create_directory(folder / source);
    const Mount mount(folder / "view");
    ASSERT_EQ(::mount((folder / source).c_str(), mount.path().c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, mount.path().c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    const Error error = opening_error(mount.path());
    EXPECT_EQ(error.code, ErrorCode::kPermission) << error.message;
    EXPECT_TRUE(error.message.contains((mount.path() / "store.db").string())) << error.message;
  }
}

}  // namespace
}  // namespace sluice::store
