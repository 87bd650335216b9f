// SPDX-License-Identifier: Apache-2.0
// SCTP: an association through a service or a floating IP, with its ports translated and its CRC32c right.
#include <algorithm>
#include <random>

#include "harness/fragments.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr std::uint8_t kData = 0, kInit = 1, kInitAck = 2, kAbort = 6;

/// RFC 9260 appendix A, bit by bit.
std::uint32_t crc32c(const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

/// The frame with the checksum that its SCTP packet must have.
Frame summed(Frame frame) {
  const Transport sctp = transport_of(frame);
  frame.set32(sctp.begin + 8, 0);
  const std::uint32_t crc = crc32c(frame.bytes.data() + sctp.begin, sctp.end - sctp.begin);
  for (std::size_t i = 0; i < 4; ++i) frame.set8(sctp.begin + 8 + i, (crc >> (8 * i)) & 0xffU);
  return frame;
}

Frame sctp(const Link& link, const Tuple& tuple, std::uint32_t tag, std::uint8_t chunk, const Bytes& rest = Bytes(19)) {
  Bytes packet(13 + rest.size());
  packet[12] = chunk;
  std::ranges::copy(rest, packet.begin() + 13);
  Frame frame = ip_packet(link, tuple.source, tuple.destination, kSctp, packet);
  const std::size_t at = frame.l4();
  frame.set16(at, tuple.source_port).set16(at + 2, tuple.destination_port).set32(at + 4, tag);
  return summed(frame);
}

class Sctp : public FamilyTest {
 protected:
  Sctp() {
    world.service(network, "172.16.1.1", 9899, kSctp, {{server, 36412}});
    world.service(network, "172.16.1.2", 36412, kSctp, {{server, 36412}});
    world.service(network, "172.16.1.3", 9899, kSctp, {{server, 36412, false}});
    world.floating("192.0.2.1", 9899, kSctp, network, {{server, 36412}});
  }
  [[nodiscard]] Frame init(const std::string& service = "172.16.1.1", std::uint16_t port = 9899) const {
    return sctp(client.to_router(), {client.address, 40000, ip(service), port}, 0, kInit);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  const Address outside = ip("203.0.113.9"), floating = ip("192.0.2.1");
  const Tuple there{client.address, 40000, ip("172.16.1.1"), 9899};
  const Tuple behind{client.address, 40000, server.address, 36412};
};

TEST_P(Sctp, AnAssociationPassesAServiceBothWays) {
  Outcome outcome = send(client, init());
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, summed(translated(init(), to_pod(server), behind)));
  const Frame answer = sctp(server.to_router(), behind.reversed(), 7, kInitAck, Bytes(200, 9));
  outcome = send(server, answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_CLIENT);
  EXPECT_EQ(outcome.frame, summed(translated(answer, to_pod(client), there.reversed())));
  const Frame data = sctp(client.to_router(), there, 8, kData, Bytes(1001, 3));
  outcome = send(client, data);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
  EXPECT_EQ(outcome.frame, summed(translated(data, to_pod(server), behind)));
}

TEST_P(Sctp, AnAssociationPassesAFloatingIpBothWays) {
  const Tuple public_there{outside, 40000, floating, 9899}, public_behind{outside, 40000, server.address, 36412};
  const Frame opening = sctp(kInbound, public_there, 0, kInit);
  EXPECT_EQ(receive(opening).frame, summed(translated(opening, to_pod(server), public_behind)));
  EXPECT_EQ(datapath.usage(network.slot).half_open, 1U);
  const Frame answer = sctp(server.to_router(), public_behind.reversed(), 7, kInitAck);
  const Outcome outcome = send(server, answer);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_UPLINK);
  EXPECT_EQ(outcome.frame, summed(translated(answer, server.to_router(), public_there.reversed())));
  EXPECT_EQ(datapath.usage(network.slot).half_open, 0U) << "the first answer ends the charge";
}

TEST_P(Sctp, TheCrcIsRightAtEveryLength) {
  ASSERT_EQ(send(client, init()).reason, SLUICE_REASON_TO_BACKEND);
  std::mt19937 random(20261127);
  std::vector<std::size_t> lengths = {0, 1, 2, 3, 4, 3, 242, 243, 244, 245, 1440};
  while (lengths.size() < 300) lengths.push_back(random() % 1441);
  for (const std::size_t length : lengths) {
    Bytes rest(length);
    for (std::uint8_t& byte : rest) byte = static_cast<std::uint8_t>(random());
    const Frame data = sctp(client.to_router(), there, static_cast<std::uint32_t>(random()), kData, rest);
    EXPECT_EQ(send(client, data).frame, summed(translated(data, to_pod(server), behind))) << length;
  }
  // A wrong one is the receiver's to judge: it stays as wrong as it was.
  Frame data = sctp(client.to_router(), there, 8, kData);
  const Frame right = send(client, data).frame;
  data.set8(l4 + 8, data.get8(l4 + 8) ^ 0x40U);
  EXPECT_EQ(send(client, data).frame, Frame(right).set8(l4 + 8, right.get8(l4 + 8) ^ 0x40U));
}

TEST_P(Sctp, WherePortsStayTheCrcStays) {
  Frame opening = init("172.16.1.2", 36412);
  opening.set32(l4 + 8, 0x12345678);
  EXPECT_EQ(send(client, opening).frame, translated(opening, to_pod(server), behind));
}

TEST_P(Sctp, OnlyAnInitOpensAFlow) {
  const Tuple inbound{outside, 40000, floating, 9899};
  const std::vector<std::pair<std::uint32_t, std::uint8_t>> others = {
      {1, kInit}, {0, kData}, {0, kInitAck}, {7, kAbort}, {7, 10}, {7, 11}, {7, 14}};
  for (const auto& [tag, chunk] : others) {
    EXPECT_EQ(send(client, sctp(client.to_router(), there, tag, chunk)).reason, SLUICE_REASON_NO_CONNECTION);
    EXPECT_EQ(receive(sctp(kInbound, inbound, tag, chunk)).reason, SLUICE_REASON_NO_CONNECTION);
  }
  const Frame bare = init().resize(l4 + 12).set_length(12).fix_checksums();
  EXPECT_EQ(send(client, bare).reason, SLUICE_REASON_NO_CONNECTION) << "without a chunk";
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Sctp, WhatNobodyServesIsRefusedOnce) {
  for (const Frame& opening : {init("172.16.1.1", 9898), init("172.16.1.3")}) {
    const Outcome outcome = send(client, opening);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_PROTOCOL);
    EXPECT_EQ(outcome.frame, protocol_unreachable(opening));
  }
  const Tuple closed{outside, 40000, floating, 9898};
  const Frame opening = sctp(kInbound, closed, 0, kInit);
  EXPECT_EQ(receive(opening).frame, protocol_unreachable(opening));
  EXPECT_EQ(receive(sctp(kInbound, closed, 5, kData)).reason, SLUICE_REASON_NO_CONNECTION);
  EXPECT_EQ(send(client, sctp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 2}, 5, kData)).reason,
            SLUICE_REASON_NO_CONNECTION);
}

TEST_P(Sctp, HeadersAreWholeAndPortsAreNotZero) {
  for (std::size_t length = 0; length < 12; ++length) {
    const Frame cut = init().resize(l4 + length).set_length(static_cast<unsigned>(length)).fix_checksums();
    EXPECT_EQ(send(client, cut).reason, SLUICE_REASON_TRUNCATED) << length;
  }
  EXPECT_EQ(send(client, init().set16(l4, 0)).reason, SLUICE_REASON_ZERO_PORT);
  EXPECT_EQ(send(client, init().set16(l4 + 2, 0)).reason, SLUICE_REASON_ZERO_PORT);
}

TEST_P(Sctp, BetweenPodsNothingIsAskedOrChanged) {
  const Frame data = sctp(client.to(server), {client.address, 1, server.address, 2}, 5, kData).set32(l4 + 8, 0xbad);
  const Outcome outcome = send(client, data);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_POD);
  EXPECT_EQ(outcome.frame, data);
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Sctp, FragmentsPassWherePortsStay) {
  ASSERT_EQ(send(client, init()).reason, SLUICE_REASON_TO_BACKEND);
  const Tuple staying{client.address, 40001, ip("172.16.1.2"), 36412};
  ASSERT_EQ(send(client, sctp(client.to_router(), staying, 0, kInit)).reason, SLUICE_REASON_TO_BACKEND);
  const Frame changing = divisible(sctp(client.to_router(), there, 8, kData, Bytes(387, 3)), 1);
  for (const Frame& piece : fragments(changing, 1, 200)) {
    EXPECT_EQ(send(client, piece).reason, SLUICE_REASON_FRAGMENT) << "the CRC depends on the whole length";
  }
  const Frame kept = divisible(sctp(client.to_router(), staying, 8, kData, Bytes(387, 3)), 2);
  std::vector<Frame> passed;
  for (const Frame& piece : fragments(kept, 2, 200)) passed.push_back(send(client, piece).frame);
  EXPECT_EQ(reassembled(passed), translated(kept, to_pod(server), {client.address, 40001, server.address, 36412}));
  EXPECT_EQ(send(client, fragment(kept, 3, 0, 8)).reason, SLUICE_REASON_FRAGMENT_TINY);
  EXPECT_EQ(send(client, fragment(kept, 3, 8, 200)).reason, SLUICE_REASON_FRAGMENT_TINY);
}

TEST_P(Sctp, AnInitInFragmentsOpensNoFlow) {
  const Tuple staying{client.address, 40000, ip("172.16.1.2"), 36412}, public_there{outside, 40000, floating, 9899};
  const Bytes parameters(387, 3);
  for (const Frame& piece : fragments(divisible(sctp(client.to_router(), staying, 0, kInit, parameters), 1), 1, 200)) {
    EXPECT_EQ(send(client, piece).reason, SLUICE_REASON_FRAGMENT);
  }
  for (const Frame& piece : fragments(divisible(sctp(kInbound, public_there, 0, kInit, parameters), 2), 2, 200)) {
    EXPECT_EQ(receive(piece).reason, SLUICE_REASON_FRAGMENT);
  }
  EXPECT_TRUE(datapath.flows().empty());
}

TEST_P(Sctp, AnErrorAboutAPacketIsTranslatedWithItsQuote) {
  ASSERT_EQ(send(client, init()).reason, SLUICE_REASON_TO_BACKEND);
  const Frame received = summed(translated(init(), to_pod(server), behind));
  const std::uint8_t type = pick<std::uint8_t>(3, 4), code = pick<std::uint8_t>(2, 1);
  Frame error = icmp_error(received, server.address, type, code, pick(0U, 6U));
  const Outcome outcome = send(server, error.set_mac(6, server.mac).set_mac(0, kRouterMac));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ERROR_TRANSLATED);
  const std::size_t quoted = l4 + 8 + (l4 - kIp);
  EXPECT_EQ(outcome.frame.get16(quoted), 40000);
  EXPECT_EQ(outcome.frame.get16(quoted + 2), 9899);
}

IN_BOTH_FAMILIES(Sctp);

}  // namespace
}  // namespace bpftest
