// SPDX-License-Identifier: Apache-2.0
// Durable choices: network ids and slots, pod and service addresses, attachments, the node's secret. SQLite (WAL,
// synchronous=FULL) in the state folder; the file and folder are root-only.
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

class Allocations {
 public:
  /// Opens or makes the database `folder`/state.db and takes an exclusive lock on the folder. kPrecondition if
  /// another daemon holds it (the message names the folder and its pid), kInvalid if the database is of a newer
  /// schema or damaged.
  static Result<std::unique_ptr<Allocations>> open(const std::filesystem::path& folder);
  virtual ~Allocations() = default;

  /// Chooses what is missing for `state` and gives back what left it, in ONE transaction, durable when it returns.
  /// Addresses that were handed out stay with their pod or service for life. Fails as a whole (nothing chosen,
  /// nothing freed) with kExists when a static address is taken (names both resources) and kExhausted when a CIDR
  /// is full. Reserved and never handed out: network address, broadcast address, router.
  virtual Result<model::Assignments> assign(const model::State& state) = 0;

  /// What assign() would give now; chooses and frees nothing. For a caller who must see more before the state counts.
  virtual Result<model::Assignments> propose(const model::State& state) const = 0;

  virtual Result<std::vector<StoredAttachment>> attachments() = 0;
  virtual Status put_attachment(const StoredAttachment& attachment) = 0;
  virtual Status remove_attachment(const model::Name& pod) = 0;

  /// 128-bit key of the flow hash and the store's uuid, made once from the kernel's random numbers.
  virtual std::array<std::uint64_t, 2> secret() const = 0;
  virtual std::array<std::uint8_t, 16> uuid() const = 0;
};

}  // namespace sluice::store
