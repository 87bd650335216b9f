// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery on the uplink: who has a floating IP is answered, everything else is the host's.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class NdFromUplink : public ProgramTest {
 protected:
  NdFromUplink() : ProgramTest(Family::kIpv6) { world.floating_address("192.0.2.1"); }

  [[nodiscard]] Frame asks(const Address& target) const { return question(kGatewayMac, gateway, target); }
  [[nodiscard]] Frame probe(const Address& target) const {
    const Address group = solicited_node(target);
    return nd({kGatewayMac, group_mac(group)}, ip("::"), group, kSolicitation, nd_body(0, target, 0, {}));
  }
  void expect_foreign(const Frame& frame) {
    EXPECT_EQ(receive(frame).reason, SLUICE_REASON_FOREIGN) << ::testing::PrintToString(frame);
  }

  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Address gateway = ip("fe80::bb");
  Address address = ip("192.0.2.1");
  Address all_nodes = ip("ff02::1");
};

TEST_F(NdFromUplink, QuestionsForAFloatingIpAreAnsweredWithTheUplinksMac) {
  for (const Address& asker : {gateway, ip("192.0.2.254")}) {
    const Frame expected = answer(kUplinkMac, address, kGatewayMac, asker);
    const Outcome outcome = receive(question(kGatewayMac, asker, address));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED);
    EXPECT_EQ(outcome.frame, expected);
    const Outcome unicast = receive(nd(kInbound, asker, address, kSolicitation, nd_body(0, address, 1, kGatewayMac)));
    EXPECT_EQ(unicast.reason, SLUICE_REASON_ND_ANSWERED) << "is it still there?";
    EXPECT_EQ(unicast.frame, expected);
  }
}

TEST_F(NdFromUplink, AQuestionToAnAddressThatHasTheFilterBitByChanceIsTheHosts) {
  const Address other = ip("192.0.2.2");
  world.set_filter_bit({0, other});
  expect_foreign(nd(kInbound, gateway, other, kSolicitation, nd_body(0, address, 1, kGatewayMac)));
}

TEST_F(NdFromUplink, WhoeverWantsAFloatingIpForItselfIsTold) {
  const Outcome outcome = receive(probe(address));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED);
  EXPECT_EQ(outcome.frame, nd({kUplinkMac, group_mac(all_nodes)}, address, all_nodes, kAdvertisement,
                              nd_body(1U << 29, address, 2, kUplinkMac)));
}

TEST_F(NdFromUplink, QuestionsForOthersAreTheHosts) {
  world.service_address(network, "172.16.1.1");
  for (const Address& target : {ip("192.0.2.2"), pod.address, network.router, ip("172.16.1.1"),
                                ip("fe80::73:6cff:fe63:1"), ip("fe80::aa"), ip("::"), all_nodes}) {
    expect_foreign(asks(target));
    expect_foreign(probe(target));
  }
}

TEST_F(NdFromUplink, EverythingButAQuestionIsTheHosts) {
  for (const std::uint8_t type : {kRouterSolicitation, kRouterAdvertisement, kAdvertisement, kRedirect}) {
    for (const Address& to : {all_nodes, address, ip("192.0.2.200")}) {
      const Link link = to == all_nodes ? Link{kGatewayMac, group_mac(all_nodes)} : kInbound;
      expect_foreign(nd(link, gateway, to, type, nd_body(0, address, 2, kGatewayMac)));
      expect_foreign(nd(link, address, to, type, nd_body(0, address, 2, kGatewayMac)));
    }
  }
  const Address routers = ip("ff02::16");
  expect_foreign(icmp({kGatewayMac, group_mac(routers)}, gateway, routers, 143, 0, Bytes(24)));
}

TEST_F(NdFromUplink, MalformedQuestionsAreTheHosts) {
  const Frame good = asks(address);
  for (const unsigned hops : {0U, 64U, 254U}) expect_foreign(Frame(good).set_hops(hops));
  expect_foreign(Frame(good).set8(kL46 + 1, 1).fix_checksums());
  for (std::size_t at = kL46 + 2; at < good.size(); ++at) expect_foreign(Frame(good).set8(at, good.get8(at) ^ 4U));
  for (unsigned length = 0; length < 32; ++length) {
    if (length != 24) expect_foreign(Frame(good).set_length(length).fix_checksums());
  }
  expect_foreign(Frame(good).set_length(33));
  for (std::size_t size = kL46; size < good.size(); ++size) expect_foreign(Frame(good).resize(size));
  expect_foreign(nd(kInbound, ip("::"), address, kSolicitation, nd_body(0, address, 0, {})));
  expect_foreign(
      Frame(probe(address)).set_source(ip("::")).resize(kL46 + 32).set_length(32).set8(kL46 + 24, 1).fix_checksums());
  expect_foreign(with_extension_headers(good, {{kHopByHop, Bytes(7)}}));
  expect_foreign(with_extension_headers(good, {{kFragment, Bytes(7)}}));
  expect_foreign(vlan(good, 0x8100, 7));
}

TEST_F(NdFromUplink, FramesForSomebodyElseAreTheHosts) {
  const Mac other = {0x02, 0xcc, 0, 0, 0, 1};  // a promiscuous uplink sees them too
  expect_foreign(Frame(asks(address)).set_mac(0, other));
  expect_foreign(nd({kGatewayMac, other}, gateway, address, kSolicitation, nd_body(0, address, 1, kGatewayMac)));
}

TEST_F(NdFromUplink, AFilterBitAloneAnswersNothing) {
  datapath.remove(EndpointKey{0, address});
  expect_foreign(asks(address));
  expect_foreign(nd(kInbound, gateway, address, kSolicitation, nd_body(0, address, 1, kGatewayMac)));
}

}  // namespace
}  // namespace bpftest
