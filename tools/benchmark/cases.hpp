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
  Hook hook = Hook::kTc;
  int program = -1;
  Traffic traffic;
  std::uint32_t device = 0;
  sluice_entry entry = SLUICE_ENTRY_FROM_POD;
  sluice_reason reason = SLUICE_REASON_NONE;  ///< every packet must be counted with it, and with no other
  int verdict = 0;                            ///< of the program
  std::optional<double> target;
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
};

class Suite {
 public:
  /// Makes a world for each number of flows and the cases in them. `object`: an object file to measure instead of
  /// the shipped one, or empty.
  static Result<Suite> make(const Devices& devices, const std::string& object, Engine& engine);

  /// Every case once, next to its floor; appends to `nets`.
  [[nodiscard]] Status measure_round(Engine& engine);
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }

 private:
  [[nodiscard]] Status add_pod_side(std::uint32_t flows, std::size_t size);
  [[nodiscard]] Status add_public_side(std::uint32_t flows, std::size_t size);
  [[nodiscard]] Status add_opening(std::uint32_t flows, double target);
  [[nodiscard]] Result<World*> add_world(const WorldShape& shape, const Devices& devices, const std::string& object,
                                         Engine& engine);

  std::vector<std::unique_ptr<World>> worlds_;
  std::vector<Group> groups_;
};

}  // namespace sluice::benchmark
