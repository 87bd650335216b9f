// SPDX-License-Identifier: Apache-2.0
#include "model/names.hpp"

#include <gtest/gtest.h>
#include <sluice/abi.h>

#include <set>

#include "model/assignments.hpp"

namespace sluice::model {
namespace {

TEST(Names, TakesDnsLabelsOnly) {
  for (const std::string good : {"a", "web-1", "1", "a--b", "0a"}) EXPECT_TRUE(is_dns_label(good)) << good;
  for (const std::string bad : {"", "A", "-a", "a-", "a.b", "a_b", "a b", "\xc3\xa4", "a/b"}) {
    EXPECT_FALSE(is_dns_label(bad)) << bad;
  }
  EXPECT_TRUE(is_dns_label(std::string(63, 'a')));
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
  EXPECT_FALSE(is_dns_label(std::string_view("a\0", 2)));
}

TEST(Names, TakesDnsNamesOnly) {
  for (const std::string good : {"internal", "shop.internal", "a.b.c"}) EXPECT_TRUE(is_dns_name(good)) << good;
  for (const std::string bad : {"", ".", "a.", ".a", "a..b", "A.b"}) EXPECT_FALSE(is_dns_name(bad)) << bad;
  std::string longest = "a";
  while (longest.size() < 253) longest += ".a";
  EXPECT_TRUE(is_dns_name(longest));
  EXPECT_FALSE(is_dns_name(longest + ".a"));
}

TEST(Names, BoundsLabels) {
  EXPECT_TRUE(is_label_key("app.example/Name_1"));
  EXPECT_FALSE(is_label_key(""));
  EXPECT_FALSE(is_label_key("a b"));
  EXPECT_FALSE(is_label_key(std::string(64, 'k')));
  EXPECT_TRUE(is_label_value(""));
  EXPECT_TRUE(is_label_value("alice@example.org"));
  EXPECT_FALSE(is_label_value("a\nb"));
  EXPECT_FALSE(is_label_value(std::string(64, 'v')));
}

TEST(Names, ShowsTextOfUnknownOriginHarmlessly) {
  EXPECT_EQ(in_quotes("a\x1b[2J\n"), "'a\\x1b[2J\\x0a'");
  EXPECT_EQ(printable(std::string(200, 'x')), std::string(80, 'x') + "...");
}

TEST(PodMac, IsUnicastLocalUniqueInItsNetworkAndNeverTheRouters) {
  const std::array<std::uint8_t, 6> router = SLUICE_ROUTER_MAC;
  std::set<Mac> macs;
  for (std::uint32_t host = 0; host < 70000; host++) {
    const Mac mac = pod_mac(5, Ipv4{0xAC100000 + host});
    EXPECT_EQ(mac.bytes[0] & 1, 0);
    EXPECT_EQ(mac.bytes[0] & 2, 2);
    macs.insert(mac);
  }
  EXPECT_EQ(macs.size(), 70000U);
  for (std::uint32_t network = 0; network <= 0xFFFFFF; network += 13) {
    EXPECT_NE(pod_mac(network, Ipv4{0x6C630001}).bytes, router) << network;
  }
  EXPECT_EQ(pod_mac(1, Ipv4{0xAC100002}).text(), "06:01:ac:10:00:02");
}

}  // namespace
}  // namespace sluice::model
