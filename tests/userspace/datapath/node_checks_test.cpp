// SPDX-License-Identifier: Apache-2.0
// What is asked of a kernel and of a node.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "datapath/kernel_check.hpp"
#include "datapath/preflight.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

TEST(Kernel, OfThisMachineHasWhatIsNeeded) {
  const auto checked = Datapath::check_kernel();
  EXPECT_TRUE(checked) << text(checked);
}

TEST(Kernel, IsRefusedBelowTheMinimumAndNamed) {
  for (const char* release : {"5.10.0-28-amd64", "6.0.19", "4.19.0", "5.15.0-rc1", "nonsense"}) {
    const auto refused = check_release(release);
    ASSERT_FALSE(refused) << release;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(refused.error().message.find(release), std::string::npos) << text(refused);
    EXPECT_NE(refused.error().message.find("6.1"), std::string::npos) << text(refused);
  }
  for (const char* release : {"6.1.0-18-amd64", "6.1", "6.12.3", "7.0.0", "10.0-rc1"})
    EXPECT_TRUE(check_release(release));
}

/// Runs `check` in a child without one capability; true if it said kPermission and the capability's name.
bool refused_without(unsigned capability, const char* name, Status (*check)()) {
  const pid_t child = fork();
  if (child == 0) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> data{};
    if (syscall(SYS_capget, &header, data.data()) != 0) _exit(2);
    data.at(capability / 32).effective &= ~(1U << (capability % 32));
    if (syscall(SYS_capset, &header, data.data()) != 0) _exit(3);
    const Status checked = check();
    const bool named = !checked && checked.error().code == ErrorCode::kPermission &&
                       checked.error().message.find(name) != std::string::npos;
    _exit(named ? 0 : 1);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Kernel, NamesTheCapabilityThatIsMissing) {
  EXPECT_TRUE(refused_without(CAP_BPF, "CAP_BPF", check_privileges));
  EXPECT_TRUE(refused_without(CAP_NET_ADMIN, "CAP_NET_ADMIN", check_privileges));
  EXPECT_TRUE(refused_without(CAP_SYS_ADMIN, "CAP_SYS_ADMIN", Datapath::check_kernel));
}

class Preflight : public DatapathTest {
 protected:
  void SetUp() override { ASSERT_EQ(shell("ip link add name uplink0 type veth peer name wire0"), ""); }
  void TearDown() override { shell("ip link del uplink0"); }

  static Check find(const std::vector<Check>& checks, const std::string& name) {
    const auto found = std::ranges::find(checks, name, &Check::name);
    EXPECT_NE(found, checks.end()) << name;
    return found == checks.end() ? Check{} : *found;
  }
};

TEST_F(Preflight, FindsNothingAmissOnAGoodNode) {
  ASSERT_EQ(shell("ip link set uplink0 up"), "");
  for (const Check& check : preflight(root(), {"uplink0"})) {
    EXPECT_EQ(check.state, Check::State::kOk) << check.name << ": " << check.message;
    EXPECT_TRUE(check.remedy.empty()) << check.name;
    EXPECT_FALSE(check.message.empty()) << check.name;
  }
}

TEST_F(Preflight, TellsWhatIsAmissAndWhatToDo) {
  const UniqueFd xdp = foreign_program(true);
  const UniqueFd tc = foreign_program(false);
  const auto uplink = static_cast<int>(ifindex_of("uplink0"));
  const UniqueFd xdp_link(bpf_link_create(xdp.get(), uplink, BPF_XDP, nullptr));
  const UniqueFd tc_link(bpf_link_create(tc.get(), uplink, static_cast<bpf_attach_type>(46), nullptr));
  ASSERT_TRUE(xdp_link.valid() && tc_link.valid());
  const auto checks = preflight("/tmp/sluice", {"uplink0", "absent0"});
  EXPECT_EQ(find(checks, "bpffs").state, Check::State::kFailed);
  EXPECT_NE(find(checks, "bpffs").message.find("mount -t bpf"), std::string::npos);
  EXPECT_EQ(find(checks, "uplink uplink0").state, Check::State::kWarning) << "it is down";
  EXPECT_NE(find(checks, "uplink uplink0: xdp").message.find("somebody_elses"), std::string::npos);
  EXPECT_NE(find(checks, "uplink uplink0: tc").message.find("somebody_elses"), std::string::npos);
  EXPECT_EQ(find(checks, "uplink absent0").state, Check::State::kWarning);
  for (const Check& check : checks) {
    EXPECT_EQ(check.state == Check::State::kOk, check.remedy.empty()) << check.name;
  }
}

TEST_F(Preflight, KnowsOurOwnProgramsFromOthers) {
  const auto datapath = load();
  ASSERT_EQ(shell("ip link set uplink0 mtu 1500 up"), "");
  const auto attached = datapath->attach_uplink(ifindex_of("uplink0"), XdpMode::kGeneric);
  ASSERT_TRUE(attached) << text(attached);
  const auto checks = preflight(root(), {"uplink0"});
  EXPECT_EQ(find(checks, "uplink uplink0: xdp").state, Check::State::kOk);
  EXPECT_EQ(find(checks, "uplink uplink0: tc").state, Check::State::kOk);
}

}  // namespace
}  // namespace sluice::datapath::testing
