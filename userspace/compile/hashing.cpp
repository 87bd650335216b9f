// SPDX-License-Identifier: Apache-2.0
#include "compile/hashing.hpp"

#include <sluice/select.h>

#include <algorithm>
#include <functional>
#include <map>
#include <queue>

namespace sluice::compile {
namespace {

std::uint64_t hash_text(std::uint64_t start, std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325 ^ sluice_mix64(start);
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return sluice_mix64(hash);
}

std::uint64_t keyed(const Secret& secret, std::uint64_t first, std::uint64_t second) {
  const std::array<__u64, 2> key = {secret[0], secret[1]};
  const std::array<__u64, 2> words = {first, second};
  return sluice_siphash13(key.data(), words.data(), 2);
}

/// Fills a ring turn by turn: in its turn a member takes the next free slot of its own permutation of all slots.
/// Because the size is prime, offset + k * skip visits every slot.
class RingFiller {
 public:
  RingFiller(std::span<const RingMember> members, std::uint32_t size, const Secret& secret)
      : size_(size), left_(size), slots_(size), taken_((size + 63) / 64) {
    permutations_.reserve(members.size());
    for (const RingMember& member : members) {
      permutations_.push_back({static_cast<std::uint32_t>(keyed(secret, member.identity, 1) % size),
                               static_cast<std::uint32_t>(1 + keyed(secret, member.identity, 2) % (size - 1))});
    }
  }

  [[nodiscard]] bool full() const { return left_ == 0; }

  void turn(std::uint32_t member) {
    Permutation& permutation = permutations_[member];
    // A bitmap of its own: late turns look at many taken slots, and it stays in the cache where the ring does not.
    while ((taken_[permutation.next / 64] >> (permutation.next % 64) & 1) != 0) advance(permutation);
    taken_[permutation.next / 64] |= std::uint64_t{1} << (permutation.next % 64);
    slots_[permutation.next] = static_cast<std::uint16_t>(member);
    advance(permutation);
    left_--;
  }

  std::vector<std::uint16_t> take() { return std::move(slots_); }

 private:
  struct Permutation {
    std::uint32_t next;
    std::uint32_t skip;
  };

  void advance(Permutation& permutation) const {
    permutation.next += permutation.skip;
    if (permutation.next >= size_) permutation.next -= size_;
  }

  std::uint32_t size_;
  std::uint32_t left_;
  std::vector<std::uint16_t> slots_;
  std::vector<std::uint64_t> taken_;
  std::vector<Permutation> permutations_;
};

/// Members of one weight take their turns together; the k-th time is k / weight. One entry a weight, not a member,
/// so that equal weights cost nothing.
struct Group {
  std::uint64_t turn = 1;
  std::uint64_t weight = 1;
  std::vector<std::uint32_t> members;

  /// Turn and weight stay below 2^24 and 2^32: the products are exact.
  [[nodiscard]] bool later_than(const Group& other) const {
    const std::uint64_t mine = turn * other.weight;
    const std::uint64_t theirs = other.turn * weight;
    return mine != theirs ? mine > theirs : weight < other.weight;
  }
};

std::vector<Group> group_by_weight(std::span<const RingMember> members) {
  const bool all_zero = std::ranges::all_of(members, [](const RingMember& member) { return member.weight == 0; });
  std::map<std::uint32_t, Group> groups;
  for (std::uint32_t i = 0; i < members.size(); i++) {
    const std::uint32_t weight = all_zero ? 1 : members[i].weight;
    if (weight == 0) continue;
    Group& group = groups[weight];
    group.weight = weight;
    group.members.push_back(i);
  }
  std::vector<Group> list;
  list.reserve(groups.size());
  for (auto& [weight, group] : groups) list.push_back(std::move(group));
  return list;
}

bool ready(const sluice_backend& backend) {
  return backend.state == SLUICE_BACKEND_READY;
}

std::optional<std::uint32_t> select_by_score(std::span<const sluice_backend> backends, std::uint64_t hash) {
  std::optional<std::uint32_t> best;
  std::uint64_t best_score = 0;
  for (std::uint32_t i = 0; i < backends.size(); i++) {
    if (!ready(backends[i])) continue;
    const std::uint64_t score = sluice_rendezvous_score(hash, backends[i].identity);
    if (best && score <= best_score) continue;
    best = i;
    best_score = score;
  }
  return best;
}

std::optional<std::uint32_t> select_by_ring(const BackendSet& set, std::uint64_t hash) {
  std::uint32_t index = 0;
  for (std::uint32_t attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS; attempt++) {
    const std::uint32_t slot = sluice_ring_slot(hash, attempt, set.ring_size);
    index = set.ring[slot / SLUICE_RING_BLOCK].entries[slot % SLUICE_RING_BLOCK];
    if (ready(set.backends[index])) return index;
  }
  for (std::size_t step = 1; step <= set.backends.size(); step++) {
    const auto next = static_cast<std::uint32_t>((index + step) % set.backends.size());
    if (ready(set.backends[next])) return next;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::uint16_t> build_ring(std::span<const RingMember> members, std::uint32_t size, const Secret& secret) {
  if (members.empty() || size < 2) return std::vector<std::uint16_t>(size);
  RingFiller filler(members, size, secret);
  std::vector<Group> groups = group_by_weight(members);
  const auto later = [&groups](std::size_t a, std::size_t b) { return groups[a].later_than(groups[b]); };
  std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> order(later);
  for (std::size_t i = 0; i < groups.size(); i++) order.push(i);
  while (!filler.full()) {
    const std::size_t first = order.top();
    order.pop();
    for (std::uint32_t member : groups[first].members) {
      if (filler.full()) break;
      filler.turn(member);
    }
    groups[first].turn++;
    order.push(first);
  }
  return filler.take();
}

std::vector<sluice_ring_block> pack_ring(std::span<const std::uint16_t> ring) {
  std::vector<sluice_ring_block> blocks(ring_blocks(static_cast<std::uint32_t>(ring.size())));
  for (std::size_t slot = 0; slot < ring.size(); slot++) {
    blocks[slot / SLUICE_RING_BLOCK].entries[slot % SLUICE_RING_BLOCK] = ring[slot];
  }
  return blocks;
}

std::uint64_t fingerprint(std::span<const RingMember> members, std::uint32_t size, const Secret& secret) {
  std::uint64_t state = keyed(secret, members.size(), size);
  for (const RingMember& member : members) {
    state = keyed(secret, state, std::uint64_t{member.identity} | std::uint64_t{member.weight} << 32);
  }
  return state;
}

std::uint32_t backend_identity(std::uint32_t network, std::string_view pod, std::uint16_t port, std::uint32_t salt) {
  const std::uint64_t start = (std::uint64_t{network} << 16 | port) ^ std::uint64_t{salt} << 40;
  return static_cast<std::uint32_t>(hash_text(start, pod) >> 32);
}

std::uint32_t service_owner(std::uint32_t network, std::string_view service) {
  return static_cast<std::uint32_t>(hash_text(network, service) >> 32);
}

std::optional<std::uint32_t> select(const BackendSet& set, std::uint64_t hash) {
  if (set.ready_count == 0 || set.backends.empty()) return std::nullopt;
  if (set.backends.size() == 1) return 0;
  if (set.ring_size == 0) return select_by_score(set.backends, hash);
  return select_by_ring(set, hash);
}

}  // namespace sluice::compile
