// SPDX-License-Identifier: Apache-2.0
#include "compile/arena.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::compile {

Arena::Arena(std::string what, std::uint32_t size) : what_(std::move(what)), size_(size) {
  if (size > 0) free_.emplace(0, size);
}

std::uint32_t Arena::end_of(std::uint32_t base, std::uint32_t count) const {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{base} + count, size_));
}

void Arena::reserve(std::uint32_t base, std::uint32_t count) {
  const std::uint32_t last = end_of(base, count);
  if (base >= last) return;
  auto it = free_.upper_bound(base);
  if (it != free_.begin()) it = std::prev(it);
  while (it != free_.end() && it->first < last) {
    const auto [start, stop] = *it;
    if (stop <= base) {
      ++it;
      continue;
    }
    it = free_.erase(it);
    if (start < base) free_.emplace(start, base);
    if (stop > last) free_.emplace(last, stop);
  }
}

void Arena::release(std::uint32_t base, std::uint32_t count) {
  std::uint32_t last = end_of(base, count);
  if (base >= last) return;
  auto it = free_.upper_bound(base);
  if (it != free_.begin() && std::prev(it)->second >= base) it = std::prev(it);
  while (it != free_.end() && it->first <= last) {
    base = std::min(base, it->first);
    last = std::max(last, it->second);
    it = free_.erase(it);
  }
  free_.emplace(base, last);
}

bool Arena::is_free(std::uint32_t base, std::uint32_t count) const {
  const std::uint32_t last = end_of(base, count);
  if (base >= last) return true;
  const auto after = free_.upper_bound(base);
  return after != free_.begin() && std::prev(after)->second >= last;
}

Result<std::uint32_t> Arena::allocate(std::uint32_t count) {
  if (count == 0) return 0;
  std::uint64_t available = 0;
  for (const auto& [start, stop] : free_) {
    if (stop - start < count) {
      available += stop - start;
      continue;
    }
    const std::uint32_t base = start;
    reserve(base, count);
    return base;
  }
  return fail(ErrorCode::kExhausted, std::to_string(count) + " " + what_ + " in one piece do not fit: " +
                                         std::to_string(available) + " of " + std::to_string(size_) +
                                         " are free, in pieces that are too small (a change needs room for the old "
                                         "and the new set at once); remove services or raise the limit");
}

}  // namespace sluice::compile
