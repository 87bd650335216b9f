// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#include "store/checksum.hpp"
#include "store/store_database.hpp"

namespace sluice::store {
namespace {

/// What the file holds; of this machine, so in its byte order.
struct Record {
  std::array<std::uint8_t, 16> uuid{};
  std::uint64_t epoch = 0;
  std::uint64_t revision = 0;
  std::uint64_t checksum = 0;

  [[nodiscard]] std::uint64_t sum() const {
    const std::string_view id(reinterpret_cast<const char*>(uuid.data()), uuid.size());
    return Checksum().add(id).add(epoch).add(revision).value();
  }
};

}  // namespace

Result<AcknowledgedRevision> AcknowledgedRevision::open(const std::filesystem::path& store, const StoreMeta& meta) {
  const std::string path = store.string() + kNewestSuffix;
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return fail_errno(path);
  Record record;
  const bool whole = pread(file.get(), &record, sizeof(record), 0) == static_cast<ssize_t>(sizeof(record));
  const Identity identity{record.uuid, record.epoch};
  if (whole && record.checksum == record.sum() && identity == meta.identity && record.revision > meta.revision) {
    return fail(ErrorCode::kInvalid, "is at revision " + std::to_string(meta.revision) + ", but revision " +
                                         std::to_string(record.revision) +
                                         " was acknowledged: its log (store.db-wal) is damaged or was removed");
  }
  AcknowledgedRevision result(std::move(file), meta.identity);
  result.set(meta.revision);
  return result;
}

void AcknowledgedRevision::set(std::uint64_t revision) {
  Record record{identity_.uuid, identity_.epoch, revision, 0};
  record.checksum = record.sum();
  // A write that fails only leaves an older number, which proves less and nothing wrong.
  static_cast<void>(::pwrite(file_.get(), &record, sizeof(record), 0) == sizeof(record));
}

}  // namespace sluice::store
