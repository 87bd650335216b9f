// SPDX-License-Identifier: Apache-2.0
// What happened to each resource on this node lately, for people who ask. In memory and bounded; the log has all of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "model/resource.hpp"

namespace sluice::node {

enum class Severity : std::uint8_t { kInfo, kWarning, kError };

struct Event {
  std::chrono::system_clock::time_point at;  ///< of the last one
  Severity severity = Severity::kInfo;
  std::string kind;  ///< "attached", "detached", ...
  std::string text;
  std::uint32_t count = 1;  ///< of the same, one after the other
};

class EventLog {
 public:
  static constexpr std::size_t kMostOfOne = 32;
  static constexpr std::size_t kMostResources = 4096;

  void add(const model::Key& key, Severity severity, std::string kind, std::string text);
  /// Oldest first.
  [[nodiscard]] std::vector<Event> of(const model::Key& key) const;

 private:
  struct Entry {
    std::deque<Event> events;
    std::list<model::Key>::iterator age;
  };
  std::map<model::Key, Entry> entries_;
  std::list<model::Key> by_age_;  ///< longest without an event first
};

}  // namespace sluice::node
