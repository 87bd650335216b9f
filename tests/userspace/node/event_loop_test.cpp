// SPDX-License-Identifier: Apache-2.0
#include "node/event_loop.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "node/log.hpp"

namespace sluice::node {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<EventLoop> open_loop() {
  auto loop = EventLoop::open();
  EXPECT_TRUE(loop) << loop.error().message;
  return std::move(*loop);
}

TEST(EventLoop, RunsTasksOfOtherThreadsInTheirOrder) {
  const auto loop = open_loop();
  std::vector<int> order;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(loop->post([&order, i] { order.push_back(i); }));
    EXPECT_TRUE(loop->post([&] { loop->stop(); }));
  });
  ASSERT_TRUE(loop->run());
  poster.join();
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(EventLoop, LosesNoWakeUpHoweverItIsTimed) {
  const auto loop = open_loop();
  constexpr int kRounds = 20000;
  std::atomic<int> ran = 0;
  std::thread poster([&] {
    // One at a time, each posted the moment the one before has run: around the loop's own look at its bell.
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(loop->post([&] { ++ran; }));
      const auto deadline = EventLoop::Clock::now() + std::chrono::seconds(20);
      while (ran <= i && EventLoop::Clock::now() < deadline) std::this_thread::yield();
      if (ran <= i) break;
    }
    loop->stop();
  });
  ASSERT_TRUE(loop->run());
  poster.join();
  EXPECT_EQ(ran, kRounds) << "a task waits for a wake-up that was lost";
}

TEST(EventLoop, RefusesTasksAfterItsEnd) {
  const auto loop = open_loop();
  loop->stop();
  ASSERT_TRUE(loop->run());
  EXPECT_FALSE(loop->post([] { FAIL() << "ran after the end"; }));
}

TEST(EventLoop, RunsWhatWasPostedBeforeItsEnd) {
  const auto loop = open_loop();
  bool ran = false;
  EXPECT_TRUE(loop->post([&] { ran = true; }));
  loop->stop();
  ASSERT_TRUE(loop->run());
  EXPECT_TRUE(ran);
}

TEST(EventLoop, FiresTimersInTheOrderOfTheirTimesAndNotEarly) {
  const auto loop = open_loop();
  std::string order;
  const auto begin = EventLoop::Clock::now();
  loop->after(milliseconds(30), [&] {
    EXPECT_GE(EventLoop::Clock::now() - begin, milliseconds(30));
    order += 'c';
    loop->stop();
  });
  loop->after(milliseconds(10), [&] { order += 'a'; });
  loop->after(milliseconds(20), [&] { order += 'b'; });
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(order, "abc");
}

TEST(EventLoop, DoesNotFireACancelledTimer) {
  const auto loop = open_loop();
  const auto cancelled = loop->after(milliseconds(1), [] { FAIL() << "fired"; });
  loop->cancel(cancelled);
  loop->after(milliseconds(5), [&] { loop->stop(); });
  ASSERT_TRUE(loop->run());
}

TEST(EventLoop, CallsAWatcherUntilItsDescriptorIsDrained) {
  const auto loop = open_loop();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  std::string got;
  ASSERT_TRUE(loop->watch(reader.get(), [&] {
    char byte = 0;
    ASSERT_EQ(::read(reader.get(), &byte, 1), 1);
    got += byte;
    if (got.size() == 3) loop->stop();
  }));
  ASSERT_EQ(::write(writer.get(), "xyz", 3), 3);
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(got, "xyz");
  loop->forget(reader.get());
}

TEST(EventLoop, LetsAWatcherForgetItself) {
  const auto loop = open_loop();
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  int calls = 0;
  ASSERT_TRUE(loop->watch(reader.get(), [&] {
    ++calls;
    loop->forget(reader.get());
    loop->after(milliseconds(5), [&] { loop->stop(); });
  }));
  ASSERT_EQ(::write(writer.get(), "x", 1), 1);
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(calls, 1);
}

TEST(Log, QuotesAnyTextIntoOneField) {
  EXPECT_EQ(quote("plain"), "\"plain\"");
  EXPECT_EQ(quote("a \"b\" \\ c\nd\x01"), "\"a \\\"b\\\" \\\\ c\\nd\\x01\"");
}

}  // namespace
}  // namespace sluice::node
