// SPDX-License-Identifier: Apache-2.0
// The way out as a value: from the configuration and what there is on the node.
#include "node/egress.hpp"

#include <gtest/gtest.h>
#include <sluice/abi.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sluice::node {
namespace {

using compile::EgressAddress;
using datapath::AddressInfo;

constexpr std::uint32_t kDevice = 7;
constexpr PortRange kPorts{16384, 29999};

Ipv4 ip4(const std::string& text) {
  return Ipv4::parse(text).value();
}
Ipv6 ip6(const std::string& text) {
  return Ipv6::parse(text).value();
}
AddressInfo on(std::uint32_t ifindex, const std::string& address) {
  return {.ifindex = ifindex, .address = parse_ip(address).value(), .global = true};
}

/// A node with an address of each family on its uplink, another device, and nothing in the way.
class EgressDecided : public ::testing::Test {
 protected:
  EgressDecided() {
    config_.device = "eth0";
    facts_.ifindex = kDevice;
    facts_.addresses = {on(1, "127.0.0.1"), on(kDevice, "192.0.2.7"),   on(9, "10.1.0.1"),
                        on(1, "::1"),       on(kDevice, "2001:db8::7"), on(kDevice, "fe80::7")};
    for (AddressInfo& info : facts_.addresses) {
      const std::string text = text_of(info.address);
      if (text == "127.0.0.1" || text == "::1" || text == "fe80::7") info.global = false;
    }
    facts_.reserved = {kPorts};
    facts_.whole = true;
  }
  EgressDecision decide() { return decide_egress(config_, facts_, floating_ips_, before_); }
  /// Decides and remembers it, as a node does.
  compile::Egress go_on() {
    before_ = decide().value;
    return before_;
  }
  void add_socket(const std::string& address, std::uint16_t port = 20000) {
    facts_.sockets.push_back({model::Protocol::kTcp, parse_ip(address).value(), port});
  }
  /// The only problem.
  std::string problem() {
    const auto made = decide();
    EXPECT_EQ(made.problems.size(), 1U);
    return made.problems.empty() ? "" : made.problems.front();
  }
  static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  EgressConfig config_;
  EgressFacts facts_;
  FloatingIps floating_ips_;
  compile::Egress before_;
};

TEST_F(EgressDecided, IsTheDevicesAddressesWithThePortsOfTheConfiguration) {
  config_.flows_per_pod = 77;
  const auto made = decide();
  EXPECT_TRUE(made.problems.empty()) << made.problems.front();
  EXPECT_EQ(made.value.ifindex, kDevice);
  EXPECT_EQ(made.value.v4, (EgressAddress<Ipv4>{ip4("192.0.2.7"), true, kPorts}));
  EXPECT_EQ(made.value.v6, (EgressAddress<Ipv6>{ip6("2001:db8::7"), true, kPorts}));
  EXPECT_EQ(made.value.flows_per_pod, 77U);
}

TEST_F(EgressDecided, DeniesTheNodesAddressesUnderlaysAndWhatIsConfigured) {
  config_.deny4 = {Cidr4::parse("10.0.0.0/8").value(), Cidr4::parse("192.0.2.7/32").value()};
  config_.deny6 = {Cidr6::parse("fd00::/8").value()};
  facts_.underlays = {ip4("198.51.100.2")};
  facts_.addresses.push_back(on(9, "169.254.3.3"));
  AddressInfo host = on(1, "203.0.113.9");
  host.global = false;
  facts_.addresses.push_back(host);
  std::vector<std::string> denied;
  const auto made = decide();
  for (const Cidr4& one : made.value.denied4) denied.push_back(one.text());
  for (const Cidr6& one : made.value.denied6) denied.push_back(one.text());
  EXPECT_EQ(denied, (std::vector<std::string>{"10.0.0.0/8", "10.1.0.1/32", "192.0.2.7/32", "198.51.100.2/32",
                                              "203.0.113.9/32", "2001:db8::7/128", "fd00::/8"}));
}

TEST_F(EgressDecided, IsNothingWithoutTheDevice) {
  facts_.ifindex = 0;
  EXPECT_EQ(decide().value, compile::Egress{});
  EXPECT_TRUE(has(problem(), "egress: device eth0 does not work as an uplink"));
}

TEST_F(EgressDecided, LeavesAFamilyWithoutAddressOutAndComplainsOnlyIfItWasAskedFor) {
  std::erase_if(facts_.addresses, [](const AddressInfo& info) { return std::holds_alternative<Ipv6>(info.address); });
  EXPECT_TRUE(decide().problems.empty());
  EXPECT_TRUE(decide().value.v4);
  EXPECT_FALSE(decide().value.v6);
  config_.address6.asked = true;
  EXPECT_TRUE(has(problem(), "egress.address6: device eth0 has no global IPv6 address that is to stay"));
  EXPECT_TRUE(decide().value.v4);
}

TEST_F(EgressDecided, ComplainsIfNobodyLeavesAtAll) {
  facts_.addresses.clear();
  EXPECT_TRUE(has(problem(), "egress: device eth0 has no global address"));
}

TEST_F(EgressDecided, HasAllPortsOfADedicatedAddressAndNeedsNoneReserved) {
  config_.address4 = {EgressWish<Ipv4>::Kind::kDedicated, ip4("203.0.113.5"), true};
  config_.address6.kind = EgressWish<Ipv6>::Kind::kNone;
  facts_.reserved.clear();
  add_socket("0.0.0.0");
  const auto made = decide();
  EXPECT_TRUE(made.problems.empty());
  EXPECT_EQ(made.value.v4, (EgressAddress<Ipv4>{ip4("203.0.113.5"), false, {1024, 65535}}));
  EXPECT_FALSE(made.value.v6);
}

TEST_F(EgressDecided, RefusesADedicatedAddressThatIsTheNodesOwnOnAnyDevice) {
  config_.address4 = {EgressWish<Ipv4>::Kind::kDedicated, ip4("10.1.0.1"), true};
  EXPECT_TRUE(has(problem(), "egress.address4: 10.1.0.1 is an address of this node itself; write: node"));
  EXPECT_FALSE(decide().value.v4);
  EXPECT_TRUE(decide().value.v6) << "the other family goes on";
}

TEST_F(EgressDecided, DoesNotBeginWhileThePortsAreNotReserved) {
  facts_.reserved = {{8080, 8080}, {16384, 20000}};
  facts_.unreserved = "read-only";
  EXPECT_FALSE(decide().value.v4);
  EXPECT_FALSE(decide().value.v6);
  EXPECT_TRUE(has(problem(), "sysctl -w net.ipv4.ip_local_reserved_ports=8080,16384-29999"));
  EXPECT_TRUE(has(problem(), "(read-only)"));
  facts_.reserved = {{1, 65535}};
  EXPECT_TRUE(decide().value.v4);
}

TEST_F(EgressDecided, DoesNotBeginAFamilyWhoseAddressHasASocketAtOneOfThePorts) {
  add_socket("192.0.2.7");
  EXPECT_FALSE(decide().value.v4);
  EXPECT_TRUE(decide().value.v6);
  EXPECT_TRUE(has(problem(),
                  "egress.address4: the host has sockets at ports of egress.ports 16384-29999: TCP "
                  "192.0.2.7:20000; end or move them"));
  EXPECT_TRUE(has(problem(), "until then no pod leaves by 192.0.2.7"));
  facts_.sockets.clear();
  add_socket("127.0.0.1");
  EXPECT_TRUE(decide().value.v4) << "nobody outside reaches it";
  facts_.sockets.clear();
  add_socket("::");
  EXPECT_FALSE(decide().value.v4);
  EXPECT_FALSE(decide().value.v6);
}

TEST_F(EgressDecided, NamesTheFirstOfManySockets) {
  config_.address6.kind = EgressWish<Ipv6>::Kind::kNone;
  for (std::uint16_t i = 0; i < 9; i++) add_socket("0.0.0.0", static_cast<std::uint16_t>(20000 + i));
  EXPECT_TRUE(has(problem(), "0.0.0.0:20004 and 4 more"));
}

TEST_F(EgressDecided, AsksForTheWholeListOfSocketsBeforeASharedAddressBegins) {
  facts_.whole = false;
  EXPECT_FALSE(decide().value.v4);
  EXPECT_FALSE(decide().value.v6);
  EXPECT_TRUE(decide().needs_whole);
  EXPECT_TRUE(decide().problems.empty()) << "nothing is known to be wrong";
  add_socket("::");
  EXPECT_FALSE(decide().needs_whole) << "it would change nothing";
  facts_.sockets.clear();
  facts_.whole = true;
  go_on();
  facts_.whole = false;
  EXPECT_TRUE(decide().value.v4 && decide().value.v6) << "what is in use goes on";
  EXPECT_FALSE(decide().needs_whole);
  config_.ports = {20000, 21000};
  EXPECT_TRUE(decide().needs_whole) << "with other ports it is begun anew";
  config_.address4 = {EgressWish<Ipv4>::Kind::kDedicated, ip4("203.0.113.5"), true};
  config_.address6.kind = EgressWish<Ipv6>::Kind::kNone;
  EXPECT_TRUE(decide().value.v4);
  EXPECT_FALSE(decide().needs_whole) << "a dedicated address has no sockets";
}

TEST_F(EgressDecided, LeavesAnAddressToTheFloatingIpThatHasIt) {
  go_on();
  floating_ips_["web"] = {.name = "web", .address = ip4("192.0.2.7")};
  floating_ips_["other"] = {.name = "other", .address = ip4("203.0.113.6"), .address6 = ip6("2001:db8::8")};
  EXPECT_FALSE(decide().value.v4) << "although it was in use";
  EXPECT_TRUE(decide().value.v6) << "the other family goes on";
  EXPECT_TRUE(has(problem(), "egress.address4: 192.0.2.7 is the address of floating IP web too; delete that or give"));
  floating_ips_["web"] = {.name = "web", .address = std::nullopt, .address6 = ip6("2001:db8::7")};
  EXPECT_TRUE(decide().value.v4);
  EXPECT_FALSE(decide().value.v6);
  EXPECT_TRUE(has(problem(), "egress.address6: 2001:db8::7 is the address of floating IP web too"));
}

TEST_F(EgressDecided, LeavesADedicatedAddressToTheFloatingIpThatHasIt) {
  config_.address4 = {EgressWish<Ipv4>::Kind::kDedicated, ip4("203.0.113.5"), true};
  config_.address6 = {EgressWish<Ipv6>::Kind::kDedicated, ip6("2001:db8::5"), true};
  EXPECT_TRUE(decide().value.v4 && decide().value.v6);
  floating_ips_["web"] = {.name = "web", .address = ip4("203.0.113.5")};
  EXPECT_FALSE(decide().value.v4);
  EXPECT_TRUE(decide().value.v6);
  EXPECT_TRUE(has(problem(), "egress.address4: 203.0.113.5 is the address of floating IP web too"));
  floating_ips_["web"].address6 = ip6("2001:db8::5");
  const auto made = decide();
  EXPECT_FALSE(made.value.v6);
  EXPECT_EQ(made.problems.size(), 2U) << "a family each, and nothing about a device without addresses";
}

TEST_F(EgressDecided, LetsNobodyLeaveIfMoreIsDeniedThanTheTablesHold) {
  go_on();
  const std::size_t own = decide().value.denied4.size();
  for (std::uint32_t i = 0; i < SLUICE_MAX_DENIED - own; i++) facts_.underlays.push_back(Ipv4{0xCB000000 + i});
  EXPECT_EQ(decide().value.denied4.size(), SLUICE_MAX_DENIED);
  EXPECT_TRUE(decide().value.v4);
  EXPECT_TRUE(decide().problems.empty());
  config_.deny4 = {Cidr4::parse("10.0.0.0/8").value()};
  EXPECT_EQ(decide().value, compile::Egress{});
  EXPECT_TRUE(has(problem(), "egress: 4097 IPv4 prefixes would be denied")) << problem();
  EXPECT_TRUE(has(problem(), "the tables hold 4096; take addresses off the node or shorten egress.deny"));
  config_.deny4.clear();
  for (std::uint32_t i = 0; i < SLUICE_MAX_DENIED; i++) {
    AddressInfo info = on(9, "2001:db8::");
    info.address = Ipv6{0x20010DB8ULL << 32U, 0x10000 + i};
    facts_.addresses.push_back(info);
  }
  EXPECT_EQ(decide().value, compile::Egress{});
  EXPECT_TRUE(has(problem(), "egress: 4097 IPv6 prefixes would be denied")) << problem();
}

TEST_F(EgressDecided, GoesOnWithAWarningWhenSomethingComesIntoTheWayLater) {
  const auto before = go_on();
  add_socket("0.0.0.0");
  facts_.reserved.clear();
  const auto made = decide();
  EXPECT_EQ(made.value, before);
  EXPECT_EQ(made.problems.size(), 2U);
  for (const std::string& one : made.problems) EXPECT_TRUE(has(one, "pods go on to leave by 192.0.2.7")) << one;
  config_.ports = {20000, 21000};
  EXPECT_FALSE(decide().value.v4) << "with other ports it is begun anew";
}

TEST_F(EgressDecided, KeepsItsAddressAsLongAsItWillDo) {
  go_on();
  facts_.addresses.insert(facts_.addresses.begin(), {on(kDevice, "192.0.2.99"), on(kDevice, "2001:db8::99")});
  EXPECT_EQ(go_on().v4->address.text(), "192.0.2.7");
  EXPECT_EQ(go_on().v6->address.text(), "2001:db8::7");
  for (AddressInfo& info : facts_.addresses) info.deprecated = text_of(info.address) == "2001:db8::7";
  EXPECT_EQ(go_on().v6->address.text(), "2001:db8::99");
  std::erase_if(facts_.addresses, [](const AddressInfo& info) { return text_of(info.address) == "192.0.2.7"; });
  EXPECT_EQ(go_on().v4->address.text(), "192.0.2.99");
}

/// For a while this process can open nothing.
class NothingOpens {
 public:
  NothingOpens() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NothingOpens() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NothingOpens(const NothingOpens&) = delete;
  NothingOpens& operator=(const NothingOpens&) = delete;

 private:
  rlimit before_{};
};

TEST(EgressFollowed, ChangesNothingUntilTheNodesAddressesWereRead) {
  EgressConfig config;
  config.device = "eth0";
  config.address4 = {EgressWish<Ipv4>::Kind::kDedicated, ip4("203.0.113.5"), true};
  config.address6.kind = EgressWish<Ipv6>::Kind::kNone;
  compile::Egress held;
  held.ifindex = kDevice;
  held.v4 = {ip4("192.0.2.7"), true, kPorts};
  held.denied4 = {Cidr4::parse("192.0.2.7/32").value()};
  EgressFollower resumed(config);
  EgressFollower fresh(config);
  resumed.resume(held);
  for (EgressFollower* one : {&resumed, &fresh}) {
    {
      const NothingOpens nothing_opens;
      one->look();
    }
    EXPECT_FALSE(one->decide(kDevice, {}, {}));
    ASSERT_EQ(one->problems().size(), 1U);
    EXPECT_TRUE(one->problems().front().ends_with("it is tried again")) << one->problems().front();
  }
  EXPECT_EQ(resumed.current(), held) << "flows go on";
  EXPECT_EQ(fresh.current(), compile::Egress{}) << "nobody begins to leave";
  for (EgressFollower* one : {&resumed, &fresh}) {
    one->look();
    EXPECT_TRUE(one->decide(kDevice, {}, {}));
    EXPECT_TRUE(one->problems().empty());
    EXPECT_EQ(one->current().v4->address, ip4("203.0.113.5"));
    const compile::Egress known = one->current();
    const NothingOpens nothing_opens;
    one->look();
    EXPECT_FALSE(one->decide(kDevice, {}, {}));
    EXPECT_EQ(one->current(), known) << "what was read once stays known";
    EXPECT_EQ(one->problems().size(), 1U);
  }
  {
    const NothingOpens nothing_opens;
    fresh.change(std::nullopt);
    fresh.look();
    EXPECT_TRUE(fresh.decide(0, {}, {})) << "to leave no more needs no addresses";
    fresh.change(config);
    fresh.look();
    EXPECT_FALSE(fresh.decide(kDevice, {}, {})) << "those of before may be others now";
  }
  EXPECT_EQ(fresh.current(), compile::Egress{});
}

TEST(EgressAddressChoice, TakesTheFirstGlobalAddressOfTheDeviceThatIsToStay) {
  const auto spoiled = [](const std::string& address, bool AddressInfo::* flag, bool value = true) {
    AddressInfo info = on(kDevice, address);
    info.*flag = value;
    return info;
  };
  const std::vector<AddressInfo> addresses{on(8, "192.0.2.1"),
                                           spoiled("192.0.2.2", &AddressInfo::global, false),
                                           spoiled("192.0.2.3", &AddressInfo::deprecated),
                                           on(kDevice, "192.0.2.4"),
                                           on(kDevice, "192.0.2.5"),
                                           spoiled("2001:db8::1", &AddressInfo::temporary),
                                           spoiled("2001:db8::2", &AddressInfo::deprecated),
                                           spoiled("2001:db8::3", &AddressInfo::tentative),
                                           spoiled("fe80::4", &AddressInfo::global, false),
                                           on(kDevice, "fd00::5"),
                                           on(kDevice, "2001:db8::6")};
  EXPECT_EQ(egress_address4(addresses, kDevice, {}), ip4("192.0.2.4"));
  EXPECT_EQ(egress_address4(addresses, kDevice, ip4("192.0.2.5")), ip4("192.0.2.5"));
  EXPECT_EQ(egress_address4(addresses, kDevice, ip4("192.0.2.3")), ip4("192.0.2.4"));
  EXPECT_EQ(egress_address4(addresses, 5, {}), std::nullopt);
  EXPECT_EQ(egress_address6(addresses, kDevice, {}), ip6("2001:db8::6")) << "not the unique local one";
  EXPECT_EQ(egress_address6({on(kDevice, "fd00::5")}, kDevice, {}), ip6("fd00::5")) << "but if there is no other";
}

}  // namespace
}  // namespace sluice::node
