// SPDX-License-Identifier: Apache-2.0
#include "node/manifest_follower.hpp"

#include <algorithm>
#include <utility>

namespace sluice::node {

ManifestFollower::ManifestFollower(EventLoop& loop, store::ManifestStore& manifests, store::Repository& repository,
                                   std::chrono::milliseconds debounce, std::chrono::milliseconds limit)
    : loop_(loop), manifests_(manifests), repository_(repository), debounce_(debounce), limit_(limit) {}

ManifestFollower::~ManifestFollower() {
  loop_.cancel(timer_);
  loop_.forget(manifests_.watch_fd());
}

Status ManifestFollower::watch(Judge judge, std::function<void()> taken) {
  judge_ = std::move(judge);
  taken_ = std::move(taken);
  return loop_.watch(manifests_.watch_fd(), [this] { changed(); });
}

Status ManifestFollower::take() {
  may_pass_ = false;
  Status outcome;
  auto snapshot = manifests_.read();
  if (snapshot) {
    auto written = repository_.replace(*snapshot->state, judge_);
    if (!written) outcome = std::unexpected(written.error());
  } else {
    outcome = std::unexpected(snapshot.error());
  }
  error_ = outcome ? "" : outcome.error().message;
  // A disk that is full, a store that does not answer: nobody will touch the files because it is better again.
  may_pass_ =
      !outcome && (outcome.error().code == ErrorCode::kSystem || outcome.error().code == ErrorCode::kExhausted ||
                   outcome.error().code == ErrorCode::kUnavailable);
  return outcome;
}

void ManifestFollower::reload() {
  static_cast<void>(take());  // error() has it
  if (taken_) taken_();
}

/// Editors and tools write in several steps, and a folder that is replaced file by file lacks some in the middle: their
/// pods would be ended. So the wait begins anew with each step, but changes that never end do not hold it up for ever.
void ManifestFollower::changed() {
  const auto worthwhile = manifests_.drain();
  if (worthwhile && !*worthwhile) return;
  const auto now = EventLoop::Clock::now();
  if (timer_ == 0) latest_ = now + limit_;
  loop_.cancel(timer_);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(latest_ - now);
  timer_ = loop_.after(std::clamp(left, std::chrono::milliseconds{0}, debounce_), [this] {
    timer_ = 0;
    reload();
  });
}

}  // namespace sluice::node
