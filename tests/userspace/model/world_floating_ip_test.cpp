// SPDX-License-Identifier: Apache-2.0
// Floating IPs: who is bound to them, port by port, and where their addresses come from.
#include <gtest/gtest.h>

#include "world_rules.hpp"

namespace sluice::model {
namespace {

TEST_F(WorldRules, RefuseToReleaseAFloatingIpInUse) {
  edit({put(network("shop")), put(floating_ip("public", "203.0.113.9")), put(service("shop", "web", "public"))});
  const std::string remedy = "take floating_ip out of the service first";
  expect_refused({erase(Kind::kFloatingIp, "public")}, ErrorCode::kPrecondition,
                 {"floating IP public", "name", "public", "is in use by service shop/web", remedy});
  edit({put(service("shop", "mail", "public", {port(25)}))});
  expect_refused({erase(Kind::kFloatingIp, "public")}, ErrorCode::kPrecondition,
                 {"floating IP public", "name", "public", "is in use by service shop/mail and 1 more", remedy});
  edit({put(service("shop", "web")), erase(Kind::kService, "shop", "mail"), erase(Kind::kFloatingIp, "public")});
}

TEST_F(WorldRules, RefuseTwoServicesOnOnePortOfAFloatingIp) {
  edit({put(network("shop")), put(network("blog")), put(floating_ip("public", "203.0.113.9"))});
  const Detail clash{"service shop/web", "ports", "80/TCP",
                     "80/TCP on floating IP 203.0.113.9 is taken by service blog/front",
                     "choose another port or floating IP"};
  expect_refused({put(service("blog", "front", "public")), put(service("shop", "web", "public"))}, ErrorCode::kExists,
                 clash);
  edit({put(service("blog", "front", "public"))});
  expect_refused({put(service("shop", "web", "public"))}, ErrorCode::kExists, clash);
  edit({put(service("shop", "web", "public", {port(80, Protocol::kUdp), port(81)}))});  // UDP is apart from TCP
  EXPECT_EQ(world_.users_of("public").size(), 2U);
}

TEST_F(WorldRules, MoveAPortFromOneServiceToAnotherInOneChange) {
  edit({put(network("shop")), put(floating_ip("public", "203.0.113.9")),
        put(service("shop", "a", "public", {port(80), port(443)}))});
  edit({put(service("shop", "b", "public", {port(443)})), put(service("shop", "a", "public", {port(80)}))});
  // and two swap theirs
  edit({put(service("shop", "b", "public", {port(80)})), put(service("shop", "a", "public", {port(443)}))});
  expect_refused({put(service("shop", "c", "public", {port(443)}))}, ErrorCode::kExists,
                 {"service shop/c", "ports", "443/TCP", "443/TCP on floating IP 203.0.113.9 is taken by service shop/a",
                  "choose another port or floating IP"});
  edit({erase(Kind::kService, "shop", "a"), put(service("shop", "c", "public", {port(443)}))});
}

TEST_F(WorldRules, MoveAFloatingIpFromOneServiceToAnotherInOneChange) {
  edit({put(network("shop")), put(floating_ip("one", "203.0.113.8")), put(floating_ip("two", "203.0.113.9")),
        put(service("shop", "a", "one")), put(service("shop", "b", "two"))});
  edit({put(service("shop", "a", "two")), put(service("shop", "b", "one"))});
  EXPECT_EQ(world_.users_of("one"), (std::set<Name>{{"shop", "b"}}));
  EXPECT_EQ(world_.users_of("two"), (std::set<Name>{{"shop", "a"}}));
}

TEST_F(WorldRules, ReplaceAFloatingIpByAnotherOfTheSameAddressInOneChange) {
  edit({put(network("shop")), put(floating_ip("old", "203.0.113.9")), put(service("shop", "web", "old"))});
  edit({erase(Kind::kFloatingIp, "old"), put(floating_ip("new", "203.0.113.9")), put(service("shop", "web", "new"))});
  EXPECT_EQ(world_.users_of("new"), (std::set<Name>{{"shop", "web"}}));
}

TEST_F(WorldRules, RefuseAFloatingAddressThatIsTaken) {
  edit({put(floating_ip("one", "203.0.113.9"))});
  expect_refused({put(floating_ip("two", "203.0.113.9"))}, ErrorCode::kExists,
                 {"floating IP two", "address", "203.0.113.9", "203.0.113.9 is taken by floating IP one",
                  "choose another address"});
}

TEST_F(WorldRules, KeepAFloatingAddressForLifeUnlessItIsMadeAnew) {
  edit({put(network("shop")), put(floating_ip("public", "203.0.113.9")), put(service("shop", "web", "public"))});
  expect_refused(
      {put(floating_ip("public", "203.0.113.10"))}, ErrorCode::kPrecondition,
      {"floating IP public", "address", "203.0.113.10", "is 203.0.113.9 for life and cannot become 203.0.113.10",
       "delete the resource and make it anew, or leave the field out"});
  expect_refused({put(floating_ip("public", {}, "spare"))}, ErrorCode::kPrecondition,
                 {"floating IP public", "pool", "spare", "cannot change: the address is 203.0.113.9",
                  "release the floating IP and allocate another"});
  edit({put(floating_ip("public", "203.0.113.10"))}, kRecreate);
  EXPECT_EQ(world_.users_of("public").size(), 1U) << "the service stays bound";
  edit({put(floating_ip("public", {}, "spare"))}, kRecreate);
  EXPECT_EQ(address_of("public"), ip("198.51.100.7"));
  edit({put(floating_ip("other", "203.0.113.9"))});
}

// ---- pools

TEST_F(WorldRules, AllocateFromPoolsUntilTheyAreExhausted) {
  edit({put(floating_ip("a", {}, "public")), put(floating_ip("b", {}, "public"))});
  EXPECT_EQ(address_of("a"), ip("203.0.113.0")) << "single addresses: the first and the last count";
  EXPECT_EQ(address_of("b"), ip("203.0.113.1"));
  const std::string remedy =
      "release a floating IP that is not used (sluicectl fip list --dangling), or add a prefix to floating_ip_pools of "
      "the daemon's configuration";
  expect_refused({put(floating_ip("c", {}, "public"))}, ErrorCode::kExhausted,
                 {"floating IP c", "pool", "public", "all 2 addresses of pool public are in use", remedy});
  edit({put(floating_ip("c", {}))});  // any pool
  EXPECT_EQ(world_.state().floating_ips.at("c").pool, "spare");
  expect_refused(
      {put(floating_ip("d", {}))}, ErrorCode::kExhausted,
      {"floating IP d", "pool", "", "all 3 addresses of the pools public (2), spare (1) are in use", remedy});
  edit({erase(Kind::kFloatingIp, "a"), put(floating_ip("d", {}))});
  EXPECT_EQ(address_of("d"), ip("203.0.113.0"));
}

TEST_F(WorldRules, LetAReleasedPoolAddressRestUntilAllOthersWereGiven) {
  world_.set_pools({{"public", {Cidr4::parse("203.0.113.8/30").value(), Cidr4::parse("203.0.113.1/32").value()}}});
  const auto given = [this](const std::string& name) {
    edit({put(floating_ip(name, {}, "public"))});
    const std::string address = address_of(name).text();
    edit({erase(Kind::kFloatingIp, name)});
    return address;
  };
  edit({put(floating_ip("chosen", "203.0.113.10"))});
  for (const std::string address : {"203.0.113.8", "203.0.113.9", "203.0.113.11", "203.0.113.1", "203.0.113.8"})
    EXPECT_EQ(given("a"), address) << "prefix by prefix, without what somebody has, and around the end";
  const auto refused = world_.edit({put(floating_ip("b", {}, "public")), put(floating_ip("a", "203.0.113.10"))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(given("a"), "203.0.113.9") << "what was refused has moved nothing";
  world_.set_pools({{"public", {Cidr4::parse("203.0.113.64/30").value()}}});
  EXPECT_EQ(given("a"), "203.0.113.64") << "another range: from its beginning";
}

TEST_F(WorldRules, GiveEveryAddressOfAPoolInOneChange) {
  world_.set_pools({{"public", {Cidr4::parse("203.0.113.8/30").value(), Cidr4::parse("203.0.113.64/30").value()}}});
  edit({put(floating_ip("first", {}, "public"))});
  edit({put(floating_ip("second", {}, "public"))});
  edit({erase(Kind::kFloatingIp, "first")});
  std::vector<Edit> all;
  for (int i = 0; i < 7; i++) all.push_back(put(floating_ip("f" + std::to_string(i), {}, "public")));
  edit(all);
  EXPECT_EQ(address_of("f6"), ip("203.0.113.8")) << "the one that was released, last of all";
  EXPECT_FALSE(world_.edit({put(floating_ip("more", {}, "public")), put(floating_ip("again", {}, "public"))}));
}

TEST_F(WorldRules, RefuseAPoolThatIsNotConfigured) {
  const std::string remedy = "give an address, or add the pool to floating_ip_pools of the daemon's configuration";
  expect_refused({put(floating_ip("a", {}, "moon"))}, ErrorCode::kNotFound,
                 {"floating IP a", "pool", "moon", "'moon' is no configured pool", remedy});
  World none;
  const auto made = none.edit({put(floating_ip("a", {}))});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().front().code, ErrorCode::kNotFound);
  EXPECT_EQ(made.error().front().message, "floating IP a: address: is missing, and no pool is configured; " + remedy);
}

TEST_F(WorldRules, GiveNoPoolAddressThatSomebodyChooses) {
  edit({put(floating_ip("a", {}, "public")), put(floating_ip("b", "203.0.113.0"))});
  EXPECT_EQ(address_of("a"), ip("203.0.113.1"));
  EXPECT_EQ(address_of("b"), ip("203.0.113.0"));
  EXPECT_EQ(world_.state().floating_ips.at("b").pool, "") << "chosen, not allocated";
}

TEST_F(WorldRules, KeepThePoolsAddressWhenTheFloatingIpIsPutAgain) {
  edit({put(floating_ip("a", {}, "public"))});
  const auto again = world_.edit({put(floating_ip("a", {}, "public"))});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->keys().empty());
  const auto without = world_.edit({put(floating_ip("a", {}))});
  ASSERT_TRUE(without);
  EXPECT_TRUE(without->keys().empty());
}

TEST_F(WorldRules, BindAServiceThatHasAnAddressToAFloatingIpOfAPoolInOneChange) {
  edit({put(network("shop")), put(service("shop", "web"))});
  edit({put(service("shop", "web", "public")), put(floating_ip("public", {}, "public"))});
  EXPECT_EQ(world_.users_of("public").size(), 1U);
}

}  // namespace
}  // namespace sluice::model
