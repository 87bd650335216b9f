// SPDX-License-Identifier: Apache-2.0
// One configuration in both worlds, what happens in it, and where the worlds differ.
#pragma once

#include <array>
#include <string>

#include "harness/datapath.hpp"
#include "traffic.hpp"

namespace model {

/// A packet, or a change of the configuration.
struct Event {
  std::uint64_t change = 0;  ///< the change's seed; 0: a packet
  Packet packet = {};
};

/// How often the model has given each reason, by entry point.
using Coverage = std::array<std::array<std::uint64_t, SLUICE_REASON_COUNT>, SLUICE_ENTRY_COUNT>;

class Session {
 public:
  /// Everything follows from `seed`: the configuration, and what is drawn.
  explicit Session(std::uint64_t seed) : Session(seed, small_shape(seed)) {}
  Session(std::uint64_t seed, const Shape& shape);

  /// What happens next.
  Event draw();
  /// Lets it happen in both worlds. What differs, as text; empty if nothing.
  std::string apply(const Event& event);
  /// Compares the flow tables, what is charged, and the counters with the number of runs.
  [[nodiscard]] std::string compare_tables() const;
  /// What the program made of the last packet.
  [[nodiscard]] const bpftest::Outcome& outcome() const { return outcome_; }
  [[nodiscard]] const Configuration& configuration() const { return configuration_; }
  [[nodiscard]] const std::map<Tuple, Flow>& flows() const { return model_.flows; }
  [[nodiscard]] const Coverage& coverage() const { return coverage_; }

 private:
  [[nodiscard]] Verdict expected(const Packet& packet, const Verdict& done);
  [[nodiscard]] std::string compare_flows() const;
  [[nodiscard]] std::string compare_counters() const;
  [[nodiscard]] std::string compare_pair(std::uint32_t index, const Flow& flow) const;
  [[nodiscard]] std::string compare_shares() const;

  Random random_;
  Model model_;
  bpftest::Datapath datapath_;
  Configuration configuration_;
  bpftest::Outcome outcome_;
  Coverage coverage_ = {};
  mutable std::map<Asked, std::uint32_t> counts_;  ///< of egress_shares: the element of each that was seen
  Traffic traffic_;
};

}  // namespace model
