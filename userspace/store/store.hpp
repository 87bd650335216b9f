// SPDX-License-Identifier: Apache-2.0
// Store: where a node's desired state comes from, as changes.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "model/assignments.hpp"
#include "model/change.hpp"
#include "model/resources.hpp"

namespace sluice::store {

/// How one revision becomes another.
struct Update {
  std::uint64_t revision = 0;
  /// state and assignments are everything there is; change is empty. Otherwise they hold, of what change names, what
  /// is there now; what change names and they lack was deleted. Nodes are in no change: all of them are in the state.
  bool whole = false;
  model::State state;
  model::Assignments assignments;
  model::Change change;
};

class Store {
 public:
  virtual ~Store() = default;

  /// What has happened after `revision`; 0: everything there is. An error means that the store did not answer; the
  /// caller then changes nothing (absence is never acted on).
  virtual Result<Update> updates(std::uint64_t revision) = 0;

  /// A descriptor that becomes readable when updates() may give something new (level-triggered until drained).
  [[nodiscard]] virtual int watch_fd() const = 0;

  /// Consumes what watch_fd() announced. True if a look is worthwhile.
  virtual Result<bool> drain() = 0;
};

}  // namespace sluice::store
