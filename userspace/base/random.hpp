// SPDX-License-Identifier: Apache-2.0
// Random bytes for keys and identities.
#pragma once

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/result.hpp"

namespace sluice {

/// From the kernel's generator, which is fit for keys.
template <std::size_t Size>
Result<std::array<std::uint8_t, Size>> random_bytes() {
  static_assert(Size <= 256);  // so many come whole once the pool is initialized (getrandom(2))
  std::array<std::uint8_t, Size> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return fail_errno("getrandom");
  return bytes;
}

}  // namespace sluice
