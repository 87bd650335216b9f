// SPDX-License-Identifier: Apache-2.0
// Rings of backends with different weights: sizes, shares, and what a change moves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "ring_service.hpp"

namespace sluice::compile {
namespace {

std::vector<RingMember> weighted(const std::vector<std::uint32_t>& weights) {
  std::vector<RingMember> list = members(weights.size());
  for (std::size_t i = 0; i < weights.size(); i++) list[i].weight = weights[i];
  simplify_weights(list);
  return list;
}

std::vector<std::uint32_t> weights_of(const std::vector<RingMember>& list) {
  std::vector<std::uint32_t> weights;
  for (const RingMember& member : list) weights.push_back(member.weight);
  return weights;
}

using Weights = std::vector<std::uint32_t>;

TEST(Weights, ThatMeanTheSameAreTheSame) {
  EXPECT_EQ(weights_of(weighted({7, 7, 7})), Weights({1, 1, 1}));
  EXPECT_EQ(weights_of(weighted({7, 0, 7})), Weights({1, 1, 1})) << "0 is a backend that is down, as when it drains";
  EXPECT_EQ(weights_of(weighted({0, 0})), Weights({1, 1}));
  EXPECT_EQ(weights_of(weighted({10, 0, 30})), Weights({1, 0, 3}));
  EXPECT_EQ(weights_of(weighted({3, 256})), Weights({3, 256}));
  EXPECT_EQ(weights_of(weighted({})), Weights());
}

TEST(Weights, HaveARingWheneverTheyDiffer) {
  EXPECT_EQ(ring_size(weighted({5, 5}), 100, 0), 0U);
  EXPECT_EQ(ring_size(weighted({5, 0}), 100, 0), 0U);
  EXPECT_EQ(ring_size(weighted({256}), 100, 0), 0U);
  EXPECT_EQ(ring_size(weighted({1, 2}), 100, 0), 251U) << "a hundred for each, as ever";
  EXPECT_EQ(ring_size(weighted({1, 256}), 100, 0), 16381U) << "32 * 257";
  EXPECT_EQ(ring_size(weighted({1, 256, 256, 256, 256, 256, 256, 256}), 100, 0), 65521U);
  EXPECT_EQ(ring_size(weighted({1, 256}), 100, 32749), 32749U) << "no way back at once";
  Weights many(60000, 256);
  many[0] = 1;
  EXPECT_EQ(ring_size(weighted(many), 100, 0), 8388593U) << "never more than the largest";
}

TEST(Weights, OfUpToEightBackendsGiveSharesExactToThreePercent) {
  double worst = 0;
  for (const Weights& weights : {Weights{1, 256}, Weights{1, 2}, Weights{1, 9}, Weights{3, 5, 256}, Weights{99, 100},
                                 Weights{1, 256, 256, 256, 256, 256, 256, 256}, Weights{1, 2, 4, 8, 16, 32, 64, 128}}) {
    const std::vector<RingMember> list = weighted(weights);
    const std::uint32_t size = ring_size(list, 100, 0).value();
    std::vector<std::uint32_t> share(list.size());
    for (const std::uint16_t index : build_ring(list, size, kSecret)) share.at(index)++;
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (std::size_t i = 0; i < list.size(); i++) {
      worst = std::max(worst, std::abs(share[i] / (size * weights[i] / sum) - 1));
    }
  }
  std::printf("worst share: %.2f %% off\n", worst * 100);
  EXPECT_LT(worst, 0.032);
}

TEST(Weights, GiveEveryBackendASlotHoweverMany) {
  for (const std::size_t n : {9U, 300U, 3000U}) {
    Weights weights(n, 256);
    weights[n / 2] = 1;
    const std::vector<RingMember> list = weighted(weights);
    const std::uint32_t size = ring_size(list, 32, 0).value();
    EXPECT_LE(size, std::max<std::size_t>(65521, 800 * n)) << n;
    std::vector<std::uint32_t> share(n);
    for (const std::uint16_t index : build_ring(list, size, kSecret)) share.at(index)++;
    EXPECT_GE(share[n / 2], 1U) << n;
  }
}

TEST(Weights, MoveLittleMoreThanTheyMustWhenOneChanges) {
  struct Step {
    Weights before;
    Weights after;
  };
  double worst = 0;
  for (const Step& step :
       {Step{{1, 9}, {2, 8}}, Step{{50, 50, 49}, {50, 50, 25}}, Step{{10, 20, 30, 40}, {10, 20, 30, 50}},
        Step{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {2, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
        Step{{100, 99, 100, 100}, {100, 99, 100, 0}}}) {
    const Service before(weighted(step.before));
    const Service after(weighted(step.after), before.size);
    ASSERT_EQ(before.size, after.size);
    const double old_sum = std::accumulate(step.before.begin(), step.before.end(), 0.0);
    const double new_sum = std::accumulate(step.after.begin(), step.after.end(), 0.0);
    double must = 0;
    for (std::size_t i = 0; i < step.before.size(); i++) {
      must += std::max(0.0, step.after[i] / new_sum - step.before[i] / old_sum);
    }
    std::size_t moved = 0;
    const std::vector<std::uint64_t> list = keys(100000);
    for (const std::uint64_t key : list) moved += before(key) != after(key) ? 1 : 0;
    const double extra = static_cast<double>(moved) / static_cast<double>(list.size()) - must;
    std::printf("must move %.1f %%, moved %.1f %% more\n", must * 100, extra * 100);
    worst = std::max(worst, extra);
  }
  EXPECT_LT(worst, 0.02);
}

}  // namespace
}  // namespace sluice::compile
