// SPDX-License-Identifier: Apache-2.0
#include "datapath/pod_mtu.hpp"

#include <string>

#include "datapath/namespaces.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

/// Keeps a process in a namespace: somebody by whom it can be found.
class Inhabitant {
 public:
  explicit Inhabitant(const UniqueFd& netns) : pid_(shell_in(netns, "sleep 1000 >/dev/null 2>&1 & echo $!")) {}
  ~Inhabitant() { shell("kill " + pid_); }
  Inhabitant(const Inhabitant&) = delete;
  Inhabitant& operator=(const Inhabitant&) = delete;

 private:
  std::string pid_;
};

class PodMtu : public PodDevicesTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(PodDevicesTest::SetUp());
    auto attachment = devices_->attach(netns_, pod_device());
    ASSERT_TRUE(attachment) << text(attachment);
    attachment_ = std::move(*attachment);
  }
  void TearDown() override { EXPECT_TRUE(devices_->detach(attachment_)); }

  [[nodiscard]] PodMtus set(std::uint32_t mtu) const {
    auto done = set_pod_mtus({{attachment_.ifindex, attachment_.netns_cookie}}, mtu);
    EXPECT_TRUE(done) << text(done);
    return done ? *done : PodMtus{};
  }
  /// The MTU that a device's line of `ip link` tells.
  static std::string mtu_in(const std::string& line) {
    const std::size_t at = line.find(" mtu ");
    return at == std::string::npos ? line : line.substr(at + 5, line.find(' ', at + 5) - at - 5);
  }
  [[nodiscard]] std::string host_mtu() const { return mtu_in(shell("ip -o link show " + attachment_.device)); }
  [[nodiscard]] std::string pod_mtu() const { return mtu_in(shell_in(netns_, "ip -o link show eth0")); }

  UniqueFd netns_ = new_namespace();
  model::Attachment attachment_;
};

TEST_F(PodMtu, ChangesAtBothEndsUpAndDown) {
  const Inhabitant inhabitant(netns_);
  for (const char* mtu : {"1300", "9000", "1280"}) {
    const PodMtus done = set(static_cast<std::uint32_t>(std::stoul(mtu)));
    EXPECT_EQ(done.changed, 1U);
    EXPECT_TRUE(done.failed.empty()) << done.failed.begin()->second;
    EXPECT_EQ(done.smallest, std::stoul(mtu));
    EXPECT_EQ(host_mtu(), mtu);
    EXPECT_EQ(pod_mtu(), mtu);
  }
}

TEST_F(PodMtu, IsLeftAloneWhereItIsRight) {
  EXPECT_EQ(set(1450).changed, 0U);
  EXPECT_EQ(set(1450).smallest, 1450U);
}

TEST_F(PodMtu, IsPutRightAtEitherEnd) {
  const Inhabitant inhabitant(netns_);
  shell("ip link set " + attachment_.device + " mtu 1200");
  EXPECT_EQ(set(1450).changed, 1U);
  EXPECT_EQ(host_mtu(), "1450");
  shell_in(netns_, "ip link set eth0 mtu 1200");
  EXPECT_EQ(set(1450).changed, 1U);
  EXPECT_EQ(pod_mtu(), "1450");
}

TEST_F(PodMtu, OfAPodThatCannotBeFoundGoesUpAtTheHostsEndAlone) {
  PodMtus done = set(1300);
  ASSERT_EQ(done.failed.size(), 1U);
  EXPECT_NE(done.failed.at(attachment_.ifindex).find("namespace"), std::string::npos);
  EXPECT_EQ(done.smallest, 1450U);
  EXPECT_EQ(host_mtu(), "1450") << "or what the pod goes on sending would be lost";
  done = set(1500);
  EXPECT_EQ(done.failed.size(), 1U);
  EXPECT_EQ(host_mtu(), "1500");
  EXPECT_EQ(pod_mtu(), "1450");
}

TEST_F(PodMtu, OfAPodThatHasGoneIsNobodys) {
  const auto done = set_pod_mtus({{999'999, 1}}, 1300);
  ASSERT_TRUE(done) << text(done);
  EXPECT_EQ(done->changed, 0U);
  EXPECT_TRUE(done->failed.empty());
  EXPECT_EQ(done->smallest, 0U);
}

TEST(MtuReserve, IsWhatTheHeadersTake) {
  EXPECT_EQ(mtu_reserve("none"), 0U);
  EXPECT_EQ(mtu_reserve("tunnel"), 14U + 40 + 8 + 8);
  EXPECT_EQ(mtu_reserve("encryption"), 14U + 40 + 8 + 8 + 40 + 8 + 32);
}

}  // namespace
}  // namespace sluice::datapath::testing
