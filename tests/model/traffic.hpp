// SPDX-License-Identifier: Apache-2.0
// Random packets for a configuration: openings, follow-ups and answers of known flows, ICMP errors about them, ARP and
// neighbour discovery, replayed ones and anything at all; some are mutated.
#pragma once

#include <deque>
#include <vector>

#include "configuration.hpp"
#include "harness/packets.hpp"

namespace model {

struct Packet {
  sluice_entry entry = SLUICE_ENTRY_FROM_POD;
  std::uint32_t ifindex = 0;
  bpftest::Frame frame = {};
};

class Traffic {
 public:
  Traffic(Random& random, const Configuration& configuration, const Model& model)
      : random_(random), configuration_(configuration), model_(model) {}

  Packet next();

 private:
  /// Where a packet comes from: a pod's device or the uplink, and with which addresses.
  struct Sender {
    Packet packet;
    bpftest::Link link;
    bpftest::Address address;
  };

  Sender pod(bool v6);
  Sender internet(bool v6);
  Sender sender_of(const Tuple& tuple);
  Packet opening(Sender sender, const bpftest::Address& destination);
  bpftest::Frame transport(const bpftest::Link& link, const bpftest::Address& source,
                           const bpftest::Address& destination);
  bpftest::Frame sctp(const bpftest::Link& link, const bpftest::Tuple& tuple, bool init);
  void aim_at_zero(bpftest::Frame& frame, const Flow& flow);
  Packet of_flow();
  Packet leaving();
  Packet to_egress();
  std::uint16_t port_near(std::uint16_t first);
  void divide(const Packet& packet);
  void flood();
  Packet fragment();
  bpftest::Frame tcp_of(const bpftest::Link& link, const bpftest::Tuple& ends, const Flow& flow);
  Packet error();
  bpftest::Frame quoted_of(const Tuple& tuple);
  bpftest::Bytes quote(bpftest::Frame packet);
  Packet error_about(Sender sender, const bpftest::Address& destination, const bpftest::Frame& quoted);
  Packet dhcp();
  Packet question();
  Packet discovery();
  Packet any_opening();
  Packet replayed();
  bpftest::Frame with_headers(const bpftest::Frame& frame);
  void decorate(Packet& packet);
  void mutate(bpftest::Frame& frame);
  const bpftest::Address& destination(bool v6, bool from_uplink);
  bpftest::Bytes noise(std::size_t most);
  bpftest::Bytes tcp_options();

  Random& random_;
  const Configuration& configuration_;
  const Model& model_;
  std::deque<Packet> sent_;
  std::deque<Packet> pieces_;  ///< of divided packets, to be sent
};

}  // namespace model
