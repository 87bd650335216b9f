// SPDX-License-Identifier: Apache-2.0
#include "model/validate.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace sluice::model {
namespace {

Ipv4 ip(const std::string& text) {
  return Ipv4::parse(text).value();
}

/// A valid state with something of everything; each case breaks one thing of it.
State good_state() {
  State state;
  for (const std::string name : {"shop", "blog"}) {
    state.networks[name].name = name;
    Pod pod;
    pod.name = {name, "web-1"};
    pod.labels = {{"app", "web"}};
    pod.address4 = ip("172.16.0.11");
    pod.ports = {{"http", {8080, Protocol::kTcp}}};
    state.pods[pod.name] = pod;
    Service service;
    service.name = {name, name == "shop" ? "web" : "front"};
    service.selector = {{"app", "web"}};
    service.address4 = ip("172.16.200.1");
    service.floating_ip = "public";
    service.ports = {{"http", static_cast<std::uint16_t>(name == "shop" ? 80 : 81), Protocol::kTcp, "http"}};
    state.services[service.name] = service;
  }
  state.floating_ips["public"] = {"public", ip("203.0.113.10")};
  return state;
}

void add_network(State& state, const std::string& prefix, std::uint8_t length) {
  state.networks["n"].name = "n";
  state.networks["n"].cidr4 = Cidr4{ip(prefix), length};
}

struct Case {
  std::string name;
  std::function<void(State&)> breaks;
  ErrorCode code;
  std::string message;
};
std::string case_name(const testing::TestParamInfo<Case>& tested) {
  return tested.param.name;
}

class Validate : public testing::TestWithParam<Case> {};

TEST_P(Validate, ReportsExactlyTheBrokenThing) {
  State state = good_state();
  GetParam().breaks(state);
  const std::vector<Error> errors = validate(state);
  ASSERT_EQ(errors.size(), 1U) << (errors.size() > 1 ? errors[0].message + "\n" + errors[1].message : "");
  EXPECT_EQ(errors[0].message, GetParam().message);
  EXPECT_EQ(name(errors[0].code), name(GetParam().code));
}

Network& shop(State& state) {
  return state.networks.at("shop");
}
Pod& pod(State& state) {
  return state.pods.at({"shop", "web-1"});
}
Service& web(State& state) {
  return state.services.at({"shop", "web"});
}
constexpr auto kInvalid = ErrorCode::kInvalid;
constexpr auto kExists = ErrorCode::kExists;

INSTANTIATE_TEST_SUITE_P(
    Networks, Validate,
    testing::Values(
        Case{"PrefixTooLong", [](State& s) { add_network(s, "10.0.0.0", 30); }, kInvalid,
             "network n: cidr4: 10.0.0.0/30 has prefix length 30; choose 8 to 29"},
        Case{"PrefixTooShort", [](State& s) { add_network(s, "10.0.0.0", 7); }, kInvalid,
             "network n: cidr4: 10.0.0.0/7 has prefix length 7; choose 8 to 29"},
        Case{"Loopback", [](State& s) { add_network(s, "127.0.0.0", 8); }, kInvalid,
             "network n: cidr4: 127.0.0.0/8 lies in 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0/3, which no host can use; "
             "choose a private range like 172.16.0.0/16"},
        Case{"Multicast", [](State& s) { add_network(s, "239.1.0.0", 16); }, kInvalid,
             "network n: cidr4: 239.1.0.0/16 lies in 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0/3, which no host can use; "
             "choose a private range like 172.16.0.0/16"},
        Case{"RouterOutside", [](State& s) { shop(s).router4 = ip("10.0.0.1"); }, kInvalid,
             "network shop: router4: 10.0.0.1 is outside 172.16.0.0/16; choose an address inside it"},
        Case{"RouterIsBroadcast", [](State& s) { shop(s).router4 = ip("172.16.255.255"); }, kInvalid,
             "network shop: router4: 172.16.255.255 is the broadcast address of 172.16.0.0/16; choose another one "
             "inside it"},
        Case{"Domain", [](State& s) { shop(s).domain = "shop..internal"; }, kInvalid,
             "network shop: domain: 'shop..internal' is not a DNS name; use lower-case labels joined by dots, like "
             "internal"},
        Case{"GuaranteeAboveMaximum", [](State& s) { shop(s).guaranteed_flows = shop(s).max_flows + 1; }, kInvalid,
             "network shop: limits.guaranteed_flows: 131073 is above max_flows, which is 131072; lower it or raise "
             "max_flows"},
        Case{"LabelKey", [](State& s) { shop(s).labels["a b"] = "c"; }, kInvalid,
             "network shop: labels: key 'a b' is not allowed; use 1 to 63 characters A-Z, a-z, 0-9, '.', '_', '/', "
             "'-'"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Pods, Validate,
    testing::Values(
        Case{"UnknownNetwork", [](State& s) { s.pods[{"nil", "a"}].name = {"nil", "a"}; }, ErrorCode::kNotFound,
             "pod nil/a: network: 'nil' does not exist; declare a Network of that name"},
        Case{"AddressOutside", [](State& s) { pod(s).address4 = ip("10.0.0.1"); }, kInvalid,
             "pod shop/web-1: address4: 10.0.0.1 is outside 172.16.0.0/16 of network shop; choose an address inside "
             "it"},
        Case{"AddressOfTheNetwork", [](State& s) { pod(s).address4 = ip("172.16.0.0"); }, kInvalid,
             "pod shop/web-1: address4: 172.16.0.0 is the network address of network shop and reserved; choose "
             "another address"},
        Case{"AddressOfTheRouter", [](State& s) { pod(s).address4 = ip("172.16.0.1"); }, kInvalid,
             "pod shop/web-1: address4: 172.16.0.1 is the router of network shop and reserved; choose another "
             "address"},
        Case{"AddressOfAnotherPod",
             [](State& s) {
               s.pods[{"shop", "web-2"}] = pod(s);
               s.pods[{"shop", "web-2"}].name = {"shop", "web-2"};
             },
             kExists, "pod shop/web-2: address4: 172.16.0.11 is taken by pod shop/web-1; choose another address"},
        Case{"PortZero", [](State& s) { pod(s).ports["x"] = {0, Protocol::kTcp}; }, kInvalid,
             "pod shop/web-1: ports: port 0 of 'x' is no port; choose 1 to 65535"},
        Case{"DrainDeadlineWithoutADrain",
             [](State& s) { s.pods.at({"shop", "web-1"}).drain_deadline = 1769860800000; }, kInvalid,
             "pod shop/web-1: drain_deadline: the pod does not drain; set state: draining, or leave the deadline out"},
        Case{"DrainDeadlineBefore1970",
             [](State& s) {
               s.pods.at({"shop", "web-1"}).draining = true;
               s.pods.at({"shop", "web-1"}).drain_deadline = -5;
             },
             kInvalid,
             "pod shop/web-1: drain_deadline: -5 is no time of the years 1970 to 9999; give milliseconds since 1970"},
        Case{"DrainDeadlineBehind9999",
             [](State& s) {
               s.pods.at({"shop", "web-1"}).draining = true;
               s.pods.at({"shop", "web-1"}).drain_deadline = 253402300800000;
             },
             kInvalid,
             "pod shop/web-1: drain_deadline: 253402300800000 is no time of the years 1970 to 9999; give milliseconds "
             "since 1970"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Services, Validate,
    testing::Values(
        Case{"EmptySelector", [](State& s) { web(s).selector.clear(); }, kInvalid,
             "service shop/web: selector: is empty and would match nothing or everything; name at least one label"},
        Case{"NoPorts", [](State& s) { web(s).ports.clear(); }, kInvalid,
             "service shop/web: ports: is empty; declare at least one port"},
        Case{"PortTwice", [](State& s) { web(s).ports.push_back({"other", 80, Protocol::kTcp, std::uint16_t{1}}); },
             kExists, "service shop/web: ports: 80/TCP stands twice; a service has each port and protocol once"},
        Case{"PortNameTwice", [](State& s) { web(s).ports.push_back({"http", 82, Protocol::kTcp, std::uint16_t{1}}); },
             kExists, "service shop/web: ports: name 'http' stands twice; give each port its own name"},
        Case{"TargetZero", [](State& s) { web(s).ports[0].target_port = std::uint16_t{0}; }, kInvalid,
             "service shop/web: ports: target_port 0 of 80/TCP is no port; choose 1 to 65535 or the name of a pod's "
             "port"},
        Case{"AddressOfAPod", [](State& s) { web(s).address4 = ip("172.16.0.11"); }, kExists,
             "service shop/web: address4: 172.16.0.11 is taken by pod shop/web-1; choose another address"},
        Case{"MulticastAddress", [](State& s) { web(s).address4 = ip("224.0.0.1"); }, kInvalid,
             "service shop/web: address4: 224.0.0.1 is no unicast address; choose another one, inside or outside the "
             "CIDR"},
        Case{"UnknownFloatingIp", [](State& s) { web(s).floating_ip = "nil"; }, ErrorCode::kNotFound,
             "service shop/web: floating_ip: 'nil' does not exist; declare a FloatingIP of that name"},
        Case{"PortClashOnAFloatingIp", [](State& s) { s.services.at({"blog", "front"}).ports[0].port = 80; }, kExists,
             "service shop/web: ports: 80/TCP on floating IP 203.0.113.10 is taken by service blog/front; choose "
             "another port or floating IP"},
        Case{"FloatingIpTwice", [](State& s) { s.floating_ips["zwei"] = {"zwei", ip("203.0.113.10")}; }, kExists,
             "floating IP zwei: address: 203.0.113.10 is taken by floating IP public; choose another address"},
        Case{"FloatingIpIsMulticast", [](State& s) { s.floating_ips["m"] = {"m", ip("239.0.0.1")}; }, kInvalid,
             "floating IP m: address: 239.0.0.1 is no unicast address; choose an address of the public side"}),
    case_name);

TEST(ValidateState, AcceptsTwoNetworksWithEqualCidrsPodsAndServiceAddresses) {
  EXPECT_TRUE(validate(good_state()).empty());
}

TEST(ValidateState, AcceptsTcpAndUdpOnOneNumberOfAFloatingIp) {
  State state = good_state();
  state.services.at({"blog", "front"}).ports[0] = {"http", 80, Protocol::kUdp, "http"};
  EXPECT_TRUE(validate(state).empty());
}

TEST(ValidateState, AcceptsAServiceOutsideTheCidrAndAFloatingIpInsideIt) {
  State state = good_state();
  web(state).address4 = ip("10.96.0.1");
  state.floating_ips["inside"] = {"inside", ip("172.16.0.11")};
  EXPECT_TRUE(validate(state).empty());
}

TEST(ValidateState, AcceptsThePodsOfTheDefaultNetworkWhichIsMadeOnFirstUse) {
  State state;
  state.pods[{"default", "a"}].name = {"default", "a"};
  EXPECT_TRUE(validate(state).empty());
  add_default_network(state);
  EXPECT_EQ(state.networks.at("default").name, "default");
  EXPECT_TRUE(validate(state).empty());
}

TEST(ValidateState, ReportsAllProblemsOfSingleResourcesAtOnceAndThenAllThatTheWholeShows) {
  State state = good_state();
  web(state).selector.clear();
  shop(state).domain = "";
  web(state).floating_ip = "nil";
  pod(state).address4 = ip("10.0.0.1");
  EXPECT_EQ(validate(state).size(), 2U);
  web(state).selector = {{"app", "web"}};
  shop(state).domain = "internal";
  EXPECT_EQ(validate(state).size(), 2U);
}

TEST(ValidateState, BoundsEveryCount) {
  const auto refused = [](const State& state) {
    const std::vector<Error> errors = validate(state);
    return errors.size() == 1 && errors[0].code == ErrorCode::kExhausted;
  };
  State networks;
  for (std::size_t i = 0; i < kMaxNetworks; i++)
    networks.networks["n" + std::to_string(i)].name = "n" + std::to_string(i);
  EXPECT_TRUE(validate(networks).empty());
  networks.networks["more"].name = "more";
  EXPECT_TRUE(refused(networks));

  State pods = good_state();
  add_network(pods, "10.0.0.0", 8);
  for (std::size_t i = 0; i < kMaxPodsPerNetwork; i++) {
    const Name key{"n", "p" + std::to_string(i)};
    pods.pods[key].name = key;
  }
  EXPECT_TRUE(validate(pods).empty());
  pods.pods[{"n", "more"}].name = {"n", "more"};
  EXPECT_TRUE(refused(pods));

  State ports = good_state();
  for (std::uint16_t i = 1; i <= kMaxPortsPerService; i++) {
    web(ports).ports.push_back({"", static_cast<std::uint16_t>(1000 + i), Protocol::kTcp, i});
  }
  EXPECT_TRUE(refused(ports));
}

}  // namespace
}  // namespace sluice::model
