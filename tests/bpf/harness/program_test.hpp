// SPDX-License-Identifier: Apache-2.0
// The fixtures of the program tests: a fresh object for every test, and a check of all tables at its end.
#pragma once

#include <gtest/gtest.h>

#include "harness/accounting.hpp"
#include "harness/datapath.hpp"
#include "harness/frame.hpp"
#include "harness/packets.hpp"
#include "harness/world.hpp"

namespace bpftest {

class ProgramTest : public ::testing::Test {
 protected:
  explicit ProgramTest(const Sizes& sizes = {}, Family its_family = Family::kIpv4)
      : family(its_family), datapath(sizes), world(datapath, its_family) {}
  explicit ProgramTest(Family its_family) : ProgramTest({}, its_family) {}
  void TearDown() override { expect_consistent(datapath); }

  Outcome send(const Pod& pod, const Frame& frame) { return datapath.run(SLUICE_ENTRY_FROM_POD, pod.ifindex, frame); }
  Outcome receive(const Frame& frame) { return datapath.run(SLUICE_ENTRY_FROM_UPLINK, world.uplink(), frame); }

  /// The address that stands for `text` in the test's family.
  [[nodiscard]] Address ip(const std::string& text) const { return world.ip(text); }
  /// Which of the two the test's family wants.
  template <typename Value>
  [[nodiscard]] Value pick(Value ipv4, Value ipv6) const {
    return family == Family::kIpv6 ? ipv6 : ipv4;
  }
  /// A good packet of the family that the test is not about.
  [[nodiscard]] Frame other_family(const Link& link) const {
    const Tuple ipv4{bpftest::ip("198.51.100.1"), 1, bpftest::ip("198.51.100.2"), 2};
    return udp(link, pick(Tuple{bpftest::ip("2001:db8::1"), 1, bpftest::ip("2001:db8::2"), 2}, ipv4));
  }
  /// The record that owns `tuple`, if any.
  [[nodiscard]] std::optional<FlowRecord> flow(std::uint32_t network, std::uint8_t protocol, const Tuple& tuple) const {
    return datapath.flow({network, protocol, tuple});
  }
  void change_settings(auto&& change) {
    sluice_settings settings = datapath.settings();
    change(settings);
    datapath.set_settings(settings);
  }

  const Family family;
  /// Offset behind an IP header of the test's family, without options or extension headers.
  const std::size_t l4 = l4_offset(family);
  Datapath datapath;
  World world;
};

inline constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

inline const char* name_of(Family family) {
  return family == Family::kIpv6 ? "IPv6" : "IPv4";
}
inline void PrintTo(Family family, std::ostream* out) {
  *out << name_of(family);
}

/// The fixture of a test that holds for both families. It is written in IPv4 addresses (see World); TEST_P and
/// IN_BOTH_FAMILIES run it in each.
class FamilyTest : public ProgramTest, public ::testing::WithParamInterface<Family> {
 protected:
  explicit FamilyTest(const Sizes& sizes = {}) : ProgramTest(sizes, GetParam()) {}
};

/// The same for fixtures whose constructor takes the family: `Fixture` in both families, or in one.
template <typename Fixture>
class InEachFamily : public Fixture, public ::testing::WithParamInterface<Family> {
 protected:
  InEachFamily() : Fixture(GetParam()) {}
};
template <typename Fixture, Family its_family>
class InFamily : public Fixture {
 protected:
  InFamily() : Fixture(its_family) {}
};
template <typename Fixture>
using InIpv4 = InFamily<Fixture, Family::kIpv4>;
template <typename Fixture>
using InIpv6 = InFamily<Fixture, Family::kIpv6>;

#define IN_BOTH_FAMILIES(Suite)                                                \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(::bpftest::kFamilies), \
                           [](const auto& run) { return std::string(::bpftest::name_of(run.param)); })

/// A frame as the router hands it to a pod.
inline Link to_pod(const Pod& pod) {
  return {kRouterMac, pod.mac};
}
/// A frame from the Internet, by way of the uplink's neighbour.
inline constexpr Link kInbound = {kGatewayMac, kUplinkMac};

}  // namespace bpftest
