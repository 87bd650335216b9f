// SPDX-License-Identifier: Apache-2.0
// Random configurations x random packets: verdict, every byte and the whole flow table of the shipped programs must
// be the model's. SLUICE_MODEL_PACKETS and SLUICE_MODEL_SEED change how much and what.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "harness/accounting.hpp"
#include "traffic.hpp"

namespace model {
namespace {

constexpr std::uint64_t kDefaultPackets = 200'000;
constexpr std::uint64_t kPacketsOfOneConfiguration = 4000;
constexpr unsigned kComparePeriod = 200;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// A checksum that was wrong before may come out as either of the two zeros of one's complement.
bool same_but_zeros(const Bytes& a, const Bytes& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t at = 0; at < a.size(); ++at) {
    if (a[at] == b[at]) continue;
    const bool field = at == 24 || at == 40 || at == 50 || at == 36;
    const auto zero = [&](const Bytes& bytes, unsigned value) {
      return at + 1 < bytes.size() && bytes[at] == value && bytes[at + 1] == value;
    };
    if (!field || !((zero(a, 0) && zero(b, 255)) || (zero(a, 255) && zero(b, 0)))) return false;
    ++at;
  }
  return true;
}

Tuple tuple_of(const bpftest::FlowKey& key) {
  const bpftest::Tuple& tuple = key.tuple;
  return {key.network, key.protocol, tuple.source.v4(), tuple.destination.v4(), tuple.source_port,
          tuple.destination_port};
}

void compare_flow(const bpftest::FlowRecord& record, const Flow& flow) {
  EXPECT_EQ(record.role == SLUICE_FLOW_FORWARD, flow.forward);
  EXPECT_EQ(record.new_source.v4(), flow.new_source);
  EXPECT_EQ(record.new_destination.v4(), flow.new_destination);
  EXPECT_EQ(record.new_source_port, flow.new_source_port);
  EXPECT_EQ(record.new_destination_port, flow.new_destination_port);
  EXPECT_EQ(record.delivery == SLUICE_DELIVER_UPLINK, flow.to_uplink);
  EXPECT_EQ(record.state, flow.state);
  EXPECT_EQ(record.acknowledged, flow.acknowledged);
  EXPECT_EQ(record.packets, flow.packets);
  EXPECT_EQ(record.bytes, flow.bytes);
  EXPECT_EQ(record.network_slot, flow.slot);
  EXPECT_EQ((Ref{record.source.slot, record.source.generation}), flow.source);
  EXPECT_EQ((Ref{record.endpoint.slot, record.endpoint.generation}), flow.endpoint);
  EXPECT_EQ((Ref{record.frontend.slot, record.frontend.generation}), flow.frontend);
}

void compare_tables(const bpftest::Datapath& datapath, const Model& model) {
  const std::vector<bpftest::FlowRecord> records = datapath.flows();
  EXPECT_EQ(records.size(), model.flows.size());
  for (const bpftest::FlowRecord& record : records) {
    const auto found = model.flows.find(tuple_of(record.self));
    ASSERT_NE(found, model.flows.end()) << "a record that the model does not have";
    compare_flow(record, found->second);
  }
  for (const auto& [slot, limits] : model.tables.limits) {
    EXPECT_EQ(datapath.usage(slot).pairs, model.pairs(slot));
    EXPECT_EQ(datapath.usage(slot).half_open, model.half_open(slot));
  }
  EXPECT_EQ(bpftest::inconsistency(datapath), "");
}

Verdict expected(Model& model, const Packet& packet, const Verdict& done) {
  if (packet.entry == SLUICE_ENTRY_UPLINK_XDP) return model.uplink_xdp(packet.ifindex, packet.frame.bytes);
  if (packet.entry == SLUICE_ENTRY_FROM_UPLINK) return model.from_uplink(packet.ifindex, packet.frame.bytes, done);
  return model.from_pod(packet.ifindex, packet.frame.bytes, done);
}

void compare_packet(bpftest::Datapath& datapath, Model& model, const Packet& packet,
                    std::map<std::string, std::uint64_t>& seen) {
  const bpftest::Outcome outcome = datapath.run(packet.entry, packet.ifindex, packet.frame);
  const Verdict done{outcome.reason, outcome.frame.bytes};
  const Verdict wanted = expected(model, packet, done);
  ++seen[bpftest::reason_name(outcome.reason)];
  EXPECT_EQ(outcome.reason, wanted.reason) << ::testing::PrintToString(packet.frame);
  EXPECT_EQ(model.complaint(), "") << ::testing::PrintToString(packet.frame);
  if (wanted.frame && !same_but_zeros(*wanted.frame, outcome.frame.bytes)) {
    ADD_FAILURE() << "entry " << packet.entry << ", " << bpftest::reason_name(wanted.reason)
                  << "\nin: " << ::testing::PrintToString(packet.frame)
                  << "\nout: " << ::testing::PrintToString(outcome.frame)
                  << "\nmodel: " << ::testing::PrintToString(bpftest::Frame(*wanted.frame));
  }
}

TEST(Model, AgreesWithTheProgramsOnRandomTraffic) {
  const std::uint64_t seed = setting("SLUICE_MODEL_SEED", std::random_device{}());
  const std::uint64_t packets = setting("SLUICE_MODEL_PACKETS", kDefaultPackets);
  std::cout << "SLUICE_MODEL_SEED=" << seed << " SLUICE_MODEL_PACKETS=" << packets << std::endl;
  Random random(seed);
  std::map<std::string, std::uint64_t> seen;
  for (std::uint64_t sent = 0; sent < packets;) {
    bpftest::Datapath datapath({.pairs = 8 + below(random, 40)});
    Model model;
    Traffic traffic(random, datapath, model);
    for (unsigned i = 0; i < kPacketsOfOneConfiguration && sent < packets; ++i, ++sent) {
      SCOPED_TRACE("packet " + std::to_string(sent));
      if (chance(random, 1)) traffic.change();
      compare_packet(datapath, model, traffic.next(), seen);
      if (i % kComparePeriod == 0) compare_tables(datapath, model);
      if (HasFailure()) return;
    }
    compare_tables(datapath, model);
    if (HasFailure()) return;
  }
  for (const auto& [reason, count] : seen) std::cout << "  " << reason << " " << count << "\n";
}

}  // namespace
}  // namespace model
