// SPDX-License-Identifier: Apache-2.0
// What services take of the tables that all of them share, and whether there is room for what a change adds.
//
// The node gives out the places (compile/), and alone knows the gaps between them: this is the least that any node
// needs, so what is refused here would have found no place. What is not refused may still be left out.
#pragma once

#include <sluice/abi.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/assignments.hpp"
#include "model/change.hpp"
#include "model/index.hpp"
#include "model/problems.hpp"
#include "model/resources.hpp"

namespace sluice::model {

/// What the tables of a node have; the defaults are those that no configuration changes, or no limit.
struct TableSizes {
  std::uint64_t service_port_slots = SLUICE_MAX_FRONTEND_SLOTS - 1;  ///< slot 0 is nobody's
  std::uint64_t backends = UINT64_MAX;                               ///< elements of `backends`
  std::uint64_t ring_blocks = UINT64_MAX;                            ///< elements of `rings`
  std::uint32_t slots_per_backend = 100;
};

/// So many elements of each table.
struct TableElements {
  std::uint64_t service_port_slots = 0;
  std::uint64_t backends = 0;
  std::uint64_t ring_blocks = 0;
  bool operator==(const TableElements&) const = default;
};

/// What one service takes.
struct ServiceRoom {
  /// Elements in one piece. They stay in place as long as `contents` do; else others take over from them, and both are
  /// in the tables for a moment.
  struct Region {
    std::uint32_t holder = 0;  ///< family, protocol and port
    std::uint64_t contents = 0;
    std::uint64_t size = 0;
    bool operator==(const Region&) const = default;
  };
  std::vector<Region> backends;
  std::vector<Region> rings;
  TableElements sum;
  std::string too_large;  ///< why no ring has room for its backends, if none has

  void add(const Region& region) {
    backends.push_back(region);
    sum.backends += region.size;
  }
  void add_ring(const Region& region) {
    rings.push_back(region);
    sum.ring_blocks += region.size;
  }
};

class TableRoom {
 public:
  /// O(everything).
  TableRoom(const TableSizes& sizes, const State& state, const Assignments& assignments);

  /// What a change was, so that it can be judged and taken back.
  struct Step {
    struct Service {
      std::optional<ServiceRoom> former;  ///< nothing: there was none
      TableElements added;                ///< what it needs beside all that stood there before
      bool fewer_backends = false;        ///< also: it is no more
    };
    std::map<Name, Service> services;  ///< those that it touches
    TableElements replaced;            ///< what goes when the change is done, and not before
  };
  /// `state` and `assignments` are those after the change. Costs what the change touches: its services, and those that
  /// select a pod whose labels, ports or weight have changed, with all of their backends.
  Step take(const State& state, const Assignments& assignments, const Change& change);
  /// `state` is still the one after the change.
  void take_back(const State& state, const Change& change, Step step);

  /// kExhausted for what the step adds and the tables have no room for. What stands already is never refused, nor a
  /// service that has fewer backends now: pods go whether there is room or not.
  void judge(const Step& step, Problems& problems) const;

  [[nodiscard]] const TableElements& sum() const { return sum_; }

 private:
  [[nodiscard]] std::vector<const Pod*> selected(const State& state, const Service& service) const;
  void add_port(const ServicePort& port, bool six, const std::vector<const Pod*>& pods, ServiceRoom& room) const;
  void add_family(const State& state, const Service& service, bool six, const std::vector<const Pod*>& pods,
                  ServiceRoom& room) const;
  [[nodiscard]] ServiceRoom room_of(const State& state, const Assignments& assignments, const Service& service) const;
  std::optional<ServiceRoom> set(const Name& name, std::optional<ServiceRoom> room);

  TableSizes sizes_;
  Index index_;
  std::map<Name, ServiceRoom> services_;
  TableElements sum_;
};

}  // namespace sluice::model
