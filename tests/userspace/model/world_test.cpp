// SPDX-License-Identifier: Apache-2.0
// The rules between resources: what each allows, and the code and the parts of what it refuses.
#include <gtest/gtest.h>

#include "model/validate.hpp"
#include "world_rules.hpp"

namespace sluice::model {
namespace {

// ---- references

TEST_F(WorldRules, RefuseAPodAndAServiceInANetworkThatDoesNotExist) {
  expect_refused({put(pod("ghost", "a"))}, ErrorCode::kNotFound,
                 {"pod ghost/a", "network", "ghost", "'ghost' does not exist", "declare a Network of that name"});
  expect_refused({put(service("ghost", "a"))}, ErrorCode::kNotFound,
                 {"service ghost/a", "network", "ghost", "'ghost' does not exist", "declare a Network of that name"});
}

TEST_F(WorldRules, RefuseAFloatingIpThatDoesNotExist) {
  edit({put(network("shop"))});
  expect_refused(
      {put(service("shop", "web", "nowhere"))}, ErrorCode::kNotFound,
      {"service shop/web", "floating_ip", "nowhere", "'nowhere' does not exist", "declare a FloatingIP of that name"});
}

TEST_F(WorldRules, TakeWhatRefersToEachOtherInOneChangeInAnyOrder) {
  edit({put(service("shop", "web", "public")), put(pod("shop", "a")), put(floating_ip("public", "203.0.113.9")),
        put(network("shop"))});
  EXPECT_EQ(world_.users_of("public"), (std::set<Name>{{"shop", "web"}}));
}

TEST_F(WorldRules, RefuseToDeleteWhatDoesNotExist) {
  expect_refused({erase(Kind::kPod, "shop", "a")}, ErrorCode::kNotFound,
                 {"pod shop/a", "name", "shop/a", "does not exist", "see what there is: sluicectl get"});
}

TEST_F(WorldRules, RefuseTheSameResourceTwiceInOneChange) {
  expect_refused({put(network("shop")), put(network("shop", "10.0.0.0/8"))}, ErrorCode::kInvalid,
                 {"network shop", "name", "/shop", "stands twice in one change", "name each resource once"});
}

TEST_F(WorldRules, RefuseAResourceUnderAnotherName) {
  expect_refused({{{Kind::kNetwork, {"", "blog"}}, Resource(network("shop"))}}, ErrorCode::kInvalid,
                 {"network blog", "name", "/shop", "holds network shop", "give each resource under its own name"});
}

TEST_F(WorldRules, ReportEveryProblemOfAChange) {
  const auto made = world_.edit({put(pod("ghost", "a")), put(pod("ghost", "b")), put(floating_ip("f", {}, "none"))});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().size(), 3U);
}

// ---- networks

TEST_F(WorldRules, TheWayOutOfANetworkInUseChangesAndNothingElseDoes) {
  edit({put(network("shop")), put(pod("shop", "a")), put(service("shop", "web"))});
  const Assignments before = world_.assignments();
  Network without = network("shop");
  without.egress = EgressWay::kNone;
  edit({put(without)});
  EXPECT_EQ(world_.state().networks.at("shop").egress, EgressWay::kNone);
  EXPECT_EQ(world_.assignments(), before);
}

TEST_F(WorldRules, RefuseToDeleteANetworkWithContents) {
  edit({put(network("shop")), put(pod("shop", "a")), put(pod("shop", "b")), put(service("shop", "web"))});
  expect_refused({erase(Kind::kNetwork, "shop")}, ErrorCode::kPrecondition,
                 {"network shop", "name", "shop", "has 2 pods and 1 services",
                  "delete them first, or ask for it: sluicectl delete network shop --cascade"});
}

TEST_F(WorldRules, DeleteANetworkWithItsContentsIfAskedTo) {
  edit({put(network("shop")), put(pod("shop", "a")), put(service("shop", "web", "public")), put(network("blog")),
        put(pod("blog", "a")), put(floating_ip("public", "203.0.113.9"))});
  edit({erase(Kind::kNetwork, "shop")}, kCascade);
  EXPECT_FALSE(world_.state().networks.contains("shop"));
  EXPECT_EQ(world_.state().pods.size(), 1U) << "the other network's stays";
  EXPECT_TRUE(world_.state().services.empty());
  EXPECT_TRUE(world_.users_of("public").empty());
  edit({erase(Kind::kFloatingIp, "public")});
}

TEST_F(WorldRules, DeleteANetworkTogetherWithAllThatIsInIt) {
  edit({put(network("shop")), put(pod("shop", "a"))});
  edit({erase(Kind::kNetwork, "shop"), erase(Kind::kPod, "shop", "a")});
  EXPECT_EQ(world_.state(), State{});
}

TEST_F(WorldRules, MakeTheDefaultNetworkOnFirstUse) {
  edit({put(pod("default", "a"))});
  EXPECT_TRUE(world_.state().networks.contains("default"));
  edit({put(pod("default", "b"))});
  expect_refused({erase(Kind::kNetwork, "default")}, ErrorCode::kPrecondition,
                 {"network default", "name", "default", "has 2 pods and 0 services",
                  "delete them first, or ask for it: sluicectl delete network default --cascade"});
}

TEST_F(WorldRules, TakeTheDefaultNetworkAsItIsDeclaredBesideItsFirstUse) {
  edit({put(pod("default", "a")), put(network("default", "10.0.0.0/24"))});
  EXPECT_EQ(world_.assignments().pod_addresses.at({"default", "a"}), ip("10.0.0.2"));
}

TEST_F(WorldRules, RefuseToChangeTheCidrOrRouterOfANetworkWithContents) {
  edit({put(network("shop")), put(pod("shop", "a"))});
  expect_refused({put(network("shop", "172.16.0.0/12"))}, ErrorCode::kPrecondition,
                 {"network shop", "cidr4", "172.16.0.0/12",
                  "is 172.16.0.0/16 and cannot change while the network has 1 pods and 0 services",
                  "delete them first, or make another network"});
  Network moved = network("shop");
  moved.router4 = ip("172.16.9.9");
  expect_refused({put(moved)}, ErrorCode::kPrecondition,
                 {"network shop", "router4", "172.16.9.9",
                  "is 172.16.0.1 and cannot change while the network has 1 pods and 0 services",
                  "delete them first, or make another network"});
  edit({put(moved)}, kRecreate);
  EXPECT_EQ(world_.state().networks.at("shop").router(), ip("172.16.9.9"));
  edit({erase(Kind::kPod, "shop", "a"), put(network("shop", "10.0.0.0/8"))});
}

TEST_F(WorldRules, RefuseARecreatedNetworkThatLeavesAPodOutsideOrOnAReservedAddress) {
  edit({put(network("shop")), put(pod("shop", "a"))});
  expect_refused({put(network("shop", "10.0.0.0/8"))}, ErrorCode::kPrecondition,
                 {"network shop", "cidr4", "10.0.0.0/8", "10.0.0.0/8 does not contain 172.16.0.2 of pod shop/a",
                  "keep the old CIDR, or remove the pods first"},
                 kRecreate);
  Network moved = network("shop");
  moved.router4 = ip("172.16.0.2");
  expect_refused({put(moved)}, ErrorCode::kExists,
                 {"network shop", "router4", "172.16.0.2", "the router would be 172.16.0.2, which pod shop/a has",
                  "choose another one"},
                 kRecreate);
}

TEST_F(WorldRules, RefuseGuaranteesAboveTheTable) {
  Network shop = network("shop");
  shop.guaranteed_flows = 9'000;
  edit({put(shop)});
  const Network blog = network("blog");
  expect_refused({put(blog)}, ErrorCode::kExhausted,
                 {"networks", "limits.guaranteed_flows", "10024",
                  "shop 9000, blog 1024 add up to 10024, but the flow table has 10000 pairs",
                  "lower guaranteed_flows or raise the table's size"});
  shop.guaranteed_flows = 8'000;
  edit({put(shop), put(blog)});
  shop.guaranteed_flows = 9'500;
  edit({erase(Kind::kNetwork, "blog"), put(shop)});
}

TEST_F(WorldRules, AllowWhatDoesNotAddToGuaranteesThatATableHasNoRoomForAnyMore) {
  World full(Capacity{1'000, {}});
  Network shop = network("shop");
  ASSERT_TRUE(full.restore(shop, {}, 1, 1));
  const auto keep = [&full](std::vector<Edit> edits) {
    auto made = full.edit(std::move(edits));
    ASSERT_TRUE(made) << made.error().front().message;
    made->keep();
  };
  keep({put(pod("shop", "a"))});
  keep({erase(Kind::kPod, "shop", "a")});
  shop.guaranteed_flows = 1'010;
  keep({put(shop)});
  shop.guaranteed_flows = 1'011;
  EXPECT_FALSE(full.edit({put(shop)}));
  shop.guaranteed_flows = 1'000;
  keep({put(shop)});
}

// ---- addresses

TEST_F(WorldRules, RefuseAddressesThatCannotBeHad) {
  edit({put(network("shop")), put(pod("shop", "a", "172.16.0.9"))});
  const std::string choose = "choose another address";
  expect_refused({put(pod("shop", "b", "10.0.0.1"))}, ErrorCode::kInvalid,
                 {"pod shop/b", "address4", "10.0.0.1", "10.0.0.1 is outside 172.16.0.0/16 of network shop",
                  "choose an address inside it"});
  expect_refused(
      {put(pod("shop", "b", "172.16.0.1"))}, ErrorCode::kInvalid,
      {"pod shop/b", "address4", "172.16.0.1", "172.16.0.1 is the router of network shop and reserved", choose});
  expect_refused({put(pod("shop", "b", "172.16.0.0"))}, ErrorCode::kInvalid,
                 {"pod shop/b", "address4", "172.16.0.0",
                  "172.16.0.0 is the network address of network shop and reserved", choose});
  expect_refused({put(pod("shop", "b", "172.16.255.255"))}, ErrorCode::kInvalid,
                 {"pod shop/b", "address4", "172.16.255.255",
                  "172.16.255.255 is the broadcast address of network shop and reserved", choose});
  expect_refused({put(pod("shop", "b", "172.16.0.9"))}, ErrorCode::kExists,
                 {"pod shop/b", "address4", "172.16.0.9", "172.16.0.9 is taken by pod shop/a", choose});
  Service web = service("shop", "web");
  web.address4 = ip("172.16.0.9");
  expect_refused({put(web)}, ErrorCode::kExists,
                 {"service shop/web", "address4", "172.16.0.9", "172.16.0.9 is taken by pod shop/a", choose});
}

TEST_F(WorldRules, RefuseTheSameAddressTwiceInOneChange) {
  edit({put(network("shop"))});
  expect_refused(
      {put(pod("shop", "a", "172.16.0.9")), put(pod("shop", "b", "172.16.0.9"))}, ErrorCode::kExists,
      {"pod shop/b", "address4", "172.16.0.9", "172.16.0.9 is taken by pod shop/a", "choose another address"});
}

TEST_F(WorldRules, KeepAnAddressForLifeUnlessTheResourceIsMadeAnew) {
  edit({put(network("shop")), put(pod("shop", "a")), put(service("shop", "web"))});
  const std::string remedy = "delete the resource and make it anew, or leave the field out";
  expect_refused(
      {put(pod("shop", "a", "172.16.0.9"))}, ErrorCode::kPrecondition,
      {"pod shop/a", "address4", "172.16.0.9", "is 172.16.0.2 for life and cannot become 172.16.0.9", remedy});
  Service web = service("shop", "web");
  web.address4 = ip("10.9.9.9");
  expect_refused(
      {put(web)}, ErrorCode::kPrecondition,
      {"service shop/web", "address4", "10.9.9.9", "is 172.16.255.254 for life and cannot become 10.9.9.9", remedy});
  edit({put(pod("shop", "a", "172.16.0.2"))});  // what it has is no change of it
  edit({put(pod("shop", "a", "172.16.0.9")), put(web)}, kRecreate);
  EXPECT_EQ(world_.assignments().pod_addresses.at({"shop", "a"}), ip("172.16.0.9"));
  EXPECT_EQ(world_.assignments().service_addresses.at({"shop", "web"}), ip("10.9.9.9"));
  edit({put(pod("shop", "b", "172.16.0.2"))});  // the old one is free
}

TEST_F(WorldRules, RefuseAPodWhenTheNetworkIsFullAndTakeItWhenThereIsRoom) {
  edit({put(network("tiny", "10.0.0.0/29"))});
  for (const std::string name : {"a", "b", "c", "d", "e"}) edit({put(pod("tiny", name))});
  expect_refused({put(service("tiny", "web"))}, ErrorCode::kExhausted,
                 {"service tiny/web", "address4", "", "no address of 10.0.0.0/29 in network tiny is free",
                  "remove pods or services, or use another network"});
  edit({erase(Kind::kPod, "tiny", "c"), put(service("tiny", "web"))});
  EXPECT_EQ(world_.assignments().service_addresses.at({"tiny", "web"}), ip("10.0.0.4"));
}

// ---- what changed

TEST_F(WorldRules, TakeWhatChangesNothingForNoChange) {
  edit({put(network("shop")), put(pod("shop", "a")), put(floating_ip("f", "203.0.113.9")),
        put(service("shop", "web", "f"))});
  const auto again = world_.edit({put(network("shop")), put(pod("shop", "a")), put(floating_ip("f", "203.0.113.9")),
                                  put(service("shop", "web", "f"))});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->keys().empty());
  EXPECT_TRUE(again->change().empty());
  EXPECT_TRUE(again->cursor_networks().empty());
}

TEST_F(WorldRules, NameWhatAChangeMovedAndWhatItWas) {
  edit({put(network("shop")), put(pod("shop", "a"))});
  Pod labelled = pod("shop", "a");
  labelled.labels = {{"app", "web"}};
  const auto made = world_.edit({put(labelled), put(pod("shop", "b"))});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->keys(), (std::set<Key>{{Kind::kPod, {"shop", "a"}}, {Kind::kPod, {"shop", "b"}}}));
  EXPECT_EQ(made->cursor_networks(), (std::set<std::string>{"shop"}));
  EXPECT_EQ(made->change().pods.at({"shop", "a"}), (FormerPod{pod("shop", "a"), ip("172.16.0.2")}));
  EXPECT_EQ(made->change().pods.at({"shop", "b"}), std::nullopt);
}

// ---- counts

TEST_F(WorldRules, RefuseMoreThanTheTablesHold) {
  World large(Capacity{UINT64_MAX, {{"all", {Cidr4::parse("100.0.0.0/8").value()}}}});
  const auto message = [&large](std::vector<Edit> edits) {
    const auto made = large.edit(std::move(edits));
    EXPECT_FALSE(made);
    EXPECT_EQ(made ? "" : name(made.error().front().code), "EXHAUSTED");
    return made ? std::string() : made.error().front().message;
  };
  std::vector<Edit> edits;
  for (std::size_t i = 0; i <= kMaxFloatingIps; i++) edits.push_back(put(floating_ip("f" + std::to_string(i), {})));
  EXPECT_EQ(message(edits), "state: floating IPs: 65537 are declared; at most 65536 are allowed");
  edits = {put(network("n", "10.0.0.0/8"))};
  for (std::size_t i = 0; i <= kMaxPodsPerNetwork; i++) edits.push_back(put(pod("n", "p" + std::to_string(i))));
  EXPECT_EQ(message(edits), "network n: pods: 65537 are declared; at most 65536 are allowed");
  edits = {put(network("n", "10.0.0.0/8"))};
  for (std::size_t i = 0; i <= kMaxServicesPerNetwork; i++) edits.push_back(put(service("n", "s" + std::to_string(i))));
  EXPECT_EQ(message(edits), "network n: services: 16385 are declared; at most 16384 are allowed");
  edits.clear();
  for (std::size_t i = 0; i <= kMaxNetworks; i++) edits.push_back(put(network("n" + std::to_string(i))));
  EXPECT_EQ(message(edits), "network n4095: name: all 4095 networks of a node are in use; remove one");
  EXPECT_EQ(picture(large), Picture{});
}

TEST_F(WorldRules, TakeBackTheReleaseOfASlotAndOfAnId) {
  World full;
  for (std::uint32_t i = 1; i <= kMaxNetworks; i++)
    ASSERT_TRUE(full.restore(network("n" + std::to_string(i)), {}, 0xFFFFFF - i, i));
  ASSERT_TRUE(full.edit({erase(Kind::kNetwork, "n17")}));  // not kept
  const auto made = full.edit({put(network("more"))});
  ASSERT_FALSE(made) << "no slot is free";
  EXPECT_EQ(made.error().front().code, ErrorCode::kExhausted);
  full.restore(Cursors{0xFFFFFF - 17 - 1, 0});
  const auto other = full.edit({erase(Kind::kNetwork, "n18"), put(network("more"))});
  ASSERT_TRUE(other) << other.error().front().message;
  EXPECT_EQ(full.assignments().network_slots.at("more"), 18U);
  EXPECT_EQ(full.assignments().network_ids.at("more"), 0xFFFFFFU) << "all ids up to it are in use";
}

// ---- what a store kept

TEST_F(WorldRules, RefuseAStoreThatContradictsItself) {
  World kept;
  ASSERT_TRUE(kept.restore(network("shop"), {}, 1, 1));
  ASSERT_TRUE(kept.restore(floating_ip("public", "203.0.113.9"), {}));
  ASSERT_TRUE(kept.restore(pod("shop", "a"), ip("172.16.0.2")));
  ASSERT_TRUE(kept.restore(service("shop", "web", "public"), ip("172.16.0.3")));
  const Picture before = picture(kept);
  const auto refusal = [&kept](const Resource& resource, const Addresses& addresses, std::uint32_t id = 0,
                               std::uint32_t slot = 0) {
    const Status restored = kept.restore(resource, addresses, id, slot);
    if (restored) return std::string("was taken");
    EXPECT_EQ(restored.error().code, ErrorCode::kInvalid);
    return restored.error().message;
  };
  const std::string damaged = "; the store is damaged: restore a backup";
  EXPECT_EQ(refusal(network("shop"), {}, 2, 2), "network shop: is there twice" + damaged);
  for (const auto& [id, slot] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
           {1, 2}, {2, 1}, {0, 2}, {2, 0}, {0x1000000, 2}, {2, 4096}}) {
    EXPECT_EQ(refusal(network("blog"), {}, id, slot), "network blog: its id or slot is wrong or taken" + damaged);
  }
  EXPECT_EQ(refusal(network("Blog"), {}, 2, 2).find("network Blog: network Blog: name: "), 0U);
  EXPECT_EQ(refusal(floating_ip("f", "203.0.113.9"), {}), "floating IP f: its address is missing or taken" + damaged);
  EXPECT_EQ(refusal(floating_ip("f", {}), {}), "floating IP f: its address is missing or taken" + damaged);
  EXPECT_EQ(refusal(pod("ghost", "b"), ip("172.16.0.9")), "pod ghost/b: its network does not exist" + damaged);
  EXPECT_EQ(refusal(pod("shop", "b"), {}), "pod shop/b: it has no address" + damaged);
  EXPECT_EQ(refusal(pod("shop", "b"), ip("172.16.0.3")), "pod shop/b: its address 172.16.0.3 is taken" + damaged);
  EXPECT_EQ(refusal(pod("shop", "b"), ip("172.16.0.1")), "pod shop/b: its address 172.16.0.1 is the router" + damaged);
  EXPECT_EQ(refusal(pod("shop", "b"), ip("10.0.0.9")), "pod shop/b: its address is outside 172.16.0.0/16" + damaged);
  EXPECT_EQ(refusal(pod("shop", "b", "172.16.0.8"), ip("172.16.0.9")),
            "pod shop/b: it asked for another address than it has" + damaged);
  EXPECT_EQ(refusal(service("shop", "s", "none"), ip("172.16.0.9")),
            "service shop/s: its floating IP does not exist" + damaged);
  EXPECT_EQ(refusal(service("shop", "s", "public"), ip("172.16.0.9")),
            "service shop/s: port 80 of its floating IP is taken" + damaged);
  EXPECT_EQ(picture(kept), before);
}

}  // namespace
}  // namespace sluice::model
