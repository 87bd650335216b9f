// SPDX-License-Identifier: Apache-2.0
// The newest revisions' events in memory, so that watchers near the head touch no disk.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "store/key_values.hpp"

namespace sluice::store {

/// Not safe for several threads: its owner has a mutex.
class RecentEvents {
 public:
  RecentEvents(std::size_t max_bytes, std::size_t max_events) : max_bytes_(max_bytes), max_events_(max_events) {}

  /// Holds nothing; the next push is of the revision after `revision`.
  void restart(std::uint64_t revision);
  /// All events of the next revision. Older ones go when there are too many.
  void push(std::vector<Event> events);
  struct Slice {
    std::shared_ptr<const std::vector<Event>> of;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  /// The next events after a position, at most `limit`, of one revision each; nothing if some are not held.
  [[nodiscard]] std::optional<std::vector<Slice>> after(const Position& position, std::size_t limit) const;

 private:
  struct Batch {
    std::shared_ptr<const std::vector<Event>> events;
    std::size_t bytes = 0;
  };

  std::size_t max_bytes_;
  std::size_t max_events_;
  std::uint64_t floor_ = 0;  ///< the revision before batches_.front(): revisions have no gaps
  std::deque<Batch> batches_;
  std::size_t bytes_ = 0;
  std::size_t events_ = 0;
};

}  // namespace sluice::store
