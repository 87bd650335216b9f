// SPDX-License-Identifier: Apache-2.0
// Whether a ring is what its inputs make: backends, weights, size and secret. The maps hold everything but the weights.
// Those that are right make the fingerprint in the frontend's record, so it is known when they have been found.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/client.hpp"
#include "base/result.hpp"
#include "cli/records.hpp"
#include "compile/hashing.hpp"

namespace sluice::cli {

/// A frontend with its regions of the two arenas; shorter than the record says where the record points outside.
struct Ring {
  const Frontend& frontend;
  std::span<const sluice_backend> backends;
  std::vector<std::uint16_t> slots;

  [[nodiscard]] bool whole() const {
    return backends.size() == frontend.backend_count && slots.size() == frontend.ring_size;
  }
};

/// Of pods, by network id and address.
using PodWeights = std::map<std::pair<std::uint32_t, IpAddress>, std::uint32_t>;
/// Those that the daemon has.
Result<PodWeights> read_weights(api::Client& client);

struct Judgement {
  enum class Verdict { kRight, kWrong, kUnknown };
  Verdict verdict = Verdict::kRight;
  std::string why;  ///< empty if it is right
};

class RingVerifier {
 public:
  using Ask = std::function<Result<PodWeights>()>;

  /// `ask` is called at most once, and not before the maps alone do not tell the weights of a ring.
  RingVerifier(const compile::Secret& secret, Ask ask) : secret_(secret), ask_(std::move(ask)) {}

  Judgement judge(const Ring& ring);

 private:
  using Members = std::vector<compile::RingMember>;

  [[nodiscard]] std::optional<Judgement> judge_with(const Ring& ring, const Members& members) const;
  [[nodiscard]] std::optional<Members> weighed_by_slots(const Ring& ring) const;
  Result<Members> weighed_by_pods(const Ring& ring);

  compile::Secret secret_;
  Ask ask_;
  std::optional<Result<PodWeights>> weights_;
};

}  // namespace sluice::cli
