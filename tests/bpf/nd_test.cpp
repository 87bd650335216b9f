// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery of pods (RFC 4861, RFC 4862): answered by the datapath, so that nobody speaks for another.
#include <functional>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr std::uint8_t kSourceOption = 1, kTargetOption = 2, kNonceOption = 14;
constexpr std::uint32_t kSolicited = 1U << 30, kOverride = 1U << 29;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes option(std::uint8_t type, const Mac& mac, std::uint8_t length = 1) {
  return Bytes{type, length} + Bytes(mac.begin(), mac.end());
}

class Nd : public ProgramTest {
 protected:
  Nd() : ProgramTest(Family::kIpv6) {}

  /// A solicitation as `source` sends it, to the group of the target.
  [[nodiscard]] Frame solicitation(const Address& target, const Address& source, const Bytes& options) const {
    const Address group = solicited_node(target);
    return nd({pod.mac, group_mac(group)}, source, group, kSolicitation, nd_body(0, target, 0, {}) + options);
  }
  [[nodiscard]] Frame solicitation(const Address& target) const { return question(pod.mac, pod.address, target); }
  /// Duplicate address detection.
  [[nodiscard]] Frame probe(const Address& target, const Bytes& options = {}) const {
    return solicitation(target, nobody, options);
  }
  [[nodiscard]] Frame advertisement(const Address& target, const Address& source, const Bytes& options,
                                    std::uint32_t flags = kOverride) const {
    return nd({pod.mac, group_mac(all_nodes)}, source, all_nodes, kAdvertisement,
              nd_body(flags, target, 0, {}) + options);
  }
  [[nodiscard]] Frame router_solicitation(const Address& source, const Bytes& options) const {
    return nd({pod.mac, group_mac(all_routers)}, source, all_routers, kRouterSolicitation, Bytes(4) + options);
  }
  /// What the router says to `asker`: a default route for 1800 s, hop limit 64, its own MAC, no prefix.
  [[nodiscard]] Frame router_advertisement(const Address& asker, const Mac& mac) const {
    const Bytes body = Bytes{64, 0, 1800 >> 8, 1800 & 255, 0, 0, 0, 0, 0, 0, 0, 0} + option(kSourceOption, kRouterMac);
    return nd({kRouterMac, mac}, router_link_local, asker, kRouterAdvertisement, body);
  }
  void expect(const Frame& frame, sluice_reason reason, const std::string& what = {}) {
    EXPECT_EQ(send(pod, frame).reason, reason) << what;
  }

  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod neighbour = world.pod(network, "172.16.0.20");
  Address own_link_local = ip("fe80::10:7ff:fe00:1");
  Address router_link_local = ip("fe80::73:6cff:fe63:1");
  Address nobody = ip("::");
  Address all_nodes = ip("ff02::1");
  Address all_routers = ip("ff02::2");
  Bytes own = option(kSourceOption, pod.mac);
};

TEST_F(Nd, ASolicitationIsAnsweredWithTheNeighboursOwnMac) {
  const Outcome outcome = send(pod, solicitation(neighbour.address));
  EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED);
  EXPECT_EQ(outcome.frame, answer(neighbour.mac, neighbour.address, pod.mac, pod.address));
}

TEST_F(Nd, TheRouterAnswersForItselfAndForServices) {
  world.service(network, "172.16.1.1", 80, kTcp, {{neighbour, 8080}});
  for (const Address& target : {network.router, router_link_local, ip("172.16.1.1")}) {
    const bool router = target != ip("172.16.1.1");
    const Outcome outcome = send(pod, solicitation(target));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED) << target.text();
    EXPECT_EQ(outcome.frame, answer(kRouterMac, target, pod.mac, pod.address, router)) << target.text();
  }
}

TEST_F(Nd, AnAskerMayUseItsLinkLocalAddress) {
  for (const Address& target : {neighbour.address, router_link_local}) {
    const bool router = target == router_link_local;
    const Outcome outcome = send(pod, solicitation(target, own_link_local, own));
    EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED);
    EXPECT_EQ(outcome.frame, answer(router ? kRouterMac : neighbour.mac, target, pod.mac, own_link_local, router));
  }
}

TEST_F(Nd, UnicastSolicitationsAreAnsweredTooWithAnOptionOrWithout) {
  const Frame expected = answer(neighbour.mac, neighbour.address, pod.mac, pod.address);
  for (const Bytes& options :
       {Bytes{}, own, option(kNonceOption, {1, 2, 3, 4, 5, 6}), own + option(kNonceOption, {1, 2, 3, 4, 5, 6})}) {
    const Bytes body = nd_body(0, neighbour.address, 0, {}) + options;
    EXPECT_EQ(send(pod, nd(pod.to(neighbour), pod.address, neighbour.address, kSolicitation, body)).frame, expected);
    EXPECT_EQ(send(pod, solicitation(neighbour.address, pod.address, options)).frame, expected);
  }
}

TEST_F(Nd, PaddingBehindTheQuestionGoes) {
  Frame padded = solicitation(neighbour.address);
  padded.resize(padded.size() + 9);
  EXPECT_EQ(send(pod, padded).frame, answer(neighbour.mac, neighbour.address, pod.mac, pod.address));
}

TEST_F(Nd, AProbeForAnAddressThatIsTakenIsAnsweredToAllNodes) {
  world.service_address(network, "172.16.1.1");
  for (const auto& [target, mac, flags] : {std::tuple{neighbour.address, neighbour.mac, 0U},
                                           {network.router, kRouterMac, 1U << 31},
                                           {router_link_local, kRouterMac, 1U << 31},
                                           {ip("172.16.1.1"), kRouterMac, 0U}}) {
    const Frame expected = nd({mac, group_mac(all_nodes)}, target, all_nodes, kAdvertisement,
                              nd_body(flags | kOverride, target, kTargetOption, mac));
    for (const Bytes& options : {Bytes{}, option(kNonceOption, {9, 9, 9, 9, 9, 9})}) {
      const Outcome outcome = send(pod, probe(target, options));
      EXPECT_EQ(outcome.reason, SLUICE_REASON_ND_ANSWERED);
      EXPECT_EQ(outcome.frame, expected);
    }
  }
}

TEST_F(Nd, QuestionsForItsOwnAddressEndQuietly) {
  expect(probe(pod.address), SLUICE_REASON_ND_OWN_ADDRESS, "duplicate address detection finds no duplicate");
  expect(solicitation(pod.address), SLUICE_REASON_ND_OWN_ADDRESS);
  expect(probe(own_link_local), SLUICE_REASON_ND_NO_TARGET, "link-local addresses are nobody's here");
}

TEST_F(Nd, NothingIsAnsweredForAddressesThatNobodyHas) {
  const Pod detached = world.pod(network, "172.16.0.30");
  world.detach(detached);
  const Pod gone = world.pod(network, "172.16.0.40");
  world.remove(gone);
  const Network other = world.network(8, 2);
  const Pod elsewhere = world.pod(other, "172.16.0.50");
  world.floating_address("192.0.2.1");
  for (const Address& target : {ip("172.16.0.99"), ip("8.8.8.8"), nobody, ip("::1"), ip("fe80::1"), detached.address,
                                gone.address, elsewhere.address, ip("192.0.2.1"), ip("::ffff:172.16.0.20")}) {
    expect(solicitation(target), SLUICE_REASON_ND_NO_TARGET, target.text());
    expect(probe(target), SLUICE_REASON_ND_NO_TARGET, target.text());
  }
}

TEST_F(Nd, ASolicitationInSomebodyElsesNameIsDropped) {
  expect(Frame(solicitation(neighbour.address)).set_mac(6, neighbour.mac), SLUICE_REASON_SPOOFED_MAC);
  for (const Address& source :
       {neighbour.address, network.router, router_link_local, ip("8.8.8.8"), ip("::1"), all_nodes}) {
    expect(solicitation(network.router, source, own), SLUICE_REASON_SPOOFED_ND, "source " + source.text());
  }
  for (const Mac& mac : {neighbour.mac, kRouterMac, kBroadcastMac, Mac{}}) {
    expect(solicitation(network.router, pod.address, option(kSourceOption, mac)), SLUICE_REASON_SPOOFED_ND);
    expect(solicitation(network.router, own_link_local, option(kSourceOption, mac)), SLUICE_REASON_SPOOFED_ND);
  }
  for (const std::uint8_t length : Bytes{0, 2, 255}) {
    expect(solicitation(network.router, pod.address, option(kSourceOption, pod.mac, length)), SLUICE_REASON_SPOOFED_ND,
           "option of " + std::to_string(8 * length) + " bytes");
  }
  expect(solicitation(pod.address, pod.address, option(kSourceOption, neighbour.mac)), SLUICE_REASON_SPOOFED_ND,
         "before the question for its own address");
}

TEST_F(Nd, AMalformedSolicitationIsDropped) {
  expect(solicitation(all_nodes, pod.address, own), SLUICE_REASON_ND_MALFORMED, "a group as target");
  expect(solicitation(solicited_node(neighbour.address), pod.address, own), SLUICE_REASON_ND_MALFORMED);
  expect(probe(neighbour.address, own), SLUICE_REASON_ND_MALFORMED, "nobody has a MAC");
  expect(nd(pod.to(neighbour), nobody, neighbour.address, kSolicitation, nd_body(0, neighbour.address, 0, {})),
         SLUICE_REASON_ND_MALFORMED, "nobody asks one");
  Frame in_group_frame =
      nd(pod.to(neighbour), nobody, neighbour.address, kSolicitation, nd_body(0, neighbour.address, 0, {}));
  in_group_frame.set_mac(0, group_mac(all_nodes));
  expect(in_group_frame, SLUICE_REASON_ND_MALFORMED, "nobody asks one, whatever the frame says");
}

TEST_F(Nd, AnAdvertisementOfItsOwnAddressEndsQuietly) {
  const Bytes target = option(kTargetOption, pod.mac);
  for (const Bytes& options : {target, Bytes{}}) {
    expect(advertisement(pod.address, pod.address, options), SLUICE_REASON_ND_OWN_ADDRESS, "unsolicited");
    expect(advertisement(own_link_local, own_link_local, options), SLUICE_REASON_ND_OWN_ADDRESS);
    expect(nd(pod.to(neighbour), pod.address, neighbour.address, kAdvertisement,
              nd_body(kSolicited | kOverride, pod.address, 0, {}) + options),
           SLUICE_REASON_ND_OWN_ADDRESS, "to a neighbour");
  }
}

TEST_F(Nd, AnAdvertisementInSomebodyElsesNameIsDropped) {
  const Bytes own_target = option(kTargetOption, pod.mac);
  for (const Address& target :
       {neighbour.address, network.router, router_link_local, ip("172.16.0.99"), nobody, all_nodes}) {
    expect(advertisement(target, pod.address, own_target), SLUICE_REASON_SPOOFED_ND, "target " + target.text());
    expect(advertisement(target, target, own_target), SLUICE_REASON_SPOOFED_ND, "from its target " + target.text());
    expect(nd(pod.to(neighbour), pod.address, neighbour.address, kAdvertisement,
              nd_body(kSolicited | kOverride, target, kTargetOption, pod.mac)),
           SLUICE_REASON_SPOOFED_ND, "to a neighbour, target " + target.text());
  }
  expect(advertisement(pod.address, pod.address, option(kTargetOption, neighbour.mac)), SLUICE_REASON_SPOOFED_ND);
  expect(advertisement(pod.address, pod.address, option(kTargetOption, pod.mac, 2)), SLUICE_REASON_SPOOFED_ND);
  expect(advertisement(pod.address, nobody, own_target), SLUICE_REASON_SPOOFED_ND);
}

TEST_F(Nd, OnlyTheRouterAdvertisesARouterOrRedirects) {
  for (const std::uint8_t type : {kRouterAdvertisement, kRedirect}) {
    for (const Address& source : {pod.address, own_link_local, router_link_local, neighbour.address}) {
      for (const Address& to : {all_nodes, neighbour.address, network.router}) {
        const Link link = to == all_nodes ? Link{pod.mac, group_mac(all_nodes)} : pod.to(neighbour);
        const Frame frame = nd(link, source, to, type, Bytes(36, 1));
        expect(frame, SLUICE_REASON_SPOOFED_ND, "source " + source.text());
        expect(Frame(frame).set_hops(64), SLUICE_REASON_SPOOFED_ND, "whatever its shape");
        expect(Frame(frame).set_length(5), SLUICE_REASON_SPOOFED_ND, "whatever its shape");
      }
    }
  }
}

TEST_F(Nd, ARouterSolicitationIsAnsweredByTheRouter) {
  for (const Address& source : {own_link_local, pod.address}) {
    for (const Bytes& options : {Bytes{}, own, own + option(kNonceOption, {})}) {
      const Outcome outcome = send(pod, router_solicitation(source, options));
      EXPECT_EQ(outcome.reason, SLUICE_REASON_ROUTER_ADVERTISED);
      EXPECT_EQ(outcome.frame, router_advertisement(source, pod.mac));
    }
  }
  const Outcome anonymous = send(pod, router_solicitation(nobody, {}));
  EXPECT_EQ(anonymous.reason, SLUICE_REASON_ROUTER_ADVERTISED);
  EXPECT_EQ(anonymous.frame, router_advertisement(all_nodes, group_mac(all_nodes)));
  expect(router_solicitation(neighbour.address, {}), SLUICE_REASON_SPOOFED_ND);
  expect(router_solicitation(router_link_local, {}), SLUICE_REASON_SPOOFED_ND);
  expect(router_solicitation(nobody, own), SLUICE_REASON_ND_MALFORMED, "nobody has a MAC");
  expect(router_solicitation(nobody, option(kNonceOption, {})), SLUICE_REASON_ROUTER_ADVERTISED);
}

TEST_F(Nd, OnlyWhatRfc4861AllowsIsRead) {
  const Bytes target = option(kTargetOption, pod.mac);
  const std::vector<Frame> good = {solicitation(neighbour.address), probe(neighbour.address),
                                   advertisement(pod.address, pod.address, target),
                                   router_solicitation(own_link_local, own)};
  for (const Frame& frame : good) {
    for (const unsigned hops : {0U, 1U, 64U, 254U}) expect(Frame(frame).set_hops(hops), SLUICE_REASON_ND_MALFORMED);
    for (const unsigned code : {1U, 255U}) {
      expect(Frame(frame).set8(kL46 + 1, code).fix_checksums(), SLUICE_REASON_ND_MALFORMED, "code");
    }
    for (std::size_t at = kL46 + 2; at < frame.size(); ++at) {
      expect(Frame(frame).set8(at, frame.get8(at) ^ 0x10U), SLUICE_REASON_ND_MALFORMED, "byte " + std::to_string(at));
    }
    const auto whole = static_cast<unsigned>(frame.size() - kL46);
    for (unsigned length = 1; length < whole; ++length) {
      if (length % 8 == 0) continue;  // some of these are right
      expect(Frame(frame).set_length(length).fix_checksums(), SLUICE_REASON_ND_MALFORMED, std::to_string(length));
    }
    expect(Frame(frame).set_length(whole + 1), SLUICE_REASON_BAD_IP_LENGTH);
    for (const std::size_t more : {1U, 7U, 16U, 24U, 1000U}) {
      Frame longer = frame;
      longer.resize(frame.size() + more).set_length(whole + static_cast<unsigned>(more)).fix_checksums();
      const bool room_for_options = (whole + more) % 8 == 0 && whole + more <= 40;
      if (!room_for_options) expect(longer, SLUICE_REASON_ND_MALFORMED, std::to_string(more) + " bytes more");
    }
  }
  for (const unsigned length : {8U, 16U}) {
    expect(Frame(good[0]).set_length(length).fix_checksums(), SLUICE_REASON_ND_MALFORMED, "without a target");
    expect(Frame(good[2]).set_length(length).fix_checksums(), SLUICE_REASON_ND_MALFORMED, "without a target");
  }
}

TEST_F(Nd, APodOfTheOtherFamilyHasNoNeighboursHere) {
  Network both = world.network(9, 3);
  world.add_subnet(both, bpftest::ip("10.1.0.0"), 16);
  const Pod old = world.pod(both, bpftest::ip("10.1.0.10"), {});
  const Address any = own_link_local;
  EXPECT_EQ(send(old, question(old.mac, any, both.router)).reason, SLUICE_REASON_NO_FAMILY);
  EXPECT_EQ(send(old, nd({old.mac, group_mac(all_routers)}, any, all_routers, kRouterSolicitation, Bytes(4))).reason,
            SLUICE_REASON_NO_FAMILY);
  EXPECT_EQ(send(old, nd({old.mac, group_mac(all_nodes)}, any, all_nodes, kRouterAdvertisement, Bytes(12))).reason,
            SLUICE_REASON_NO_FAMILY);
  const Frame who_has = arp({pod.mac, kBroadcastMac}, 1, pod.mac, bpftest::ip("10.1.0.9"), {}, bpftest::ip("10.1.0.1"));
  expect(who_has, SLUICE_REASON_NO_FAMILY, "nor has one of this family in the other");
}

TEST_F(Nd, TornRecordsAnswerNothing) {
  datapath.change(EndpointKey{7, neighbour.address}, [](auto& record) { record.self.network = 8; });
  expect(solicitation(neighbour.address), SLUICE_REASON_ND_NO_TARGET);
  world.write(neighbour);
  datapath.change(EndpointKey{7, neighbour.address}, [](auto& record) { record.self_end.network = 8; });
  expect(solicitation(neighbour.address), SLUICE_REASON_ND_NO_TARGET);
}

}  // namespace
}  // namespace bpftest
