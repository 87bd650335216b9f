// SPDX-License-Identifier: Apache-2.0
// What a map operation that failed leaves behind: a record without its pair, a pair without a record, an index that
// nobody has. No call of the kernel's can be made to fail here, so the states are built by hand; all of them must heal.
#include <functional>

#include "harness/healing_test.hpp"

namespace bpftest {
namespace {

class Heal : public InEachFamily<HealingTest> {
 protected:
  Heal() { frontend = world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}}); }
  [[nodiscard]] Tuple there(std::uint16_t port) const { return {client.address, port, ip("172.16.1.1"), 80}; }
  [[nodiscard]] Tuple back(std::uint16_t port) const { return {server.address, 8080, client.address, port}; }
  Outcome packet(std::uint16_t port, unsigned flags) {
    return send(client, tcp(client.to_router(), there(port), flags));
  }
  static FlowKey key_of(const Tuple& tuple) { return {7, kTcp, tuple}; }
  /// A record of `tuple` that names the pair of another flow, as a failed deletion leaves it when the index is reused.
  void leave_record(const Tuple& tuple, const Tuple& original, const std::function<void(FlowRecord&)>& change) {
    FlowRecord record = flow(7, kTcp, original).value();
    record.self = key_of(tuple);
    change(record);
    datapath.put_flow(record);
  }

  Frontend frontend;
};

TEST_P(Heal, AClosingRecordOfAnotherFlowsPairMakesRoomForASyn) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  leave_record(there(2), there(1), [](FlowRecord& record) { record.state |= SLUICE_STATE_FIN; });
  EXPECT_EQ(packet(2, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(flow(7, kTcp, there(2)).value().pair, 1U) << "a pair of its own";
  EXPECT_EQ(packet(1, kAck).reason, SLUICE_REASON_TO_BACKEND) << "the other flow is not concerned";
}

TEST_P(Heal, AnEndedRecordOfAnotherFlowsPairMakesRoom) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  leave_record(there(2), there(1), [](FlowRecord& record) { --record.frontend.generation; });
  EXPECT_EQ(packet(2, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(flow(7, kTcp, there(2)).value().pair, 1U);
  EXPECT_EQ(packet(1, kAck).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Heal, AReverseRecordOfAnotherFlowsPairMakesRoom) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  leave_record(back(2), back(1), [](FlowRecord&) {});
  const Outcome second = packet(2, kSyn);
  EXPECT_EQ(second.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(second.frame.get16(l4), 2U) << "without a substitute port";
  EXPECT_EQ(datapath.flows().size(), 4U);
}

TEST_P(Heal, ARecordOfAFreePairMakesRoom) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  leave_record(there(2), there(1), [](FlowRecord& record) {
    record.pair = 40;
    record.state |= SLUICE_STATE_FIN;
  });
  EXPECT_EQ(packet(2, kSyn).reason, SLUICE_REASON_TO_BACKEND);
}

TEST_P(Heal, ALivePairWithoutItsForwardRecordIsReplaced) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  datapath.remove_flow(key_of(there(1)));
  EXPECT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

TEST_P(Heal, AClosingPairWithoutItsReverseRecordIsReplaced) {
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  ASSERT_EQ(packet(1, kRst).reason, SLUICE_REASON_TO_BACKEND);
  datapath.remove_flow(key_of(back(1)));
  EXPECT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(datapath.usage(network.slot).pairs, 1U);
}

TEST_P(Heal, AnIndexThatCouldNotBePushedIsPushedByTheSweep) {
  sluice_flow_totals totals = datapath.totals();
  totals.high_water = 2;
  datapath.put("flow_totals", std::uint32_t{0}, totals);
  for (std::uint32_t index = 0; index < 2; ++index) {
    sluice_pair pair{};
    pair.state = SLUICE_PAIR_KEPT;
    datapath.put("pairs", index, pair);
  }
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return inconsistency(datapath).empty(); })) << inconsistency(datapath);
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_LT(flow(7, kTcp, there(1)).value().pair, 2U) << "one of them is used";
}

TEST_P(Heal, ADeletionThatStoppedHalfwayIsFinishedByTheSweep) {
  change_settings([](sluice_settings& s) { s.delete_grace = 1; });
  ASSERT_EQ(packet(1, kSyn).reason, SLUICE_REASON_TO_BACKEND);
  datapath.remove_flow(key_of(there(1)));  // the forward record goes first
  auto pair = datapath.element<sluice_pair>("pairs", 0);
  pair.mark = 1;
  datapath.put("pairs", std::uint32_t{0}, pair);
  datapath.start_sweep();
  EXPECT_TRUE(eventually([&] { return datapath.flows().empty() && datapath.usage(network.slot).pairs == 0; }));
}

IN_BOTH_FAMILIES(Heal);

}  // namespace
}  // namespace bpftest
