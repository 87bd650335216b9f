// SPDX-License-Identifier: Apache-2.0
// ICMP errors about translated packets: whoever complains, whoever has sent recognizes what it has sent.
#include <algorithm>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// What stands behind an error's code and checksum: a word, then the start of the packet that it is about.
Bytes quoting(const Frame& about, std::size_t behind_ip, const Bytes& word = {0, 0, 5, 120}) {
  Bytes rest = word;
  const std::size_t quoted = std::min(about.l4() + behind_ip, about.size());
  rest.insert(rest.end(), about.bytes.begin() + kIp, about.bytes.begin() + static_cast<std::ptrdiff_t>(quoted));
  return rest;
}

class IcmpError : public FamilyTest {
 protected:
  IcmpError() {
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
    world.floating("192.0.2.1", 53, kUdp, network, {{server, 5353}});
  }

  /// "Fragmentation needed" or "packet too big".
  [[nodiscard]] Frame too_big(const Link& link, const Address& from, const Address& to, const Frame& about,
                              std::size_t behind_ip) const {
    return icmp(link, from, to, pick<std::uint8_t>(3, 2), pick<std::uint8_t>(4, 0), quoting(about, behind_ip));
  }
  [[nodiscard]] Frame from_server(const Frame& about, std::size_t behind_ip) const {
    return too_big(server.to_router(), server.address, about.source(), about, behind_ip);
  }
  [[nodiscard]] Frame from_client(const Frame& about, std::size_t behind_ip) const {
    return too_big(client.to_router(), client.address, about.source(), about, behind_ip);
  }
  static Frame hop(Frame frame) {
    const std::size_t at = frame.family() == Family::kIpv6 ? kIp + 7 : kIp + 8;
    return frame.set8(at, frame.get8(at) - 1U).fix_checksums();
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Address address = ip("172.16.1.1");
  Address floating = ip("192.0.2.1");
  Address outside = ip("203.0.113.9");
  Tuple there{client.address, 40000, address, 53};
};

TEST_P(IcmpError, OfABackendQuotesWhatTheClientHasSent) {
  const Frame sent = udp(client.to_router(), there, Bytes(64, 7));
  const Outcome delivered = send(client, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  for (const std::size_t behind_ip : {std::size_t{8}, std::size_t{30}, std::size_t{72}}) {
    const Outcome error = send(server, from_server(delivered.frame, behind_ip));
    EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
    EXPECT_EQ(error.frame, hop(too_big(client.from_router(), address, client.address, hop(sent), behind_ip)))
        << behind_ip << " bytes";
  }
}

TEST_P(IcmpError, OfAClientQuotesWhatTheBackendHasSent) {
  send(client, udp(client.to_router(), there));
  const Frame sent = udp(server.to_router(), {server.address, 5353, client.address, 40000}, Bytes(64, 7));
  const Outcome delivered = send(server, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_CLIENT);
  const Outcome error = send(client, from_client(delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(error.frame, hop(too_big(server.from_router(), client.address, server.address, hop(sent), 8)));
}

TEST_P(IcmpError, TranslatesATcpChecksumIfItIsQuoted) {
  const Frame sent = tcp(client.to_router(), {client.address, 40000, address, 80}, kSyn, {.payload = Bytes(64, 9)});
  const Outcome delivered = send(client, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  for (const std::size_t behind_ip : {std::size_t{8}, std::size_t{18}, std::size_t{84}}) {
    const Outcome error = send(server, from_server(delivered.frame, behind_ip));
    EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
    Frame expected = hop(too_big(client.from_router(), address, client.address, hop(sent), behind_ip));
    EXPECT_EQ(error.frame, expected) << behind_ip << " bytes";
  }
}

TEST_P(IcmpError, LeavesADatagramWithoutAChecksumWithoutOne) {
  Frame sent = udp(client.to_router(), there);
  sent.set16(l4 + 6, 0);
  const Outcome delivered = send(client, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  const Outcome error = send(server, from_server(delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(error.frame, hop(too_big(client.from_router(), address, client.address, hop(sent), 8)));
}

TEST_P(IcmpError, AboutAPingFindsItsWay) {
  const Frame sent = echo_request(client.to_router(), client.address, address, 77);
  const Outcome delivered = send(client, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  const Outcome error = send(server, from_server(delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(error.frame, hop(too_big(client.from_router(), address, client.address, hop(sent), 8)));
}

TEST_P(IcmpError, OfARouterOutsideKeepsItsSource) {
  ASSERT_EQ(receive(udp(kInbound, {outside, 4000, floating, 53})).reason, SLUICE_REASON_TO_BACKEND);
  const Frame sent = udp(server.to_router(), {server.address, 5353, outside, 4000}, Bytes(64, 7));
  const Outcome delivered = send(server, sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_UPLINK);
  const Address router = ip("198.51.100.254");
  const Outcome error = receive(too_big(kInbound, router, floating, delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(error.frame, hop(too_big(server.from_router(), router, server.address, hop(sent), 8)));
  // Nobody outside has an address of the tenant's.
  EXPECT_EQ(receive(too_big(kInbound, client.address, floating, delivered.frame, 8)).reason, SLUICE_REASON_MARTIAN);
}

TEST_P(IcmpError, OfABackendGoesOutAsTheFloatingIp) {
  const Frame sent = udp(kInbound, {outside, 4000, floating, 53}, Bytes(64, 7));
  const Outcome delivered = receive(sent);
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  const Outcome error = send(server, from_server(delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_ERROR_TRANSLATED);
  EXPECT_EQ(error.frame, hop(too_big(server.to_router(), floating, outside, hop(sent), 8)));
}

TEST_P(IcmpError, DoesNotKeepAFlowAlive) {
  const Outcome delivered = send(client, udp(client.to_router(), there));
  const auto before = flow(7, kUdp, {server.address, 5353, client.address, 40000}).value();
  ASSERT_EQ(send(server, from_server(delivered.frame, 8)).reason, SLUICE_REASON_ERROR_TRANSLATED);
  const auto after = flow(7, kUdp, {server.address, 5353, client.address, 40000}).value();
  EXPECT_EQ(after.packets, before.packets);
  EXPECT_EQ(after.state & SLUICE_STATE_ESTABLISHED, 0U);
}

TEST_P(IcmpError, AboutAnothersPacketIsDropped) {
  const Pod other = world.pod(network, "172.16.0.30");
  const Outcome delivered = send(client, udp(client.to_router(), there));
  // The third pod has seen the packet somehow, and complains about it to either side.
  EXPECT_EQ(send(other, too_big(other.to_router(), other.address, client.address, delivered.frame, 8)).reason,
            SLUICE_REASON_FOREIGN_QUOTE);
  // The backend complains to somebody else about what the client has sent.
  EXPECT_EQ(send(server, too_big(server.to_router(), server.address, other.address, delivered.frame, 8)).reason,
            SLUICE_REASON_FOREIGN_QUOTE);
  // Cut off within the quoted header.
  EXPECT_EQ(
      send(server, icmp(server.to_router(), server.address, client.address, pick<std::uint8_t>(3, 1), 0, Bytes(12)))
          .reason,
      SLUICE_REASON_FOREIGN_QUOTE);
}

TEST_P(IcmpError, BetweenPodsNeedsNoTranslation) {
  const Frame direct = udp(client.to(server), {client.address, 1000, server.address, 2000});
  ASSERT_EQ(send(client, direct).reason, SLUICE_REASON_TO_POD);
  const Frame error = too_big(server.to(client), server.address, client.address, direct, 8);
  const Outcome outcome = send(server, error);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, error);
}

TEST_P(IcmpError, OfAnEndedFlowGoesNowhere) {
  const Outcome delivered = send(client, udp(client.to_router(), there));
  const Pod next = world.replace(client);
  EXPECT_EQ(
      send(next, too_big(next.to_router(), next.address, address, udp(next.to_router(), there.reversed()), 8)).reason,
      SLUICE_REASON_ICMP_ERROR);
  EXPECT_EQ(receive(too_big(kInbound, outside, floating, udp(kInbound, {floating, 53, outside, 1}), 8)).reason,
            SLUICE_REASON_ICMP_ERROR);
}

TEST_P(IcmpError, StaysInItsNetwork) {
  const Network other = world.network(8, 2);
  const Pod twin = world.pod(other, "172.16.0.20");  // the server's address in another network
  const Outcome delivered = send(client, udp(client.to_router(), there));
  ASSERT_EQ(delivered.reason, SLUICE_REASON_TO_BACKEND);
  // The very bytes that the backend would send: no flow of that network owns them, and no pod there is the client.
  const Outcome error = send(twin, too_big(twin.to_router(), twin.address, client.address, delivered.frame, 8));
  EXPECT_EQ(error.reason, SLUICE_REASON_NO_SUCH_ADDRESS);
}

IN_BOTH_FAMILIES(IcmpError);

}  // namespace
}  // namespace bpftest
