// SPDX-License-Identifier: Apache-2.0
#include "compile/hashing.hpp"
#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint32_t kSize = 251;
constexpr std::uint32_t kRingBase = 3;
constexpr std::uint32_t kBackendBase = 10;
constexpr std::uint32_t kBackends = 9;
constexpr compile::Secret kSecret = {0x1122334455667788, 0x99aabbccddeeff00};

class Rings : public PinnedMapsTest {
 protected:
  void SetUp() override {
    PinnedMapsTest::SetUp();
    if (HasFatalFailure()) return;
    make_maps();
    sluice_settings settings{};
    settings.secret[0] = kSecret[0];
    settings.secret[1] = kSecret[1];
    put("settings", std::uint32_t{0}, settings);
    std::vector<compile::RingMember> members;
    for (std::uint32_t i = 0; i < kBackends; i++) {
      members.push_back({1000 + i, 1});
      put_backend(i);
    }
    ring_ = compile::build_ring(members, kSize, kSecret);
    put_ring();
    frontend_.self = {7, wire_address("172.16.0.10"), wire_port(80), 6, 0};
    frontend_.backend_network = 7;
    frontend_.backend_base = kBackendBase;
    frontend_.backend_count = kBackends;
    frontend_.ready_count = kBackends - 1;
    frontend_.ring_base = kRingBase;
    frontend_.ring_size = kSize;
    frontend_.fingerprint = compile::fingerprint(members, kSize, kSecret);
    put_self("frontends4", frontend_);
  }

  void put_backend(std::uint32_t i) {
    sluice_backend backend{};
    backend.network = 7;
    backend.address4 = wire_address("172.16.1." + std::to_string(i));
    backend.port = wire_port(8080);
    backend.state = i == 8 ? SLUICE_BACKEND_DOWN : SLUICE_BACKEND_READY;
    backend.identity = 1000 + i;
    put("backends", kBackendBase + i, backend);
  }

  void put_ring() {
    const std::vector<sluice_ring_block> blocks = compile::pack_ring(ring_);
    for (std::uint32_t i = 0; i < blocks.size(); i++) put("rings", kRingBase + i, blocks[i]);
  }

  std::vector<std::uint16_t> ring_;
  sluice_frontend4 frontend_{};
};

TEST_F(Rings, SharesOfTheBackendsAddUpToTheRing) {
  const Json rings = bpf_json({"rings"})["rings"];
  ASSERT_EQ(rings.size(), 1U);
  EXPECT_EQ(rings[0]["address"], "172.16.0.10");
  EXPECT_EQ(rings[0]["port"], 80);
  EXPECT_EQ(rings[0]["ring_size"], kSize);
  EXPECT_EQ(rings[0]["ring_base"], kRingBase);
  EXPECT_EQ(rings[0]["invalid_slots"], 0);
  EXPECT_FALSE(rings[0].contains("slots"));
  ASSERT_EQ(rings[0]["backends"].size(), kBackends);
  for (std::uint32_t i = 0; i < kBackends; i++) {
    EXPECT_EQ(rings[0]["backends"][i]["slots"], std::ranges::count(ring_, i)) << i;
  }
  EXPECT_EQ(rings[0]["backends"][8], Json({{"index", 8},
                                           {"address", "172.16.1.8"},
                                           {"port", 8080},
                                           {"state", "down"},
                                           {"slots", std::ranges::count(ring_, 8)}}));
}

TEST_F(Rings, TheTableHasOneRowABackendWithItsShare) {
  const Outcome outcome = bpf({"rings"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const std::string first_lines =
      "NETWORK  ADDRESS:PORT    PROTOCOL  RING-SIZE  RING-BASE  INDEX  BACKEND          STATE  SLOTS   SHARE\n"
      "      7  172.16.0.10:80  TCP             251          3      0  172.16.1.0:8080  ready     28  11.16%\n";
  EXPECT_EQ(outcome.out.substr(0, first_lines.size()), first_lines);
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), kBackends + 1);
}

TEST_F(Rings, EverySlotCanBeShown) {
  const Json ring = bpf_json({"rings", "--slots", "--service", "172.16.0.10:80"})["rings"][0];
  EXPECT_EQ(ring["slots"], Json(ring_));
  const Outcome outcome = bpf({"rings", "--slots"});
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), kSize + 1);
  const std::string backend = std::to_string(ring_[0]);
  EXPECT_NE(outcome.out.find("NETWORK  ADDRESS:PORT    PROTOCOL  SLOT  INDEX  BACKEND          STATE\n"
                             "      7  172.16.0.10:80  TCP          0      " +
                             backend + "  172.16.1." + backend + ":8080"),
            std::string::npos)
      << outcome.out.substr(0, 400);
}

TEST_F(Rings, VerifyAcceptsARingThatItsInputsMake) {
  const Outcome outcome = bpf({"rings", "--verify", "-o", "json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], true);
}

TEST_F(Rings, VerifyFindsOneWrongSlot) {
  const std::uint16_t right = ring_[100];
  ring_[100] = static_cast<std::uint16_t>((right + 1) % kBackends);
  put_ring();
  const Outcome outcome = bpf({"rings", "--verify", "-o", "json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.err,
            "sluicectl: ring of network 7 172.16.0.10:80/TCP: 1 of 251 slots differ; the first is slot 100: " +
                ("backend " + std::to_string(ring_[100])) + ", its inputs make backend " + std::to_string(right) +
                "\n");
  EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], false);
  EXPECT_EQ(bpf({"rings"}).status, 0) << "without --verify nothing is compared";
}

TEST_F(Rings, VerifyFindsAFingerprintOfOtherInputs) {
  frontend_.fingerprint ^= 1;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--verify"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("fingerprint is 0x"), std::string::npos) << outcome.err;
}

TEST_F(Rings, SlotsThatNameNoBackendAreShownAsInvalid) {
  ring_[0] = 500;
  put_ring();
  EXPECT_EQ(bpf_json({"rings"})["rings"][0]["invalid_slots"], 1);
  EXPECT_NE(bpf({"rings"}).out.find("invalid      1   0.40%"), std::string::npos);
}

TEST_F(Rings, ARecordThatPointsOutsideTheArenasIsReportedNotRead) {
  frontend_.ring_base = 0xFFFFFFF0;
  frontend_.backend_base = 60;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--verify"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("its record points outside the arenas"), std::string::npos) << outcome.err;
}

TEST_F(Rings, AServicePortWithoutARingIsSaidToNeedNone) {
  frontend_.ring_size = 0;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--service", "172.16.0.10:80"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("have no ring: up to 8 backends"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace sluice::testing
