// SPDX-License-Identifier: Apache-2.0
#include "compile/arena.hpp"

#include <gtest/gtest.h>

namespace sluice::compile {
namespace {

TEST(Arena, GivesTheLowestRegionThatFits) {
  Arena arena("elements", 100);
  arena.reserve(10, 10);
  arena.reserve(25, 5);
  EXPECT_EQ(arena.allocate(10).value(), 0U);
  EXPECT_EQ(arena.allocate(6).value(), 30U) << "the gap of five is too small";
  EXPECT_EQ(arena.allocate(5).value(), 20U);
  EXPECT_EQ(arena.allocate(64).value(), 36U) << "up to the very end";
  EXPECT_FALSE(arena.allocate(1));
}

TEST(Arena, TakesOverlappingReservationsAndOnesBeyondItsEnd) {
  Arena arena("elements", 100);
  arena.reserve(0, 50);
  arena.reserve(20, 40);
  arena.reserve(90, 500);
  arena.reserve(4000000000, 4000000000);
  arena.reserve(70, 0);
  EXPECT_EQ(arena.allocate(30).value(), 60U);
  EXPECT_FALSE(arena.allocate(1));
}

TEST(Arena, SaysWhatDoesNotFit) {
  Arena arena("ring blocks", 8);
  arena.reserve(3, 1);
  const auto refused = arena.allocate(5);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_NE(refused.error().message.find("5 ring blocks"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("7 of 8"), std::string::npos) << refused.error().message;
  EXPECT_EQ(arena.allocate(0).value(), 0U);
}

}  // namespace
}  // namespace sluice::compile
