// SPDX-License-Identifier: Apache-2.0
// The fixture of the program tests: a fresh object for every test, and a check of all tables at its end.
#pragma once

#include <gtest/gtest.h>

#include "harness/accounting.hpp"
#include "harness/datapath.hpp"
#include "harness/frame.hpp"
#include "harness/world.hpp"

namespace bpftest {

inline std::uint32_t network_protocol(std::uint32_t network, std::uint8_t protocol) {
  return network | static_cast<std::uint32_t>(protocol) << 24;
}

class ProgramTest : public ::testing::Test {
 protected:
  explicit ProgramTest(const Sizes& sizes = {}) : datapath(sizes), world(datapath) {}
  void TearDown() override { expect_consistent(datapath); }

  Outcome send(const Pod& pod, const Frame& frame) { return datapath.run(SLUICE_ENTRY_FROM_POD, pod.ifindex, frame); }
  Outcome receive(const Frame& frame) { return datapath.run(SLUICE_ENTRY_FROM_UPLINK, world.uplink(), frame); }

  /// The record that owns `tuple`, if any.
  [[nodiscard]] std::optional<sluice_flow4> flow(std::uint32_t network, std::uint8_t protocol,
                                                 const Tuple& tuple) const {
    const sluice_flow4_key key{network_protocol(network, protocol), be(tuple.source), be(tuple.destination),
                               be(tuple.source_port), be(tuple.destination_port)};
    return datapath.lookup<sluice_flow4>("flows4", key);
  }
  void change_settings(auto&& change) {
    sluice_settings settings = datapath.settings();
    change(settings);
    datapath.set_settings(settings);
  }

  Datapath datapath;
  World world;
};

/// A frame as the router hands it to a pod.
inline Link to_pod(const Pod& pod) {
  return {kRouterMac, pod.mac};
}
/// A frame from the Internet, by way of the uplink's neighbour.
inline constexpr Link kInbound = {kGatewayMac, kUplinkMac};

}  // namespace bpftest
