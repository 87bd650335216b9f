// SPDX-License-Identifier: Apache-2.0
// Durations and moments as users write them.
#include "model/times.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace sluice::model {
namespace {

using std::chrono::milliseconds;

TEST(Grace, IsSecondsOrADurationOfNoMoreThanADay) {
  EXPECT_EQ(parse_grace("30").value(), milliseconds(30'000));
  EXPECT_EQ(parse_grace("30s").value(), milliseconds(30'000));
  EXPECT_EQ(parse_grace("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_grace("5m").value(), milliseconds(300'000));
  EXPECT_EQ(parse_grace("24h").value(), kLongestGrace);
  EXPECT_EQ(parse_grace("86400").value(), kLongestGrace);
}

TEST(Grace, ThatMakesNoSenseIsRefusedWithWhatToWrite) {
  for (const char* text : {"", "-1", "-1s", "0", "0ms", "25h", "86401", "1.5s", "30 s", "s", "soon", "1d", "+1",
                           "99999999999999999999", "4294967296s"}) {
    const auto refused = parse_grace(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
    EXPECT_NE(refused.error().message.find("choose 1ms to 24h"), std::string::npos) << refused.error().message;
  }
  for (const std::int64_t number : {std::int64_t{-1}, std::int64_t{0}, std::int64_t{86'400'001}, INT64_MIN, INT64_MAX})
    EXPECT_FALSE(check_grace(number)) << number;
  EXPECT_TRUE(check_grace(1));
  EXPECT_TRUE(check_grace(86'400'000));
}

TEST(Moment, IsWrittenAsItIsRead) {
  EXPECT_EQ(moment_text(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(moment_text(1700000000000), "2023-11-14T22:13:20Z");
  EXPECT_EQ(moment_text(1700000000250), "2023-11-14T22:13:20.250Z");
  EXPECT_EQ(moment_text(kLatestMoment), "9999-12-31T23:59:59.999Z");
  for (const std::int64_t moment :
       {std::int64_t{0}, std::int64_t{951782400000}, std::int64_t{1700000000007}, kLatestMoment})
    EXPECT_EQ(parse_moment(moment_text(moment)).value(), moment) << moment_text(moment);
  EXPECT_EQ(parse_moment("2024-02-29T00:00:00.5Z").value() % 1000, 500);
}

TEST(Moment, ThatIsNoneIsRefused) {
  for (const char* text :
       {"", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z", "2026-00-01T12:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234Z", "2026-01-31T12:00:00+01:00",
        "1969-12-31T23:59:59Z", "26-01-31T12:00:00Z", "1700000000"}) {
    const auto refused = parse_moment(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_NE(refused.error().message.find("2026-01-31T12:00:00Z"), std::string::npos) << refused.error().message;
  }
}

}  // namespace
}  // namespace sluice::model
