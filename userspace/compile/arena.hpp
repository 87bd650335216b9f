// SPDX-License-Identifier: Apache-2.0
// First-fit regions of an array map.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace sluice::compile {

class Arena {
 public:
  /// `what` names the elements in errors.
  Arena(std::string what, std::uint32_t size);

  [[nodiscard]] std::uint32_t size() const { return size_; }
  /// Takes a region out of what allocate() gives; overlapping reservations are fine.
  void reserve(std::uint32_t base, std::uint32_t count);
  /// Gives a region back.
  void release(std::uint32_t base, std::uint32_t count);
  /// True if allocate() may give each of these elements; what lies beyond the end does not count.
  [[nodiscard]] bool is_free(std::uint32_t base, std::uint32_t count) const;
  /// True if there is nothing left.
  [[nodiscard]] bool full() const { return free_.empty(); }
  /// The first element of `count` free ones (0 for none at all), the lowest that fit.
  Result<std::uint32_t> allocate(std::uint32_t count);

  bool operator==(const Arena&) const = default;

 private:
  [[nodiscard]] std::uint32_t end_of(std::uint32_t base, std::uint32_t count) const;

  std::string what_;
  std::uint32_t size_;
  std::map<std::uint32_t, std::uint32_t> free_;  ///< first element -> one past the last
};

/// What one run takes out of an arena that outlives it, and gives back at its end: only a plan that was applied takes
/// for good (space.hpp).
class Draft {
 public:
  explicit Draft(Arena& arena) : arena_(arena) {}
  ~Draft() {
    for (const auto& [base, count] : taken_) arena_.release(base, count);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  Result<std::uint32_t> allocate(std::uint32_t count) {
    Result<std::uint32_t> base = arena_.allocate(count);
    if (base && count != 0) taken_.emplace_back(*base, count);
    return base;
  }
  [[nodiscard]] std::uint32_t size() const { return arena_.size(); }
  [[nodiscard]] bool full() const { return arena_.full(); }

 private:
  Arena& arena_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> taken_;
};

}  // namespace sluice::compile
