// SPDX-License-Identifier: Apache-2.0
// KeyValues: a durable, ordered map with etcd's semantics. One number, the revision, counts the transactions that
// changed something; every key knows the revisions at which it was made and last changed; a transaction compares and
// sets as a whole; the changes of each revision can be read again until they are compacted. What the keys and values
// mean is not known here (store/repository.hpp).
//
// Source of the semantics: etcd's KV API (api-reference "Transaction", "Watch", "Compact").
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace sluice::store {

struct KeyValue {
  std::string key;
  std::string value;
  std::uint64_t created = 0;   ///< revision at which the key was made (again)
  std::uint64_t modified = 0;  ///< revision of the last change
  bool operator==(const KeyValue&) const = default;
};

/// Holds if the key was last changed at exactly `modified`; 0: there is no such key.
struct Compare {
  std::string key;
  std::uint64_t modified = 0;
};

struct Operation {
  enum class Kind : std::uint8_t { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;  ///< of a put
};

struct CommitRequest {
  std::vector<Compare> compares;
  std::vector<Operation> operations;  ///< each key at most once
};

struct CommitReply {
  bool committed = false;
  std::uint64_t revision = 0;       ///< of this transaction; if it was not committed, the newest
  std::vector<KeyValue> conflicts;  ///< the keys whose comparison failed, as they are; `modified` 0: no such key
};

/// One key's change at one revision. A transaction's events have one revision and come in the order of the keys.
struct Event {
  std::uint64_t revision = 0;
  bool deleted = false;
  KeyValue now;        ///< of a deletion: the key and the revision alone
  std::string before;  ///< the value before; empty if the key was made
  bool operator==(const Event&) const = default;
};

/// A place among the events, which are ordered by revision and key.
struct Position {
  Position(std::uint64_t all_of) : revision(all_of) {}
  Position(std::uint64_t of, std::string up_to) : revision(of), key(std::move(up_to)) {}

  std::uint64_t revision = 0;
  std::string key;  ///< after this key's event of the revision; empty: after all of it
  bool operator==(const Position&) const = default;
};

struct Changes {
  std::vector<Event> events;
  Position next;  ///< where to go on
};

struct Range {
  std::uint64_t revision = 0;   ///< at which all of this held
  std::vector<KeyValue> items;  ///< ascending by key
};

struct Identity {
  std::array<std::uint8_t, 16> uuid{};
  /// Grows when the store's past stops being what its users have seen: with a restored backup and with a reset.
  std::uint64_t epoch = 0;
  bool operator==(const Identity&) const = default;
};

/// Limits that every implementation keeps; what is larger is kExhausted and changes nothing.
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxValueBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxOperations = 200'000;

/// Safe to use from several threads.
class KeyValues {
 public:
  virtual ~KeyValues() = default;

  [[nodiscard]] virtual Identity identity() const = 0;
  /// The newest revision; 0 for a store without any.
  virtual Result<std::uint64_t> revision() = 0;
  /// All keys that begin with `prefix`.
  virtual Result<Range> range(std::string_view prefix) = 0;
  /// Durable when it returns. A transaction without operations, or whose operations change nothing because the keys
  /// that it deletes are not there, makes no revision. A put of the same value counts as a change.
  virtual Result<CommitReply> commit(const CommitRequest& request) = 0;
  /// The next events after a position: at most `limit`, but one if there is any. A revision may be cut: `next` says so.
  /// kOutOfRange if some of them have been compacted, or the position's revision is newer than the store's.
  virtual Result<Changes> changes(const Position& after, std::size_t limit) = 0;
  /// Forgets the events up to and including `revision`. The present values stay. kOutOfRange if it is newer than the
  /// store's.
  virtual Status compact(std::uint64_t revision) = 0;
  /// changes() fails for revisions before this one.
  virtual Result<std::uint64_t> compacted() = 0;
};

}  // namespace sluice::store
