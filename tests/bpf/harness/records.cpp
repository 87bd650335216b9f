// SPDX-License-Identifier: Apache-2.0
#include "harness/records.hpp"

#include <algorithm>

namespace bpftest {

namespace {

/// Calls pair(field of `record`, field of `wire`) for what both families hold alike.
void for_common_fields(auto& record, auto& wire, auto&& pair) {
  pair(record.stamp, wire.stamp);
  pair(record.stamp_end, wire.stamp_end);
  pair(record.pair, wire.pair);
  pair(record.address_delta, wire.address_delta);
  pair(record.port_delta, wire.port_delta);
  pair(record.ifindex, wire.ifindex);
  pair(record.delivery, wire.delivery);
  pair(record.role, wire.role);
  pair(record.source, wire.source);
  pair(record.endpoint, wire.endpoint);
  pair(record.frontend, wire.frontend);
  pair(record.state, wire.state);
  pair(record.acknowledged, wire.acknowledged);
  pair(record.last_seen, wire.last_seen);
  pair(record.packets, wire.packets);
  pair(record.bytes, wire.bytes);
  pair(record.network_slot, wire.network_slot);
  pair(record.last_tick, wire.last_tick);
}

template <typename Names>
FlowRecord read_as(Names names, const typename Names::Flow& wire) {
  FlowRecord record;
  for_common_fields(record, wire, [](auto& to, const auto& from) { to = from; });
  record.self = read_key(names, wire.self);
  record.new_source = Names::read(wire.new_source);
  record.new_destination = Names::read(wire.new_destination);
  record.new_source_port = be(wire.new_source_port);
  record.new_destination_port = be(wire.new_destination_port);
  std::copy_n(wire.destination_mac, 6, record.destination_mac.begin());
  return record;
}

template <typename Names>
void write_as(Names names, const FlowRecord& record, typename Names::Flow& wire) {
  for_common_fields(record, wire, [](const auto& from, auto& to) { to = from; });
  wire.self = wire_key(names, record.self);
  wire.new_source = Names::wire(record.new_source);
  wire.new_destination = Names::wire(record.new_destination);
  wire.new_source_port = be(record.new_source_port);
  wire.new_destination_port = be(record.new_destination_port);
  std::ranges::copy(record.destination_mac, wire.destination_mac);
}

}  // namespace

FlowRecord read_flow(const sluice_flow4& wire) {
  return read_as(Ipv4{}, wire);
}
FlowRecord read_flow(const sluice_flow6& wire) {
  return read_as(Ipv6{}, wire);
}
void write_flow(const FlowRecord& record, sluice_flow4& wire) {
  write_as(Ipv4{}, record, wire);
}
void write_flow(const FlowRecord& record, sluice_flow6& wire) {
  write_as(Ipv6{}, record, wire);
}

}  // namespace bpftest
