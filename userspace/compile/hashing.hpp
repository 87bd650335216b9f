// SPDX-License-Identifier: Apache-2.0
// Consistent hashing of flows over backends: Maglev rings, their sizes and fingerprints, and the choice itself as a
// reference for what the BPF programs do (sluice/select.h). docs/hashing.md has the reasons and the figures.
#pragma once

#include <sluice/abi.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::compile {

/// Key of the flow hash, as in sluice_settings.secret.
using Secret = std::array<std::uint64_t, 2>;

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

/// Weights that mean the same become the same: if all but the zeros are equal, all become 1, the zeros too (their
/// backends are down and get their slots back as after draining); else they are divided by what they have in common.
void simplify_weights(std::span<RingMember> members);

/// A Maglev ring: `size` local indexes into `members`. The members' order counts. O(size * log size).
std::vector<std::uint16_t> build_ring(std::span<const RingMember> members, std::uint32_t size, const Secret& secret);

/// The ring as array values; the last block is filled up with zeros.
std::vector<sluice_ring_block> pack_ring(std::span<const std::uint16_t> ring);
inline constexpr std::uint32_t ring_blocks(std::uint32_t size) {
  return (size + SLUICE_RING_BLOCK - 1) / SLUICE_RING_BLOCK;
}

/// Everything that a ring's contents depend on, in 64 bits: members in order, size and secret.
std::uint64_t fingerprint(std::span<const RingMember> members, std::uint32_t size, const Secret& secret);

/// Stable, keyless hash that rendezvous hashing and rings know a backend by. `port` in host order. `salt` gives
/// another one when two backends of one list collide.
std::uint32_t backend_identity(std::uint32_t network, std::string_view pod, std::uint16_t port, std::uint32_t salt = 0);

/// Stable hash of (tenant network, service name), see sluice_frontend4.owner.
std::uint32_t service_owner(std::uint32_t network, std::string_view service);

/// What a frontend record and its regions say about the choice.
struct BackendSet {
  std::span<const sluice_backend> backends;
  std::span<const sluice_ring_block> ring;
  std::uint32_t ring_size = 0;
  std::uint32_t ready_count = 0;
};

/// The local index that a flow with this hash gets; nothing: refuse. Step by step what the BPF program does.
std::optional<std::uint32_t> select(const BackendSet& set, std::uint64_t hash);

}  // namespace sluice::compile
