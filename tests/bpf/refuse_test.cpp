// SPDX-License-Identifier: Apache-2.0
// Refusals: exact bytes of resets and port unreachables, and their rate.
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// The port unreachable that RFC 792 and RFC 4443 ask for.
Frame unreachable(const Frame& frame) {
  const bool six = frame.family() == Family::kIpv6;
  return icmp_error(frame, frame.destination(), six ? 1 : 3, six ? 4 : 3);
}

class Refuse : public FamilyTest {
 protected:
  Refuse() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.2", 80, kTcp, {{server, 8080, false}});
    world.service(network, "172.16.1.2", 53, kUdp, {{server, 5353, false}});
    world.service(network, "172.16.1.2", 0, kIcmp, {{server, 0, false}});
    world.service(network, "172.16.1.3", 80, kTcp, {});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080, false}});
  }
  [[nodiscard]] Frame to(const char* address, std::uint16_t port, unsigned flags, const TcpFields& fields = {}) const {
    return tcp(client.to_router(), {client.address, 40000, ip(address), port}, flags, fields);
  }
  void expect_reset(const Frame& frame, std::uint32_t sequence, std::uint32_t acknowledgement, unsigned flags) {
    const Outcome outcome = send(client, frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_TCP);
    EXPECT_EQ(outcome.frame, reset(frame, sequence, acknowledgement, flags));
    EXPECT_EQ(outcome.frame.size(), l4 + 20);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
};

TEST_P(Refuse, AClosedServicePortAnswersWithAReset) {
  const TcpFields fields{.sequence = 0xfffffff0, .acknowledgement = 0x12345678};
  TcpFields data = fields;
  data.payload = Bytes(100, 0x55);
  TcpFields options = data;
  options.options = Bytes(40, 1);
  expect_reset(to("172.16.1.1", 81, kSyn, fields), 0, 0xfffffff1, kRst | kAck);
  expect_reset(to("172.16.1.1", 81, kSyn, data), 0, 0xfffffff1 + 100, kRst | kAck);
  expect_reset(to("172.16.1.1", 81, kSyn, options), 0, 0xfffffff1 + 100, kRst | kAck);
  expect_reset(to("172.16.1.1", 81, kFin, data), 0, 0xfffffff1 + 100, kRst | kAck);
  expect_reset(to("172.16.1.1", 81, 0, data), 0, 0xfffffff0 + 100, kRst | kAck);
  expect_reset(to("172.16.1.1", 81, kAck, data), 0x12345678, 0, kRst);
  expect_reset(to("172.16.1.1", 81, kSyn | kAck, fields), 0x12345678, 0, kRst);
  expect_reset(to("172.16.1.1", 81, kFin | kAck, options), 0x12345678, 0, kRst);
}

TEST_P(Refuse, ATcpPacketWithoutAFlowIsResetAndAResetNever) {
  expect_reset(to("172.16.1.1", 80, kAck, {.acknowledgement = 77}), 77, 0, kRst);
  expect_reset(to("172.16.1.1", 80, kSyn | kAck, {.acknowledgement = 78}), 78, 0, kRst);
  expect_reset(to("172.16.1.1", 80, kFin | kAck, {.acknowledgement = 79}), 79, 0, kRst);
  EXPECT_EQ(send(client, to("172.16.1.1", 80, kRst)).reason, SLUICE_REASON_NO_CONNECTION);
  EXPECT_EQ(send(client, to("172.16.1.1", 81, kRst | kAck)).reason, SLUICE_REASON_NO_CONNECTION);
  EXPECT_TRUE(datapath.flows().empty()) << "only a SYN makes a record";
}

TEST_P(Refuse, AServiceWithoutReadyBackendsRefusesAtOnce) {
  for (const char* address : {"172.16.1.2", "172.16.1.3"}) {
    expect_reset(to(address, 80, kSyn, {.sequence = 5}), 0, 6, kRst | kAck);
  }
  const Frame query = udp(client.to_router(), {client.address, 40000, ip("172.16.1.2"), 53}, Bytes(100, 9));
  const Outcome outcome = send(client, query);
  EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_UNREACHABLE);
  EXPECT_EQ(outcome.frame, unreachable(query));
  EXPECT_EQ(outcome.frame.size(), pick(70U, 110U));
  EXPECT_EQ(send(client, echo_request(client.to_router(), client.address, ip("172.16.1.2"), 1)).reason,
            SLUICE_REASON_PROTOCOL)
      << "a ping has no such answer";
}

TEST_P(Refuse, AClosedUdpPortAnswersWithPortUnreachable) {
  for (std::size_t length : {0U, 1U, 8U, 1400U}) {  // the shortest grows, the others shrink
    const Frame query = udp(client.to_router(), {client.address, 40000, ip("172.16.1.1"), 9}, Bytes(length, 0xa5));
    const Outcome outcome = send(client, query);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_REFUSED_UNREACHABLE);
    EXPECT_EQ(outcome.frame, unreachable(query));
  }
}

TEST_P(Refuse, FloatingIpsRefuseTowardsTheInternet) {
  const Frame syn = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.1"), 81}, kSyn, {.sequence = 9});
  EXPECT_EQ(receive(syn).frame, reset(syn, 0, 10, kRst | kAck)) << "no such port";
  const Frame none_ready = tcp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80}, kSyn, {.sequence = 9});
  EXPECT_EQ(receive(none_ready).frame, reset(none_ready, 0, 10, kRst | kAck)) << "no backend";
  const Frame query = udp(kInbound, {ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80});
  EXPECT_EQ(receive(query).frame, unreachable(query));
}

TEST_P(Refuse, TheRateIsPerNetworkAndNobodyElsePays) {
  change_settings([](sluice_settings& s) { s.refusals_per_second = 3; });
  const Network other = world.network(8, 2);
  const Pod stranger = world.pod(other, "172.16.0.10");
  world.service(other, "172.16.1.1", 80, kTcp, {});
  unsigned refused = 0;
  for (int i = 0; i < 30; ++i) {
    const sluice_reason reason = send(client, to("172.16.1.1", 81, kSyn)).reason;
    EXPECT_TRUE(reason == SLUICE_REASON_REFUSED_TCP || reason == SLUICE_REASON_REFUSAL_LIMITED);
    refused += reason == SLUICE_REASON_REFUSED_TCP ? 1 : 0;
  }
  EXPECT_GE(refused, 3U);
  EXPECT_LE(refused, 9U) << "three a second; the loop takes far less than two";
  EXPECT_EQ(send(client, udp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 9})).reason,
            SLUICE_REASON_REFUSAL_LIMITED);
  const Frame syn = tcp(stranger.to_router(), {stranger.address, 40000, ip("172.16.1.1"), 80}, kSyn);
  EXPECT_EQ(send(stranger, syn).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(send(client, to("172.16.1.1", 80, kSyn)).reason, SLUICE_REASON_TO_BACKEND)
      << "what is not refused is not limited";
}

TEST_P(Refuse, ANewSecondAllowsRefusalsAgain) {
  change_settings([](sluice_settings& s) { s.refusals_per_second = 1; });
  EXPECT_EQ(send(client, to("172.16.1.1", 81, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
  sluice_network_usage usage = datapath.usage(network.slot);
  usage.inside.answers = 1;
  usage.inside.began = coarse_now() - 400'000'000;
  datapath.put("network_usage", std::uint32_t{network.slot}, usage);
  EXPECT_EQ(send(client, to("172.16.1.1", 81, kSyn)).reason, SLUICE_REASON_REFUSAL_LIMITED);
  usage.inside.began = coarse_now() - 1'100'000'000;
  datapath.put("network_usage", std::uint32_t{network.slot}, usage);
  EXPECT_EQ(send(client, to("172.16.1.1", 81, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
}

TEST_P(Refuse, TheFloatingIpsRefusalsAreChargedToTheTenantWhenOneIsKnown) {
  const Address client_address = ip("203.0.113.9");
  receive(tcp(kInbound, {client_address, 40000, ip("192.0.2.1"), 80}, kSyn));
  const auto unbound = [&] {
    const sluice_address6 six = ip("192.0.2.1").wire6();
    const std::uint32_t index =
        family == Family::kIpv6 ? sluice_refusal_index6(&six) : sluice_refusal_index(ip("192.0.2.1").wire4());
    return datapath.element<sluice_refusal_window>("refusal_windows", index).answers;
  };
  EXPECT_EQ(datapath.usage(network.slot).outside.answers, 1U) << "bound, no backend";
  EXPECT_EQ(datapath.usage(network.slot).inside.answers, 0U);
  EXPECT_EQ(unbound(), 0U);
  receive(tcp(kInbound, {client_address, 40000, ip("192.0.2.1"), 81}, kSyn));
  EXPECT_EQ(unbound(), 1U) << "not bound";
}

TEST_P(Refuse, NobodyOutsideUsesUpThePodsRefusals) {
  change_settings([](sluice_settings& s) { s.refusals_per_second = 1; });
  const Tuple outside{ip("203.0.113.9"), 40000, ip("192.0.2.1"), 80};
  EXPECT_EQ(receive(tcp(kInbound, outside, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
  EXPECT_EQ(receive(tcp(kInbound, outside, kSyn)).reason, SLUICE_REASON_REFUSAL_LIMITED);
  EXPECT_EQ(send(client, to("172.16.1.1", 81, kSyn)).reason, SLUICE_REASON_REFUSED_TCP);
}

IN_BOTH_FAMILIES(Refuse);

}  // namespace
}  // namespace bpftest
