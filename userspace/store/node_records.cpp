// SPDX-License-Identifier: Apache-2.0
#include "store/node_records.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/random.hpp"
#include "store/sqlite.hpp"
#include "store/state_folder.hpp"

namespace sluice::store {
namespace {

constexpr std::int64_t kSchemaVersion = 2;
constexpr std::int64_t kApplicationId = 0x534C4331;  // "SLC1": tells our file from any other database
constexpr const char* kFile = "state.db";

constexpr const char* kSchema = R"(
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE attachments (
  network TEXT NOT NULL,
  pod TEXT NOT NULL,
  ifindex INTEGER NOT NULL,
  netns_cookie INTEGER NOT NULL,
  device TEXT NOT NULL,
  mac TEXT NOT NULL,
  plain_redirect INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  leaves_at INTEGER,
  drained_at INTEGER,
  PRIMARY KEY (network, pod)
) WITHOUT ROWID;
PRAGMA application_id = 0x534C4331;
PRAGMA user_version = 2;
)";

/// What a file of version 1 lacks.
constexpr const char* kSinceVersion1 = R"(
ALTER TABLE attachments ADD COLUMN leaves_at INTEGER;
ALTER TABLE attachments ADD COLUMN drained_at INTEGER;
PRAGMA user_version = 2;
)";

std::unexpected<Error> damaged(Error error) {
  if (error.code == ErrorCode::kInvalid) {
    error.message +=
        "; the file is damaged: move it away (the pods on this node are then detached and must be attached again)";
  }
  return std::unexpected(std::move(error));
}

class SqliteNodeRecords : public NodeRecords {
 public:
  SqliteNodeRecords(StateFolder folder, Database database)
      : folder_(std::move(folder)), database_(std::move(database)) {}

  /// kInvalid if the file is not of this program or of a newer one.
  Status check_version();
  /// kInvalid if the file is damaged.
  Status initialize();

  Result<std::vector<StoredAttachment>> attachments() override;
  Status put_attachment(const StoredAttachment& attachment) override;
  Status remove_attachment(const model::Name& pod) override;
  std::array<std::uint64_t, 2> secret() const override { return secret_; }
  std::array<std::uint8_t, 16> uuid() const override { return uuid_; }

 private:
  Status make_schema();
  Status migrate();
  Status load_meta();
  Result<std::string> meta(std::string_view key);

  StateFolder folder_;
  Database database_;
  std::array<std::uint64_t, 2> secret_{};
  std::array<std::uint8_t, 16> uuid_{};
};

Status SqliteNodeRecords::initialize() {
  for (const char* setting : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"}) {
    if (Status done = database_.execute(setting); !done) return damaged(done.error());
  }
  const Result<std::int64_t> version = database_.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version == 0) {
    if (Status done = make_schema(); !done) return done;
  } else if (*version < kSchemaVersion) {
    if (Status done = migrate(); !done) return done;
  }
  const Result<std::string> check = database_.text("PRAGMA quick_check(1)");
  if (!check) return damaged(check.error());
  if (*check != "ok") return damaged({ErrorCode::kInvalid, *check});
  if (Status done = load_meta(); !done) return damaged(done.error());
  return folder_.sync();
}

Status SqliteNodeRecords::check_version() {
  const Result<std::int64_t> version = database_.number("PRAGMA user_version");
  const Result<std::int64_t> application = database_.number("PRAGMA application_id");
  const Result<std::int64_t> tables = database_.number("SELECT count(*) FROM sqlite_master");
  for (const auto* result : {&version, &application, &tables}) {
    if (!*result) return damaged(result->error());
  }
  if (*version == 0 && *application == 0 && *tables == 0) return {};  // just made
  if (*application != kApplicationId) {
    return fail(ErrorCode::kInvalid, "is a database of another program; choose another state folder");
  }
  if (*version > kSchemaVersion) {
    return fail(ErrorCode::kInvalid, "has schema version " + std::to_string(*version) + ", this program knows " +
                                         std::to_string(kSchemaVersion) + "; run the version of Sluice that made it");
  }
  return {};
}

Status SqliteNodeRecords::make_schema() {
  const auto secret = random_bytes<16>();
  auto uuid = random_bytes<16>();
  if (!secret) return std::unexpected(secret.error());
  if (!uuid) return std::unexpected(uuid.error());
  uuid->at(6) = static_cast<std::uint8_t>((uuid->at(6) & 0x0FU) | 0x40U);  // RFC 4122, version 4
  uuid->at(8) = static_cast<std::uint8_t>((uuid->at(8) & 0x3FU) | 0x80U);
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  if (Status done = database_.execute(kSchema); !done) return done;
  Result<Statement> insert = database_.prepare("INSERT INTO meta (key, value) VALUES (?1, ?2)");
  if (!insert) return std::unexpected(insert.error());
  if (Status done = insert->bind(1, "secret").bind(2, std::span<const std::uint8_t>(*secret)).run(); !done) return done;
  if (Status done = insert->bind(1, "uuid").bind(2, std::span<const std::uint8_t>(*uuid)).run(); !done) return done;
  return transaction->commit();
}

Status SqliteNodeRecords::migrate() {
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  if (Status done = database_.execute(kSinceVersion1); !done) return done;
  return transaction->commit();
}

Result<std::string> SqliteNodeRecords::meta(std::string_view key) {
  Result<Statement> select = database_.prepare("SELECT value FROM meta WHERE key = ?1");
  if (!select) return std::unexpected(select.error());
  const Result<bool> row = select->bind(1, key).step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::kInvalid, "has no '" + std::string(key) + "'");
  return select->text(0);
}

Status SqliteNodeRecords::load_meta() {
  const Result<std::string> secret = meta("secret");
  const Result<std::string> uuid = meta("uuid");
  if (!secret) return std::unexpected(secret.error());
  if (!uuid) return std::unexpected(uuid.error());
  if (secret->size() != sizeof(secret_) || uuid->size() != sizeof(uuid_)) {
    return fail(ErrorCode::kInvalid, "has a secret or uuid of the wrong length");
  }
  std::memcpy(secret_.data(), secret->data(), sizeof(secret_));
  std::memcpy(uuid_.data(), uuid->data(), sizeof(uuid_));
  return {};
}

Result<std::vector<StoredAttachment>> SqliteNodeRecords::attachments() {
  Result<Statement> select = database_.prepare(
      "SELECT network, pod, ifindex, netns_cookie, device, mac, plain_redirect, boot_id, leaves_at, drained_at "
      "FROM attachments "
      "ORDER BY network, pod");
  if (!select) return std::unexpected(select.error());
  std::vector<StoredAttachment> result;
  Result<bool> row = select->step();
  for (; row && *row; row = select->step()) {
    StoredAttachment stored;
    stored.pod = {select->text(0), select->text(1)};
    stored.attachment.ifindex = static_cast<std::uint32_t>(select->number(2));
    stored.attachment.netns_cookie = static_cast<std::uint64_t>(select->number(3));
    stored.attachment.device = select->text(4);
    const Result<Mac> mac = Mac::parse(select->text(5));
    if (!mac) return fail_in("attachment of pod " + stored.pod.text(), mac);
    stored.attachment.mac = *mac;
    stored.attachment.plain_redirect = select->number(6) != 0;
    stored.boot_id = select->text(7);
    if (!select->is_null(8)) stored.attachment.leaves_at = select->number(8);
    if (!select->is_null(9)) stored.attachment.drained_at = select->number(9);
    result.push_back(std::move(stored));
  }
  if (!row) return std::unexpected(row.error());
  return result;
}

Status SqliteNodeRecords::put_attachment(const StoredAttachment& stored) {
  Result<Statement> put =
      database_.prepare("INSERT OR REPLACE INTO attachments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
  if (!put) return std::unexpected(put.error());
  const model::Attachment& attachment = stored.attachment;
  put->bind(1, stored.pod.network).bind(2, stored.pod.name).bind(3, std::int64_t{attachment.ifindex});
  put->bind(4, static_cast<std::int64_t>(attachment.netns_cookie)).bind(5, attachment.device);
  put->bind(6, attachment.mac.text()).bind(7, std::int64_t{attachment.plain_redirect}).bind(8, stored.boot_id);
  if (attachment.leaves_at) put->bind(9, *attachment.leaves_at);  // what is not bound is NULL
  if (attachment.drained_at) put->bind(10, *attachment.drained_at);
  return put->run();
}

Status SqliteNodeRecords::remove_attachment(const model::Name& pod) {
  Result<Statement> remove = database_.prepare("DELETE FROM attachments WHERE network = ?1 AND pod = ?2");
  if (!remove) return std::unexpected(remove.error());
  return remove->bind(1, pod.network).bind(2, pod.name).run();
}

}  // namespace

Result<std::unique_ptr<NodeRecords>> NodeRecords::open(const std::filesystem::path& path) {
  Result<StateFolder> folder = StateFolder::open(path);
  if (!folder) return std::unexpected(folder.error());
  if (Status done = folder->make_private_file(kFile); !done) return std::unexpected(done.error());
  const std::string shown = "state database " + (path / kFile).string();
  Result<Database> database = Database::open(path / kFile);
  if (!database) return fail_in(shown, database);
  auto records = std::make_unique<SqliteNodeRecords>(std::move(*folder), std::move(*database));
  Status done = records->check_version();
  if (done) done = records->initialize();
  if (done) return records;
  return fail_in(shown, done);
}

}  // namespace sluice::store
