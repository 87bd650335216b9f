// SPDX-License-Identifier: Apache-2.0
#include "datapath/flow_counts.hpp"

#include <cstddef>
#include <cstring>
#include <map>
#include <unordered_map>
#include <utility>

#include "datapath/map_io.hpp"

namespace sluice::datapath {
namespace {

/// What both directions of one pair have seen.
struct Pair {
  std::size_t pod = 0;
  std::uint32_t ahead = 0;  ///< bits of enum sluice_flow_state
  std::uint32_t back = 0;
  bool forward = false;  ///< its forward record was there
};

class Count {
 public:
  explicit Count(const std::vector<sluice_ref>& pods) : asked_(pods.size()) {
    for (std::size_t i = 0; i < pods.size(); i++) pods_[{pods[i].slot, pods[i].generation}] = i;
  }

  /// A forward record leads to its endpoint, a reverse one comes from its source.
  template <typename Flow>
  void add(const Flow& flow) {
    const bool forward = flow.role == SLUICE_FLOW_FORWARD;
    const sluice_ref& pod = forward ? flow.endpoint : flow.source;
    const auto found = pods_.find({pod.slot, pod.generation});
    if (found == pods_.end()) return;
    Pair& pair = pairs_[flow.pair];
    pair.pod = found->second;
    pair.forward = pair.forward || forward;
    (forward ? pair.ahead : pair.back) = flow.state;
  }

  [[nodiscard]] std::vector<std::uint64_t> result() const {
    std::vector<std::uint64_t> counts(asked_);
    for (const auto& [index, pair] : pairs_) {
      const bool closed = (pair.ahead & pair.back & SLUICE_STATE_FIN) != 0;
      const bool reset = ((pair.ahead | pair.back) & SLUICE_STATE_RST) != 0;
      if (pair.forward && !closed && !reset) counts[pair.pod]++;
    }
    return counts;
  }

 private:
  std::size_t asked_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> pods_;
  std::unordered_map<std::uint32_t, Pair> pairs_;  ///< by index
};

template <typename Flow>
Status add_all(const Maps& maps, const char* name, Count& count) {
  const auto map = maps.fd(name);
  if (!map) return std::unexpected(map.error());
  const auto shape = map_shape(*map);
  if (!shape) return std::unexpected(shape.error());
  if (shape->value_size != sizeof(Flow)) {
    return fail(ErrorCode::kPrecondition, std::string(name) + ": unexpected layout: " + shape->text());
  }
  Flow flow;
  auto read = read_hash(*map, *shape, [&](const std::byte*, const std::byte* value) {
    std::memcpy(&flow, value, sizeof(flow));
    count.add(flow);
  });
  return read ? read : fail_in("read map " + std::string(name), read);
}

}  // namespace

Result<std::vector<std::uint64_t>> count_flows_to(const Maps& maps, const std::vector<sluice_ref>& pods) {
  Count count(pods);
  if (auto added = add_all<sluice_flow4>(maps, "flows4", count); !added) return std::unexpected(added.error());
  if (auto added = add_all<sluice_flow6>(maps, "flows6", count); !added) return std::unexpected(added.error());
  return count.result();
}

}  // namespace sluice::datapath
