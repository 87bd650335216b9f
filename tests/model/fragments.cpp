// SPDX-License-Identifier: Apache-2.0
// Fragmented datagrams: which fragments go on, and by whose ports.
#include <algorithm>

#include "parse.hpp"

namespace model {

namespace {

constexpr std::chrono::nanoseconds kLifetime{SLUICE_FRAGMENT_LIFETIME};
/// What the programs' clock, which moves once a tick, may be behind.
constexpr std::chrono::milliseconds kTick{50};
constexpr std::ptrdiff_t kEntriesOfOneBucket = SLUICE_FRAGMENT_ENTRIES;

DatagramKey key_of(const Parsed& packet) {
  const std::uint8_t protocol = packet.v6 ? std::uint8_t{0} : packet.tuple.protocol;
  return {packet.tuple.network, packet.tuple.source, packet.tuple.destination, packet.fragment->id, protocol};
}

}  // namespace

/// Is the datagram's time not over? Close to its end the program's word is taken: it has seen another clock.
bool Model::remembered(const Datagram& datagram, bool program_knows) const {
  if (now.to - datagram.seen.from + kTick < kLifetime) return true;
  return now.from - datagram.seen.to <= kLifetime + kTick && program_knows;
}

/// Only the programs know which four datagrams share a bucket; there must be as many in the window. On the uplink that
/// is some of the floating IPs'.
bool Model::may_be_full(std::uint32_t network) const {
  const auto in_window = [&](const auto& entry) {
    return std::get<0>(entry.first) == network && remembered(entry.second, true);
  };
  return std::ranges::count_if(datagrams, in_window) >= kEntriesOfOneBucket;
}

std::optional<Verdict> Model::fragment(Parsed& packet, const Verdict& done) {
  if (!packet.fragment) return std::nullopt;
  if (!packet.later() && is_icmp_error(packet)) return drop(SLUICE_REASON_FRAGMENT);
  const DatagramKey key = key_of(packet);
  const sluice_reason reason =
      packet.later() ? continue_datagram(packet, key, done) : begin_datagram(packet, key, done);
  return reason == SLUICE_REASON_NONE ? std::nullopt : std::optional(drop(reason));
}

sluice_reason Model::begin_datagram(const Parsed& packet, const DatagramKey& key, const Verdict& done) {
  if (packet.uplink && !flows.contains(packet.tuple) && is_egress(packet.tuple.destination)) return SLUICE_REASON_NONE;
  const auto known = datagrams.find(key);
  const bool overlaps = done.reason == SLUICE_REASON_FRAGMENT_OVERLAP;
  if (known != datagrams.end() && remembered(known->second, overlaps)) return SLUICE_REASON_FRAGMENT_OVERLAP;
  if (done.reason == SLUICE_REASON_FRAGMENT_TABLE_FULL && may_be_full(packet.tuple.network)) return done.reason;
  datagrams[key] = {.source_port = packet.tuple.source_port,
                    .destination_port = packet.tuple.destination_port,
                    .protocol = packet.tuple.protocol,
                    .tracked = packet.tracked,
                    .end = packet.fragment->end,
                    .seen = now};
  return SLUICE_REASON_NONE;
}

sluice_reason Model::continue_datagram(Parsed& packet, const DatagramKey& key, const Verdict& done) {
  const auto found = datagrams.find(key);
  const bool program_knows = done.reason != SLUICE_REASON_FRAGMENT_UNKNOWN;
  if (found == datagrams.end() || !remembered(found->second, program_knows)) return SLUICE_REASON_FRAGMENT_UNKNOWN;
  Datagram& datagram = found->second;
  if (datagram.last || packet.fragment->begin < datagram.end) return SLUICE_REASON_FRAGMENT_OVERLAP;
  datagram.gap = datagram.gap || packet.fragment->begin > datagram.end;
  datagram.last = !packet.fragment->more;
  datagram.end = packet.fragment->end;
  datagram.seen = now;
  packet.tuple.source_port = datagram.source_port;
  packet.tuple.destination_port = datagram.destination_port;
  packet.tuple.protocol = datagram.protocol;
  packet.tracked = datagram.tracked;
  if (datagram.last && !datagram.gap) datagrams.erase(found);
  return SLUICE_REASON_NONE;
}

}  // namespace model
