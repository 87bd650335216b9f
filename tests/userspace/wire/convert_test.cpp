// SPDX-License-Identifier: Apache-2.0
// What goes over the wire comes back the same, through the bytes that the API and the store carry.
#include <gtest/gtest.h>

#include <random>

#include "model/validate.hpp"
#include "wire/convert.hpp"

namespace sluice::wire {
namespace {

using model::Kind;

/// Makes any resource that the model can hold, sensible or not.
class Maker {
 public:
  explicit Maker(std::uint32_t seed) : random_(seed) {}

  model::Resource resource() {
    switch (number(5)) {
      case 0:
        return network();
      case 1:
        return pod();
      case 2:
        return service();
      case 3:
        return floating_ip();
      default:
        return model::Node{text(), labels(), maybe_address(), coin() ? "key" : ""};
    }
  }

 private:
  std::uint32_t number(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }
  bool coin() { return number(2) == 0; }
  std::string text() { return "t" + std::to_string(number(1000)); }
  Ipv4 address() { return Ipv4{number(0xFFFFFFFF) + 1}; }
  std::optional<Ipv4> maybe_address() { return coin() ? std::optional(address()) : std::nullopt; }
  std::uint16_t port() { return static_cast<std::uint16_t>(number(65536)); }
  model::Protocol protocol() {
    return coin() ? model::Protocol::kTcp : coin() ? model::Protocol::kUdp : model::Protocol::kSctp;
  }
  model::Labels labels() {
    model::Labels made;
    for (std::uint32_t i = number(4); i > 0; i--) made[text()] = coin() ? text() : "";
    return made;
  }
  /// Often at one of the limits of what a field means when it is absent.
  std::uint32_t flows() {
    constexpr std::array<std::uint32_t, 8> kEdges = {0, 1, 1023, 1024, 8192, 131071, 131072, 0xFFFFFFFF};
    return coin() ? kEdges.at(number(kEdges.size())) : number(200000);
  }
  model::Network network() {
    model::Network made;
    made.name = text();
    made.labels = labels();
    if (coin()) {
      const auto length = static_cast<std::uint8_t>(number(33));
      made.cidr4 = Cidr4{Ipv4{0}, length};
      made.cidr4.address.value = address().value & made.cidr4.mask();
    }
    made.router4 = maybe_address();
    made.families = families();
    if (coin()) made.cidr6 = Cidr6{{address6().high, 0}, 64};
    if (coin()) made.domain = text();
    if (coin()) made.egress = model::EgressWay::kNone;
    if (coin()) made.guaranteed_flows = flows();
    if (coin()) made.max_flows = flows();
    if (coin()) made.max_half_open_flows = flows();
    return made;
  }
  model::Pod pod() {
    model::Pod made;
    made.name = {text(), text()};
    made.labels = labels();
    made.address4 = maybe_address();
    made.families = families();
    if (coin()) made.address6 = address6();
    for (std::uint32_t i = number(4); i > 0; i--) made.ports[text()] = {port(), protocol()};
    made.weight = coin() ? std::uint16_t{1} : port();
    made.draining = coin();
    if (coin()) made.drain_deadline = std::int64_t{number(2000)} * 1'000'003 + 1;
    return made;
  }
  model::Service service() {
    model::Service made;
    made.name = {text(), text()};
    made.labels = labels();
    made.selector = labels();
    made.address4 = maybe_address();
    made.families = families();
    if (coin()) made.address6 = address6();
    for (std::uint32_t i = number(4); i > 0; i--) {
      model::ServicePort added{coin() ? text() : "", port(), protocol(), std::uint16_t{0}};
      if (coin()) added.target_port = added.port;
      if (coin()) added.target_port = text();
      made.ports.push_back(std::move(added));
    }
    made.algorithm = static_cast<model::Algorithm>(number(5));
    made.affinity = number(2) == 0 ? 0 : 1 + static_cast<std::uint32_t>(number(model::kMaxAffinity));
    if (coin()) made.floating_ip = text();
    return made;
  }
  model::FloatingIp floating_ip() {
    model::FloatingIp made{text(), maybe_address(), labels(), coin() ? text() : ""};
    if (made.address == Ipv4{}) made.address.reset();  // no floating IP can have it
    if (coin()) made.address6 = address6();
    return made;
  }
  Ipv6 address6() { return {std::uint64_t{random_()} << 32 | random_(), random_()}; }
  model::Families families() { return static_cast<model::Families>(number(4)); }

  std::mt19937 random_;
};

TEST(Convert, EveryResourceComesBackTheSameThroughItsBytes) {
  Maker maker(20241);
  for (int round = 0; round < 20000; round++) {
    const model::Resource resource = maker.resource();
    const std::string bytes = to_message(resource).SerializeAsString();
    v1::Resource message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    const auto back = to_model(message);
    ASSERT_TRUE(back.has_value()) << back.error().message;
    ASSERT_EQ(*back, resource) << message.DebugString();
  }
}

TEST(Convert, WhatSluiceHasSetComesBackTheSameAndIsNoPartOfTheSpecification) {
  Maker maker(7);
  for (int round = 0; round < 2000; round++) {
    const model::Resource resource = maker.resource();
    const Kind kind = model::key_of(resource).kind;
    Assigned assigned;
    assigned.created = 3;
    assigned.modified = 5;
    assigned.created_seconds = 1700000000;
    if (kind == Kind::kNetwork) assigned.network_id = 0xFFFFFF;
    if (kind == Kind::kNetwork) assigned.network_slot = 4095;
    if (model::is_in_network(kind)) assigned.addresses = {Ipv4{0xAC100002}, Ipv6{0xfdULL << 56U, 2}};
    const v1::Resource message = to_message(resource, assigned);
    const auto kept = assigned_of(message);
    ASSERT_TRUE(kept.has_value()) << kept.error().message;
    EXPECT_EQ(*kept, assigned);
    EXPECT_EQ(to_model(message).value(), resource);
  }
}

TEST(Convert, DefaultsAreNotWrittenOut) {
  model::Network network;
  network.name = "shop";
  v1::Resource expected;
  expected.mutable_network()->set_name("shop");
  EXPECT_EQ(to_message(network).SerializeAsString(), expected.SerializeAsString());

  model::Service service;
  service.name = {"shop", "web"};
  service.ports.push_back({"", 80, model::Protocol::kTcp, std::uint16_t{80}});
  const v1::Resource message = to_message(service);
  EXPECT_EQ(message.service().ports(0).target_case(), v1::ServicePort::TARGET_NOT_SET);
  EXPECT_EQ(message.service().algorithm(), v1::ALGORITHM_UNSPECIFIED);
  EXPECT_FALSE(message.has_metadata());
  EXPECT_FALSE(to_message(model::Pod()).pod().has_weight());
}

TEST(Convert, AbsenceMeansTheDefaultsThatAreNamed) {
  v1::Resource message;
  message.mutable_network()->set_name("shop");
  model::Network network;
  network.name = "shop";
  EXPECT_EQ(to_model(message).value(), model::Resource(network));
  // A lower maximum alone takes guarantee and half-open limit down with it, as in manifests.
  message.mutable_network()->mutable_limits()->set_max_flows(500);
  network.max_flows = network.guaranteed_flows = network.max_half_open_flows = 500;
  EXPECT_EQ(to_model(message).value(), model::Resource(network));
  // 0 is a value, not absence.
  message.mutable_network()->mutable_limits()->set_guaranteed_flows(0);
  network.guaranteed_flows = 0;
  EXPECT_EQ(to_model(message).value(), model::Resource(network));

  message.mutable_pod()->set_name("web-1");
  message.mutable_pod()->add_ports()->set_port(80);
  const auto pod = std::get<model::Pod>(to_model(message).value());
  EXPECT_EQ(pod.name, (model::Name{"default", "web-1"}));
  EXPECT_EQ(pod.weight, 1);
  EXPECT_FALSE(pod.draining);
  EXPECT_EQ(pod.ports.at("").protocol, model::Protocol::kTcp);
  message.mutable_pod()->set_weight(0);
  EXPECT_EQ(std::get<model::Pod>(to_model(message).value()).weight, 0);
}

TEST(Convert, ANetworkThatSaysNothingOfItsWayOutLeavesByTheNode) {
  v1::Resource message;
  message.mutable_network()->set_name("shop");
  EXPECT_EQ(std::get<model::Network>(to_model(message).value()).egress, model::EgressWay::kNode);
  message.mutable_network()->set_egress(v1::EGRESS_NODE);
  EXPECT_EQ(std::get<model::Network>(to_model(message).value()).egress, model::EgressWay::kNode);
  message.mutable_network()->set_egress(v1::EGRESS_NONE);
  EXPECT_EQ(std::get<model::Network>(to_model(message).value()).egress, model::EgressWay::kNone);
}

TEST(Convert, AFloatingIpOfAPoolShowsItsAddressInSpecificationAndStatus) {
  const model::FloatingIp floating_ip{"public", Ipv4{0xCB00710A}, {}, "edge"};
  const v1::Resource message = to_message(floating_ip);
  EXPECT_EQ(message.floating_ip().address(), "203.0.113.10");
  EXPECT_EQ(message.floating_ip().status().address(), "203.0.113.10");
  EXPECT_EQ(message.floating_ip().status().pool(), "edge");
  EXPECT_EQ(to_model(message).value(), model::Resource(floating_ip));
}

TEST(Convert, EveryKeyComesBackTheSame) {
  for (const Kind kind : {Kind::kNetwork, Kind::kFloatingIp, Kind::kNode, Kind::kPod, Kind::kService}) {
    const model::Key key{kind, {model::is_in_network(kind) ? "shop" : "", "web"}};
    const auto back = to_model(to_message(key));
    ASSERT_TRUE(back.has_value()) << back.error().message;
    EXPECT_EQ(*back, key);
  }
  v1::ResourceKey of_default;
  of_default.set_kind(v1::POD);
  of_default.set_name("web-1");
  EXPECT_EQ(to_model(of_default).value(), (model::Key{Kind::kPod, {"default", "web-1"}}));
}

}  // namespace
}  // namespace sluice::wire
