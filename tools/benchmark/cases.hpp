// SPDX-License-Identifier: Apache-2.0
// What is measured, and one round of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices.hpp"
#include "engine.hpp"
#include "world.hpp"

namespace sluice::benchmark {

/// One row of the table. Times are nanoseconds a packet, net: case minus trivial program, both of the same round.
struct Case {
  std::string name;
  Family family = Family::kIpv4;
  Hook hook = Hook::kTc;
  int program = -1;
  Traffic traffic;
  std::uint32_t device = 0;
  sluice_entry entry = SLUICE_ENTRY_FROM_POD;
  sluice_reason reason = SLUICE_REASON_NONE;  ///< every packet must be counted with it, and with no other
  int verdict = 0;                            ///< of the program
  std::optional<double> target;
  std::optional<double> ratio_target;  ///< IPv6: how many times as long as IPv4's row of this name and size
  bool reference = false;  ///< the lower bound instead of a program of ours: counts nothing, has flows of its own
  std::vector<double> nets;
};

/// Cases that share a floor: same hook, same number of flows, same way of running.
struct Group {
  Hook hook = Hook::kTc;
  std::uint32_t flows = 1;
  World* world = nullptr;
  bool opens_flows = false;  ///< each packet opens a flow; run in batches, with as many flows closed in between
  std::vector<Case> cases;
  std::vector<double> floors;
  std::uint32_t next_reference = 0;  ///< which flows the reference opens next, behind those of the table
};

/// What to measure.
struct Choice {
  std::string object;            ///< an object file instead of the shipped one; empty: the shipped one
  std::string name;              ///< only cases with this in their name
  std::uint32_t flows = 0;       ///< only with this many flows; 0: all
  std::optional<Family> family;  ///< only of this one; none: of both
};

class Suite {
 public:
  /// Makes a world for each number of flows and the cases in them; kNotFound if the choice leaves none.
  static Result<Suite> make(const Devices& devices, const Choice& choice, Engine& engine);

  /// Every case once, next to its floor; appends to `nets`.
  [[nodiscard]] Status measure_round(Engine& engine);
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }

 private:
  using Groups = std::vector<Group>;
  static Result<Groups> pod_side(World& world, std::size_t size);
  static Result<Groups> public_side(World& world, std::size_t size);
  static Result<Groups> egress_side(World& world, std::size_t size);
  static Result<Groups> opening(World& world, std::optional<double> target);
  [[nodiscard]] Status add_family(Family family, const Devices& devices, const Choice& choice, Engine& engine);
  /// Makes the world, and keeps it if any of the cases that `groups` makes in it is chosen.
  template <typename MakeGroups>
  [[nodiscard]] Status add(const WorldShape& shape, const Devices& devices, const Choice& choice, Engine& engine,
                           const MakeGroups& groups);

  std::vector<std::unique_ptr<World>> worlds_;
  std::vector<Group> groups_;
};

}  // namespace sluice::benchmark
