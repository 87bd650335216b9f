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

#include "model/ring_size.hpp"

namespace sluice::compile {

/// Key of the flow hash, as in sluice_settings.secret.
using Secret = std::array<std::uint64_t, 2>;

// Sizes are a matter of the model (model/ring_size.hpp); whoever makes a ring finds everything here.
using model::ring_blocks;
using model::ring_size;
using model::ring_sizes;
using model::RingMember;
using model::simplify_weights;

/// A Maglev ring: `size` local indexes into `members`. The members' order counts. O(size * log size).
std::vector<std::uint16_t> build_ring(std::span<const RingMember> members, std::uint32_t size, const Secret& secret);

/// The ring as array values; the last block is filled up with zeros.
std::vector<sluice_ring_block> pack_ring(std::span<const std::uint16_t> ring);

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
