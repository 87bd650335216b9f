// SPDX-License-Identifier: Apache-2.0
// What is asked of a kernel.
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/kernel_check.hpp"
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

}  // namespace
}  // namespace sluice::datapath::testing
