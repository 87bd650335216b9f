// SPDX-License-Identifier: Apache-2.0
#include "rewrite.hpp"

#include "bytes.hpp"

namespace model {

namespace {

struct Range {
  std::size_t from, to;
};

/// A packet in which words change, then checksums: they stay as right, or as wrong, as they were.
class Edit {
 public:
  explicit Edit(const Bytes& frame) : before_(frame), bytes_(frame) {}

  void address(std::size_t at, const Address& value) { write_address(bytes_, at, value); }
  void port(std::size_t at, std::uint16_t value) { write16(bytes_, at, value); }
  void hop(std::size_t at) { bytes_.at(at) -= 1; }
  void link(const Flow& flow) {
    if (flow.to_uplink()) return;
    write_mac(bytes_, 0, flow.receiver);
    write_mac(bytes_, 6, kRouterMac);
  }
  /// The checksum at `at` follows what has changed in `covered`.
  void sum(std::size_t at, const std::vector<Range>& covered) {
    std::uint16_t value = read16(before_, at);
    for (const Range& span : covered) {
      for (std::size_t word = span.from; word < span.to; word += 2) {
        if (word != at) value = updated(value, word_of(before_, word, span.to), word_of(bytes_, word, span.to));
      }
    }
    write16(bytes_, at, value);
    sums_.push_back(at);
  }
  /// A UDP checksum: 0 says that there is none and stays; what comes out as 0 is written as its other form.
  void udp_sum(std::size_t at, const std::vector<Range>& covered) {
    if (read16(before_, at) == 0) return;
    sum(at, covered);
    sums_.pop_back();  // it never is 0, be it right or wrong
    if (read16(bytes_, at) == 0) write16(bytes_, at, 0xffff);
  }
  /// The transport checksum of a packet (or of a quote of one) whose header is at `ip`, if it lies before `end`.
  /// `options`: where TCP's end, if they have changed.
  void transport_sum(std::size_t ip, std::size_t l4, std::size_t end, bool v6, std::uint8_t protocol,
                     std::size_t options = 0) {
    const std::size_t addresses = ip + (v6 ? 8 : 12);
    std::vector<Range> covered = {{addresses, addresses + (v6 ? 32 : 8)}, {l4, l4 + 4}};
    if (options != 0) covered.push_back({l4 + 20, options});
    if (protocol == kTcp && l4 + 18 <= end) sum(l4 + 16, covered);
    if (protocol == kUdp) udp_sum(l4 + 6, covered);
    const Range identifier{l4 + 4, l4 + 6};
    if (protocol == icmp_of(v6)) sum(l4 + 2, v6 ? std::vector{covered[0], identifier} : std::vector{identifier});
  }
  /// SCTP's CRC32c over the packet from `l4` to `end`: right if it was, else as wrong as it was.
  void sctp_sum(std::size_t l4, std::size_t end) {
    if (read32(before_, l4) == read32(bytes_, l4)) return;
    const std::uint32_t change = sctp_crc(before_, l4, end) ^ sctp_crc(bytes_, l4, end);
    for (std::size_t i = 0; i < 4; ++i) bytes_.at(l4 + 8 + i) ^= static_cast<std::uint8_t>(change >> 8 * i & 255);
    if (read32(before_, l4 + 8) == 0) sctp_zero_ = l4 + 8;
  }
  /// No MSS option of the TCP header at `l4` names more than `most`. Gives where the options end.
  std::size_t clamp_segments(std::size_t l4, std::uint32_t most) {
    const std::size_t end = l4 + bytes_.at(l4 + 12) / 16 * 4U;
    for (std::size_t at = l4 + 20; at < end && bytes_.at(at) != 0;) {
      if (bytes_.at(at) == 1) {
        ++at;
        continue;
      }
      const std::size_t length = at + 1 < end ? bytes_.at(at + 1) : 0;
      if (length < 2 || at + length > end) break;
      if (bytes_.at(at) == 2 && length == 4 && read16(bytes_, at + 2) > most) write16(bytes_, at + 2, most);
      at += length;
    }
    return end;
  }
  [[nodiscard]] Verdict done(sluice_reason reason) const { return {reason, bytes_, sums_, sctp_zero_}; }

 private:
  static std::uint16_t word_of(const Bytes& bytes, std::size_t at, std::size_t end) {
    return static_cast<std::uint16_t>(bytes.at(at) * 256 + (at + 1 < end ? bytes.at(at + 1) : 0));
  }

  const Bytes& before_;
  Bytes bytes_;
  std::vector<std::size_t> sums_;
  std::size_t sctp_zero_ = 0;
};

}  // namespace

Verdict rewritten(const Parsed& packet, const Flow& flow, sluice_reason reason, std::uint32_t most) {
  Edit edit(*packet.frame);
  edit.address(source_at(packet.v6), flow.new_source);
  edit.address(destination_at(packet.v6), flow.new_destination);
  if (packet.icmp()) {
    edit.port(packet.l4 + 4, flow.new_identifier());
  } else {
    edit.port(packet.l4, flow.new_source_port);
    edit.port(packet.l4 + 2, flow.new_destination_port);
  }
  edit.hop(hops_at(packet.v6));
  const std::size_t options = most == 0 ? 0 : edit.clamp_segments(packet.l4, most);
  edit.transport_sum(kIp, packet.l4, packet.end, packet.v6, packet.tuple.protocol, options);
  if (packet.tuple.protocol == kSctp) edit.sctp_sum(packet.l4, packet.end);
  if (!packet.v6) edit.sum(kIp + 10, {{kIp, kIp + 20}});
  edit.link(flow);
  return edit.done(reason);
}

Verdict rewritten_later(const Parsed& packet, const Flow& flow, sluice_reason reason) {
  Edit edit(*packet.frame);
  edit.address(source_at(packet.v6), flow.new_source);
  edit.address(destination_at(packet.v6), flow.new_destination);
  edit.hop(hops_at(packet.v6));
  if (!packet.v6) edit.sum(kIp + 10, {{kIp, kIp + 20}});
  edit.link(flow);
  return edit.done(reason);
}

Verdict translated_error(const Parsed& packet, const Quote& quote, const Flow& flow) {
  const bool v6 = packet.v6;
  Edit edit(*packet.frame);
  const std::size_t inner_source = quote.ip + (source_at(v6) - kIp);
  const std::size_t inner_destination = quote.ip + (destination_at(v6) - kIp);
  edit.address(inner_source, flow.new_destination);
  edit.address(inner_destination, flow.new_source);
  if (quote.tuple.protocol == icmp_of(v6)) {
    edit.port(quote.l4 + 4, flow.new_identifier());
  } else {
    edit.port(quote.l4, flow.new_destination_port);
    edit.port(quote.l4 + 2, flow.new_source_port);
  }
  edit.transport_sum(quote.ip, quote.l4, packet.end, v6, quote.tuple.protocol);
  if (!v6) edit.sum(quote.ip + 10, {{quote.ip, quote.l4}});

  if (packet.tuple.source == quote.tuple.destination) edit.address(source_at(v6), flow.new_source);
  edit.address(destination_at(v6), flow.new_destination);
  edit.hop(hops_at(v6));
  std::vector<Range> covered = {{packet.l4, packet.end}};
  if (v6) covered.push_back({source_at(true), source_at(true) + 32});
  edit.sum(packet.l4 + 2, covered);
  if (!v6) edit.sum(kIp + 10, {{kIp, kIp + 20}});
  edit.link(flow);
  return edit.done(SLUICE_REASON_ERROR_TRANSLATED);
}

}  // namespace model
