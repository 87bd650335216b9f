// SPDX-License-Identifier: Apache-2.0
// Store: where the desired state comes from. The first implementation reads a folder of manifests; databases
// follow behind the same interface.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "model/resources.hpp"

namespace sluice::store {

/// One consistent state with the revision at which it held. Revisions only grow within one store.
struct Snapshot {
  std::uint64_t revision = 0;
  std::shared_ptr<const model::State> state;
};

class Store {
 public:
  virtual ~Store() = default;

  /// The newest valid state. An error means that the store did not answer or holds something invalid; the caller
  /// then changes nothing (absence is never acted on).
  virtual Result<Snapshot> read() = 0;

  /// A descriptor that becomes readable when read() may give something new (level-triggered until drained).
  [[nodiscard]] virtual int watch_fd() const = 0;

  /// Consumes what watch_fd() announced. True if a read() is worthwhile.
  virtual Result<bool> drain() = 0;
};

}  // namespace sluice::store
