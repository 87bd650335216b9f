// SPDX-License-Identifier: Apache-2.0
#include <ctime>

#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kSecond = 1'000'000'000;

std::uint64_t seconds_ago(std::uint64_t seconds) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const auto nanoseconds = static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
  return nanoseconds - std::min(nanoseconds, seconds * kSecond);
}

/// The time since boot bounds the ages that a test can use; these are far below the 30 s of any boot.
class Flows : public PinnedMapsTest {
 protected:
  void SetUp() override {
    PinnedMapsTest::SetUp();
    if (HasFatalFailure()) return;
    make_maps();
    put("endpoint_generations", std::uint32_t{1}, std::uint32_t{101});
    put("endpoint_generations", std::uint32_t{2}, std::uint32_t{102});
    put("frontend_generations", std::uint32_t{1}, std::uint32_t{301});
    put("frontend_generations", std::uint32_t{2}, std::uint32_t{302});
  }

  /// Client 172.16.0.2:40000 of network 7 to service 172.16.0.10:80, backend 172.16.0.3:8080.
  static sluice_flow4 forward_of_service() {
    sluice_flow4 flow{};
    flow.self = {7 | 6U << 24, wire_address("172.16.0.2"), wire_address("172.16.0.10"), wire_port(40000),
                 wire_port(80)};
    flow.new_source = flow.self.source;
    flow.new_source_port = flow.self.source_port;
    flow.new_destination = wire_address("172.16.0.3");
    flow.new_destination_port = wire_port(8080);
    flow.ifindex = 42;
    flow.delivery = SLUICE_DELIVER_PEER;
    flow.role = SLUICE_FLOW_FORWARD;
    flow.destination_mac[0] = 2;
    flow.source = {1, 101};
    flow.endpoint = {2, 102};
    flow.frontend = {1, 301};
    flow.state = SLUICE_STATE_SYN | SLUICE_STATE_SYNACK | SLUICE_STATE_ESTABLISHED;
    flow.last_seen = seconds_ago(0);
    flow.packets = 12;
    flow.bytes = 3456;
    flow.pair = 5;
    flow.network_slot = 1;
    return flow;
  }

  /// The packets of the other direction, translated back.
  static sluice_flow4 reverse_of(const sluice_flow4& forward) {
    sluice_flow4 flow = forward;
    flow.self.source = forward.new_destination;
    flow.self.source_port = forward.new_destination_port;
    flow.self.destination = forward.new_source;
    flow.self.destination_port = forward.new_source_port;
    flow.new_source = forward.self.destination;
    flow.new_source_port = forward.self.destination_port;
    flow.new_destination = forward.self.source;
    flow.new_destination_port = forward.self.source_port;
    flow.role = SLUICE_FLOW_REVERSE;
    flow.source = forward.endpoint;
    flow.endpoint = forward.source;
    flow.state = 0;
    flow.packets = 9;
    flow.bytes = 99999;
    return flow;
  }

  void put_pair(const sluice_flow4& forward, const sluice_flow4& reverse, std::uint32_t state = SLUICE_PAIR_LIVE,
                std::uint64_t mark = 0) {
    put_self("flows4", forward);
    put_self("flows4", reverse);
    const auto protocol = static_cast<std::uint8_t>(forward.self.network_protocol >> 24);
    put("pairs", forward.pair, sluice_pair{mark, state, forward.network_slot, 4, protocol, {}, 0, 0, 0, 0});
  }

  /// A UDP flow from the public side to a floating IP of network 7.
  static sluice_flow4 forward_of_floating_ip() {
    sluice_flow4 flow = forward_of_service();
    flow.self = {0 | 17U << 24, wire_address("198.51.100.7"), wire_address("203.0.113.10"), wire_port(5000),
                 wire_port(53)};
    flow.new_source = flow.self.source;
    flow.new_source_port = flow.self.source_port;
    flow.source = {0, 0};
    flow.frontend = {2, 302};
    flow.state = 0;
    flow.pair = 6;
    return flow;
  }
  static sluice_flow4 reverse_of_floating_ip() {
    sluice_flow4 flow = reverse_of(forward_of_floating_ip());
    flow.self.network_protocol = 7 | 17U << 24;
    flow.delivery = SLUICE_DELIVER_UPLINK;
    flow.state = SLUICE_STATE_ESTABLISHED;
    return flow;
  }
};

TEST_F(Flows, BothDirectionsOfAPairStandTogether) {
  sluice_flow4 forward = forward_of_service();
  forward.last_seen = UINT64_MAX;  // a packet that arrives while the table is read is later than "now"
  sluice_flow4 reverse = reverse_of(forward);
  put_pair(forward, reverse);
  const Outcome outcome = bpf({"flows"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(
      outcome.out,
      "PAIR  DIRECTION  NETWORK  PROTOCOL  SOURCE            DESTINATION       NEW-SOURCE        NEW-DESTINATION   "
      "STATE                   AGE  PACKETS  BYTES  DELIVERY  VALID\n"
      "   5  forward          7  TCP       172.16.0.2:40000  172.16.0.10:80    172.16.0.2:40000  172.16.0.3:8080   "
      "syn+synack+established  0ms       12   3456  peer      current\n"
      "   5  reverse          7  TCP       172.16.0.3:8080   172.16.0.2:40000  172.16.0.10:80    172.16.0.2:40000  "
      "-                       0ms        9  99999  peer      current\n");
}

TEST_F(Flows, JsonKeepsItsShape) {
  sluice_flow4 forward = forward_of_service();
  forward.last_seen = UINT64_MAX;
  put_pair(forward, reverse_of(forward), SLUICE_PAIR_DYING, 1);
  const Json expected_forward = {{"network", 7},
                                 {"source", "172.16.0.2"},
                                 {"source_port", 40000},
                                 {"destination", "172.16.0.10"},
                                 {"destination_port", 80},
                                 {"new_source", "172.16.0.2"},
                                 {"new_source_port", 40000},
                                 {"new_destination", "172.16.0.3"},
                                 {"new_destination_port", 8080},
                                 {"state", {"syn", "synack", "established"}},
                                 {"age_ms", 0},
                                 {"packets", 12},
                                 {"bytes", 3456},
                                 {"delivery", "peer"},
                                 {"ifindex", 42},
                                 {"destination_mac", "02:00:00:00:00:00"},
                                 {"source_pod", {{"slot", 1}, {"generation", 101}}},
                                 {"endpoint_pod", {{"slot", 2}, {"generation", 102}}},
                                 {"frontend", {{"slot", 1}, {"generation", 301}}},
                                 {"ended", Json::array()}};
  Json flow = bpf_json({"flows"})["flows"][0];
  EXPECT_EQ(flow["forward"].dump(2), expected_forward.dump(2));
  EXPECT_EQ(flow["reverse"]["new_source"], "172.16.0.10");
  flow.erase("forward");
  flow.erase("reverse");
  EXPECT_EQ(
      flow.dump(),
      Json({{"pair", 5}, {"pair_state", "dying"}, {"marked", true}, {"protocol", "TCP"}, {"network_slot", 1}}).dump());
}

TEST_F(Flows, EndedGenerationsAreNamedAndCanBeAskedFor) {
  const sluice_flow4 live = forward_of_service();
  put_pair(live, reverse_of(live));
  sluice_flow4 ended = forward_of_service();
  ended.self.source_port = ended.new_source_port = wire_port(40001);
  ended.endpoint = {2, 99};   // the pod before this slot's present holder
  ended.frontend = {1, 300};  // and a service port of former days
  ended.pair = 8;
  put_pair(ended, reverse_of(ended));

  const Outcome outcome = bpf({"flows", "--ended"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 3);
  EXPECT_NE(outcome.out.find("ended(endpoint+frontend)\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("ended(source+frontend)\n"), std::string::npos) << outcome.out;
  const Json flows = bpf_json({"flows", "--ended"})["flows"];
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0]["forward"]["ended"], Json({"endpoint", "frontend"}));
  EXPECT_EQ(bpf_json({"flows"})["flows"].size(), 2U);
}

TEST_F(Flows, AgeIsTheTimeSinceTheLastPacket) {
  sluice_flow4 forward = forward_of_service();
  forward.last_seen = seconds_ago(12);
  put_pair(forward, reverse_of(forward));
  const std::uint64_t age = bpf_json({"flows"})["flows"][0]["forward"]["age_ms"];
  EXPECT_GE(age, 12'000U);
  EXPECT_LT(age, 60'000U);
}

TEST_F(Flows, FiltersMatchEitherDirection) {
  const sluice_flow4 service = forward_of_service();
  put_pair(service, reverse_of(service));
  put_pair(forward_of_floating_ip(), reverse_of_floating_ip());
  const auto pairs = [&](std::vector<std::string> filter) {
    filter.insert(filter.begin(), "flows");
    std::vector<int> found;
    const Json json = bpf_json(filter);
    for (const Json& flow : json["flows"]) found.push_back(flow["pair"]);
    return found;
  };
  using List = std::vector<int>;
  EXPECT_EQ(pairs({}), (List{6, 5})) << "sorted by network, the public side first";
  EXPECT_EQ(pairs({"--network", "0"}), List{6});
  EXPECT_EQ(pairs({"--network", "7"}), (List{6, 5})) << "the floating IP's backend answers from network 7";
  EXPECT_EQ(pairs({"--address", "198.51.100.7"}), List{6});
  EXPECT_EQ(pairs({"--address", "172.16.0.10"}), List{5});
  EXPECT_EQ(pairs({"--port", "40000"}), List{5});
  EXPECT_EQ(pairs({"--port", "8080"}), (List{6, 5})) << "the target port is in the reverse record";
  EXPECT_EQ(pairs({"--protocol", "UDP"}), List{6});
  EXPECT_EQ(pairs({"--slot", "1"}), List{5});
  EXPECT_EQ(pairs({"--service", "203.0.113.10:53/udp"}), List{6});
  EXPECT_EQ(pairs({"--service", "172.16.0.10:80"}), List{5});
  EXPECT_EQ(pairs({"--service", "172.16.0.10:80/udp"}), List{});
}

TEST_F(Flows, AFloatingIpsFlowHasItsNetworkInEachDirection) {
  put_pair(forward_of_floating_ip(), reverse_of_floating_ip());
  const Json flow = bpf_json({"flows"})["flows"][0];
  EXPECT_EQ(flow["protocol"], "UDP");
  EXPECT_EQ(flow["forward"]["network"], 0);
  EXPECT_EQ(flow["reverse"]["network"], 7);
  EXPECT_EQ(flow["reverse"]["delivery"], "uplink");
  EXPECT_EQ(flow["reverse"]["state"], Json({"established"}));
  EXPECT_EQ(flow["forward"]["ended"], Json::array()) << "the public side never ends";
}

TEST_F(Flows, AnOrphanIsShownWithItsOtherSideMissing) {
  const sluice_flow4 orphan = reverse_of(forward_of_service());
  put_self("flows4", orphan);
  const Json flow = bpf_json({"flows"})["flows"][0];
  EXPECT_TRUE(flow["forward"].is_null());
  EXPECT_EQ(flow["reverse"]["source"], "172.16.0.3");
  EXPECT_EQ(flow["pair_state"], "free");
}

TEST_F(Flows, APairIndexOutsideTheTableIsShownAsMissing) {
  sluice_flow4 flow = forward_of_service();
  flow.pair = 0xFFFFFFFF;
  flow.delivery = 99;
  flow.state = 1 << 20;
  put_self("flows4", flow);
  const Outcome outcome = bpf({"flows", "-o", "wide"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.out.find("unknown(99)"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("unknown(0x100000)"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("missing\n"), std::string::npos) << outcome.out;
}

TEST_F(Flows, TwoRecordsOfOneRoleWithTheSamePairAreBothShown) {
  const sluice_flow4 first = forward_of_service();
  sluice_flow4 second = first;
  second.self.source_port = wire_port(40001);
  put_self("flows4", first);
  put_self("flows4", second);
  EXPECT_EQ(bpf_json({"flows"})["flows"].size(), 2U);
}

TEST_F(Flows, ATableOfManyBatchesIsReadWhole) {
  constexpr std::uint32_t kPairs = 9000;
  for (std::uint32_t i = 0; i < kPairs; i++) {
    sluice_flow4 forward = forward_of_service();
    forward.self.source_port = forward.new_source_port = wire_port(static_cast<std::uint16_t>(20000 + i));
    forward.pair = i;
    put_pair(forward, reverse_of(forward));
  }
  const Json flows = bpf_json({"flows"})["flows"];
  ASSERT_EQ(flows.size(), kPairs);
  for (const Json& flow : flows) {
    ASSERT_EQ(flow["forward"]["source_port"], flow["reverse"]["new_destination_port"]);
    ASSERT_EQ(flow["pair_state"], "live");
  }
}

}  // namespace
}  // namespace sluice::testing
