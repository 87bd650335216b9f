// SPDX-License-Identifier: Apache-2.0
// What differs between two worlds.
#pragma once

#include "model/change.hpp"
#include "world.hpp"

namespace sluice::compile {

model::Change difference(const World& before, const World& after);

}  // namespace sluice::compile
