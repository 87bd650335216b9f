// SPDX-License-Identifier: Apache-2.0
// ICMP errors: what they quote, and whether it was sent.
#include "bytes.hpp"
#include "rewrite.hpp"

namespace model {

namespace {

/// The quoted header; none if it is not whole, not of this family, or of a fragment other than the first.
std::optional<Quote> quoted_header(const Parsed& packet) {
  const Bytes& frame = *packet.frame;
  const bool v6 = packet.v6;
  Quote quote{.ip = packet.l4 + 8};
  if (packet.end - packet.l4 < 8 + header_size(v6)) return std::nullopt;
  if (frame.at(quote.ip) / 16 != (v6 ? 6 : 4)) return std::nullopt;
  quote.l4 = quote.ip + (v6 ? 40 : frame.at(quote.ip) % 16 * 4U);
  if (quote.l4 < quote.ip + header_size(v6)) return std::nullopt;
  if (!v6 && (read16(frame, quote.ip + 6) & 0x1fff) != 0) return std::nullopt;
  quote.tuple.network = packet.tuple.network;
  quote.tuple.protocol = frame.at(quote.ip + (v6 ? 6 : 9));
  quote.tuple.source = read_address(frame, quote.ip + (source_at(v6) - kIp), v6);
  quote.tuple.destination = read_address(frame, quote.ip + (destination_at(v6) - kIp), v6);
  return quote;
}

/// The first 64 bits behind the quoted header. False: not there, or of nothing that has flows.
bool read_ports(const Parsed& packet, Quote& quote) {
  const Bytes& frame = *packet.frame;
  if (quote.l4 + 8 > packet.end) return false;
  if (quote.tuple.protocol == icmp_of(packet.v6)) {
    const std::uint8_t type = frame.at(quote.l4);
    if (frame.at(quote.l4 + 1) != 0) return false;
    const std::uint16_t id = read16(frame, quote.l4 + 4);
    if (type == echo_request_of(packet.v6)) quote.tuple.source_port = id;
    if (type == echo_reply_of(packet.v6)) quote.tuple.destination_port = id;
    return type == echo_request_of(packet.v6) || type == echo_reply_of(packet.v6);
  }
  if (quote.tuple.protocol != kTcp && quote.tuple.protocol != kUdp && quote.tuple.protocol != kSctp) return false;
  quote.tuple.source_port = read16(frame, quote.l4);
  quote.tuple.destination_port = read16(frame, quote.l4 + 2);
  return true;
}

}  // namespace

std::optional<Verdict> Model::error(const Parsed& packet) const {
  if (!is_icmp_error(packet)) return std::nullopt;
  std::optional<Quote> quote = quoted_header(packet);
  if (!quote || quote->tuple.source != packet.tuple.destination) return drop(SLUICE_REASON_FOREIGN_QUOTE);
  if (!packet.uplink && quote->tuple.destination != packet.tuple.source) return drop(SLUICE_REASON_FOREIGN_QUOTE);
  if (!read_ports(packet, *quote)) return std::nullopt;
  return error_of(packet, *quote);
}

std::optional<Verdict> Model::error_of(const Parsed& packet, const Quote& quote) const {
  const auto owner = flows.find(quote.tuple.turned());
  if (owner == flows.end() || !current(owner->second, packet.port->pod)) return std::nullopt;
  const Flow& flow = owner->second;
  if (packet.uplink && tables.endpoints.contains({flow.other.network, packet.tuple.source})) {
    return drop(SLUICE_REASON_MARTIAN);
  }
  if (packet.hops <= 1 || too_long(packet, flow.ifindex)) return drop(SLUICE_REASON_ICMP_ERROR);
  return translated_error(packet, quote, flow);
}

}  // namespace model
