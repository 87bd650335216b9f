// SPDX-License-Identifier: Apache-2.0
#include "node/host_ports.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::node {
namespace {

using Ranges = std::vector<PortRange>;

Ranges parsed(const std::string& text) {
  auto ranges = parse_port_ranges(text);
  if (!ranges) ADD_FAILURE() << ranges.error().message;
  return ranges.value_or(Ranges{});
}

TEST(PortRanges, AreReadAsTheKernelPrintsThem) {
  EXPECT_EQ(parsed(""), Ranges{});
  EXPECT_EQ(parsed("\n"), Ranges{});
  EXPECT_EQ(parsed("8080\n"), (Ranges{{8080, 8080}}));
  EXPECT_EQ(parsed("1-5,8080,16384-29999\n"), (Ranges{{1, 5}, {8080, 8080}, {16384, 29999}}));
  EXPECT_EQ(parsed("0-65535"), (Ranges{{0, 65535}}));
}

TEST(PortRanges, AreRefusedOtherwise) {
  for (const char* text : {"a", "1-", "-1", "1,,2", ",1", "5-1", "65536", "1-65536", "1 - 5", "1-2-3", "0x10"}) {
    EXPECT_FALSE(parse_port_ranges(text)) << text;
  }
}

TEST(PortRanges, AreJoinedWhereTheyMeet) {
  const auto merged = [](const std::string& text, PortRange more) { return text_of(with_range(parsed(text), more)); };
  EXPECT_EQ(merged("", {16384, 29999}), "16384-29999");
  EXPECT_EQ(merged("8080,40000-40010", {16384, 29999}), "8080,16384-29999,40000-40010");
  EXPECT_EQ(merged("16000-16383,30000", {16384, 29999}), "16000-30000");
  EXPECT_EQ(merged("20000,20002", {16384, 29999}), "16384-29999");
  EXPECT_EQ(merged("10000-40000", {16384, 29999}), "10000-40000");
  EXPECT_EQ(merged("16382,16384-29999", {16384, 29999}), "16382,16384-29999");
  EXPECT_EQ(merged("65535", {65534, 65535}), "65534-65535") << "no overflow at the end";
}

TEST(PortRanges, CoverWhatAllOfThemTogetherHold) {
  const PortRange wanted{16384, 29999};
  EXPECT_TRUE(covers(parsed("16384-29999"), wanted));
  EXPECT_TRUE(covers(parsed("1-65535"), wanted));
  EXPECT_TRUE(covers(parsed("20000-29999,16384-19999"), wanted)) << "in any order and in pieces";
  EXPECT_FALSE(covers({}, wanted));
  EXPECT_FALSE(covers(parsed("16385-29999"), wanted));
  EXPECT_FALSE(covers(parsed("16384-29998"), wanted));
  EXPECT_FALSE(covers(parsed("16384-19999,20001-29999"), wanted));
}

TEST(SocketLine, IsReadInBothFamilies) {
  const auto four = parse_socket_line(
      "   1: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1121 1 0 100 0 0 10 "
      "0");
  ASSERT_TRUE(four);
  EXPECT_EQ(text_of(four->address), "127.0.0.1");
  EXPECT_EQ(four->port, 20000);
  EXPECT_EQ(four->state, 10U);
  const auto six = parse_socket_line(
      " 4242: B80D0120000000000000000007000000:FFFF 00000000000000000000000000000000:0000 07 00000000:00000000 00:0");
  ASSERT_TRUE(six);
  EXPECT_EQ(text_of(six->address), "2001:db8::7");
  EXPECT_EQ(six->port, 65535);
  EXPECT_EQ(six->state, 7U);
  const auto mapped = parse_socket_line(
      "   0: 0000000000000000FFFF0000070200C0:4E20 00000000000000000000000000000000:0000 0A 00000000:00000000 00:0");
  ASSERT_TRUE(mapped);
  EXPECT_EQ(text_of(mapped->address), "192.0.2.7");
}

TEST(SocketLine, IsNothingElse) {
  for (const char* line :
       {"", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "   1: 0100007F 00000000:0000 0A", "   1: 0100007:4E20 00000000:0000 0A", "   1: 0100007F:4E20 00000000:0000",
        "   1: 0100007F:14E20 00000000:0000 0A", "   1: 0100007G:4E20 00000000:0000 0A"}) {
    EXPECT_FALSE(parse_socket_line(line)) << line;
  }
}

TEST(HostSocket, ReceivesAtItsAddressOrAtEvery) {
  const auto ip = [](const std::string& text) { return parse_ip(text).value(); };
  const auto receives = [&](const std::string& bound, const std::string& address) {
    return receives_at({model::Protocol::kTcp, ip(bound), 20000}, ip(address));
  };
  EXPECT_TRUE(receives("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(receives("192.0.2.8", "192.0.2.7"));
  EXPECT_FALSE(receives("127.0.0.1", "192.0.2.7"));
  EXPECT_TRUE(receives("0.0.0.0", "192.0.2.7"));
  EXPECT_FALSE(receives("0.0.0.0", "2001:db8::7"));
  EXPECT_TRUE(receives("::", "2001:db8::7"));
  EXPECT_TRUE(receives("::", "192.0.2.7")) << "an IPv6 socket takes IPv4 as well, as a rule";
  EXPECT_FALSE(receives("2001:db8::8", "2001:db8::7"));
}

TEST(HostSocket, IsNamedWithProtocolAddressAndPort) {
  EXPECT_EQ((HostSocket{model::Protocol::kTcp, Ipv4{}, 20000}.text()), "TCP 0.0.0.0:20000");
  EXPECT_EQ((HostSocket{model::Protocol::kUdp, Ipv6{}, 53}.text()), "UDP [::]:53");
}

}  // namespace
}  // namespace sluice::node
