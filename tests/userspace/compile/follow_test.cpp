// SPDX-License-Identifier: Apache-2.0
// follow() against what it stands for: compile() and diff().
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include "changes.hpp"
#include "compile/slots.hpp"
#include "random_world.hpp"
#include "safety.hpp"

namespace sluice::compile {
namespace {

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

/// A world that is followed as a node does it: with tables, what they take, and an index of the state.
struct Followed {
  explicit Followed(unsigned seed) : random(seed), last(random.world), space(random.world.limits) {
    random.world.limits.slots_per_backend = 10;
    last = random.world;
    actual = random.world.tables();
    space = Space(random.world.limits, actual);
    index = model::Index(random.world.state);
  }

  RandomWorld random;
  World last;  ///< whose tables `actual` are
  Tables actual;
  Space space;
  model::Index index;
};

/// A network has another id or prefix: the one kind of change that is left to compile().
bool moves_a_network(const model::Change& change, const World& world) {
  return std::ranges::any_of(change.networks, [&world](const auto& entry) {
    const auto& [name, former] = entry;
    const auto now = world.state.networks.find(name);
    return former && now != world.state.networks.end() &&
           (former->id != world.assignments.network_ids.at(name) || former->network.cidr4 != now->second.cidr4 ||
            former->network.cidr6 != now->second.cidr6);
  });
}

/// Checks the plan, and the maps after every write of it.
void follow_one(Followed& followed, Holders& holders, std::size_t& plans) {
  const World& world = followed.random.world;
  const model::Change change = difference(followed.last, world);
  followed.index.update(world.state, change);
  ASSERT_TRUE(followed.index == model::Index(world.state)) << "the index is not that of the state";
  const Space before = followed.space;
  const std::optional<Plan> plan = follow(world.input(), followed.actual, change, followed.index, followed.space);
  ASSERT_TRUE(before == followed.space) << "what was taken for the plan was not given back";
  const Tables wanted = world.tables(followed.actual);
  const Plan whole = diff(followed.actual, wanted);
  ASSERT_EQ(plan.has_value(), !moves_a_network(change, world));
  if (plan) {
    ASSERT_EQ(sorted_steps(*plan), sorted_steps(whole)) << "not the plan of a full compile";
    if (!plan->empty()) plans++;
  }
  ASSERT_EQ(holders.learn(world, wanted), "");
  for (const Plan& write : single_writes(plan ? *plan : whole)) {
    apply(write, followed.actual, followed.space);
    ASSERT_EQ(broken(followed.actual, holders), "");
  }
  ASSERT_TRUE(equal(followed.actual, wanted));
  ASSERT_TRUE(followed.space == Space(world.limits, followed.actual)) << "not what the tables take";
  ASSERT_TRUE(diff(followed.actual, world.tables(followed.actual)).empty()) << "compile() has something to add";
  followed.last = world;
}

TEST(Follow, GivesThePlanOfAFullCompileForRandomChanges) {
  std::size_t plans = 0;
  for (unsigned seed = 0; seed < 10; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Followed followed(seed);
    std::mt19937 chance(seed);
    Holders holders;
    for (int step = 0; step < 400; step++) {
      SCOPED_TRACE("step " + std::to_string(step));
      for (auto burst = chance() % 5; burst > 0; burst--) followed.random.change();
      if (chance() % 4 == 0) followed.random.change_attachments();
      ASSERT_NO_FATAL_FAILURE(follow_one(followed, holders, plans));
    }
  }
  EXPECT_GT(plans, 2500U) << "most changes changed something";
}

TEST(Follow, TakesChangesThatWereAppended) {
  for (unsigned seed = 20; seed < 24; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Followed followed(seed);
    for (int step = 0; step < 150; step++) {
      model::Change change;
      for (int i = 0; i < 6; i++) {
        const World before = followed.random.world;
        followed.random.change();
        model::Change later = difference(before, followed.random.world);
        followed.index.update(followed.random.world.state, later);
        change.append(std::move(later));
      }
      const World& world = followed.random.world;
      const std::optional<Plan> plan = follow(world.input(), followed.actual, change, followed.index, followed.space);
      const Plan whole = diff(followed.actual, world.tables(followed.actual));
      if (plan) {
        ASSERT_EQ(sorted_steps(*plan), sorted_steps(whole)) << "step " << step;
      } else {
        ASSERT_TRUE(moves_a_network(change, world)) << "step " << step;
      }
      apply(whole, followed.actual, followed.space);
    }
  }
}

TEST(Index, FindsTheServicesThatSelectAPodByAnyOfItsLabels) {
  World world;
  world.network("shop", 7);
  world.network("blog", 8);
  for (int i = 0; i < 20; i++) {
    const model::Labels selector{{"app", "app-" + std::to_string(i % 7)}, {"env", "live"}};
    world.service("shop", "service-" + std::to_string(i), "172.16.0." + std::to_string(100 + i), selector, {});
  }
  world.service("blog", "service-1", "172.16.0.101", {{"app", "app-1"}}, {});
  const model::Index index(world.state);
  const auto found = [&](const model::Labels& labels) {
    std::set<model::Name> names;
    index.find_services(world.state, "shop", labels, names);
    return names;
  };
  EXPECT_EQ(found({{"app", "app-1"}, {"env", "live"}, {"zone", "a"}}),
            (std::set<model::Name>{{"shop", "service-1"}, {"shop", "service-8"}, {"shop", "service-15"}}));
  EXPECT_TRUE(found({{"app", "app-1"}}).empty());
  EXPECT_TRUE(found({}).empty());
}

World small() {
  World world;
  world.network("shop", 7);
  world.pod("shop", "web-1", "172.16.0.2", {{"app", "web"}});
  world.pod("shop", "web-2", "172.16.0.3", {{"app", "web"}});
  world.service("shop", "front", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  return world;
}

std::optional<Plan> follow(const World& world, const Tables& previous, const model::Change& change) {
  Space space(world.limits, previous);
  return follow(world.input(), previous, change, model::Index(world.state), space);
}

model::Change attached(std::set<model::Name> pods) {
  model::Change change;
  change.attachments = std::move(pods);
  return change;
}

TEST(Follow, TakesNoMoreSlotsThanThereAreAndReusesThePodsOwnInAFullTable) {
  World world = small();
  world.limits.max_endpoint_slots = 3;
  Tables actual = world.tables();
  world.attach("shop", "web-1", 10);
  const std::optional<Plan> plan = follow(world, actual, attached({{"shop", "web-1"}}));
  ASSERT_TRUE(plan);
  EXPECT_EQ(sorted_steps(*plan), sorted_steps(diff(actual, world.tables(actual))));
  apply(*plan, actual);
  EXPECT_EQ(endpoint(actual, 7, "172.16.0.2")->ref.slot, 1U);
  EXPECT_EQ(frontend(actual, 7, "172.16.0.100", 80)->ready_count, 1U);
}

TEST(Follow, LeavesToCompileTablesOfAnotherState) {
  World world = small();
  const Tables actual = world.tables();
  EXPECT_TRUE(follow(world, actual, attached({{"shop", "nobody"}}))->empty()) << "what is not declared has no records";
  EXPECT_FALSE(follow(world, {}, attached({{"shop", "web-1"}})));
  world.service("shop", "second", "172.16.0.101", {{"app", "web"}}, {tcp(80, 8080)});
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-1"}}))) << "a service that nobody named";
  world.pod("shop", "web-3", "172.16.0.4", {{"app", "web"}});
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-3"}})));
}

TEST(Follow, LeavesToCompileAnAddressThatTwoClaim) {
  World world = small();
  const Tables actual = world.tables();
  model::Change change;
  world.pod("shop", "web-3", "172.16.0.3", {{"app", "web"}});
  change.pods[{"shop", "web-3"}] = std::nullopt;
  EXPECT_FALSE(follow(world, actual, change));
  world = small();
  change = {};
  world.service("shop", "second", "172.16.0.2", {{"app", "web"}}, {tcp(80, 8080)});
  change.services[{"shop", "second"}] = std::nullopt;
  EXPECT_FALSE(follow(world, actual, change));
  EXPECT_NE(world.error(actual).find("EXISTS"), std::string::npos);
}

TEST(Follow, LeavesToCompileADeviceThatTwoPodsClaim) {
  World world = small();
  world.attach("shop", "web-1", 10);
  const Tables actual = world.tables();
  world.attach("shop", "web-2", 10);
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-2"}})));
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-1"}, {"shop", "web-2"}})));
  EXPECT_NE(world.error(actual).find("another pod"), std::string::npos);
}

TEST(Follow, LeavesToCompileGuaranteesThatDoNotFit) {
  World world = small();
  const Tables actual = world.tables();
  model::Change change;
  world.network("blog", 8).guaranteed_flows = world.limits.max_pairs;
  change.networks["blog"] = std::nullopt;
  EXPECT_FALSE(follow(world, actual, change));
  EXPECT_NE(world.error(actual).find("EXHAUSTED"), std::string::npos);
  world.state.networks["blog"].guaranteed_flows = 1;
  EXPECT_TRUE(follow(world, actual, change));
}

TEST(Follow, LeavesToCompileTheLastGeneration) {
  World world = small();
  Tables actual = world.tables();
  actual.frontend_generations.begin()->second = ~kFreedSlot;
  world.attach("shop", "web-1", 10);
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-1"}})));
}

TEST(Follow, LeavesToCompileRegionsThatOverlapByAPart) {
  World world = small();
  Tables actual = world.tables();
  actual.frontends4.at(frontend(actual, 7, "172.16.0.100", 80)->self).backend_base++;
  world.attach("shop", "web-1", 10);
  EXPECT_FALSE(Space(world.limits, actual).usable(world.limits));
  EXPECT_FALSE(follow(world, actual, attached({{"shop", "web-1"}})));
}

}  // namespace
}  // namespace sluice::compile
