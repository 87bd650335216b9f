// SPDX-License-Identifier: Apache-2.0
// The classes of malformed packets: one list, which malformed_table_test.cpp sends and docs/malformed.md shows.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "malformed.hpp"

namespace bpftest {

/// What the rows are built with: good packets to spoil, in one family and by one entry.
class Spoiled : public MalformedTest {
 public:
  using Change = std::function<void(Frame&)>;
  using Frames = std::vector<Frame>;
  Spoiled(Family its_family, From its_entry) : MalformedTest(its_family, its_entry) {}

  using MalformedTest::addressed;
  using MalformedTest::destination;
  using MalformedTest::good_echo;
  using MalformedTest::good_other;
  using MalformedTest::good_tcp;
  using MalformedTest::good_udp;
  using MalformedTest::ip;
  using MalformedTest::l4;
  using MalformedTest::link;
  using MalformedTest::other_family;
  using MalformedTest::pod;
  using MalformedTest::server;
  using MalformedTest::source;

  [[nodiscard]] bool six() const { return family == Family::kIpv6; }
  [[nodiscard]] bool from_pod() const { return from == From::kPod; }
  [[nodiscard]] Frames goods() const { return {good_tcp(), good_udp(), good_echo(), good_other()}; }
  [[nodiscard]] static Frames all(Frames frames, const Change& change);
  [[nodiscard]] static Frames repaired(Frames frames, const Change& change);
  /// Every good packet from each of these senders.
  [[nodiscard]] Frames sent_by(const std::vector<std::string>& addresses) const;
  [[nodiscard]] Frames behind(const ExtensionHeaders& headers) const;
  /// An ICMP error to the packets' destination that quotes `about`: its IP header and so many bytes behind it.
  [[nodiscard]] Frame error(const Frame& about, std::size_t behind_ip) const;
  /// What the destination of the good packets may have sent to their source.
  [[nodiscard]] Frame theirs() const { return udp(link, {destination, 53, source, 40000}); }
  /// The good packets on a way on which they are translated: to a service, or to a floating IP.
  [[nodiscard]] Frame translated_way(const Frame& frame) const {
    return from_pod() ? addressed(frame, "172.16.1.1") : frame;
  }
};

/// What becomes of a class by one entry in one family; NONE: there is no such packet.
struct Reasons {
  sluice_reason pod4, pod6, uplink4, uplink6;
  /// By XDP, where that is neither what its shape gives it at once nor left to from_uplink.
  std::optional<sluice_reason> early = {};

  [[nodiscard]] sluice_reason of(From from, Family family) const {
    const bool six = family == Family::kIpv6;
    return from == From::kPod ? (six ? pod6 : pod4) : six ? uplink6 : uplink4;
  }
  [[nodiscard]] sluice_reason by_xdp(Family family) const;
};

struct MalformedClass {
  std::string section;
  std::string what;
  Reasons reasons;
  std::function<Spoiled::Frames(const Spoiled&)> frames;
  /// Not a defect to the datapath: the packet goes its way, with what is wrong in it as wrong as before.
  bool kept = false;
};

const std::vector<MalformedClass>& malformed_classes();

/// The table of docs/malformed.md.
std::string malformed_markdown();

}  // namespace bpftest
