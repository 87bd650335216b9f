// SPDX-License-Identifier: Apache-2.0
#include "malformed_table.hpp"

#include <algorithm>
#include <sstream>

namespace bpftest {

namespace {

constexpr sluice_reason kNone = SLUICE_REASON_NONE;
using Frames = Spoiled::Frames;

constexpr Reasons everywhere(sluice_reason reason) {
  return {reason, reason, reason, reason};
}
/// From the uplink such a packet is not ours.
constexpr Reasons pod_only(sluice_reason reason, std::optional<sluice_reason> early = {}) {
  return {reason, reason, SLUICE_REASON_FOREIGN, SLUICE_REASON_FOREIGN, early};
}
constexpr Reasons ipv4(sluice_reason reason) {
  return {reason, kNone, reason, kNone};
}
constexpr Reasons ipv6(sluice_reason reason) {
  return {kNone, reason, kNone, reason};
}
constexpr Reasons by_entry(sluice_reason pod, sluice_reason uplink) {
  return {pod, pod, uplink, uplink};
}

Bytes empty_header(std::uint8_t more = 0) {
  Bytes bytes(7 + 8U * more);
  bytes[0] = more;
  return bytes;
}

Frames neighbour_message(const Spoiled& t, const Spoiled::Change& change) {
  Frame frame = question(t.link.source, t.source, t.destination);
  change(frame);
  return {frame};
}

constexpr std::size_t kArp = kEthernet;  // offset of the ARP header

using Classes = std::vector<MalformedClass>;

Classes ethernet_classes() {
  return {
      {"Ethernet",
       "a source MAC address that is not the pod's",
       {SLUICE_REASON_SPOOFED_MAC, SLUICE_REASON_SPOOFED_MAC, kNone, kNone},
       [](const Spoiled& t) { return t.all(t.goods(), [](Frame& f) { f.set8(6, 0x06); }); }},
      {"Ethernet", "a VLAN tag (802.1Q, 802.1ad), VLAN 0 included", pod_only(SLUICE_REASON_VLAN),
       [](const Spoiled& t) {
         return Frames{vlan(t.good_tcp(), 0x8100, 5), vlan(t.good_udp(), 0x8100, 0), vlan(t.good_tcp(), 0x88a8, 6)};
       }},
      {"Ethernet", "an ethertype that is neither IPv4, IPv6 nor ARP", pod_only(SLUICE_REASON_ETHERTYPE),
       [](const Spoiled& t) {
         return Frames{ethernet(t.link, 0x88cc, {1, 2, 3}), ethernet(t.link, 60, Bytes(60)),
                       ethernet(t.link, 0x8847, Bytes(40))};
       }},
      {"Ethernet",
       "a family that the pod has no address of",
       {SLUICE_REASON_NO_FAMILY, SLUICE_REASON_NO_FAMILY, kNone, kNone},
       [](const Spoiled& t) { return Frames{t.other_family(t.link)}; }},
      {"Ethernet", "a unicast packet in a broadcast or group frame",
       pod_only(SLUICE_REASON_MULTICAST, SLUICE_REASON_XDP_TO_TC),
       [](const Spoiled& t) {
         Frames frames = t.all(t.goods(), [](Frame& f) { f.set_mac(0, kBroadcastMac); });
         frames.push_back(t.good_tcp().set8(0, t.good_tcp().get8(0) | 1U));
         return frames;
       }},
  };
}

Classes header_classes() {
  return {
      {"IP header", "a version that is not the ethertype's", everywhere(SLUICE_REASON_BAD_IP_HEADER),
       [](const Spoiled& t) {
         Frames frames;
         for (unsigned version : {0U, 5U, 15U, t.six() ? 4U : 6U}) {
           frames.push_back(t.good_tcp().set8(kIp, version << 4 | 5));
         }
         return frames;
       }},
      {"IP header", "IPv4: a header length below 20 bytes", ipv4(SLUICE_REASON_BAD_IP_HEADER),
       [](const Spoiled& t) { return Frames{t.good_tcp().set8(kIp, 0x40), t.good_udp().set8(kIp, 0x44)}; }},
      {"IP header", "IPv4: a total length below the header length", ipv4(SLUICE_REASON_BAD_IP_LENGTH),
       [](const Spoiled& t) { return Frames{t.good_tcp().set16(kIp + 2, 0), t.good_udp().set16(kIp + 2, 19)}; }},
      {"IP header", "a length beyond the frame, or a frame cut off", everywhere(SLUICE_REASON_BAD_IP_LENGTH),
       [](const Spoiled& t) {
         Frames frames = t.all(t.goods(), [](Frame& f) { f.set_length(1400); });
         frames.push_back(t.good_tcp().resize(t.good_tcp().size() - 1));
         return frames;
       }},
      {"IP header", "IPv6: payload length 0 with a hop-by-hop header (a jumbogram)", ipv6(SLUICE_REASON_BAD_IP_LENGTH),
       [](const Spoiled& t) {
         return t.all(t.behind({{kHopByHop, {0, 0xc2, 4, 0, 1, 0, 0}}}), [](Frame& f) { f.set_length(0); });
       }},
      {"IP header", "IPv4: options, whatever they are", ipv4(SLUICE_REASON_IP_OPTIONS),
       [](const Spoiled& t) {
         return Frames{with_ip_options(t.good_tcp(), Bytes(4, 1)),
                       with_ip_options(t.good_udp(), {7, 7, 4, 0, 0, 0, 0, 0}),
                       with_ip_options(t.good_tcp(), {0x83, 7, 4, 172, 16, 0, 20, 0})};
       }},
  };
}

/// A piece of each frame as if it began at `begin`, a multiple of 8, and were the last one.
Frames last_pieces(const Spoiled& t, const Frames& frames, std::uint16_t begin) {
  if (!t.six()) {
    return t.repaired(frames, [begin](Frame& f) { f.set16(kIp + 6, static_cast<std::uint16_t>(begin / 8)); });
  }
  const auto high = static_cast<std::uint8_t>(begin >> 8);
  const auto low = static_cast<std::uint8_t>(begin);
  Frames pieces;
  for (const Frame& frame : frames)
    pieces.push_back(with_extension_headers(frame, {{kFragment, {0, high, low, 1, 2, 3, 4}}}));
  return pieces;
}

Classes fragment_classes() {
  return {
      {"Fragments", "a later one whose first one has not passed", everywhere(SLUICE_REASON_FRAGMENT_UNKNOWN),
       [](const Spoiled& t) { return last_pieces(t, t.goods(), 2048); }},
      {"Fragments", "one that would end beyond the longest packet", everywhere(SLUICE_REASON_FRAGMENT_MALFORMED),
       [](const Spoiled& t) { return last_pieces(t, t.goods(), 65528); }},
      {"Fragments", "TCP: a later one that would lie in the transport header", everywhere(SLUICE_REASON_FRAGMENT_TINY),
       [](const Spoiled& t) { return last_pieces(t, {t.good_tcp()}, 8); }},
  };
}

Classes extension_classes() {
  return {
      {"Extension headers", "more than six", ipv6(SLUICE_REASON_EXTENSION_HEADER),
       [](const Spoiled& t) { return t.behind(ExtensionHeaders(7, {kDestinationOptions, empty_header()})); }},
      {"Extension headers", "a transport header that begins behind byte 200", ipv6(SLUICE_REASON_EXTENSION_HEADER),
       [](const Spoiled& t) { return t.behind({{kDestinationOptions, empty_header(18)}}); }},
      {"Extension headers", "hop-by-hop anywhere but first, twice as well", ipv6(SLUICE_REASON_EXTENSION_HEADER),
       [](const Spoiled& t) {
         Frames frames = t.behind({{kHopByHop, empty_header()}, {kHopByHop, empty_header()}});
         std::ranges::copy(t.behind({{kRouting, empty_header()}, {kHopByHop, empty_header()}}),
                           std::back_inserter(frames));
         return frames;
       }},
      {"Extension headers", "a routing header with segments left, of any type", ipv6(SLUICE_REASON_EXTENSION_HEADER),
       [](const Spoiled& t) {
         Frames frames;
         for (const std::uint8_t type : Bytes{0, 2, 4}) {
           std::ranges::copy(t.behind({{kRouting, {0, type, 1, 0, 0, 0, 0}}}), std::back_inserter(frames));
         }
         return frames;
       }},
      {"Extension headers", "a header that goes beyond the packet", ipv6(SLUICE_REASON_TRUNCATED),
       [](const Spoiled& t) {
         return t.all(t.behind({{kDestinationOptions, empty_header(1)}}), [](Frame& f) { f.set_length(15); });
       }},
      {"Extension headers",
       "neighbour discovery behind them",
       {kNone, SLUICE_REASON_SPOOFED_ND, kNone, SLUICE_REASON_ICMP_ERROR},
       [](const Spoiled& t) {
         Frame plain = nd(t.link, t.source, t.destination, kAdvertisement, nd_body(0, t.source, 0, {}));
         return Frames{with_extension_headers(plain, {{kDestinationOptions, empty_header()}})};
       }},
  };
}

Classes address_classes() {
  const auto spoofed = [](sluice_reason uplink) { return by_entry(SLUICE_REASON_SPOOFED_IP, uplink); };
  return {
      {"Addresses", "the source is another pod's address", spoofed(kNone),
       [](const Spoiled& t) { return t.sent_by({"172.16.0.20"}); }},
      {"Addresses", "the source is a service's address", spoofed(kNone),
       [](const Spoiled& t) { return t.sent_by({"172.16.1.1"}); }},
      {"Addresses", "the source is the router's address", spoofed(kNone),
       [](const Spoiled& t) { return t.sent_by({"172.16.0.1"}); }},
      {"Addresses",
       "the source is a floating IP",
       {SLUICE_REASON_SPOOFED_IP, SLUICE_REASON_SPOOFED_IP, SLUICE_REASON_MARTIAN, SLUICE_REASON_MARTIAN,
        SLUICE_REASON_XDP_TO_TC},
       [](const Spoiled& t) { return t.sent_by({"192.0.2.2"}); }},
      {"Addresses", "the source is an address of the Internet", spoofed(kNone),
       [](const Spoiled& t) { return t.sent_by({"8.8.8.8"}); }},
      {"Addresses",
       "IPv4: the source is the network's broadcast or network address",
       {SLUICE_REASON_SPOOFED_IP, kNone, kNone, kNone},
       [](const Spoiled& t) { return t.sent_by({"172.16.255.255", "172.16.0.0"}); }},
      {"Addresses",
       "IPv4: the source is 255.255.255.255 or any other from 240.0.0.0 on",
       {SLUICE_REASON_SPOOFED_IP, kNone, SLUICE_REASON_MARTIAN, kNone},
       [](const Spoiled& t) { return t.sent_by({"255.255.255.255", "240.0.0.1"}); }},
      {"Addresses", "the source is a multicast address", spoofed(SLUICE_REASON_MARTIAN),
       [](const Spoiled& t) {
         return t.six() ? t.sent_by({"ff02::1", "ff0e::1"}) : t.sent_by({"224.0.0.1", "239.255.255.255"});
       }},
      {"Addresses", "the source is a loopback or the unspecified address", spoofed(SLUICE_REASON_MARTIAN),
       [](const Spoiled& t) {
         return t.six() ? t.sent_by({"::1", "::"}) : t.sent_by({"127.0.0.1", "0.0.0.0", "0.1.2.3"});
       }},
      {"Addresses",
       "IPv6: the source is link-local, the router's included, or an IPv4 address (::/96, ::ffff:0:0/96)",
       {kNone, SLUICE_REASON_SPOOFED_IP, kNone, SLUICE_REASON_MARTIAN},
       [](const Spoiled& t) {
         return t.sent_by({"fe80::1", "fe80::73:6cff:fe63:1", "::203.0.113.9", "::ffff:203.0.113.9"});
       }},
      {"Addresses", "source and destination are the same (land)", everywhere(SLUICE_REASON_LAND),
       [](const Spoiled& t) {
         const Address both = t.from_pod() ? t.source : t.destination;
         return t.repaired(t.goods(), [&](Frame& f) { f.set_source(both).set_destination(both); });
       }},
      {"Addresses",
       "IPv4: to 255.255.255.255, or the network's broadcast or network address",
       {SLUICE_REASON_BROADCAST, kNone, SLUICE_REASON_FOREIGN, kNone},
       [](const Spoiled& t) {
         return Frames{t.addressed(t.good_udp(), "255.255.255.255"), t.addressed(t.good_tcp(), "172.16.255.255"),
                       t.addressed(t.good_echo(), "172.16.0.0")};
       }},
      {"Addresses", "to a multicast address", pod_only(SLUICE_REASON_MULTICAST),
       [](const Spoiled& t) {
         return Frames{t.addressed(t.good_udp(), t.six() ? "ff02::1" : "224.0.0.251"),
                       t.addressed(t.good_tcp(), t.six() ? "ff0e::1" : "239.255.255.255")};
       }},
  };
}

Classes transport_classes() {
  const auto shorter = [](const Frame& frame, unsigned header) {
    Frames frames;
    for (unsigned length = 0; length < header; ++length) {
      frames.push_back(Frame(frame).set_length(length).fix_checksums());
    }
    return frames;
  };
  const auto byte = [](const Spoiled& t, std::size_t offset, const std::vector<unsigned>& values) {
    Frames frames;
    for (const unsigned value : values) frames.push_back(t.good_tcp().set8(t.l4 + offset, value).fix_checksums());
    return frames;
  };
  const auto udp_length = [](const Spoiled& t, const std::vector<unsigned>& values) {
    Frames frames;
    for (const unsigned value : values) frames.push_back(t.good_udp().set16(t.l4 + 4, value));
    return frames;
  };
  return {
      {"Transport", "TCP: fewer than 20 bytes", everywhere(SLUICE_REASON_TRUNCATED),
       [=](const Spoiled& t) { return shorter(t.good_tcp(), 20); }},
      {"Transport", "UDP: fewer than 8 bytes", everywhere(SLUICE_REASON_TRUNCATED),
       [=](const Spoiled& t) { return shorter(t.good_udp(), 8); }},
      {"Transport", "ICMP: fewer than 8 bytes", everywhere(SLUICE_REASON_TRUNCATED),
       [=](const Spoiled& t) { return shorter(t.good_echo(), 8); }},
      {"Transport", "TCP: a data offset below 5 words or beyond the packet", everywhere(SLUICE_REASON_BAD_L4_HEADER),
       [=](const Spoiled& t) { return byte(t, 12, {0x00, 0x10, 0x40, 0x70, 0xf0}); }},
      {"Transport", "TCP: SYN together with FIN or RST, all flags included", everywhere(SLUICE_REASON_BAD_L4_HEADER),
       [=](const Spoiled& t) { return byte(t, 13, {kSyn | kFin, kSyn | kRst, kSyn | kFin | kAck, 0xff}); }},
      {"Transport", "UDP: a length below 8", everywhere(SLUICE_REASON_BAD_L4_HEADER),
       [=](const Spoiled& t) { return udp_length(t, {0, 7}); }},
      {"Transport", "UDP: a length beyond the packet", everywhere(SLUICE_REASON_BAD_L4_HEADER),
       [=](const Spoiled& t) { return udp_length(t, {13, 65535}); }},
      {"Transport", "TCP or UDP: source or destination port 0", everywhere(SLUICE_REASON_ZERO_PORT),
       [](const Spoiled& t) {
         Frames frames = t.repaired({t.good_tcp(), t.good_udp()}, [&](Frame& f) { f.set16(t.l4, 0); });
         std::ranges::copy(t.repaired({t.good_tcp(), t.good_udp()}, [&](Frame& f) { f.set16(t.l4 + 2, 0); }),
                           std::back_inserter(frames));
         return frames;
       }},
      {"Transport",
       "UDP from a DHCP server's port to a client's (67 to 68, 547 to 546)",
       {SLUICE_REASON_SPOOFED_DHCP, SLUICE_REASON_SPOOFED_DHCP, kNone, kNone},
       [](const Spoiled& t) {
         const std::uint16_t server_port = t.six() ? 547 : 67, client_port = t.six() ? 546 : 68;
         return Frames{udp(t.link, {t.source, server_port, t.destination, client_port})};
       }},
  };
}

Classes quote_classes() {
  return {
      {"ICMP errors", "no whole IP header of the family is quoted", everywhere(SLUICE_REASON_FOREIGN_QUOTE),
       [](const Spoiled& t) {
         Frames frames = {t.error(t.theirs(), 8)};
         frames[0].set_length(8 + (t.six() ? 39 : 19)).fix_checksums();
         frames.push_back(t.error(t.theirs(), 8).set8(t.l4 + 8, t.six() ? 0x45 : 0x60).fix_checksums());
         return frames;
       }},
      {"ICMP errors", "the quoted sender is not who gets the error", everywhere(SLUICE_REASON_FOREIGN_QUOTE),
       [](const Spoiled& t) { return Frames{t.error(udp(t.link, {t.ip("172.16.0.77"), 53, t.source, 40000}), 8)}; }},
      {"ICMP errors",
       "from a pod: the quoted receiver is not the pod",
       {SLUICE_REASON_FOREIGN_QUOTE, SLUICE_REASON_FOREIGN_QUOTE, kNone, kNone},
       [](const Spoiled& t) { return Frames{t.error(udp(t.link, {t.destination, 53, t.ip("8.8.8.8"), 40000}), 8)}; }},
      {"ICMP errors", "IPv4: a fragment that is not the first is quoted", ipv4(SLUICE_REASON_FOREIGN_QUOTE),
       [](const Spoiled& t) { return Frames{t.error(t.theirs().set16(kIp + 6, 2).fix_checksums(), 8)}; }},
      {"ICMP errors", "fewer than 64 bits of the transport header are quoted",
       by_entry(SLUICE_REASON_TO_POD, SLUICE_REASON_ICMP_ERROR),
       [](const Spoiled& t) { return Frames{t.error(t.theirs(), 7), t.error(t.theirs(), 0)}; }},
      {"ICMP errors", "a flow is quoted that nobody has", by_entry(SLUICE_REASON_TO_POD, SLUICE_REASON_ICMP_ERROR),
       [](const Spoiled& t) { return Frames{t.error(t.theirs(), 8), t.error(t.theirs(), 12)}; }},
  };
}

Classes arp_classes() {
  const auto arp_only = [](sluice_reason reason) -> Reasons { return {reason, kNone, SLUICE_REASON_FOREIGN, kNone}; };
  const auto changed = [](const Spoiled::Change& change) {
    return [change](const Spoiled& t) { return neighbour_message(t, change); };
  };
  return {
      {"ARP", "not Ethernet and IPv4, wrong lengths of addresses, or an operation but 1 and 2",
       arp_only(SLUICE_REASON_ARP_MALFORMED),
       [](const Spoiled& t) {
         Frames frames;
         for (const auto& [offset, value] : {std::pair{kArp, 6U},
                                             {kArp + 2, 0x86ddU},
                                             {kArp + 4, 0x0806U},
                                             {kArp + 4, 0x0610U},
                                             {kArp + 6, 0U},
                                             {kArp + 6, 3U}}) {
           std::ranges::copy(neighbour_message(t, [&](Frame& f) { f.set16(offset, value); }),
                             std::back_inserter(frames));
         }
         return frames;
       }},
      {"ARP", "shorter than its 28 bytes", arp_only(SLUICE_REASON_TRUNCATED),
       changed([](Frame& f) { f.resize(kArp + 27); })},
      {"ARP",
       "the sender's MAC address is not the pod's",
       {SLUICE_REASON_SPOOFED_ARP, kNone, kNone, kNone},
       changed([](Frame& f) { f.set8(kArp + 8, 0x06); })},
      {"ARP",
       "the sender's address is neither the pod's nor, in a request, 0.0.0.0",
       {SLUICE_REASON_SPOOFED_ARP, kNone, kNone, kNone},
       changed([](Frame& f) { f.set32(kArp + 14, 0xac100014); })},
  };
}

Classes discovery_classes() {
  const auto nd_only = [](sluice_reason reason) -> Reasons { return {kNone, reason, kNone, SLUICE_REASON_FOREIGN}; };
  const auto from_pod_only = [](sluice_reason reason) -> Reasons { return {kNone, reason, kNone, kNone}; };
  const auto changed = [](const Spoiled::Change& change) {
    return [change](const Spoiled& t) { return neighbour_message(t, change); };
  };
  return {
      {"Neighbour discovery", "a hop limit below 255", nd_only(SLUICE_REASON_ND_MALFORMED),
       changed([](Frame& f) { f.set_hops(254); })},
      {"Neighbour discovery", "a code that is not 0", nd_only(SLUICE_REASON_ND_MALFORMED),
       changed([](Frame& f) { f.set8(kL46 + 1, 1).fix_checksums(); })},
      {"Neighbour discovery", "another length than 24, 32 or 40 bytes", nd_only(SLUICE_REASON_ND_MALFORMED),
       changed([](Frame& f) { f.set_length(28).fix_checksums(); })},
      {"Neighbour discovery", "a wrong checksum", nd_only(SLUICE_REASON_ND_MALFORMED),
       changed([](Frame& f) { f.set16(kL46 + 2, f.get16(kL46 + 2) ^ 1U); })},
      {"Neighbour discovery", "a solicitation for a group", nd_only(SLUICE_REASON_ND_MALFORMED),
       changed([](Frame& f) { f.set8(kL46 + 8, 0xff).fix_checksums(); })},
      {"Neighbour discovery", "a solicitation of nobody (::) that names a MAC address",
       nd_only(SLUICE_REASON_ND_MALFORMED), changed([](Frame& f) { f.set_source(ip("::")).fix_checksums(); })},
      {"Neighbour discovery",
       "a router advertisement or a redirect",
       {kNone, SLUICE_REASON_SPOOFED_ND, kNone, SLUICE_REASON_FOREIGN, SLUICE_REASON_XDP_TO_TC},
       [](const Spoiled& t) {
         return Frames{nd(t.link, t.source, t.destination, kRouterAdvertisement, Bytes(28)),
                       nd(t.link, t.source, t.destination, kRedirect, Bytes(36))};
       }},
      {"Neighbour discovery", "a source that is neither the pod's, link-local nor ::, or that is the router's",
       from_pod_only(SLUICE_REASON_SPOOFED_ND),
       [](const Spoiled& t) {
         Frames frames;
         for (const Address& other : {t.server.address, t.ip("172.16.0.1"), ip("fe80::73:6cff:fe63:1")}) {
           frames.push_back(question(t.pod.mac, other, t.server.address));
         }
         return frames;
       }},
      {"Neighbour discovery", "a solicitation that names another's MAC address",
       from_pod_only(SLUICE_REASON_SPOOFED_ND), changed([](Frame& f) { f.set8(f.size() - 1, 0x77).fix_checksums(); })},
      {"Neighbour discovery", "an advertisement for an address that is not the sender's",
       from_pod_only(SLUICE_REASON_SPOOFED_ND),
       [](const Spoiled& t) { return Frames{answer(t.pod.mac, t.server.address, t.server.mac, t.pod.address)}; }},
  };
}

Classes kept_classes() {
  const auto wrong = [](std::size_t offset) {
    return [offset](const Spoiled& t, Frame frame) {
      Frames frames;
      for (const unsigned difference : {1U, 0x100U, 0x8421U}) {
        Frame one = t.translated_way(frame);
        const unsigned sum = one.get16(offset) + difference;
        frames.push_back(one.set16(offset, (sum & 0xffff) + (sum >> 16)));
      }
      return frames;
    };
  };
  return {
      {"Checksums", "a wrong TCP checksum", everywhere(SLUICE_REASON_TO_BACKEND),
       [=](const Spoiled& t) { return wrong(t.l4 + 16)(t, t.good_tcp()); }, true},
      {"Checksums", "a wrong UDP checksum", everywhere(SLUICE_REASON_TO_BACKEND),
       [=](const Spoiled& t) { return wrong(t.l4 + 6)(t, t.good_udp()); }, true},
      {"Checksums", "a UDP checksum of 0", everywhere(SLUICE_REASON_TO_BACKEND),
       [](const Spoiled& t) { return Frames{t.translated_way(t.good_udp()).set16(t.l4 + 6, 0)}; }, true},
      {"Checksums", "a wrong ICMP checksum", everywhere(SLUICE_REASON_TO_BACKEND),
       [=](const Spoiled& t) { return wrong(t.l4 + 2)(t, t.good_echo()); }, true},
      {"Checksums", "IPv4: a wrong header checksum", ipv4(SLUICE_REASON_TO_BACKEND),
       [=](const Spoiled& t) { return wrong(kIp + 10)(t, t.good_udp()); }, true},
  };
}

std::string cell(sluice_reason reason) {
  return reason == kNone ? "" : "`" + reason_name(reason) + "`";
}

}  // namespace

sluice_reason Reasons::by_xdp(Family family) const {
  const sluice_reason later = of(From::kUplink, family);
  if (early && later != kNone) return *early;
  switch (later) {
    case SLUICE_REASON_NONE:
    case SLUICE_REASON_FOREIGN:
    case SLUICE_REASON_BAD_IP_HEADER:
    case SLUICE_REASON_BAD_IP_LENGTH:
    case SLUICE_REASON_IP_OPTIONS:
    case SLUICE_REASON_MARTIAN:
    case SLUICE_REASON_LAND:
      return later;
    default:
      return SLUICE_REASON_XDP_TO_TC;
  }
}

Frames Spoiled::all(Frames frames, const Change& change) {
  for (Frame& frame : frames) change(frame);
  return frames;
}

Frames Spoiled::repaired(Frames frames, const Change& change) {
  for (Frame& frame : frames) {
    change(frame);
    frame.fix_checksums();
  }
  return frames;
}

Frames Spoiled::sent_by(const std::vector<std::string>& addresses) const {
  Frames frames;
  for (const std::string& address : addresses) {
    std::ranges::copy(repaired(goods(), [&](Frame& f) { f.set_source(ip(address)); }), std::back_inserter(frames));
  }
  return frames;
}

Frames Spoiled::behind(const ExtensionHeaders& headers) const {
  Frames frames;
  for (const Frame& frame : goods()) frames.push_back(with_extension_headers(frame, headers));
  return frames;
}

Frame Spoiled::error(const Frame& about, std::size_t behind_ip) const {
  Bytes rest(4 + l4 - kIp + behind_ip);  // a word of zeros, then the quote
  std::copy_n(about.bytes.begin() + kIp, rest.size() - 4, rest.begin() + 4);
  return icmp(link, source, destination, six() ? 1 : 3, six() ? 4 : 3, rest);
}

const std::vector<MalformedClass>& malformed_classes() {
  static const Classes classes = [] {
    Classes made;
    for (const Classes& part :
         {ethernet_classes(), header_classes(), fragment_classes(), extension_classes(), address_classes(),
          transport_classes(), quote_classes(), arp_classes(), discovery_classes(), kept_classes()}) {
      made.insert(made.end(), part.begin(), part.end());
    }
    return made;
  }();
  return classes;
}

std::string malformed_markdown() {
  std::ostringstream out;
  std::string section;
  for (const MalformedClass& one : malformed_classes()) {
    if (one.section != section) {
      section = one.section;
      out << "\n## " << section
          << "\n\n| packet | from a pod, IPv4 | IPv6 | from the uplink, IPv4 | IPv6 | XDP, IPv4 | IPv6 |\n"
          << "|---|---|---|---|---|---|---|\n";
    }
    out << "| " << one.what;
    for (const sluice_reason reason : {one.reasons.pod4, one.reasons.pod6, one.reasons.uplink4, one.reasons.uplink6,
                                       one.reasons.by_xdp(Family::kIpv4), one.reasons.by_xdp(Family::kIpv6)}) {
      out << " | " << cell(reason);
    }
    out << " |\n";
  }
  return out.str();
}

}  // namespace bpftest
