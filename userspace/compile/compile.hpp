// SPDX-License-Identifier: Apache-2.0
// compile(): desired state + assignments + attachments -> exact map contents. Pure: no system call, no libbpf.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "compile/tables.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::compile {

/// An uplink device of this node, as it is now.
struct Uplink {
  std::uint32_t ifindex = 0;
  Mac mac;
};

/// What the daemon's configuration decides about the maps.
struct Limits {
  std::uint32_t max_pairs = 262144;
  std::uint32_t max_endpoint_slots = SLUICE_MAX_ENDPOINT_SLOTS;
  std::uint32_t max_frontend_slots = SLUICE_MAX_FRONTEND_SLOTS;
  std::uint32_t backend_arena = 1048576;  ///< elements of `backends`
  std::uint32_t ring_arena = 262144;      ///< blocks of `rings`
  std::uint32_t slots_per_backend = 100;  ///< Maglev size >= this times the backends (32 in a memory mode)
};

struct Input {
  const model::State& state;
  const model::Assignments& assignments;
  const model::Attachments& attachments;
  const std::vector<Uplink>& uplinks;
  sluice_settings settings;  ///< from the configuration; shared_pairs is filled in by compile
  Limits limits;
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

/// The ordered writes that turn `actual` into `wanted`; empty if and only if they are equal. diff.cpp has the order and
/// its reasons.
Plan diff(const Tables& actual, const Tables& wanted);

/// The plan that diff(previous, *compile(input, previous)) is, up to the order inside of steps, for an `input` whose
/// compilation gave `previous`, except that the attachments of `pods` (and nothing else) have changed since. Costs what
/// these pods touch plus a look at what every slot is used for, where compile() rebuilds everything. Nothing: one of
/// the pods is not in the tables, or there is no room; compile() then decides, or says what is wrong.
std::optional<Plan> follow(const Input& input, const Tables& previous, const std::set<model::Name>& pods);

/// Applies a plan to a value; tests and the node loop use it to follow what the maps hold.
void apply(const Plan& plan, Tables& tables);

}  // namespace sluice::compile
