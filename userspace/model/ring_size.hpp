// SPDX-License-Identifier: Apache-2.0
// How many slots a Maglev ring has. Here and not beside the rings (compile/hashing.hpp), because the World must know
// what a service takes of the tables before any are made. docs/hashing.md has the reasons.
#pragma once

#include <sluice/abi.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.hpp"

namespace sluice::model {

/// A local index has 16 bits.
inline constexpr std::size_t kMaxBackends = 65535;

/// One backend as a ring sees it. Weight 0 takes no slot; if all weights are 0, all are taken as equal.
struct RingMember {
  std::uint32_t identity = 0;
  std::uint32_t weight = 1;
};

/// The primes that ring sizes are taken from, ascending, each about twice the one before.
std::span<const std::uint32_t> ring_sizes();

/// Slots for a ring over `backends`, given the size that it has now (0: none). Keeps the size while it is at least
/// slots_per_backend * backends and not more than four times that, so that sizes do not flip back and forth.
/// 0 if no ring is needed (up to SLUICE_RENDEZVOUS_MAX backends); nothing if the largest size is too small.
std::optional<std::uint32_t> ring_size(std::size_t backends, std::uint32_t slots_per_backend, std::uint32_t current);

/// The same for members of simplified weights: where these differ there is always a ring, so large that the least of
/// them has some 32 slots, as long as that is not out of proportion to the number of members.
std::optional<std::uint32_t> ring_size(std::span<const RingMember> members, std::uint32_t slots_per_backend,
                                       std::uint32_t current);

/// The same; kExhausted, with the remedy, for members that are too many for any ring.
Result<std::uint32_t> required_ring_size(std::span<const RingMember> members, std::uint32_t slots_per_backend,
                                         std::uint32_t current);

/// Weights that mean the same become the same: if all but the zeros are equal, all become 1, the zeros too (their
/// backends are down and get their slots back as after draining); else they are divided by what they have in common.
void simplify_weights(std::span<RingMember> members);

/// Elements of the map `rings` that a ring takes.
inline constexpr std::uint32_t ring_blocks(std::uint32_t size) {
  return (size + SLUICE_RING_BLOCK - 1) / SLUICE_RING_BLOCK;
}

}  // namespace sluice::model
