// SPDX-License-Identifier: Apache-2.0
// First-fit regions of an array map.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.hpp"

namespace sluice::compile {

class Arena {
 public:
  /// `what` names the elements in errors.
  Arena(std::string what, std::uint32_t size);

  [[nodiscard]] std::uint32_t size() const { return size_; }
  /// Takes a region out of what allocate() gives; overlapping reservations are fine.
  void reserve(std::uint32_t base, std::uint32_t count);
  /// The first element of `count` free ones (0 for none at all), the lowest that fit.
  Result<std::uint32_t> allocate(std::uint32_t count);

 private:
  std::string what_;
  std::uint32_t size_;
  std::map<std::uint32_t, std::uint32_t> free_;  ///< first element -> one past the last
};

}  // namespace sluice::compile
