// SPDX-License-Identifier: Apache-2.0
// compile(): desired state + assignments + attachments -> exact map contents. Pure: no system call, no libbpf.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "base/result.hpp"
#include "compile/egress.hpp"
#include "compile/limits.hpp"
#include "compile/space.hpp"
#include "compile/tables.hpp"
#include "model/assignments.hpp"
#include "model/change.hpp"
#include "model/index.hpp"
#include "model/resources.hpp"

namespace sluice::compile {

/// An uplink device of this node, as it is now.
struct Uplink {
  std::uint32_t ifindex = 0;
  Mac mac;
};

struct Input {
  const model::State& state;
  const model::Assignments& assignments;
  const model::Attachments& attachments;
  const std::vector<Uplink>& uplinks;
  sluice_settings settings;  ///< from the configuration; shared_pairs is filled in by compile
  Limits limits;
  Egress egress{};  ///< how pods leave for the public side; by default nobody does
  /// Pods whose flows are to end although nothing about them has changed: each gets a new ref, in this compile alone.
  std::set<model::Name> ending{};
};

/// Where the last tables stand: slots, generations and arena regions of what stays are kept, so that compiling the
/// same input again gives the same tables. `previous` is what is in the maps (read back at start). Fails with
/// kExhausted (naming the resource) when a slot space, an arena or the guaranteed flows do not fit, and changes
/// nothing then.
///
/// A pod gets a new slot and generation whenever its attachment ends or begins (another ifindex, MAC or kind of
/// delivery; 0 included) and when its address changes: its flows end. A frontend gets them when its (network, address,
/// port, protocol) is bound to another service. Slots and regions that `previous` names are not given to anybody else
/// in the same compile, so a change needs room for the old and the new at once.
Result<Tables> compile(const Input& input, const Tables& previous);
/// The same for a caller that keeps the index of input.state and the space of `previous`; `space` is left as it was.
Result<Tables> compile(const Input& input, const Tables& previous, const model::Index& index, Space& space);

/// The ordered writes that turn `actual` into `wanted`; empty if and only if they are equal. diff.cpp has the order and
/// its reasons.
Plan diff(const Tables& actual, const Tables& wanted);

/// The plan that diff(previous, *compile(input, previous)) is, up to the choice of free slots and regions and the order
/// inside of steps, for an `input` that differs by `change` alone from the one whose compilation gave `previous`:
/// compile(input, what the plan gives) has nothing to add. Costs what the change touches: its resources, the services
/// that select a changed pod, before or after, and those bound to a changed floating IP. `index` is that of
/// input.state, `space` that of `previous` (and is left as it was).
///
/// Nothing: a network's addresses have changed, the tables are not those of the state before, or there is no room.
/// compile() then decides, or says what is wrong.
std::optional<Plan> follow(const Input& input, const Tables& previous, const model::Change& change,
                           const model::Index& index, Space& space);

/// Whether the interface behind a pod's port has these addresses, in this network's prefixes, and its router.
bool is_configured_for(const sluice_port& port, const model::Network& network, const model::Addresses& addresses);

/// Backends of a service's port as the tables have them, of the family that has more.
struct BackendCounts {
  std::uint32_t configured = 0;
  std::uint32_t ready = 0;
};
BackendCounts backends_of(const Tables& tables, std::uint32_t network, const model::Addresses& addresses,
                          const model::ServicePort& port);

/// By what pods leave as these tables have it: what was compiled into them, or nobody if no network has a way out.
Egress egress_of(const Tables& tables);

/// Applies a plan to a value; tests and the node loop use it to follow what the maps hold.
void apply(const Plan& plan, Tables& tables);
/// And to what the tables take.
void apply(const Plan& plan, Tables& tables, Space& space);

}  // namespace sluice::compile
