// SPDX-License-Identifier: Apache-2.0
// Every value that the model cannot hold is refused with resource, field, value and remedy.
#include <gtest/gtest.h>

#include <functional>

#include "wire/convert.hpp"

namespace sluice::wire {
namespace {

struct Wrong {
  std::function<void(v1::Resource&)> spoil;
  std::string resource;
  std::string field;
  std::string value;
};

const auto kUnknownProtocol = static_cast<v1::Protocol>(133);

v1::Pod& pod(v1::Resource& message) {
  message.mutable_pod()->set_network("shop");
  message.mutable_pod()->set_name("web-1");
  return *message.mutable_pod();
}
v1::Service& service(v1::Resource& message) {
  message.mutable_service()->set_network("shop");
  message.mutable_service()->set_name("web");
  return *message.mutable_service();
}
v1::Network& network(v1::Resource& message) {
  message.mutable_network()->set_name("shop");
  return *message.mutable_network();
}

const std::vector<Wrong>& table() {
  static const std::vector<Wrong> wrongs = {
      {[](auto&) {}, "resource", "kind", ""},
      {[](auto& m) { network(m).set_cidr4("172.16.0.1/16"); }, "network shop", "cidr4", "172.16.0.1/16"},
      {[](auto& m) { network(m).set_cidr4("172.16.0.0"); }, "network shop", "cidr4", "172.16.0.0"},
      {[](auto& m) { network(m).set_cidr4("172.16.0.0/33"); }, "network shop", "cidr4", "172.16.0.0/33"},
      {[](auto& m) { network(m).set_cidr4(std::string("10.0.0.0/8\0x", 12)); }, "network shop", "cidr4",
       "10.0.0.0/8\\x00x"},
      {[](auto& m) { network(m).set_cidr4("\x1b[2J/1"); }, "network shop", "cidr4", "\\x1b[2J/1"},
      {[](auto& m) { network(m).set_router4("::1"); }, "network shop", "router4", "::1"},
      {[](auto& m) { network(m).set_egress(static_cast<v1::EgressWay>(3)); }, "network shop", "egress", "3"},
      {[](auto& m) { pod(m).set_address4("172.16.0"); }, "pod shop/web-1", "address4", "172.16.0"},
      {[](auto& m) { pod(m).set_address4(std::string(100000, '1')); }, "pod shop/web-1", "address4",
       std::string(80, '1') + "..."},
      {[](auto& m) { pod(m).add_ports()->set_port(65536); }, "pod shop/web-1", "ports[0].port", "65536"},
      {[](auto& m) { pod(m).add_ports()->set_protocol(kUnknownProtocol); }, "pod shop/web-1", "ports[0].protocol",
       "133"},
      {[](auto& m) { pod(m).add_ports()->set_name("web"), pod(m).add_ports()->set_name("web"); }, "pod shop/web-1",
       "ports[1].name", "web"},
      {[](auto& m) { pod(m).set_weight(65537); }, "pod shop/web-1", "weight", "65537"},
      {[](auto& m) { pod(m).set_state(static_cast<v1::PodState>(9)); }, "pod shop/web-1", "state", "9"},
      {[](auto& m) { service(m).set_address4("a.b.c.d"); }, "service shop/web", "address4", "a.b.c.d"},
      {[](auto& m) { service(m).add_ports()->set_port(70000); }, "service shop/web", "ports[0].port", "70000"},
      {[](auto& m) { service(m).add_ports()->set_target_port(70001); }, "service shop/web", "ports[0].target_port",
       "70001"},
      {[](auto& m) { service(m).add_ports()->set_protocol(kUnknownProtocol); }, "service shop/web", "ports[0].protocol",
       "133"},
      {[](auto& m) { service(m).set_algorithm(static_cast<v1::Algorithm>(77)); }, "service shop/web", "algorithm",
       "77"},
      {[](auto& m) { service(m).mutable_affinity()->set_timeout_seconds(0); }, "service shop/web",
       "affinity.timeout_seconds", "0"},
      {[](auto& m) { m.mutable_floating_ip()->set_address("public"); }, "floating IP ", "address", "public"},
      {[](auto& m) { m.mutable_floating_ip()->set_address("0.0.0.0"); }, "floating IP ", "address", "0.0.0.0"},
      {[](auto& m) { m.mutable_node()->set_underlay4("fe80::1"); }, "node ", "underlay4", "fe80::1"},
  };
  return wrongs;
}

TEST(ConvertRefusal, NamesResourceFieldValueAndRemedy) {
  for (const Wrong& wrong : table()) {
    v1::Resource message;
    wrong.spoil(message);
    const auto refused = to_model(message);
    ASSERT_FALSE(refused.has_value()) << wrong.field << wrong.value;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
    ASSERT_EQ(refused.error().details.size(), 1U) << refused.error().message;
    const Detail& detail = refused.error().details.front();
    EXPECT_EQ(detail.resource, wrong.resource);
    EXPECT_EQ(detail.field, wrong.field);
    EXPECT_EQ(detail.value, wrong.value);
    EXPECT_FALSE(detail.problem.empty()) << wrong.field;
    EXPECT_FALSE(detail.remedy.empty()) << wrong.field;
    EXPECT_EQ(refused.error().message,
              detail.resource + ": " + detail.field + ": " + detail.problem + "; " + detail.remedy);
  }
}

TEST(ConvertRefusal, ReportsEveryProblemOfAMessageAndNoMoreThanAHundred) {
  v1::Resource message;
  pod(message).set_address4("nowhere");
  pod(message).set_weight(1000000);
  EXPECT_EQ(to_model(message).error().details.size(), 2U);
  for (int i = 0; i < 1000; i++) pod(message).add_ports()->set_port(1U << 20);
  const auto refused = to_model(message);
  EXPECT_EQ(refused.error().details.size(), 100U);
  EXPECT_LT(refused.error().message.size(), 4096U);
}

TEST(ConvertRefusal, KeysAreJudged) {
  v1::ResourceKey key;
  key.set_name("web");
  EXPECT_EQ(to_model(key).error().details.at(0).field, "kind");
  key.set_kind(static_cast<v1::Kind>(44));
  EXPECT_EQ(to_model(key).error().details.at(0).value, "44");
  key.set_kind(v1::NODE);
  key.set_network("shop");
  EXPECT_EQ(to_model(key).error().details.at(0).field, "network");
  key.clear_name();
  key.set_kind(v1::POD);
  EXPECT_EQ(to_model(key).error().details.at(0).field, "name");
}

TEST(ConvertRefusal, ARecordThatIsNotWholeIsDamaged) {
  v1::Resource message;
  EXPECT_FALSE(assigned_of(message).has_value());
  network(message).set_id(1);
  EXPECT_EQ(assigned_of(message).error().details.at(0).field, "slot");
  network(message).set_slot(1);
  EXPECT_TRUE(assigned_of(message).has_value());
  pod(message);
  EXPECT_EQ(assigned_of(message).error().details.at(0).field, "status.address4");
  pod(message).mutable_status()->set_address4("172.16");
  EXPECT_EQ(assigned_of(message).error().details.at(0).value, "172.16");
  pod(message).mutable_status()->set_address4("172.16.0.2");
  EXPECT_EQ(assigned_of(message).value().addresses, (Ipv4{0xAC100002}));
  service(message);
  EXPECT_FALSE(assigned_of(message).has_value());
}

TEST(ConvertRefusal, ProblemsCarryEveryDetailAsPrintableText) {
  const Error refused{
      ErrorCode::kInvalid, "two problems", {{"pod shop/a", "weight", "\xff\x1b", "is wrong", "fix it"}, {}}};
  const v1::Problems problems = to_message(refused);
  ASSERT_EQ(problems.problems_size(), 2);
  EXPECT_EQ(problems.problems(0).resource(), "pod shop/a");
  EXPECT_EQ(problems.problems(0).field(), "weight");
  EXPECT_EQ(problems.problems(0).value(), "\\xff\\x1b");
  EXPECT_EQ(problems.problems(0).problem(), "is wrong");
  EXPECT_EQ(problems.problems(0).remedy(), "fix it");
  const v1::Problems bare = to_message(Error{ErrorCode::kExists, "taken"});
  ASSERT_EQ(bare.problems_size(), 1);
  EXPECT_EQ(bare.problems(0).problem(), "taken");
}

}  // namespace
}  // namespace sluice::wire
