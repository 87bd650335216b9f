// SPDX-License-Identifier: Apache-2.0
// What a node keeps about itself.
#include "store/node_records.hpp"

#include <gtest/gtest.h>

#include "store/sqlite.hpp"
#include "temporary_folder.hpp"

namespace sluice::store {
namespace {

class NodeRecordsTest : public testing::Test {
 protected:
  NodeRecordsTest() { reopen(); }
  void reopen() {
    records_.reset();
    auto opened = NodeRecords::open(folder_ / "state");
    ASSERT_TRUE(opened) << opened.error().message;
    records_ = std::move(*opened);
  }

  TemporaryFolder folder_;
  std::unique_ptr<NodeRecords> records_;
};

TEST_F(NodeRecordsTest, KeepTheSecretAndTheUuidAcrossARestart) {
  const auto secret = records_->secret();
  const auto uuid = records_->uuid();
  EXPECT_NE(secret, (std::array<std::uint64_t, 2>{}));
  EXPECT_EQ(uuid[6] >> 4, 4) << "RFC 4122, version 4";
  EXPECT_EQ(uuid[8] >> 6, 2) << "RFC 4122, its variant";
  reopen();
  EXPECT_EQ(records_->secret(), secret);
  EXPECT_EQ(records_->uuid(), uuid);
}

TEST_F(NodeRecordsTest, DifferFromAnotherNodes) {
  const auto other = NodeRecords::open(folder_ / "other");
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_NE((*other)->secret(), records_->secret());
  EXPECT_NE((*other)->uuid(), records_->uuid());
}

TEST_F(NodeRecordsTest, KeepAttachments) {
  StoredAttachment stored;
  stored.pod = {"shop", "a"};
  stored.attachment = {7, 0xFFFFFFFFFFFFFFF1, "slc1a", Mac::parse("06:01:ac:10:00:02").value(), true};
  stored.boot_id = "5b1f";
  ASSERT_TRUE(records_->put_attachment(stored));
  stored.attachment.ifindex = 8;
  ASSERT_TRUE(records_->put_attachment(stored)) << "a new attachment replaces the old one";
  StoredAttachment other = stored;
  other.pod = {"shop", "b"};
  other.attachment.leaves_at = 1'700'000'000'250;
  other.attachment.drained_at = 1'700'000'000'000;
  ASSERT_TRUE(records_->put_attachment(other));
  reopen();
  EXPECT_EQ(records_->attachments().value(), (std::vector<StoredAttachment>{stored, other}));
  ASSERT_TRUE(records_->remove_attachment({"shop", "a"}));
  ASSERT_TRUE(records_->remove_attachment({"shop", "a"})) << "twice is fine";
  EXPECT_EQ(records_->attachments().value(), std::vector<StoredAttachment>{other});
}

TEST_F(NodeRecordsTest, OfTheFirstVersionAreTakenOver) {
  StoredAttachment stored;
  stored.pod = {"shop", "a"};
  stored.attachment = {7, 5, "slc1a", Mac::parse("06:01:ac:10:00:02").value(), true};
  stored.boot_id = "5b1f";
  ASSERT_TRUE(records_->put_attachment(stored));
  const auto uuid = records_->uuid();
  records_.reset();
  {
    auto database = Database::open(folder_ / "state" / "state.db");
    ASSERT_TRUE(database) << database.error().message;
    ASSERT_TRUE(
        database->execute("ALTER TABLE attachments DROP COLUMN leaves_at; ALTER TABLE attachments DROP COLUMN "
                          "drained_at; PRAGMA user_version = 1"));
  }
  reopen();
  EXPECT_EQ(records_->uuid(), uuid);
  EXPECT_EQ(records_->attachments().value(), std::vector<StoredAttachment>{stored});
  stored.attachment.leaves_at = 12;
  ASSERT_TRUE(records_->put_attachment(stored));
  reopen();
  EXPECT_EQ(records_->attachments().value(), std::vector<StoredAttachment>{stored});
}

}  // namespace
}  // namespace sluice::store
