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

TEST(Arena, GivesBackWhatWasTakenInAnyOrder) {
  const Arena whole("elements", 100);
  Arena arena = whole;
  arena.reserve(0, 10);
  arena.reserve(10, 10);
  arena.reserve(90, 500);
  EXPECT_FALSE(arena.is_free(5, 1));
  EXPECT_FALSE(arena.is_free(85, 10));
  EXPECT_TRUE(arena.is_free(20, 70));
  arena.release(10, 10);
  EXPECT_EQ(arena.allocate(10).value(), 10U);
  arena.release(90, 500);
  arena.release(0, 10);
  EXPECT_TRUE(arena.is_free(0, 10));
  EXPECT_FALSE(arena == whole);
  arena.release(10, 10);
  EXPECT_TRUE(arena == whole) << "in one piece again";
}

TEST(Arena, LosesNothingToADraft) {
  Arena arena("elements", 10);
  arena.reserve(2, 3);
  const Arena before = arena;
  {
    Draft draft(arena);
    EXPECT_EQ(draft.allocate(2).value(), 0U);
    EXPECT_EQ(draft.allocate(5).value(), 5U);
    EXPECT_TRUE(draft.full());
    EXPECT_FALSE(draft.allocate(1));
  }
  EXPECT_TRUE(arena == before);
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
