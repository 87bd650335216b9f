// SPDX-License-Identifier: Apache-2.0
// Programs on devices: TCX links and clsact filters (the path of kernels below 6.6), XDP, and other people's programs.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <atomic>
#include <thread>

#include "datapath/hooks.hpp"
#include "datapath/namespaces.hpp"
#include "datapath/uplink_facts.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);

class Attach : public DatapathTest {
 protected:
  void TearDown() override { shell("ip link del uplink0"); }

  /// A veth whose far end stands in `wire`; returns the near end.
  static std::uint32_t make_uplink(const UniqueFd& wire) {
    EXPECT_TRUE(wire.valid());
    EXPECT_EQ(shell("ip link add name uplink0 address 02:00:00:00:01:01 type veth peer name wire0"), "");
    // The far end moves through the descriptor, which no shell command can name.
    const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(wire.get());
    EXPECT_EQ(shell("ip link set wire0 netns " + path), "");
    EXPECT_EQ(shell("ip link set uplink0 addrgenmode none && ip link set uplink0 up"), "");
    EXPECT_EQ(shell_in(wire, "ip link set wire0 addrgenmode none && ip link set wire0 up"), "");
    return ifindex_of("uplink0");
  }
};

/// Both ways to attach; the parameter is Options::force_clsact.
class AttachEitherWay : public Attach, public ::testing::WithParamInterface<bool> {
 protected:
  [[nodiscard]] Options way() const {
    Options chosen = options();
    chosen.force_clsact = GetParam();
    return chosen;
  }
};
INSTANTIATE_TEST_SUITE_P(Attach, AttachEitherWay, ::testing::Values(false, true),
                         [](const auto& tested) { return tested.param ? "ByClsactFilter" : "ByTcxLink"; });

TEST_P(AttachEitherWay, CountsEveryPacketOfAnUplinkOnce) {
  const auto datapath = load(way());
  EXPECT_EQ(datapath->uses_tcx(), !GetParam());
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  for (int repeated = 0; repeated < 2; repeated++) {
    const auto attached = datapath->attach_uplink(uplink, XdpMode::kOff);
    ASSERT_TRUE(attached) << text(attached);
  }
  EXPECT_EQ(datapath->attached(), std::vector<std::uint32_t>{uplink});
  ASSERT_TRUE(send_frames(wire, "wire0", 100));
  EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_UPLINK) == 100; }));

  const auto detached = datapath->detach_uplink(uplink);
  ASSERT_TRUE(detached) << text(detached);
  EXPECT_TRUE(datapath->detach_uplink(uplink));
  EXPECT_EQ(datapath->attached(), std::vector<std::uint32_t>{});
  ASSERT_TRUE(send_frames(wire, "wire0", 100));
  EXPECT_EQ(shell("tc filter show dev uplink0 ingress"), "");
  EXPECT_EQ(tcx_programs(uplink, Direction::kIngress), std::vector<std::uint32_t>{});
  EXPECT_EQ(counted(pins(), SLUICE_ENTRY_FROM_UPLINK), 100U);
}

TEST_P(AttachEitherWay, LosesNoPacketWhileProgramsAreReplaced) {
  const UniqueFd netns = new_namespace();
  {
    const auto datapath = load(way());
    auto devices = PodDevices::open(*datapath, kMark);
    ASSERT_TRUE(devices) << text(devices);
    const auto attached = (*devices)->attach(netns, pod_device());
    ASSERT_TRUE(attached) << text(attached);
    const auto settled = (*devices)->settle();
    ASSERT_TRUE(settled) << text(settled);
    EXPECT_EQ(*settled, !GetParam());
  }
  std::atomic<bool> done = false;
  std::uint64_t sent = 0;
  std::thread sender([&] {
    for (; !done; sent += 20) EXPECT_TRUE(send_frames(netns, "eth0", 20));
  });
  for (int round = 0; round < 5; round++) load(way());
  done = true;
  sender.join();
  EXPECT_GT(sent, 100U) << "there was traffic";
  EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_POD) >= sent; }));
  EXPECT_EQ(counted(pins(), SLUICE_ENTRY_FROM_POD), sent);
}

TEST_P(AttachEitherWay, ForgetsDevicesThatHaveGone) {
  const auto pod_namespace = new_namespace();
  std::uint32_t uplink = 0;
  {
    const auto datapath = load(way());
    uplink = make_uplink(pod_namespace);
    const auto attached = datapath->attach_uplink(uplink, XdpMode::kGeneric);
    ASSERT_TRUE(attached) << text(attached);
    ASSERT_EQ(shell("ip link del uplink0"), "");
    const auto missing = datapath->attach_uplink(uplink, XdpMode::kOff);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  }
  const auto datapath = load(way());
  EXPECT_EQ(datapath->attached(), std::vector<std::uint32_t>{});
  EXPECT_TRUE(datapath->detach_uplink(uplink));
}

TEST_P(AttachEitherWay, LeavesOtherTcProgramsRunningAfterOurs) {
  const auto datapath = load(way());
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  const UniqueFd program = foreign_program(false);
  ASSERT_TRUE(program.valid());
  const UniqueFd link(bpf_link_create(program.get(), static_cast<int>(uplink), kTcxIngress, nullptr));
  ASSERT_TRUE(link.valid());
  ASSERT_EQ(shell("tc qdisc add dev uplink0 clsact && "
                  "tc filter add dev uplink0 ingress prio 7 protocol all u32 match u32 0 0 flowid 1:1"),
            "");
  const auto attached = datapath->attach_uplink(uplink, XdpMode::kOff);
  ASSERT_TRUE(attached) << text(attached);
  const auto programs = tcx_programs(uplink, Direction::kIngress);
  ASSERT_TRUE(programs) << text(programs);
  ASSERT_EQ(programs->size(), GetParam() ? 1U : 2U);
  EXPECT_EQ(programs->back(), program_id(program.get()));
  EXPECT_NE(is_ours(programs->front()), GetParam());
  ASSERT_TRUE(datapath->detach_uplink(uplink));
  EXPECT_NE(shell("tc filter show dev uplink0 ingress").find("u32"), std::string::npos);
  EXPECT_EQ(tcx_programs(uplink, Direction::kIngress)->size(), 1U);
}

TEST_F(Attach, TradesAFilterForALinkWithoutLosingAPacketOrCountingOneTwice) {
  const auto datapath = load();
  auto devices = PodDevices::open(*datapath, kMark);
  ASSERT_TRUE(devices) << text(devices);
  const UniqueFd netns = new_namespace();
  const auto attachment = (*devices)->attach(netns, pod_device());
  ASSERT_TRUE(attachment) << text(attachment);
  const std::string number = std::to_string(attachment->ifindex);
  EXPECT_TRUE(pinned("links/clsact-pod-" + number));

  std::atomic<bool> done = false;
  std::uint64_t sent = 0;
  std::thread sender([&] {
    for (; !done; sent += 20) EXPECT_TRUE(send_frames(netns, "eth0", 20));
  });
  const auto settled = (*devices)->settle();
  done = true;
  sender.join();
  ASSERT_TRUE(settled) << text(settled);
  EXPECT_TRUE(*settled);
  EXPECT_EQ((*devices)->settle(), false);
  EXPECT_FALSE(pinned("links/clsact-pod-" + number));
  EXPECT_TRUE(pinned("links/pod-" + number));
  EXPECT_EQ(tcx_programs(attachment->ifindex, Direction::kIngress)->size(), 1U);
  EXPECT_EQ(shell("tc qdisc show dev " + attachment->device).find("clsact"), std::string::npos);
  EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_POD) >= sent; }));
  EXPECT_EQ(counted(pins(), SLUICE_ENTRY_FROM_POD), sent);
}

TEST_F(Attach, SettlesTheOthersWhenOneDeviceFails) {
  const auto datapath = load();
  auto devices = PodDevices::open(*datapath, kMark);
  ASSERT_TRUE(devices) << text(devices);
  std::vector<UniqueFd> pods;
  std::vector<std::string> numbers;
  for (std::uint32_t pod = 0; pod < 3; pod++) {
    pods.push_back(new_namespace());
    const auto attachment = (*devices)->attach(pods.back(), pod_device(2 + pod));
    ASSERT_TRUE(attachment) << text(attachment);
    numbers.push_back(std::to_string(attachment->ifindex));
  }
  // A folder stands where the link would be pinned: for the first and then for the last, whatever the order is.
  for (const std::string& failing : {numbers.front(), numbers.back()}) {
    const auto obstacle = pins() / ("links/pod-" + failing);
    ASSERT_TRUE(std::filesystem::create_directory(obstacle));
    Result<bool> settled = true;
    while (settled && *settled) settled = datapath->settle();
    ASSERT_FALSE(settled) << "the failure must be told";
    EXPECT_NE(settled.error().message.find("clsact-pod-" + failing), std::string::npos) << text(settled);
    for (const std::string& number : numbers) {
      EXPECT_EQ(pinned("links/clsact-pod-" + number), number == failing) << number;
    }
    ASSERT_TRUE(std::filesystem::remove(obstacle));
    EXPECT_EQ(datapath->settle(), true);
    EXPECT_EQ(datapath->settle(), false);
    // Back to filters for the next round.
    for (const std::string& number : numbers) {
      const auto ifindex = static_cast<std::uint32_t>(std::stoul(number));
      ASSERT_TRUE(datapath->detach_pod(ifindex));
      ASSERT_TRUE(datapath->attach_pod(ifindex));
    }
  }
}

TEST_F(Attach, RefusesAnUplinkWithAnotherXdpProgramAndNamesIt) {
  const auto datapath = load();
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  const UniqueFd program = foreign_program(true);
  const UniqueFd link(bpf_link_create(program.get(), static_cast<int>(uplink), BPF_XDP, nullptr));
  ASSERT_TRUE(link.valid());
  const auto refused = datapath->attach_uplink(uplink, XdpMode::kAuto);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  for (const std::string& part : {std::string("uplink0"), std::to_string(program_id(program.get())),
                                  std::string("somebody_elses"), std::string("xdp off")}) {
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << part << " in " << text(refused);
  }
  EXPECT_EQ(xdp_program(uplink), program_id(program.get()));
  EXPECT_EQ(tcx_programs(uplink, Direction::kIngress), std::vector<std::uint32_t>{}) << "half attached";
  EXPECT_TRUE(datapath->attach_uplink(uplink, XdpMode::kOff)) << "without XDP it is a good uplink";
}

TEST_F(Attach, RefusesAPlaceAmongFiltersThatIsTaken) {
  Options clsact = options();
  clsact.force_clsact = true;
  const auto datapath = load(clsact);
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  ASSERT_EQ(shell("tc qdisc add dev uplink0 clsact && "
                  "tc filter add dev uplink0 ingress prio 1 protocol all u32 match u32 0 0 flowid 1:1"),
            "");
  const auto refused = datapath->attach_uplink(uplink, XdpMode::kOff);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition) << text(refused);
  EXPECT_NE(refused.error().message.find("priority 1"), std::string::npos) << text(refused);
  EXPECT_EQ(datapath->attached(), std::vector<std::uint32_t>{});
}

TEST_F(Attach, LoadsAlthoughAnUplinksPlaceWasTakenMeanwhile) {
  Options clsact = options();
  clsact.force_clsact = true;
  auto datapath = load(clsact);
  auto devices = PodDevices::open(*datapath, kMark);
  ASSERT_TRUE(devices) << text(devices);
  const UniqueFd netns = new_namespace();
  ASSERT_TRUE((*devices)->attach(netns, pod_device()));
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  ASSERT_TRUE(datapath->attach_uplink(uplink, XdpMode::kGeneric));
  devices->reset();
  datapath.reset();
  ASSERT_EQ(shell("tc filter del dev uplink0 ingress && "
                  "tc filter add dev uplink0 ingress prio 1 protocol all u32 match u32 0 0 flowid 1:1"),
            "");
  const std::uint32_t xdp_before = xdp_program(uplink).value();
  datapath = load(clsact);
  EXPECT_NE(xdp_program(uplink).value(), xdp_before) << "its other hook is taken over all the same";
  ASSERT_TRUE(send_frames(netns, "eth0", 10));
  EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_POD) == 10; })) << "and so are the pods";
  const auto refused = datapath->attach_uplink(uplink, XdpMode::kGeneric);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("priority 1"), std::string::npos) << text(refused);
  ASSERT_EQ(shell("tc filter del dev uplink0 ingress"), "");
  const auto attached = datapath->attach_uplink(uplink, XdpMode::kGeneric);
  EXPECT_TRUE(attached) << text(attached);
}

TEST_F(Attach, SwitchesXdpBetweenItsModes) {
  auto datapath = load();
  const UniqueFd wire = new_namespace();
  const std::uint32_t uplink = make_uplink(wire);
  for (const XdpMode mode : {XdpMode::kGeneric, XdpMode::kNative, XdpMode::kGeneric}) {
    const auto attached = datapath->attach_uplink(uplink, mode);
    ASSERT_TRUE(attached) << text(attached);
    EXPECT_EQ(xdp_is_generic(uplink), mode == XdpMode::kGeneric);
    const auto program = xdp_program(uplink);
    ASSERT_TRUE(program && is_ours(*program));
  }
  const auto before = xdp_program(uplink);
  datapath.reset();
  datapath = load();
  const auto after = xdp_program(uplink);
  EXPECT_TRUE(before && after && *after != 0 && *before != *after) << "a load replaces the XDP program too";
  ASSERT_TRUE(datapath->attach_uplink(uplink, XdpMode::kOff));
  EXPECT_EQ(xdp_program(uplink), 0U);
  ASSERT_TRUE(send_frames(wire, "wire0", 10));
  EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_UPLINK) == 10; }));
}

}  // namespace
}  // namespace sluice::datapath::testing
