// SPDX-License-Identifier: Apache-2.0
#include "api/connections.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "api/limits.hpp"
#include "api/replies.hpp"
#include "base/fd.hpp"

namespace sluice::api {
namespace {

using Verdict = Connections::Verdict;
using Pair = std::array<UniqueFd, 2>;  ///< the daemon's end, and the caller's

Pair connect() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

constexpr Peer kAnn{.uid = 1001, .gid = 1, .read_only = false};
constexpr Peer kAnnsOtherGroup{.uid = 1001, .gid = 2, .read_only = true};
constexpr Peer kBob{.uid = 1002, .gid = 1, .read_only = false};

TEST(Connections, AreCountedByUserWhateverItsGroupAndSocket) {
  Connections connections(10, 2);
  const std::vector<Pair> pairs = [] {
    std::vector<Pair> made;
    for (int i = 0; i < 4; i++) made.push_back(connect());
    return made;
  }();
  EXPECT_EQ(connections.take(kAnn, pairs[0][0].get()), Verdict::kTaken);
  EXPECT_EQ(connections.take(kAnnsOtherGroup, pairs[1][0].get()), Verdict::kTaken);
  EXPECT_EQ(connections.take(kAnn, pairs[2][0].get()), Verdict::kTooManyOfUser);
  EXPECT_EQ(connections.take(kAnnsOtherGroup, pairs[2][0].get()), Verdict::kTooManyOfUser);
  EXPECT_EQ(connections.take(kBob, pairs[3][0].get()), Verdict::kTaken);
}

TEST(Connections, OfAllUsersTogetherAreCountedToo) {
  Connections connections(2, 2);
  const Pair first = connect();
  const Pair second = connect();
  const Pair third = connect();
  EXPECT_EQ(connections.take(kAnn, first[0].get()), Verdict::kTaken);
  EXPECT_EQ(connections.take(kBob, second[0].get()), Verdict::kTaken);
  EXPECT_EQ(connections.take(kBob, third[0].get()), Verdict::kTooMany);
}

TEST(Connections, ThatWereClosedCountNoMoreAlsoIfTheirDescriptorIsAnotherSocketNow) {
  Connections connections(10, 1);
  Pair first = connect();
  const int number = first[0].get();
  EXPECT_EQ(connections.take(kAnn, number), Verdict::kTaken);
  EXPECT_TRUE(connections.any(kAnn));
  first[0].reset();
  Pair other = connect();
  ASSERT_EQ(::dup2(other[0].get(), number), number);
  const UniqueFd reused(number);
  EXPECT_FALSE(connections.any(kAnn));
  EXPECT_EQ(connections.take(kAnn, other[0].get()), Verdict::kTaken);
}

TEST(Connections, WhoseCallerHasGoneMakeRoomButNotForEver) {
  Connections connections(100, 1);
  std::vector<Pair> kept;
  std::size_t taken = 0;
  for (int i = 0; i < 40; i++) {
    Pair pair = connect();
    if (connections.take(kAnn, pair[0].get()) == Verdict::kTaken) taken++;
    pair[1].reset();  // the caller hangs up, and the daemon does not close its end
    kept.push_back(std::move(pair));
  }
  EXPECT_EQ(taken, 16U);
  kept.clear();
  const Pair pair = connect();
  EXPECT_EQ(connections.take(kAnn, pair[0].get()), Verdict::kTaken);
}

const grpc::ServerContextBase* call(std::uintptr_t number) {
  return reinterpret_cast<const grpc::ServerContextBase*>(number);
}

TEST(Replies, ThatNobodyReadsAreBoundedByUserAndInAll) {
  Replies replies(300, 200);
  EXPECT_TRUE(replies.hold(kAnn, call(1), 150));
  const auto refused = replies.hold(kAnnsOtherGroup, call(2), 51);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_NE(refused.error().message.find("150 bytes"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(replies.hold(kBob, call(3), 150));
  EXPECT_FALSE(replies.hold(kAnn, call(4), 1)) << "of all together";
  replies.release(call(2));  // holds nothing
  EXPECT_FALSE(replies.hold(kAnn, call(4), 1));
  replies.release(call(3));
  EXPECT_TRUE(replies.hold(kAnn, call(4), 50));
}

TEST(Replies, MayBeAsLargeAsTheyAreIfTheUserHasNoOther) {
  Replies replies(300, 100);
  EXPECT_TRUE(replies.hold(kAnn, call(1), 250));
  EXPECT_FALSE(replies.hold(kAnn, call(2), 1));
  EXPECT_FALSE(replies.hold(kBob, call(3), 51)) << "of all together";
}

TEST(Replies, OfRootAreNeitherCountedNorMadeToWait) {
  Replies replies(10, 10);
  const Peer root{};
  EXPECT_TRUE(replies.hold(root, call(1), 1000));
  const auto first = replies.turn(root);
  const auto second = replies.turn(root);
  EXPECT_TRUE(replies.hold(kAnn, call(2), 10));
}

}  // namespace
}  // namespace sluice::api
