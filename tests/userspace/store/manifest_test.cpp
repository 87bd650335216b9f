// SPDX-License-Identifier: Apache-2.0
#include "store/manifest.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace sluice::store {
namespace {

Ipv4 ip(const std::string& text) {
  return Ipv4::parse(text).value();
}

Manifest read(const std::string& text) {
  auto manifest = parse_manifests({{"test.yaml", text}});
  if (manifest) return std::move(*manifest);
  ADD_FAILURE() << summarize(manifest.error()).message;
  return {};
}

TEST(Manifest, TakesEveryFieldOfANetwork) {
  const Manifest manifest = read(R"(
kind: Network
name: shop
labels: {owner: alice, tier: "1"}
cidr4: 10.1.0.0/20
router4: 10.1.0.254
domain: shop.internal
egress: none
limits: {guaranteed_flows: 10, max_flows: 2000, max_half_open_flows: 30}
)");
  const model::Network& network = manifest.state.networks.at("shop");
  EXPECT_EQ(network.name, "shop");
  EXPECT_EQ(network.labels, (model::Labels{{"owner", "alice"}, {"tier", "1"}}));
  EXPECT_EQ(network.cidr4.text(), "10.1.0.0/20");
  EXPECT_EQ(network.router(), ip("10.1.0.254"));
  EXPECT_EQ(network.domain, "shop.internal");
  EXPECT_EQ(network.guaranteed_flows, 10U);
  EXPECT_EQ(network.max_flows, 2000U);
  EXPECT_EQ(network.max_half_open_flows, 30U);
  EXPECT_EQ(network.egress, model::EgressWay::kNone);
  EXPECT_EQ(read("kind: Network\nname: shop\negress: node\n").state.networks.at("shop").egress,
            model::EgressWay::kNode);
}

TEST(Manifest, GivesANetworkWithOnlyANameTheDefaults) {
  const Manifest manifest = read("kind: Network\nname: shop\n");
  model::Network expected;
  expected.name = "shop";
  EXPECT_EQ(manifest.state.networks.at("shop"), expected);
  EXPECT_EQ(expected.cidr4.text(), "172.16.0.0/16");
  EXPECT_EQ(expected.router().text(), "172.16.0.1");
}

TEST(Manifest, LowersTheOtherLimitsWithMaxFlows) {
  const Manifest manifest = read("kind: Network\nname: shop\nlimits: {max_flows: 100}\n");
  EXPECT_EQ(manifest.state.networks.at("shop").guaranteed_flows, 100U);
  EXPECT_EQ(manifest.state.networks.at("shop").max_half_open_flows, 100U);
}

TEST(Manifest, TakesEveryFieldOfAPod) {
  const Manifest manifest = read(R"(
kind: Network
name: shop
---
kind: Pod
network: shop
name: web-1
labels:
  app: web
  version: 1.10
address4: 172.16.3.4
state: draining
drain_deadline: "2026-01-31T12:00:00.250Z"
ports:
  - {name: http, port: 8080}
  - {name: dns, port: 53, protocol: UDP}
  - {name: s1, port: 36412, protocol: SCTP}
)");
  const model::Pod& pod = manifest.state.pods.at({"shop", "web-1"});
  EXPECT_EQ(pod.labels, (model::Labels{{"app", "web"}, {"version", "1.10"}}));
  EXPECT_EQ(pod.address4, ip("172.16.3.4"));
  EXPECT_TRUE(pod.draining);
  EXPECT_EQ(pod.drain_deadline, 1769860800250);
  ASSERT_EQ(pod.ports.size(), 3U);
  EXPECT_EQ(pod.ports.at("http"), (model::NamedPort{8080, model::Protocol::kTcp}));
  EXPECT_EQ(pod.ports.at("dns"), (model::NamedPort{53, model::Protocol::kUdp}));
  EXPECT_EQ(pod.ports.at("s1"), (model::NamedPort{36412, model::Protocol::kSctp}));
}

TEST(Manifest, TakesEveryFieldOfAService) {
  const Manifest manifest = read(R"(
kind: Network
name: shop
---
kind: FloatingIP
name: public
address: 203.0.113.10
---
kind: Service
network: shop
name: web
labels: {team: a}
selector: {app: web}
address4: 10.96.0.1
algorithm: source
affinity: {timeout: 60}
floating_ip: public
ports:
  - {name: http, port: 80, target_port: http}
  - {port: 443, target_port: 8443}
  - {port: 53, protocol: UDP}
)");
  const model::Service& service = manifest.state.services.at({"shop", "web"});
  EXPECT_EQ(service.selector, (model::Labels{{"app", "web"}}));
  EXPECT_EQ(service.labels, (model::Labels{{"team", "a"}}));
  EXPECT_EQ(service.address4, ip("10.96.0.1"));
  EXPECT_EQ(service.algorithm, model::Algorithm::kSource);
  EXPECT_EQ(service.affinity, 60U);
  EXPECT_EQ(service.floating_ip, "public");
  const std::vector<model::ServicePort> expected = {{"http", 80, model::Protocol::kTcp, "http"},
                                                    {"", 443, model::Protocol::kTcp, std::uint16_t{8443}},
                                                    {"", 53, model::Protocol::kUdp, std::uint16_t{53}}};
  EXPECT_EQ(service.ports, expected);
  EXPECT_EQ(manifest.state.floating_ips.at("public").address, ip("203.0.113.10"));
}

TEST(Manifest, PutsAPodWithoutANetworkIntoDefaultWhichIsMadeOnFirstUse) {
  const Manifest manifest = read("kind: Pod\nname: lonely\n");
  EXPECT_TRUE(manifest.state.pods.contains({"default", "lonely"}));
  ASSERT_TRUE(manifest.state.networks.contains("default"));
  EXPECT_EQ(manifest.state.networks.at("default").cidr4.text(), "172.16.0.0/16");
}

TEST(Manifest, MakesNoDefaultNetworkThatNobodyUses) {
  EXPECT_FALSE(read("kind: Network\nname: shop\n").state.networks.contains("default"));
}

TEST(Manifest, KeepsADeclaredDefaultNetwork) {
  const Manifest manifest = read("kind: Network\nname: default\ncidr4: 10.0.0.0/24\n---\nkind: Pod\nname: a\n");
  EXPECT_EQ(manifest.state.networks.at("default").cidr4.text(), "10.0.0.0/24");
}

TEST(Manifest, ReadsSeveralFilesAsOneStateInAnyOrder) {
  const auto manifest = parse_manifests({{"a.yaml", "kind: Pod\nnetwork: shop\nname: a\n"},
                                         {"b.yaml", "# networks\n---\n---\nkind: Network\nname: shop\n"}});
  ASSERT_TRUE(manifest) << summarize(manifest.error()).message;
  EXPECT_EQ(manifest->state.pods.size(), 1U);
  EXPECT_EQ(manifest->places.at("pod shop/a").text(), "a.yaml:1");
  EXPECT_EQ(manifest->places.at("network shop").text(), "b.yaml:4");
}

TEST(Manifest, RemovesEverythingOnlyWhenADocumentSaysSo) {
  const auto silent = parse_manifests({{"a.yaml", "# nothing here\n"}});
  ASSERT_FALSE(silent);
  EXPECT_NE(summarize(silent.error()).message.find("kind: Empty"), std::string::npos);
  EXPECT_EQ(read("kind: Empty\n").state, model::State{});
  EXPECT_FALSE(parse_manifests({{"a.yaml", "kind: Empty\n---\nkind: Network\nname: shop\n"}}));
}

TEST(Manifest, AcceptsASelectorThatMatchesNothing) {
  EXPECT_EQ(read("kind: Service\nname: web\nselector: {app: nobody}\nports: [{port: 80}]\n").state.services.size(), 1U);
}

TEST(Manifest, ReadsTheDemo) {
  std::ifstream file(SLUICE_EXAMPLES "/demo.yaml");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(text.empty());
  const model::State state = read(text).state;
  EXPECT_EQ(state.networks.at("shop").cidr4, state.networks.at("blog").cidr4);
  EXPECT_EQ(state.pods.at({"shop", "client"}).address4, state.pods.at({"blog", "client"}).address4);
  EXPECT_EQ(state.services.at({"shop", "web"}).address4, state.services.at({"blog", "front"}).address4);
  EXPECT_EQ(state.services.at({"shop", "web"}).floating_ip, "public");
  EXPECT_EQ(state.services.at({"blog", "front-public"}).floating_ip, "public");
  EXPECT_EQ(state.services.at({"blog", "front-public"}).ports.at(0).port, 8081);
  EXPECT_EQ(state.pods.size(), 7U);
}

TEST(Manifest, SummarizesTwentyProblemsAndCountsTheRest) {
  std::string text;
  for (int i = 0; i < 25; i++) text += "---\nkind: Pod\nname: web-" + std::to_string(i) + "\ncolour: red\n";
  const auto manifest = parse_manifests({{"many.yaml", text}});
  ASSERT_FALSE(manifest);
  ASSERT_EQ(manifest.error().size(), 25U);
  const std::string message = summarize(manifest.error()).message;
  EXPECT_NE(message.find("pod default/web-19"), std::string::npos);
  EXPECT_EQ(message.find("pod default/web-20"), std::string::npos);
  EXPECT_NE(message.find("and 5 more problems"), std::string::npos);
}

TEST(Manifest, TakesNodesWeightsAndLabelsOfFloatingIps) {
  const std::string key(43, 'A');
  const Manifest manifest = read(R"(
kind: Node
name: host-1
labels: {rack: r1}
underlay4: 192.0.2.7
public_key: )" + key + R"(=
---
kind: Pod
name: web-1
weight: 0
---
kind: FloatingIP
name: public
labels: {owner: alice}
address: 203.0.113.10
)");
  EXPECT_EQ(manifest.state.nodes.at("host-1"), (model::Node{"host-1", {{"rack", "r1"}}, ip("192.0.2.7"), key + "="}));
  EXPECT_EQ(manifest.state.pods.at({"default", "web-1"}).weight, 0);
  EXPECT_EQ(manifest.state.floating_ips.at("public").labels, (model::Labels{{"owner", "alice"}}));
}

TEST(Manifest, ReadsEachResourceWithItsPlaceWithoutJudgingTheWhole) {
  // The network and the floating IP may be in the store already, and the pool is the daemon's to know.
  const auto declared = read_manifests({{"a.yaml",
                                         "kind: Pod\nnetwork: shop\nname: a\n---\nkind: Service\nnetwork: shop\n"
                                         "name: web\nselector: {}\nports: []\nfloating_ip: public\n"},
                                        {"b.yaml", "# nothing\n---\nkind: FloatingIP\nname: f\npool: edge\n"}});
  ASSERT_TRUE(declared.has_value()) << summarize(declared.error()).message;
  std::vector<std::string> places;
  for (const Declared& one : declared->resources) {
    places.push_back(model::describe(model::key_of(one.resource)) + " " + one.place.text());
  }
  EXPECT_EQ(places,
            (std::vector<std::string>{"pod shop/a a.yaml:1", "service shop/web a.yaml:5", "floating IP f b.yaml:3"}));
  EXPECT_FALSE(declared->empty);
  EXPECT_EQ(std::get<model::FloatingIp>(declared->resources.back().resource).pool, "edge");
  EXPECT_TRUE(read_manifests({{"c.yaml", "kind: Empty\n"}}).value().empty);
  EXPECT_TRUE(read_manifests({{"c.yaml", ""}}).value().resources.empty());
}

TEST(Manifest, TakesAThousandLabelledPodsOfLongNames) {
  // Messages cut long names; what is declared twice is told by the whole name.
  std::string text = "kind: Network\nname: " + std::string(60, 'n') + "\n";
  for (int i = 0; i < 1000; i++) {
    text += "---\nkind: Pod\nnetwork: " + std::string(60, 'n') + "\nname: " + std::string(58, 'p') + std::to_string(i) +
            "\n";
  }
  EXPECT_EQ(read(text).state.pods.size(), 1000U);
}

}  // namespace
}  // namespace sluice::store
