// SPDX-License-Identifier: Apache-2.0
// What a change touches: the resources to compile again, and the records that they have now. Private to this folder.
#pragma once

#include <optional>
#include <set>

#include "compile/compile.hpp"

namespace sluice::compile {

struct Scope {
  std::set<model::Name> pods;      ///< declared now or before
  std::set<model::Name> services;  ///< the same
  /// Endpoints, ports, frontends, shares and ways out of networks that the scope's resources have in the previous
  /// tables, and the settings. No other resource has one of these.
  Tables before;
};

/// Nothing: this is a case for a full compile, because a network's own addresses have changed or the tables are not
/// those of the state before the change.
std::optional<Scope> scope_of(const Input& input, const Tables& previous, const model::Change& change,
                              const model::Index& index);

}  // namespace sluice::compile
