// SPDX-License-Identifier: Apache-2.0
// Reads what the programs have counted, cheaply: a run touches the counters of its own entry point, so those are read
// after it and compared with the last reading. What else may have changed shows when all are read again, at the end.
#pragma once

#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <array>
#include <atomic>

namespace bpftest {

using Counters = std::array<sluice_counter, SLUICE_ENTRY_COUNT * SLUICE_COUNTER_STRIDE>;

/// What one entry point's counters have grown by.
struct Counted {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  sluice_reason reason = SLUICE_REASON_NONE;  ///< the last of those that grew
};

class CounterReader {
 public:
  /// `map` is the per-CPU array `counters`, all zero.
  explicit CounterReader(int map);

  /// Sums over all CPUs.
  [[nodiscard]] Counters all() const;
  /// From here on somebody else may count as well, so nothing is known until the next reading.
  void forget() { known_ = false; }
  /// To be called before a run.
  void prepare();
  /// What has been counted for `entry` since prepare().
  Counted take(sluice_entry entry);
  /// Fails the test if anything was counted that take() has not seen, unless forget() was called.
  void expect_all_seen() const;

 private:
  void read(unsigned first, unsigned count, Counters& into) const;

  int map_;
  std::size_t cpus_;
  Counters last_{};
  std::atomic<bool> known_ = true;
};

}  // namespace bpftest
