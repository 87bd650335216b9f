// SPDX-License-Identifier: Apache-2.0
// What tests of the sweep and of its repairs have in common: a client and a server, and a table that is right again
// at the end.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "harness/program_test.hpp"

namespace bpftest {

class HealingTest : public ProgramTest {
 protected:
  explicit HealingTest(Family its_family) : ProgramTest(its_family) {}

  /// The sweep may be in the middle of a deletion when the test ends.
  void TearDown() override {
    EXPECT_TRUE(eventually([&] { return inconsistency(datapath).empty(); })) << inconsistency(datapath);
  }

  static bool eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
};

}  // namespace bpftest
