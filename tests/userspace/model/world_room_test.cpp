// SPDX-License-Identifier: Apache-2.0
// Services and the room that the tables have for them: what is refused in the transaction that asks for too much.
#include <gtest/gtest.h>

#include "world_rules.hpp"

namespace sluice::model {
namespace {

Pod web_pod(int number, std::uint16_t weight = 1) {
  Pod made = pod("shop", "web-" + std::to_string(number));
  made.labels = {{"app", "web"}};
  made.weight = weight;
  return made;
}

/// `count` pods that the service shop/web selects, from `first` on.
std::vector<Edit> web_pods(int first, int count) {
  std::vector<Edit> edits;
  for (int i = first; i < first + count; i++) edits.push_back(put(web_pod(i)));
  return edits;
}

class WorldRoom : public WorldRules {
 protected:
  explicit WorldRoom(const TableSizes& sizes = {.backends = 10, .ring_blocks = 31}) {
    world_ = World({.tables = sizes});
    edit({put(network("shop"))});
  }
  /// The same resources where the tables have only so much, as after a restart with another configuration.
  void shrink_to(const TableSizes& sizes) {
    World smaller({.tables = sizes});
    const Assignments& assignments = world_.assignments();
    for (const auto& [name, value] : world_.state().networks)
      ASSERT_TRUE(smaller.restore(value, {}, assignments.network_ids.at(name), assignments.network_slots.at(name)));
    for (const auto& [name, value] : world_.state().pods)
      ASSERT_TRUE(smaller.restore(value, assignments.pod_addresses.at(name)));
    for (const auto& [name, value] : world_.state().services)
      ASSERT_TRUE(smaller.restore(value, assignments.service_addresses.at(name)));
    world_ = std::move(smaller);
  }
  static Service other_service() {
    Service made = service("shop", "other");
    made.selector = {{"app", "web"}};
    return made;
  }

  const std::string kRaiseBackends = "remove pods or services, or raise backend_arena of the daemon's configuration";
  const std::string kRaiseRings = "remove pods or services, or raise ring_arena of the daemon's configuration";
};

TEST_F(WorldRoom, RefusesAServiceThatTheBackendsHaveNoRoomFor) {
  edit(web_pods(0, 3));
  edit({put(service("shop", "web"))});
  EXPECT_EQ(world_.elements(), (TableElements{2, 6, 0})) << "each backend once for the port and once for ping";
  expect_refused({put(other_service())}, ErrorCode::kExhausted,
                 {"service shop/other", "selector", "6",
                  "takes 6 backend elements, all services together 12, but the tables have 10", kRaiseBackends});
  edit({erase(Kind::kPod, "shop", "web-0")});
  edit({put(other_service())});
}

TEST_F(WorldRoom, RefusesAPodThatAServiceHasNoRoomForBesideWhatItReplaces) {
  edit(web_pods(0, 2));
  edit({put(service("shop", "web"))});
  edit(web_pods(2, 1));  // four elements give way to six
  expect_refused({put(web_pod(3))}, ErrorCode::kExhausted,
                 {"service shop/web", "selector", "8",
                  "takes 8 backend elements, all services together 14 (6 of them until what replaces them is there), "
                  "but the tables have 10",
                  kRaiseBackends});
  edit({put(pod("shop", "client"))});
}

TEST_F(WorldRoom, RefusesToPutAServiceInThePlaceOfAnotherWhereBothDoNotFit) {
  edit(web_pods(0, 3));
  edit({put(service("shop", "web"))});
  expect_refused({erase(Kind::kService, "shop", "web"), put(other_service())}, ErrorCode::kExhausted,
                 {"service shop/other", "selector", "6",
                  "takes 6 backend elements, all services together 12 (6 of them until what replaces them is there), "
                  "but the tables have 10",
                  kRaiseBackends});
  edit({erase(Kind::kService, "shop", "web")});
  edit({put(other_service())});
}

TEST_F(WorldRoom, IsNotAskedForByWhatLeavesBackendsInPlace) {
  edit(web_pods(0, 5));
  edit({put(service("shop", "web"))});
  EXPECT_EQ(world_.elements().backends, 10U) << "all there is";
  Pod draining = web_pod(0);
  draining.draining = true;
  draining.labels["side"] = "a";
  edit({put(draining), put(pod("shop", "client"))});
  Service random = service("shop", "web");
  random.algorithm = Algorithm::kRandom;
  random.labels = {{"side", "b"}};
  edit({put(random)});
}

TEST_F(WorldRoom, IsNotAskedForByWhatTakesAwayFromTooMuch) {
  edit(web_pods(0, 5));
  edit({put(service("shop", "web"))});
  shrink_to({.backends = 4});
  EXPECT_EQ(world_.elements().backends, 10U);
  edit({erase(Kind::kPod, "shop", "web-0")});
  Pod unlabelled = web_pod(1);
  unlabelled.labels.clear();
  edit({put(unlabelled)});
  const auto more = world_.edit({put(web_pod(9))});
  ASSERT_FALSE(more) << "nothing may be added to it";
  EXPECT_EQ(more.error().front().code, ErrorCode::kExhausted);
  edit({erase(Kind::kService, "shop", "web")});
  EXPECT_EQ(world_.elements(), TableElements{});
}

TEST_F(WorldRoom, RefusesARingThatTheRingsHaveNoRoomFor) {
  edit(web_pods(0, 8));
  shrink_to({.ring_blocks = 31});
  edit({put(service("shop", "web"))});  // eight of one weight need no ring
  expect_refused({put(web_pod(8))}, ErrorCode::kExhausted,
                 {"service shop/web", "selector", "32",
                  "takes 32 ring blocks, all services together 32, but the tables have 31", kRaiseRings});
  edit({put(web_pod(0, 0))});  // none for it, one for each other: still of one weight
  shrink_to({.ring_blocks = 63});
  edit({put(web_pod(8))});
  expect_refused({put(web_pod(1, 2))}, ErrorCode::kExhausted,
                 {"service shop/web", "selector", "32",
                  "takes 32 ring blocks, all services together 64 (32 of them until what replaces them is there), but "
                  "the tables have 63",
                  kRaiseRings});
}

TEST_F(WorldRoom, RefusesMoreBackendsThanTheLargestRingHasSlotsFor) {
  edit(web_pods(0, 8));
  shrink_to({.slots_per_backend = 1'000'000});
  edit({put(service("shop", "web"))});
  expect_refused({put(web_pod(8))}, ErrorCode::kExhausted,
                 {"service shop/web", "selector", "",
                  "9 backends with 1000000 slots each do not fit the largest ring (8388593 slots, 65535 backends)",
                  "let the service select fewer pods"});
}

TEST_F(WorldRoom, RefusesAServiceWhosePortsFindNoSlot) {
  shrink_to({.service_port_slots = 5});
  edit({put(service("shop", "web", {}, {port(80)})), put(floating_ip("public", "203.0.113.9"))});
  const Detail full{"service shop/mail", "ports", "5",
                    "takes 5 service port slots, all services together 7, but the tables have 5",
                    "remove services or ports"};
  expect_refused({put(service("shop", "mail", "public", {port(25), port(465)}))}, ErrorCode::kExhausted, full);
  edit({put(service("shop", "mail", "public", {port(25)}))});
}

}  // namespace
}  // namespace sluice::model
