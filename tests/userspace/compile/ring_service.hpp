// SPDX-License-Identifier: Apache-2.0
// A service's backends and ring as the maps hold them, and keys to ask it.
#pragma once

#include <sluice/select.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "compile/hashing.hpp"

namespace sluice::compile {

inline constexpr Secret kSecret = {0x1122334455667788, 0x99aabbccddeeff00};

inline std::vector<RingMember> members(std::size_t count, std::uint32_t weight = 1) {
  std::vector<RingMember> list;
  std::set<std::uint32_t> taken;
  for (std::uint32_t i = 0; list.size() < count; i++) {
    const std::uint32_t identity = backend_identity(7, "pod-" + std::to_string(i), 8080);
    if (taken.insert(identity).second) list.push_back({identity, weight});
  }
  std::ranges::sort(list, {}, &RingMember::identity);
  return list;
}

/// A service with its ring, as the maps hold it.
struct Service {
  std::vector<sluice_backend> backends;
  std::vector<sluice_ring_block> ring;
  std::uint32_t size = 0;

  explicit Service(const std::vector<RingMember>& list, std::uint32_t current = 0) {
    for (const RingMember& member : list) {
      sluice_backend backend{};
      backend.identity = member.identity;
      backend.state = SLUICE_BACKEND_READY;
      backends.push_back(backend);
    }
    size = ring_size(list, 100, current).value();
    if (size != 0) ring = pack_ring(build_ring(list, size, kSecret));
  }
  [[nodiscard]] std::uint32_t ready() const {
    return static_cast<std::uint32_t>(std::ranges::count(backends, SLUICE_BACKEND_READY, &sluice_backend::state));
  }
  /// The identity that a key gets.
  [[nodiscard]] std::optional<std::uint32_t> operator()(std::uint64_t hash) const {
    const auto index = select({backends, ring, size, ready()}, hash);
    return index ? std::optional(backends.at(*index).identity) : std::nullopt;
  }
};

inline std::vector<std::uint64_t> keys(std::size_t count) {
  std::mt19937_64 random(42);
  std::vector<std::uint64_t> list(count);
  for (std::uint64_t& key : list) key = random();
  return list;
}

}  // namespace sluice::compile
