// SPDX-License-Identifier: Apache-2.0
#include "base/address.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/result.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace sluice {
namespace {

TEST(Ipv4, RoundTripsThroughTextAndWire) {
  const Ipv4 address = Ipv4::parse("172.16.0.2").value();
  EXPECT_EQ(address.value, 0xAC100002U);
  EXPECT_EQ(address.text(), "172.16.0.2");
  EXPECT_EQ(Ipv4::from_wire(address.wire()), address);
  const std::uint32_t wire = address.wire();
  EXPECT_EQ(reinterpret_cast<const unsigned char*>(&wire)[0], 172);
}

TEST(Ipv4, RefusesWhatIsNoDottedQuad) {
  for (const std::string text : {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.x",
                                 "::1", "0x7f.1", "1..2.3"}) {
    EXPECT_FALSE(Ipv4::parse(text)) << text;
  }
  EXPECT_FALSE(Ipv4::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST(Cidr4, KnowsItsEdges) {
  const Cidr4 cidr = Cidr4::parse("10.1.2.0/23").value();
  EXPECT_EQ(cidr.text(), "10.1.2.0/23");
  EXPECT_EQ(cidr.first().text(), "10.1.2.0");
  EXPECT_EQ(cidr.last().text(), "10.1.3.255");
  EXPECT_TRUE(cidr.contains(Ipv4::parse("10.1.3.255").value()));
  EXPECT_FALSE(cidr.contains(Ipv4::parse("10.1.4.0").value()));
  EXPECT_EQ(Cidr4::parse("0.0.0.0/0")->mask(), 0U);
  EXPECT_EQ(Cidr4::parse("1.2.3.4/32")->mask(), 0xFFFFFFFFU);
  EXPECT_TRUE(cidr.overlaps(Cidr4::parse("10.1.3.0/24").value()));
  EXPECT_FALSE(cidr.overlaps(Cidr4::parse("10.1.4.0/24").value()));
}

TEST(Cidr4, RefusesHostBitsAndNamesTheRightPrefix) {
  const auto wrong = Cidr4::parse("10.1.2.3/16");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "'10.1.2.3/16' has host bits set; the prefix is 10.1.0.0/16");
  for (const std::string text : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "/8", "x/8"}) {
    EXPECT_FALSE(Cidr4::parse(text)) << text;
  }
}

TEST(Mac, RoundTripsAndRefusesOtherForms) {
  EXPECT_EQ(Mac::parse("02:73:6C:63:00:01")->text(), "02:73:6c:63:00:01");
  for (const std::string text :
       {"", "02:73:6c:63:00", "02:73:6c:63:00:0g", "02-73-6c-63-00-01", "02:73:6c:63:00:001", "0:73:6c:63:00:001"}) {
    EXPECT_FALSE(Mac::parse(text)) << text;
  }
}

TEST(Error, CarriesThePlaceInFrontAndTheCodeOfErrno) {
  const std::unexpected<Error> error = fail_errno("open x", ENOENT);
  EXPECT_EQ(error.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(error.error().in("read state").message, "read state: open x: No such file or directory");
  EXPECT_EQ(fail_errno("x", EPERM).error().code, ErrorCode::kPermission);
  EXPECT_EQ(fail_errno("x", ENOSPC).error().code, ErrorCode::kExhausted);
  EXPECT_EQ(fail_errno("x", EIO).error().code, ErrorCode::kSystem);
}

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  {
    UniqueFd writer(ends[1]);
    UniqueFd moved = std::move(writer);
    EXPECT_FALSE(writer.valid());
    EXPECT_EQ(moved.get(), ends[1]);
  }
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "the writing end is still open";
}

}  // namespace
}  // namespace sluice
