// SPDX-License-Identifier: Apache-2.0
#include "node/events.hpp"

#include <utility>

namespace sluice::node {

void EventLog::add(const model::Key& key, Severity severity, std::string kind, std::string text) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() >= kMostResources) {
      entries_.erase(by_age_.front());
      by_age_.pop_front();
    }
    found = entries_.emplace(key, Entry{{}, by_age_.insert(by_age_.end(), key)}).first;
  } else {
    by_age_.splice(by_age_.end(), by_age_, found->second.age);
  }
  std::deque<Event>& events = found->second.events;
  const auto now = std::chrono::system_clock::now();
  if (!events.empty() && events.back().kind == kind && events.back().text == text) {
    events.back().count++;
    events.back().at = now;
    return;
  }
  if (events.size() >= kMostOfOne) events.pop_front();
  events.push_back({now, severity, std::move(kind), std::move(text), 1});
}

std::vector<Event> EventLog::of(const model::Key& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {};
  return {found->second.events.begin(), found->second.events.end()};
}

}  // namespace sluice::node
