// SPDX-License-Identifier: Apache-2.0
// follow() against what it stands for: compile() and diff().
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include "compile/slots.hpp"
#include "random_world.hpp"

namespace sluice::compile {
namespace {

using Names = std::set<model::Name>;

/// The order inside of a step is free.
std::vector<std::vector<Write>> sorted_steps(const Plan& plan) {
  auto steps = plan.steps;
  for (std::vector<Write>& step : steps) {
    std::ranges::sort(step, [](const Write& a, const Write& b) {
      return std::tie(a.table, a.key, a.value) < std::tie(b.table, b.key, b.value);
    });
  }
  return steps;
}

/// Changes attachments `rounds` times after each other change of a random history, and follows each of them.
void expect_the_same_plans(unsigned seed, int changes, int rounds) {
  RandomWorld random(seed);
  random.world.limits.slots_per_backend = 10;
  std::mt19937 chance(seed);
  Tables actual;
  std::size_t raised = 0;
  std::size_t empty = 0;
  for (int i = 0; i < changes; i++) {
    random.change();
    actual = random.world.tables(actual);
    for (int round = 0; round < rounds; round++) {
      const Names pods = random.change_attachments();
      const Tables wanted = random.world.tables(actual);
      const Plan whole = diff(actual, wanted);
      const std::optional<Plan> plan = follow(random.world.input(), actual, pods);
      ASSERT_TRUE(plan) << "change " << i << ", round " << round;
      ASSERT_EQ(sorted_steps(*plan), sorted_steps(whole)) << "change " << i << ", round " << round;
      apply(*plan, actual);
      ASSERT_TRUE(equal(actual, wanted)) << "change " << i << ", round " << round;
      raised += std::ranges::any_of(plan->steps[4], [](const Write&) { return true; }) ? 1 : 0;
      empty += plan->empty() ? 1 : 0;
    }
  }
  EXPECT_GT(raised, 100U) << "backends came up in regions that were in use";
  EXPECT_GT(empty, 0U) << "some changes changed nothing";
}

TEST(Follow, GivesThePlanOfAFullCompileInRandomHistories) {
  for (unsigned seed = 0; seed < 8; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_NO_FATAL_FAILURE(expect_the_same_plans(seed, 300, 3));
  }
}

World small() {
  World world;
  world.network("shop", 7);
  world.pod("shop", "web-1", "172.16.0.2", {{"app", "web"}});
  world.pod("shop", "web-2", "172.16.0.3", {{"app", "web"}});
  world.service("shop", "front", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  return world;
}

TEST(Follow, TakesNoMoreSlotsThanThereAreAndReusesThePodsOwnInAFullTable) {
  World world = small();
  world.limits.max_endpoint_slots = 3;
  Tables actual = world.tables();
  world.attach("shop", "web-1", 10);
  const std::optional<Plan> plan = follow(world.input(), actual, {{"shop", "web-1"}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(sorted_steps(*plan), sorted_steps(diff(actual, world.tables(actual))));
  apply(*plan, actual);
  EXPECT_EQ(endpoint(actual, 7, "172.16.0.2")->ref.slot, 1U);
  EXPECT_EQ(frontend(actual, 7, "172.16.0.100", 80)->ready_count, 1U);
}

TEST(Follow, LeavesToCompileWhatIsNotInTheTables) {
  World world = small();
  const Tables actual = world.tables();
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "nobody"}}));
  EXPECT_FALSE(follow(world.input(), {}, {{"shop", "web-1"}}));
  world.pod("shop", "web-3", "172.16.0.4", {{"app", "web"}});
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "web-3"}}));
  world.service("shop", "second", "172.16.0.101", {{"app", "web"}}, {tcp(80, 8080)});
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "web-1"}}));
}

TEST(Follow, LeavesToCompileADeviceThatTwoPodsClaim) {
  World world = small();
  world.attach("shop", "web-1", 10);
  const Tables actual = world.tables();
  world.attach("shop", "web-2", 10);
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "web-2"}}));
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "web-1"}, {"shop", "web-2"}}));
  EXPECT_NE(world.error(actual).find("another pod"), std::string::npos);
}

TEST(Follow, LeavesToCompileTheLastGeneration) {
  World world = small();
  Tables actual = world.tables();
  actual.frontend_generations.begin()->second = ~kFreedSlot;
  world.attach("shop", "web-1", 10);
  EXPECT_FALSE(follow(world.input(), actual, {{"shop", "web-1"}}));
}

}  // namespace
}  // namespace sluice::compile
