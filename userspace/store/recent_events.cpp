// SPDX-License-Identifier: Apache-2.0
#include "store/recent_events.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace sluice::store {
namespace {

std::size_t bytes_of(const std::vector<Event>& events) {
  std::size_t bytes = 0;
  for (const Event& event : events) {
    bytes += sizeof(Event) + event.now.key.size() + event.now.value.size() + event.before.size();
  }
  return bytes;
}

}  // namespace

void RecentEvents::restart(std::uint64_t revision) {
  floor_ = revision;
  batches_.clear();
  bytes_ = 0;
  events_ = 0;
}

void RecentEvents::push(std::vector<Event> events) {
  const std::size_t bytes = bytes_of(events);
  bytes_ += bytes;
  events_ += events.size();
  batches_.push_back({std::make_shared<const std::vector<Event>>(std::move(events)), bytes});
  while (!batches_.empty() && (bytes_ > max_bytes_ || events_ > max_events_)) {
    bytes_ -= batches_.front().bytes;
    events_ -= batches_.front().events->size();
    batches_.pop_front();
    floor_++;
  }
}

std::optional<std::vector<RecentEvents::Slice>> RecentEvents::after(const Position& position, std::size_t limit) const {
  const std::uint64_t first = position.key.empty() ? position.revision + 1 : position.revision;
  if (first <= floor_) return std::nullopt;
  const std::size_t first_batch = first - floor_ - 1;
  std::vector<Slice> slices;
  for (std::size_t i = first_batch; i < batches_.size() && limit > 0; i++) {
    const std::vector<Event>& events = *batches_[i].events;
    // Of the revision that was cut, what comes after the key.
    const auto begin =
        i == first_batch && !position.key.empty()
            ? std::ranges::upper_bound(events, std::string_view(position.key), {},
                                       [](const Event& event) { return std::string_view(event.now.key); })
            : events.begin();
    if (begin == events.end()) continue;
    const auto from = static_cast<std::size_t>(begin - events.begin());
    const std::size_t end = std::min(events.size(), from + limit);
    limit -= end - from;
    slices.push_back({batches_[i].events, from, end});
  }
  return slices;
}

}  // namespace sluice::store
