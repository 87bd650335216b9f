// SPDX-License-Identifier: Apache-2.0
#include "model/ring_size.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

namespace sluice::model {
namespace {

// The largest primes below powers of two. Twice the last one costs at most twice the memory that was asked for.
constexpr std::array<std::uint32_t, 16> kRingSizes = {
    251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287, 1048573, 2097143, 4194301, 8388593};

// Rings of different weights. One slot more or less is 3 % of the least share then; beyond eight backends of weights
// 1 and 256 that would take too much memory, but each still has a slot: the ring has more of them than 256 a backend.
constexpr std::uint64_t kSlotsOfLeast = 32;
constexpr std::uint64_t kWeightedSlots = 65521;
constexpr std::uint64_t kWeightedSlotsPerBackend = 400;

std::optional<std::uint32_t> fitting_size(std::uint64_t wanted, std::uint32_t current) {
  const bool known = std::ranges::find(kRingSizes, current) != kRingSizes.end();
  if (known && current >= wanted && current / 4 <= wanted) return current;
  const auto* found =
      std::ranges::lower_bound(kRingSizes, wanted, {}, [](std::uint32_t size) { return std::uint64_t{size}; });
  if (found == kRingSizes.end()) return std::nullopt;
  return *found;
}

}  // namespace

std::span<const std::uint32_t> ring_sizes() {
  return kRingSizes;
}

std::optional<std::uint32_t> ring_size(std::size_t backends, std::uint32_t slots_per_backend, std::uint32_t current) {
  if (backends <= SLUICE_RENDEZVOUS_MAX) return 0;
  return fitting_size(std::uint64_t{std::max(slots_per_backend, 1U)} * backends, current);
}

std::optional<std::uint32_t> ring_size(std::span<const RingMember> members, std::uint32_t slots_per_backend,
                                       std::uint32_t current) {
  const bool equal = std::ranges::all_of(
      members, [&members](const RingMember& member) { return member.weight == members.front().weight; });
  if (equal) return ring_size(members.size(), slots_per_backend, current);
  std::uint64_t sum = 0;
  std::uint64_t least = UINT32_MAX;
  for (const RingMember& member : members) {
    sum += member.weight;
    if (member.weight != 0) least = std::min<std::uint64_t>(least, member.weight);
  }
  const std::uint64_t exact = (sum * kSlotsOfLeast + least - 1) / least;
  const std::uint64_t most =
      std::min<std::uint64_t>(std::max(kWeightedSlots, kWeightedSlotsPerBackend * members.size()), kRingSizes.back());
  const std::uint64_t at_least = std::uint64_t{std::max(slots_per_backend, 1U)} * members.size();
  return fitting_size(std::max(at_least, std::min(exact, most)), current);
}

Result<std::uint32_t> required_ring_size(std::span<const RingMember> members, std::uint32_t slots_per_backend,
                                         std::uint32_t current) {
  const std::optional<std::uint32_t> size = ring_size(members, slots_per_backend, current);
  if (size && members.size() <= kMaxBackends) return *size;
  return fail(ErrorCode::kExhausted,
              std::to_string(members.size()) + " backends with " + std::to_string(slots_per_backend) +
                  " slots each do not fit the largest ring (" + std::to_string(kRingSizes.back()) + " slots, " +
                  std::to_string(kMaxBackends) + " backends); let the service select fewer pods");
}

void simplify_weights(std::span<RingMember> members) {
  std::uint32_t divisor = 0;
  std::uint32_t most = 0;
  for (const RingMember& member : members) {
    divisor = std::gcd(divisor, member.weight);
    most = std::max(most, member.weight);
  }
  const bool equal = most == divisor;  // all of them are 0 or the greatest
  for (RingMember& member : members) member.weight = equal ? 1 : member.weight / divisor;
}

}  // namespace sluice::model
