// SPDX-License-Identifier: Apache-2.0
// What a node must know about itself after a restart: which pod is attached where, its secret and its uuid. SQLite
// (WAL, synchronous=FULL) in the state folder; the file and folder are root-only. What is declared is elsewhere
// (store/repository.hpp): that may be shared by nodes, this is not.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::store {

/// An attachment with what proves that it is still the same: another boot or another cookie means it is gone.
struct StoredAttachment {
  model::Name pod;
  model::Attachment attachment;
  std::string boot_id;
  auto operator<=>(const StoredAttachment&) const = default;
};

class NodeRecords {
 public:
  /// Opens or makes the database `folder`/state.db and takes an exclusive lock on the folder. kPrecondition if
  /// another daemon holds it (the message names the folder and its pid), kInvalid if the database is of a newer
  /// schema or damaged.
  static Result<std::unique_ptr<NodeRecords>> open(const std::filesystem::path& folder);
  virtual ~NodeRecords() = default;

  virtual Result<std::vector<StoredAttachment>> attachments() = 0;
  virtual Status put_attachment(const StoredAttachment& attachment) = 0;
  virtual Status remove_attachment(const model::Name& pod) = 0;

  /// 128-bit key of the flow hash and the state folder's uuid, made once from the kernel's random numbers.
  virtual std::array<std::uint64_t, 2> secret() const = 0;
  virtual std::array<std::uint8_t, 16> uuid() const = 0;
};

}  // namespace sluice::store
