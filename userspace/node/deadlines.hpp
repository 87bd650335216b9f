// SPDX-License-Identifier: Apache-2.0
// Moments at which something of a pod ends, and how much is left until then.
//
// A deadline is a moment of the wall clock, because it must mean the same after a restart. But how long it still lasts
// is asked of that clock only once, when the deadline is first heard of: from then on the steady clock counts, so that
// somebody who sets the wall clock neither ends a pod's flows at once nor keeps them for ever. What is left is never
// more than the longest grace, whatever the clocks say.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "model/resources.hpp"
#include "node/event_loop.hpp"

namespace sluice::node {

/// Both clocks, at one time.
struct Now {
  EventLoop::Clock::time_point steady;
  std::int64_t wall = 0;  ///< milliseconds since 1970
  static Now read();
};

class Deadlines {
 public:
  using TimePoint = EventLoop::Clock::time_point;

  /// A deadline that is known already stays as it is, passed or not.
  void set(const model::Name& pod, std::int64_t deadline, const Now& now);
  void forget(const model::Name& pod) { deadlines_.erase(pod); }
  void clear() { deadlines_.clear(); }
  /// What was to be done has been done: it is not due any more.
  void pass(const model::Name& pod);

  /// When the first one that has not passed is due.
  [[nodiscard]] std::optional<TimePoint> next() const;
  [[nodiscard]] std::vector<model::Name> due(TimePoint now) const;
  /// As it was set; nothing: none.
  [[nodiscard]] std::optional<std::int64_t> of(const model::Name& pod) const;
  [[nodiscard]] bool has_passed(const model::Name& pod) const;
  /// Those that have not passed.
  [[nodiscard]] std::vector<model::Name> waiting() const;

 private:
  struct Entry {
    std::int64_t deadline = 0;
    TimePoint due;
    bool passed = false;
  };
  std::map<model::Name, Entry> deadlines_;
};

}  // namespace sluice::node
