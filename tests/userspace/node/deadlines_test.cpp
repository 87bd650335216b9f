// SPDX-License-Identifier: Apache-2.0
// Deadlines between two clocks.
#include "node/deadlines.hpp"

#include <gtest/gtest.h>

#include "model/times.hpp"

namespace sluice::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kWall = 1'700'000'000'000;
const EventLoop::Clock::time_point kSteady{std::chrono::hours(5)};
const model::Name kPod{"shop", "web-1"};

TEST(Deadlines, AreDueWhenTheyAreReachedAndOnlyOnce) {
  Deadlines deadlines;
  EXPECT_EQ(deadlines.next(), std::nullopt);
  deadlines.set(kPod, kWall + 3000, {kSteady, kWall});
  deadlines.set({"shop", "web-2"}, kWall + 9000, {kSteady, kWall});
  EXPECT_EQ(deadlines.next(), kSteady + seconds(3));
  EXPECT_TRUE(deadlines.due(kSteady + milliseconds(2999)).empty());
  EXPECT_EQ(deadlines.due(kSteady + seconds(3)), std::vector{kPod});
  EXPECT_FALSE(deadlines.has_passed(kPod));
  deadlines.pass(kPod);
  EXPECT_TRUE(deadlines.has_passed(kPod));
  EXPECT_TRUE(deadlines.due(kSteady + seconds(4)).empty());
  EXPECT_EQ(deadlines.next(), kSteady + seconds(9));
  deadlines.set(kPod, kWall + 3000, {kSteady + seconds(5), kWall + 5000});
  EXPECT_TRUE(deadlines.has_passed(kPod)) << "the same one again is not a new one";
  deadlines.set(kPod, kWall + 7000, {kSteady + seconds(5), kWall + 5000});
  EXPECT_FALSE(deadlines.has_passed(kPod));
  EXPECT_EQ(deadlines.next(), kSteady + seconds(7));
  deadlines.forget(kPod);
  EXPECT_EQ(deadlines.of(kPod), std::nullopt);
}

TEST(Deadlines, AreNotMovedByAWallClockThatIsSet) {
  Deadlines deadlines;
  deadlines.set(kPod, kWall + 30'000, {kSteady, kWall});
  for (const std::int64_t step : {std::int64_t{-86'400'000}, std::int64_t{86'400'000}}) {
    deadlines.set(kPod, kWall + 30'000, {kSteady + seconds(10), kWall + 10'000 + step});
    EXPECT_EQ(deadlines.next(), kSteady + seconds(30)) << step;
  }
}

TEST(Deadlines, LastNoLongerThanTheLongestGraceAndAreNeverBeforeNow) {
  Deadlines deadlines;
  deadlines.set(kPod, kWall + 10 * model::kLongestGrace.count(), {kSteady, kWall});
  EXPECT_EQ(deadlines.next(), kSteady + model::kLongestGrace) << "the clock was wrong then, or is wrong now";
  deadlines.set(kPod, model::kLatestMoment, {kSteady, -kWall});
  EXPECT_EQ(deadlines.next(), kSteady + model::kLongestGrace);
  deadlines.set(kPod, 1, {kSteady, kWall});
  EXPECT_EQ(deadlines.next(), kSteady);
}

}  // namespace
}  // namespace sluice::node
