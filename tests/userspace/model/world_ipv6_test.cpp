// SPDX-License-Identifier: Apache-2.0
// Which families and IPv6 addresses resources get, and what is refused.
#include "world_rules.hpp"

namespace sluice::model {
namespace {

Ipv6 six(const std::string& text) {
  return Ipv6::parse(text).value();
}

class WorldIpv6 : public WorldRules {
 protected:
  WorldIpv6() {
    Capacity capacity{.flow_pairs = 10'000, .ula_seed = UlaSeed{1, 2}};
    capacity.pools.push_back(
        {"both", {Cidr4::parse("203.0.113.0/31").value()}, {Cidr6::parse("2001:db8::/127").value()}});
    world_ = World(capacity);
  }
  const Network& network_of(const std::string& name) { return world_.state().networks.at(name); }
  std::string pod_of(const std::string& network, const std::string& name) {
    return world_.assignments().pod_addresses.at({network, name}).text();
  }
  std::string service_of(const std::string& network, const std::string& name) {
    return world_.assignments().service_addresses.at({network, name}).text();
  }
};

Network with_prefix(const std::string& name, const std::string& prefix, Families families = Families::kAll) {
  Network made = network(name);
  made.families = families;
  if (!prefix.empty()) made.cidr6 = Cidr6::parse(prefix).value();
  return made;
}

template <typename Resource>
Resource of(Families families, Resource resource) {
  resource.families = families;
  return resource;
}

TEST_F(WorldIpv6, ANetworkIsGivenAUniqueLocalPrefixOfItsOwnAndKeepsIt) {
  edit({put(network("red")), put(network("blue"))});
  const Cidr6 red = network_of("red").cidr6.value();
  EXPECT_EQ(red.length, 64);
  EXPECT_EQ(red.address.high >> 56U, 0xfdU) << "RFC 4193";
  EXPECT_EQ(red.address.low, 0U);
  EXPECT_NE(red, network_of("blue").cidr6.value());
  EXPECT_EQ(red, ula_prefix({1, 2}, "red"));
  EXPECT_NE(red, ula_prefix({1, 3}, "red"));
  Network again = network("red");
  again.domain = "other";
  edit({put(again)});
  EXPECT_EQ(network_of("red").cidr6, red);
}

TEST_F(WorldIpv6, PodsGoUpAndServicesDownInBothFamilies) {
  edit({put(with_prefix("red", "fd00:1::/64"))});
  edit({put(pod("red", "a")), put(pod("red", "b")), put(service("red", "x")), put(service("red", "y"))});
  EXPECT_EQ(pod_of("red", "a"), "172.16.0.2, fd00:1::2");
  EXPECT_EQ(pod_of("red", "b"), "172.16.0.3, fd00:1::3");
  EXPECT_EQ(service_of("red", "x"), "172.16.255.254, fd00:1::ffff:fffe");
  EXPECT_EQ(service_of("red", "y"), "172.16.255.253, fd00:1::ffff:fffd");
  edit({erase(Kind::kPod, "red", "b")});
  edit({put(of(Families::kIpv6, pod("red", "c"))), put(of(Families::kIpv4, pod("red", "d")))});
  EXPECT_EQ(pod_of("red", "c"), "fd00:1::4") << "what was released rests";
  EXPECT_EQ(pod_of("red", "d"), "172.16.0.4");
  EXPECT_EQ(picture(rebuilt(world_)), picture(world_));
}

TEST_F(WorldIpv6, NobodyIsGivenWhatAnotherOfTheSameChangeAsksFor) {
  Pod asks = pod("red", "z");
  asks.address6 = six("fd00:1::3");
  Pod also = pod("red", "a");
  also.address4 = ip("172.16.0.9");
  edit({put(with_prefix("red", "fd00:1::/64")), put(also), put(pod("red", "b")), put(asks)});
  EXPECT_EQ(pod_of("red", "a"), "172.16.0.9, fd00:1::2");
  EXPECT_EQ(pod_of("red", "z"), "172.16.0.2, fd00:1::3");
  EXPECT_EQ(pod_of("red", "b"), "172.16.0.3, fd00:1::4");
}

TEST_F(WorldIpv6, ASmallPrefixIsUsedToTheLastAddress) {
  edit({put(with_prefix("red", "fd00:1::/120", Families::kIpv6))});
  for (int i = 0; i < 254; i++) edit({put(pod("red", "p" + std::to_string(i)))});
  EXPECT_EQ(pod_of("red", "p253"), "fd00:1::ff");
  expect_refused({put(pod("red", "more"))}, ErrorCode::kExhausted,
                 {"pod red/more", "address6", "", "no address of fd00:1::/120 in network red is free",
                  "remove pods or services, or use another network"});
}

TEST_F(WorldIpv6, ANetworkGetsIpv6LaterOnlyIfItAsksAndLosesItOnlyUnused) {
  edit({put(with_prefix("red", "", Families::kIpv4)), put(pod("red", "old"))});
  edit({put(network("red"))});
  EXPECT_FALSE(network_of("red").cidr6) << "no wish is no change";
  expect_refused({put(of(Families::kDual, pod("red", "new")))}, ErrorCode::kPrecondition,
                 {"pod red/new", "families", "IPv4, IPv6", "network red has no IPv6",
                  "leave it out, or add IPv6 to the network's families"});
  edit({put(with_prefix("red", "", Families::kDual)), put(pod("red", "new"))});
  EXPECT_EQ(pod_of("red", "old"), "172.16.0.2");
  EXPECT_TRUE(world_.assignments().pod_addresses.at({"red", "new"}).v6);
  const std::string prefix = network_of("red").cidr6->text();
  expect_refused(
      {put(with_prefix("red", "", Families::kIpv4))}, ErrorCode::kPrecondition,
      {"network red", "families", "none",
       "the IPv6 prefix is " + prefix + " and cannot become none while 1 pods and services have addresses of it",
       "delete them first, or make another network"});
  edit({erase(Kind::kPod, "red", "new")});
  edit({put(with_prefix("red", "", Families::kIpv4))});
  EXPECT_FALSE(network_of("red").cidr6);
}

TEST_F(WorldIpv6, FamiliesAreForLife) {
  edit({put(with_prefix("red", "fd00:1::/64")), put(of(Families::kIpv4, pod("red", "a")))});
  edit({put(pod("red", "a"))});
  EXPECT_EQ(pod_of("red", "a"), "172.16.0.2");
  expect_refused({put(of(Families::kDual, pod("red", "a")))}, ErrorCode::kPrecondition,
                 {"pod red/a", "families", "IPv4, IPv6", "is IPv4 for life and cannot become IPv4, IPv6",
                  "delete the resource and make it anew, or leave the field out"});
  edit({put(of(Families::kDual, pod("red", "a")))}, kRecreate);
  EXPECT_TRUE(world_.assignments().pod_addresses.at({"red", "a"}).v6);
}

TEST_F(WorldIpv6, ReservedAndTakenAddressesAreRefused) {
  edit({put(with_prefix("red", "fd00:1::/64")), put(pod("red", "a"))});
  const auto refused = [&](const std::string& address, ErrorCode code, const std::string& problem,
                           const std::string& remedy) {
    Pod asks = pod("red", "b");
    asks.address6 = six(address);
    expect_refused({put(asks)}, code, {"pod red/b", "address6", address, problem, remedy});
  };
  refused("fd00:1::", ErrorCode::kInvalid, "fd00:1:: is the subnet-router anycast address of network red and reserved",
          "choose another address");
  refused("fd00:1::1", ErrorCode::kInvalid, "fd00:1::1 is the router of network red and reserved",
          "choose another address");
  refused("fd00:1::2", ErrorCode::kExists, "fd00:1::2 is taken by pod red/a", "choose another address");
  refused("fd00:2::2", ErrorCode::kInvalid, "fd00:2::2 is outside fd00:1::/64 of network red",
          "choose an address inside it");
  refused("fe80::2", ErrorCode::kInvalid, "fe80::2 is no unicast address of global or unique local scope",
          "choose another one");
}

TEST_F(WorldIpv6, APoolGivesAnAddressOfEachOfItsFamilies) {
  edit({put(floating_ip("a", {}, "both")), put(floating_ip("b", {}, "both"))});
  EXPECT_EQ(world_.state().floating_ips.at("a").addresses().text(), "203.0.113.0, 2001:db8::");
  EXPECT_EQ(world_.state().floating_ips.at("b").addresses().text(), "203.0.113.1, 2001:db8::1");
  edit({erase(Kind::kFloatingIp, "a")});
  edit({put(floating_ip("c", {}))});
  EXPECT_EQ(world_.state().floating_ips.at("c").addresses().text(), "203.0.113.0, 2001:db8::");
}

TEST_F(WorldIpv6, AFloatingIpMayGetTheOtherFamilyAndServesThoseOfItsOwn) {
  edit({put(with_prefix("red", "fd00:1::/64")), put(floating_ip("pub", "198.51.100.1"))});
  expect_refused({put(of(Families::kIpv6, service("red", "web", "pub")))}, ErrorCode::kInvalid,
                 {"service red/web", "floating_ip", "pub", "'pub' has an IPv4 address alone, the service IPv6",
                  "choose a floating IP of the service's family"});
  FloatingIp more = floating_ip("pub", {});
  more.address6 = six("2001:db8:f::1");
  edit({put(more), put(of(Families::kIpv6, service("red", "web", "pub")))});
  EXPECT_EQ(world_.state().floating_ips.at("pub").addresses().text(), "198.51.100.1, 2001:db8:f::1");
  FloatingIp other = floating_ip("pub", {});
  other.address6 = six("2001:db8:f::2");
  expect_refused(
      {put(other)}, ErrorCode::kPrecondition,
      {"floating IP pub", "address6", "2001:db8:f::2", "is 2001:db8:f::1 for life and cannot become 2001:db8:f::2",
       "delete the resource and make it anew, or leave the field out"});
}

TEST_F(WorldIpv6, PodsHaveMacsOfTheirOwn) {
  EXPECT_NE(pod_mac(1, Addresses({}, six("fd00::2"))), pod_mac(1, Addresses({}, six("fd00::3"))));
  EXPECT_NE(pod_mac(1, Addresses({}, six("fd00::ac10:2"))), pod_mac(1, ip("172.16.0.2")));
  EXPECT_EQ(pod_mac(1, Addresses(ip("172.16.0.2"), six("fd00::9"))), pod_mac(1, ip("172.16.0.2")));
}

}  // namespace
}  // namespace sluice::model
