// SPDX-License-Identifier: Apache-2.0
#include "store/recent_events.hpp"

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

std::optional<std::vector<std::shared_ptr<const std::vector<Event>>>> RecentEvents::after(std::uint64_t revision,
                                                                                          std::size_t limit) const {
  if (revision < floor_) return std::nullopt;
  std::vector<std::shared_ptr<const std::vector<Event>>> result;
  std::size_t events = 0;
  for (std::size_t i = revision - floor_; i < batches_.size() && (events < limit || result.empty()); i++) {
    result.push_back(batches_[i].events);
    events += batches_[i].events->size();
  }
  return result;
}

}  // namespace sluice::store
