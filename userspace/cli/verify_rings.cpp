// SPDX-License-Identifier: Apache-2.0
#include "cli/verify_rings.hpp"

#include <algorithm>

#include "cli/changes.hpp"
#include "cli/records.hpp"
#include "model/validate.hpp"

namespace sluice::cli {
namespace {

std::vector<compile::RingMember> equal_members(const Ring& ring) {
  std::vector<compile::RingMember> members;
  members.reserve(ring.backends.size());
  for (const sluice_backend& backend : ring.backends) members.push_back({backend.identity, 1});
  return members;
}

/// Empty if all slots are those of `built`.
std::string difference(const Ring& ring, const std::vector<std::uint16_t>& built) {
  std::size_t different = 0;
  std::size_t first = 0;
  for (std::size_t slot = built.size(); slot-- > 0;) {
    if (built[slot] == ring.slots[slot]) continue;
    different++;
    first = slot;
  }
  if (different == 0) return {};
  return std::to_string(different) + " of " + std::to_string(built.size()) + " slots differ; the first is slot " +
         std::to_string(first) + ": backend " + std::to_string(ring.slots[first]) + ", its inputs make backend " +
         std::to_string(built[first]);
}

}  // namespace

Result<PodWeights> read_weights(api::Client& client) {
  const auto networks = list(client, model::Kind::kNetwork);
  if (!networks) return std::unexpected(networks.error());
  const auto pods = list(client, model::Kind::kPod);
  if (!pods) return std::unexpected(pods.error());
  std::map<std::string, std::uint32_t> ids;
  for (const v1::Resource& resource : *networks) ids[resource.network().name()] = resource.network().id();
  PodWeights weights;
  for (const v1::Resource& resource : *pods) {
    const v1::Pod& pod = resource.pod();
    for (const std::string& text : {pod.status().address4(), pod.status().address6()}) {
      const auto address = parse_ip(text);
      if (address) weights[{ids[pod.network()], *address}] = pod.has_weight() ? pod.weight() : 1;
    }
  }
  return weights;
}

/// Nothing if neither the fingerprint nor the slots are those of these weights: then the ring has others.
std::optional<Judgement> RingVerifier::judge_with(const Ring& ring, const Members& members) const {
  const std::uint64_t expected = compile::fingerprint(members, ring.frontend.ring_size, secret_);
  const std::string why = difference(ring, compile::build_ring(members, ring.frontend.ring_size, secret_));
  const bool known = expected == ring.frontend.fingerprint;
  if (known) return Judgement{why.empty() ? Judgement::Verdict::kRight : Judgement::Verdict::kWrong, why};
  if (!why.empty()) return std::nullopt;
  return Judgement{Judgement::Verdict::kWrong, "fingerprint is " + hex_text(ring.frontend.fingerprint, 16) +
                                                   ", its inputs make " + hex_text(expected, 16)};
}

/// A backend has slots in proportion to its weight, one more or less; as a rule that is exact enough to guess by.
std::optional<RingVerifier::Members> RingVerifier::weighed_by_slots(const Ring& ring) const {
  Members members = equal_members(ring);
  std::vector<std::uint64_t> slots(members.size());
  for (const std::uint16_t backend : ring.slots) {
    if (backend < slots.size()) slots[backend]++;
  }
  const std::uint64_t most = slots.empty() ? 0 : *std::ranges::max_element(slots);
  for (std::uint64_t heaviest = 2; most != 0 && heaviest <= model::kMaxWeight; heaviest++) {
    for (std::size_t i = 0; i < members.size(); i++) {
      members[i].weight = static_cast<std::uint32_t>((slots[i] * heaviest + most / 2) / most);
    }
    compile::simplify_weights(members);
    if (compile::fingerprint(members, ring.frontend.ring_size, secret_) == ring.frontend.fingerprint) return members;
  }
  return std::nullopt;
}

Result<RingVerifier::Members> RingVerifier::weighed_by_pods(const Ring& ring) {
  if (!weights_) weights_ = ask_();
  if (!*weights_) return std::unexpected(weights_->error());
  Members members = equal_members(ring);
  for (std::size_t i = 0; i < members.size(); i++) {
    const IpAddress address = ip_of(ring.backends[i]);
    const auto weight = (*weights_)->find({ring.backends[i].network, address});
    if (weight == (*weights_)->end()) {
      return fail(ErrorCode::kNotFound, "sluiced has no pod with the address " + text_of(address));
    }
    members[i].weight = weight->second;
  }
  compile::simplify_weights(members);
  return members;
}

Judgement RingVerifier::judge(const Ring& ring) {
  if (!ring.whole()) return {Judgement::Verdict::kWrong, "its record points outside the arenas"};
  if (const auto judged = judge_with(ring, equal_members(ring))) return *judged;
  if (const auto members = weighed_by_slots(ring)) {
    if (const auto judged = judge_with(ring, *members)) return *judged;
  }
  const auto members = weighed_by_pods(ring);
  const auto judged = members ? judge_with(ring, *members) : std::nullopt;
  if (judged) return *judged;
  return {Judgement::Verdict::kUnknown,
          "cannot be judged: weights unknown: " +
              (members ? "the pods' do not make its fingerprint; repeat it, if sluiced is changing the service"
                       : members.error().message)};
}

}  // namespace sluice::cli
