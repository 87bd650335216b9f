// SPDX-License-Identifier: Apache-2.0
// What must hold between the flow tables whenever no program runs.
#pragma once

#include "harness/datapath.hpp"

namespace bpftest {

/// Fails the test unless: every live pair has both its records and no record lacks its pair; no pair is left
/// half-made; free indexes and live pairs add up to the high-water mark, none twice; the usage counters and the
/// shared pool equal what the tables hold.
void expect_consistent(const Datapath& datapath);

/// A counter's value that fell below zero, or any of the errors above, as text; empty if all is well.
std::string inconsistency(const Datapath& datapath);

/// Live pairs.
unsigned live_pairs(const Datapath& datapath);

}  // namespace bpftest
