// SPDX-License-Identifier: Apache-2.0
#include "node/deadlines.hpp"

#include <algorithm>
#include <chrono>

#include "model/times.hpp"

namespace sluice::node {

Now Now::read() {
  return {EventLoop::Clock::now(), model::moment_now()};
}

void Deadlines::set(const model::Name& pod, std::int64_t deadline, const Now& now) {
  const auto known = deadlines_.find(pod);
  if (known != deadlines_.end() && known->second.deadline == deadline) return;
  const std::int64_t left = deadline <= now.wall ? 0 : std::min(deadline - now.wall, model::kLongestGrace.count());
  deadlines_[pod] = {deadline, now.steady + std::chrono::milliseconds(left)};
}

void Deadlines::pass(const model::Name& pod) {
  if (const auto found = deadlines_.find(pod); found != deadlines_.end()) found->second.passed = true;
}

std::optional<Deadlines::TimePoint> Deadlines::next() const {
  std::optional<TimePoint> first;
  for (const auto& [pod, entry] : deadlines_) {
    if (!entry.passed && (!first || entry.due < *first)) first = entry.due;
  }
  return first;
}

std::vector<model::Name> Deadlines::due(TimePoint now) const {
  std::vector<model::Name> pods;
  for (const auto& [pod, entry] : deadlines_) {
    if (!entry.passed && entry.due <= now) pods.push_back(pod);
  }
  return pods;
}

std::optional<std::int64_t> Deadlines::of(const model::Name& pod) const {
  const auto found = deadlines_.find(pod);
  return found == deadlines_.end() ? std::nullopt : std::optional(found->second.deadline);
}

bool Deadlines::has_passed(const model::Name& pod) const {
  const auto found = deadlines_.find(pod);
  return found != deadlines_.end() && found->second.passed;
}

std::vector<model::Name> Deadlines::waiting() const {
  std::vector<model::Name> pods;
  for (const auto& [pod, entry] : deadlines_) {
    if (!entry.passed) pods.push_back(pod);
  }
  return pods;
}

}  // namespace sluice::node
