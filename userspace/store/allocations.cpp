// SPDX-License-Identifier: Apache-2.0
#include "store/allocations.hpp"

#include <sluice/abi.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "store/address_book.hpp"
#include "store/sqlite.hpp"
#include "store/state_folder.hpp"

namespace sluice::store {
namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::int64_t kApplicationId = 0x534C4331;  // "SLC1": tells our file from any other database
constexpr const char* kFile = "state.db";

// The primary key of `addresses` is what makes it impossible to have an address twice.
constexpr const char* kSchema = R"(
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE networks (
  name TEXT PRIMARY KEY,
  id INTEGER NOT NULL UNIQUE CHECK (id BETWEEN 1 AND 16777215),
  slot INTEGER NOT NULL UNIQUE CHECK (slot BETWEEN 1 AND 4095),
  pod_cursor INTEGER NOT NULL,
  service_cursor INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE addresses (
  network_id INTEGER NOT NULL REFERENCES networks (id),
  address INTEGER NOT NULL CHECK (address BETWEEN 0 AND 4294967295),
  kind INTEGER NOT NULL CHECK (kind IN (1, 2)),
  name TEXT NOT NULL,
  PRIMARY KEY (network_id, address),
  UNIQUE (network_id, kind, name)
) WITHOUT ROWID;
CREATE TABLE attachments (
  network TEXT NOT NULL,
  pod TEXT NOT NULL,
  ifindex INTEGER NOT NULL,
  netns_cookie INTEGER NOT NULL,
  device TEXT NOT NULL,
  mac TEXT NOT NULL,
  plain_redirect INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  PRIMARY KEY (network, pod)
) WITHOUT ROWID;
PRAGMA application_id = 0x534C4331;
PRAGMA user_version = 1;
)";
static_assert(SLUICE_MAX_NETWORK_SLOTS == 4096, "the schema bounds the slots");

std::unexpected<Error> damaged(Error error) {
  if (error.code == ErrorCode::kInvalid) {
    error.message += "; the file is damaged: restore a backup, or move it away (every pod then gets a new address)";
  }
  return std::unexpected(std::move(error));
}

template <std::size_t Size>
Result<std::array<std::uint8_t, Size>> random_bytes() {
  std::array<std::uint8_t, Size> bytes{};
  // Up to 256 bytes come whole once the pool is initialized (getrandom(2)).
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return fail_errno("getrandom");
  return bytes;
}

class SqliteAllocations : public Allocations {
 public:
  SqliteAllocations(StateFolder folder, Database database)
      : folder_(std::move(folder)), database_(std::move(database)) {}

  /// kInvalid if the file is not of this program or of a newer one.
  Status check_version();
  /// kInvalid if the file is damaged.
  Status initialize();

  Result<model::Assignments> assign(const model::State& state) override;
  Result<model::Assignments> propose(const model::State& state) const override;
  Result<std::vector<StoredAttachment>> attachments() override;
  Status put_attachment(const StoredAttachment& attachment) override;
  Status remove_attachment(const model::Name& pod) override;
  std::array<std::uint64_t, 2> secret() const override { return secret_; }
  std::array<std::uint8_t, 16> uuid() const override { return uuid_; }

 private:
  Status make_schema();
  Status load_meta();
  Status load_book();
  Result<std::string> meta(std::string_view key);
  Status write(const BookChanges& changes);
  Status write_addresses(const BookChanges& changes);
  Status write_networks(const BookChanges& changes);

  StateFolder folder_;
  Database database_;
  AddressBook book_;  ///< what the database holds
  std::array<std::uint64_t, 2> secret_{};
  std::array<std::uint8_t, 16> uuid_{};
};

Status SqliteAllocations::initialize() {
  for (const char* setting : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"}) {
    if (Status done = database_.execute(setting); !done) return damaged(done.error());
  }
  const Result<std::int64_t> version = database_.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version == 0) {
    if (Status done = make_schema(); !done) return done;
  }
  const Result<std::string> check = database_.text("PRAGMA quick_check(1)");
  if (!check) return damaged(check.error());
  if (*check != "ok") return damaged({ErrorCode::kInvalid, *check});
  if (Status done = load_meta(); !done) return damaged(done.error());
  if (Status done = load_book(); !done) return damaged(done.error());
  return folder_.sync();
}

Status SqliteAllocations::check_version() {
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

Status SqliteAllocations::make_schema() {
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
  for (const char* cursor : {"id_cursor", "slot_cursor"}) {
    if (Status done = insert->bind(1, cursor).bind(2, std::int64_t{0}).run(); !done) return done;
  }
  return transaction->commit();
}

Result<std::string> SqliteAllocations::meta(std::string_view key) {
  Result<Statement> select = database_.prepare("SELECT value FROM meta WHERE key = ?1");
  if (!select) return std::unexpected(select.error());
  const Result<bool> row = select->bind(1, key).step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::kInvalid, "has no '" + std::string(key) + "'");
  return select->text(0);
}

Status SqliteAllocations::load_meta() {
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

Status SqliteAllocations::load_book() {
  AddressBook book;
  const Result<std::int64_t> id_cursor = database_.number("SELECT value FROM meta WHERE key = 'id_cursor'");
  const Result<std::int64_t> slot_cursor = database_.number("SELECT value FROM meta WHERE key = 'slot_cursor'");
  if (!id_cursor) return std::unexpected(id_cursor.error());
  if (!slot_cursor) return std::unexpected(slot_cursor.error());
  book.id_cursor = static_cast<std::uint32_t>(*id_cursor);
  book.slot_cursor = static_cast<std::uint32_t>(*slot_cursor);

  Result<Statement> networks = database_.prepare("SELECT name, id, slot, pod_cursor, service_cursor FROM networks");
  if (!networks) return std::unexpected(networks.error());
  std::map<std::int64_t, NetworkBook*> by_id;
  Result<bool> row = networks->step();
  for (; row && *row; row = networks->step()) {
    NetworkBook& network = book.networks[networks->text(0)];
    network.id = static_cast<std::uint32_t>(networks->number(1));
    network.slot = static_cast<std::uint32_t>(networks->number(2));
    network.pod_cursor = static_cast<std::uint32_t>(networks->number(3));
    network.service_cursor = static_cast<std::uint32_t>(networks->number(4));
    by_id[network.id] = &network;
  }
  if (!row) return std::unexpected(row.error());

  Result<Statement> addresses = database_.prepare("SELECT network_id, address, kind, name FROM addresses");
  if (!addresses) return std::unexpected(addresses.error());
  row = addresses->step();
  for (; row && *row; row = addresses->step()) {
    const auto network = by_id.find(addresses->number(0));
    if (network == by_id.end()) {
      return fail(ErrorCode::kInvalid, "has an address of network id " + addresses->text(0) + ", which does not exist");
    }
    network->second->take({static_cast<HolderKind>(addresses->number(2)), addresses->text(3)},
                          Ipv4{static_cast<std::uint32_t>(addresses->number(1))});
  }
  if (!row) return std::unexpected(row.error());
  book_ = std::move(book);
  return {};
}

Result<model::Assignments> SqliteAllocations::assign(const model::State& state) {
  Result<BookChanges> changes = plan(book_, state);
  if (!changes) return std::unexpected(changes.error());
  if (!changes->empty()) {
    if (Status done = write(*changes); !done) {
      // Whatever the disk has kept is what holds.
      static_cast<void>(load_book());
      return fail_in("state folder " + folder_.path().string(), done);
    }
    apply(std::move(*changes), book_);
  }
  return store::assignments(book_);
}

Result<model::Assignments> SqliteAllocations::propose(const model::State& state) const {
  Result<BookChanges> changes = plan(book_, state);
  if (!changes) return std::unexpected(changes.error());
  if (changes->empty()) return store::assignments(book_);
  AddressBook book = book_;
  apply(std::move(*changes), book);
  return store::assignments(book);
}

Status SqliteAllocations::write(const BookChanges& changes) {
  Result<Transaction> transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(transaction.error());
  if (Status done = write_networks(changes); !done) return done;
  if (Status done = write_addresses(changes); !done) return done;
  Result<Statement> cursor = database_.prepare("UPDATE meta SET value = ?2 WHERE key = ?1");
  if (!cursor) return std::unexpected(cursor.error());
  if (Status done = cursor->bind(1, "id_cursor").bind(2, std::int64_t{changes.id_cursor}).run(); !done) return done;
  if (Status done = cursor->bind(1, "slot_cursor").bind(2, std::int64_t{changes.slot_cursor}).run(); !done) return done;
  return transaction->commit();
}

Status SqliteAllocations::write_networks(const BookChanges& changes) {
  Result<Statement> free =
      database_.prepare("DELETE FROM addresses WHERE network_id = (SELECT id FROM networks WHERE name = ?1)");
  Result<Statement> remove = database_.prepare("DELETE FROM networks WHERE name = ?1");
  Result<Statement> put = database_.prepare(
      "INSERT INTO networks (name, id, slot, pod_cursor, service_cursor) VALUES (?1, ?2, ?3, ?4, ?5) "
      "ON CONFLICT (name) DO UPDATE SET pod_cursor = excluded.pod_cursor, service_cursor = excluded.service_cursor");
  for (const auto* statement : {&free, &remove, &put}) {
    if (!*statement) return std::unexpected(statement->error());
  }
  for (const std::string& name : changes.removed_networks) {
    if (Status done = free->bind(1, name).run(); !done) return done;
    if (Status done = remove->bind(1, name).run(); !done) return done;
  }
  for (const auto& [name, network] : changes.changed_networks) {
    put->bind(1, name).bind(2, std::int64_t{network.id}).bind(3, std::int64_t{network.slot});
    put->bind(4, std::int64_t{network.pod_cursor}).bind(5, std::int64_t{network.service_cursor});
    if (Status done = put->run(); !done) return done;
  }
  return {};
}

Status SqliteAllocations::write_addresses(const BookChanges& changes) {
  Result<Statement> free = database_.prepare("DELETE FROM addresses WHERE network_id = ?1 AND address = ?2");
  Result<Statement> take =
      database_.prepare("INSERT INTO addresses (network_id, address, kind, name) VALUES (?1, ?2, ?3, ?4)");
  if (!free) return std::unexpected(free.error());
  if (!take) return std::unexpected(take.error());
  for (const AddressChange& change : changes.freed) {
    free->bind(1, std::int64_t{change.network_id}).bind(2, std::int64_t{change.address.value});
    if (Status done = free->run(); !done) return done;
  }
  for (const AddressChange& change : changes.taken) {
    take->bind(1, std::int64_t{change.network_id}).bind(2, std::int64_t{change.address.value});
    take->bind(3, static_cast<std::int64_t>(change.holder.kind)).bind(4, change.holder.name);
    if (Status done = take->run(); !done) return done;
  }
  return {};
}

Result<std::vector<StoredAttachment>> SqliteAllocations::attachments() {
  Result<Statement> select = database_.prepare(
      "SELECT network, pod, ifindex, netns_cookie, device, mac, plain_redirect, boot_id FROM attachments "
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
    result.push_back(std::move(stored));
  }
  if (!row) return std::unexpected(row.error());
  return result;
}

Status SqliteAllocations::put_attachment(const StoredAttachment& stored) {
  Result<Statement> put =
      database_.prepare("INSERT OR REPLACE INTO attachments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  if (!put) return std::unexpected(put.error());
  const model::Attachment& attachment = stored.attachment;
  put->bind(1, stored.pod.network).bind(2, stored.pod.name).bind(3, std::int64_t{attachment.ifindex});
  put->bind(4, static_cast<std::int64_t>(attachment.netns_cookie)).bind(5, attachment.device);
  put->bind(6, attachment.mac.text()).bind(7, std::int64_t{attachment.plain_redirect}).bind(8, stored.boot_id);
  return put->run();
}

Status SqliteAllocations::remove_attachment(const model::Name& pod) {
  Result<Statement> remove = database_.prepare("DELETE FROM attachments WHERE network = ?1 AND pod = ?2");
  if (!remove) return std::unexpected(remove.error());
  return remove->bind(1, pod.network).bind(2, pod.name).run();
}

}  // namespace

Result<std::unique_ptr<Allocations>> Allocations::open(const std::filesystem::path& path) {
  Result<StateFolder> folder = StateFolder::open(path);
  if (!folder) return std::unexpected(folder.error());
  if (Status done = folder->make_private_file(kFile); !done) return std::unexpected(done.error());
  const std::string shown = "state database " + (path / kFile).string();
  Result<Database> database = Database::open(path / kFile);
  if (!database) return fail_in(shown, database);
  auto allocations = std::make_unique<SqliteAllocations>(std::move(*folder), std::move(*database));
  Status done = allocations->check_version();
  if (done) done = allocations->initialize();
  if (done) return allocations;
  return fail_in(shown, done);
}

}  // namespace sluice::store
