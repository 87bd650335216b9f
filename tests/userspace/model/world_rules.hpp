// SPDX-License-Identifier: Apache-2.0
// A World with two pools, and what a refusal must say.
#pragma once

#include "world_values.hpp"

namespace sluice::model {

inline constexpr EditOptions kCascade{.cascade = true, .recreate = false};
inline constexpr EditOptions kRecreate{.cascade = false, .recreate = true};

class WorldRules : public testing::Test {
 protected:
  void edit(std::vector<Edit> edits, const EditOptions& options = {}) {
    auto made = world_.edit(std::move(edits), options);
    if (made) return made->keep();
    for (const Error& problem : made.error()) ADD_FAILURE() << problem.message;
  }
  /// Expects one problem, and that the world stays as it is.
  void expect_refused(std::vector<Edit> edits, ErrorCode code, const Detail& detail, const EditOptions& options = {}) {
    const Picture before = picture(world_);
    const auto made = world_.edit(std::move(edits), options);
    ASSERT_FALSE(made) << "was not refused";
    ASSERT_EQ(made.error().size(), 1U) << made.error()[1].message;
    const Error& error = made.error().front();
    EXPECT_EQ(name(error.code), name(code)) << error.message;
    EXPECT_EQ(error.message, detail.resource + ": " + detail.field + ": " + detail.problem + "; " + detail.remedy);
    ASSERT_EQ(error.details.size(), 1U);
    EXPECT_EQ(error.details[0].resource, detail.resource);
    EXPECT_EQ(error.details[0].field, detail.field);
    EXPECT_EQ(error.details[0].value, detail.value);
    EXPECT_EQ(error.details[0].problem, detail.problem);
    EXPECT_EQ(error.details[0].remedy, detail.remedy);
    EXPECT_EQ(picture(world_), before);
  }
  Ipv4 address_of(const std::string& floating_ip) {
    return world_.state().floating_ips.at(floating_ip).address.value();
  }

  World world_{Capacity{
      10'000,
      {{"public", {Cidr4::parse("203.0.113.0/31").value()}}, {"spare", {Cidr4::parse("198.51.100.7/32").value()}}}}};
};

}  // namespace sluice::model
