// SPDX-License-Identifier: Apache-2.0
#include "comparison.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <sstream>

#include "harness/accounting.hpp"

namespace model {

namespace {

/// Of the questions of a session: there are some hundreds, and 65536 counts.
constexpr std::size_t kMostTogether = 6;

/// Equal, but for those checksums that were changed word by word: one that was wrong before may come out as either of
/// the two zeros of one's complement (but not UDP's, where 0 means that there is none). And kernels before 6.2 do not
/// tell that an SCTP checksum of 0 is not one still to be computed, which would stay.
bool same_but_zeros(const Verdict& wanted, const Bytes& got) {
  if (wanted.frame->size() != got.size()) return false;
  Bytes adapted = *wanted.frame;
  for (const std::size_t at : wanted.sums) {
    const auto zero = [&](const Bytes& bytes) {
      return bytes[at] == bytes[at + 1] && (bytes[at] == 0 || bytes[at] == 255);
    };
    if (at + 1 < got.size() && zero(adapted) && zero(got)) adapted[at] = adapted[at + 1] = got[at];
  }
  const std::size_t crc = wanted.sctp_zero;
  if (crc != 0 && std::all_of(&got.at(crc), &got.at(crc) + 4, [](std::uint8_t byte) { return byte == 0; })) {
    std::fill_n(&adapted.at(crc), 4, std::uint8_t{0});
  }
  return adapted == got;
}

Tuple tuple_of(const bpftest::FlowKey& key) {
  const Address source = to_model(key.tuple.source);
  return {key.network,
          bpftest::protocol_in(key.family(), key.protocol),
          source,
          to_model(key.tuple.destination),
          key.tuple.source_port,
          key.tuple.destination_port};
}

Flow flow_of(const bpftest::FlowRecord& record, const Flow& known) {
  return {.forward = record.role == SLUICE_FLOW_FORWARD,
          .other = known.other,
          .new_source = to_model(record.new_source),
          .new_destination = to_model(record.new_destination),
          .new_source_port = record.new_source_port,
          .new_destination_port = record.new_destination_port,
          .ifindex = record.ifindex,
          .delivery = record.delivery,
          .receiver = record.delivery == SLUICE_DELIVER_UPLINK ? known.receiver : record.destination_mac,
          .source = {record.source.slot, record.source.generation},
          .endpoint = {record.endpoint.slot, record.endpoint.generation},
          .frontend = {record.frontend.slot, record.frontend.generation},
          .state = record.state,
          .acknowledged = record.acknowledged,
          .packets = record.packets,
          .bytes = record.bytes,
          .slot = record.network_slot};
}

/// The fields that differ, each as "name program/model".
std::string difference(const Flow& record, const Flow& flow) {
  std::ostringstream out;
  const auto field = [&](const char* name, const auto& a, const auto& b) {
    if (a == b) return;
    out << " " << name;
    if constexpr (requires { out << +a; }) out << " " << +a << "/" << +b;
  };
  field("forward", record.forward, flow.forward);
  field("new_source", record.new_source, flow.new_source);
  field("new_destination", record.new_destination, flow.new_destination);
  field("new_source_port", record.new_source_port, flow.new_source_port);
  field("new_destination_port", record.new_destination_port, flow.new_destination_port);
  field("ifindex", record.ifindex, flow.ifindex);
  field("delivery", record.delivery, flow.delivery);
  field("receiver", record.receiver, flow.receiver);
  field("source", record.source, flow.source);
  field("endpoint", record.endpoint, flow.endpoint);
  field("frontend", record.frontend, flow.frontend);
  field("state", record.state, flow.state);
  field("acknowledged", record.acknowledged, flow.acknowledged);
  field("packets", record.packets, flow.packets);
  field("bytes", record.bytes, flow.bytes);
  field("slot", record.slot, flow.slot);
  return out.str();
}

}  // namespace

Session::Session(std::uint64_t seed, const Shape& shape)
    : random_(seed),
      datapath_({.pairs = shape.pairs}),
      configuration_(seed, shape, datapath_, model_),
      traffic_(random_, configuration_, model_) {}

Event Session::draw() {
  if (chance(random_, 1)) return {.change = random_() | 1};
  return {.packet = traffic_.next()};
}

Verdict Session::expected(const Packet& packet, const Verdict& done) {
  const Bytes& bytes = packet.frame.bytes;
  if (packet.entry == SLUICE_ENTRY_UPLINK_XDP) return model_.uplink_xdp(packet.ifindex, bytes);
  if (packet.entry == SLUICE_ENTRY_FROM_UPLINK) return model_.from_uplink(packet.ifindex, bytes, done);
  return model_.from_pod(packet.ifindex, bytes, done);
}

std::string Session::apply(const Event& event) {
  if (event.change != 0) {
    configuration_.change(event.change);
    return "";
  }
  const Packet& packet = event.packet;
  model_.now.from = std::chrono::steady_clock::now();
  outcome_ = datapath_.run(packet.entry, packet.ifindex, packet.frame);
  model_.now.to = std::chrono::steady_clock::now();
  const Verdict wanted = expected(packet, {outcome_.reason, outcome_.frame.bytes});
  ++coverage_.at(packet.entry).at(wanted.reason);
  std::ostringstream out;
  if (outcome_.reason != wanted.reason) out << "another verdict. ";
  if (!model_.complaint().empty()) out << model_.complaint() << ". ";
  if (wanted.frame && !same_but_zeros(wanted, outcome_.frame.bytes)) out << "other bytes. ";
  if (out.str().empty()) return "";
  out << "\nentry " << packet.entry << ", device " << packet.ifindex
      << ", program: " << bpftest::reason_name(outcome_.reason) << ", model: " << bpftest::reason_name(wanted.reason)
      << "\nin: " << ::testing::PrintToString(packet.frame)
      << "\nprogram: " << ::testing::PrintToString(outcome_.frame);
  if (wanted.frame) out << "\nmodel: " << ::testing::PrintToString(bpftest::Frame(*wanted.frame));
  return out.str();
}

std::string Session::compare_flows() const {
  const auto records = datapath_.flows();
  std::ostringstream out;
  if (records.size() != model_.flows.size()) {
    out << records.size() << " records, the model has " << model_.flows.size() << "\n";
  }
  for (const bpftest::FlowRecord& record : records) {
    const auto found = model_.flows.find(tuple_of(record.self));
    if (found == model_.flows.end()) {
      out << "a record that the model does not have\n";
      continue;
    }
    const std::string fields = difference(flow_of(record, found->second), found->second);
    if (!fields.empty()) out << "a flow differs in" << fields << "\n";
    if (found->second.forward) out << compare_pair(record.pair, found->second);
  }
  return out.str();
}

/// What a pair is charged for its port. Which count a question has is the program's affair, but it has one.
std::string Session::compare_pair(std::uint32_t index, const Flow& flow) const {
  std::ostringstream out;
  const auto pair = datapath_.element<sluice_pair>("pairs", index);
  if (pair.egress_slot != flow.holder) {
    out << "pair " << index << " is in the quota of pod " << pair.egress_slot << ", not " << flow.holder << "\n";
  }
  if ((pair.egress_share != 0) != flow.asked.has_value()) out << "pair " << index << " has or lacks a share\n";
  if (!flow.asked) return out.str();
  const auto [known, fresh] = counts_.try_emplace(*flow.asked, pair.egress_share);
  if (known->second != pair.egress_share) out << "pair " << index << " is counted elsewhere than its like\n";
  return out.str();
}

/// inconsistency() has compared the counts with what pairs hold, and compare_pair() that with the model. Questions
/// that share a count by their hash are rare; else something of the question is not counted apart.
std::string Session::compare_shares() const {
  std::map<std::uint32_t, std::uint32_t> questions;
  for (const auto& [asked, count] : counts_) ++questions[count];
  const auto together = counts_.size() - questions.size();
  if (together <= kMostTogether && model_.excused().size() <= kMostTogether) return "";
  std::ostringstream out;
  out << together << " of " << counts_.size() << " questions share a count; for " << model_.excused().size()
      << " a port was refused for that alone\n";
  return out.str();
}

/// Every run is counted exactly once: by its entry point, under the reason that the model gave it.
std::string Session::compare_counters() const {
  std::ostringstream out;
  const bpftest::Counters counters = datapath_.counters();
  for (unsigned entry = 0; entry < SLUICE_ENTRY_COUNT; ++entry) {
    for (unsigned reason = 0; reason < SLUICE_COUNTER_STRIDE; ++reason) {
      const std::uint64_t counted = counters.at(entry * SLUICE_COUNTER_STRIDE + reason).packets;
      const std::uint64_t wanted = reason < SLUICE_REASON_COUNT ? coverage_[entry][reason] : 0;
      if (counted == wanted) continue;
      out << "entry " << entry << " counted reason " << reason << " " << counted << " times, not " << wanted << "\n";
    }
  }
  return out.str();
}

std::string Session::compare_tables() const {
  std::ostringstream out;
  out << compare_flows() << compare_counters() << compare_shares();
  for (const auto& [slot, limits] : model_.tables.limits) {
    const sluice_network_usage usage = datapath_.usage(slot);
    if (usage.pairs != model_.pairs(slot) || usage.half_open != model_.half_open(slot)) {
      out << "slot " << slot << " is charged " << usage.pairs << " pairs, " << usage.half_open << " half-open, not "
          << model_.pairs(slot) << ", " << model_.half_open(slot) << "\n";
    }
  }
  out << bpftest::inconsistency(datapath_);
  return out.str();
}

}  // namespace model
