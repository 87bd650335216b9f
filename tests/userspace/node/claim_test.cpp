// SPDX-License-Identifier: Apache-2.0
// What a daemon takes for itself before it touches the kernel. Needs root: run() and purge() do.
#include "daemon/claim.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "daemon/run.hpp"

namespace sluice::daemon {
namespace {

/// Everything here happens in a network namespace of this thread's own.
class Claim : public ::testing::Test {
 protected:
  Claim() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-claim-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::filesystem::create_directory(folder_ / "manifests");
  }
  ~Claim() override { std::filesystem::remove_all(folder_); }

  static void in_new_namespace(const std::function<void()>& work) {
    std::thread([&work] {
      ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "needs root";
      work();
    }).join();
  }
  [[nodiscard]] Config config() const {
    Config config;
    config.manifests = folder_ / "manifests";
    config.state_dir = folder_ / "state";
    config.api.socket.path = folder_ / "sluice.sock";
    config.pin_root = folder_ / "pins";  // on no bpffs: whoever gets as far says so
    config.node.device_prefix = "slq";
    return config;
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(Claim, RefusesASecondDaemonAndNamesPrefixAndRemedy) {
  in_new_namespace([] {
    const auto first = claim_prefix("slq");
    ASSERT_TRUE(first) << first.error().message;
    const auto second = claim_prefix("slq");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kPrecondition);
    EXPECT_NE(second.error().message.find("\"slq\""), std::string::npos) << second.error().message;
    EXPECT_NE(second.error().message.find("another device_prefix"), std::string::npos) << second.error().message;
    EXPECT_TRUE(claim_prefix("slr"));
  });
}

TEST_F(Claim, EndsWithItsHolder) {
  in_new_namespace([] {
    ASSERT_TRUE(claim_prefix("slq"));
    EXPECT_TRUE(claim_prefix("slq"));
  });
}

TEST_F(Claim, IsTheNamespacesOwn) {
  in_new_namespace([] {
    const auto first = claim_prefix("slq");
    ASSERT_TRUE(first);
    in_new_namespace([] { EXPECT_TRUE(claim_prefix("slq")); });
  });
}

TEST_F(Claim, CannotBeHeldByAnotherUser) {
  in_new_namespace([] {
    ASSERT_EQ(::seteuid(65534), 0);
    const auto stranger = claim_prefix("slq");
    ASSERT_EQ(::seteuid(0), 0);
    ASSERT_TRUE(stranger);
    const auto own = claim_prefix("slq");
    EXPECT_TRUE(own) << own.error().message;
  });
}

TEST_F(Claim, IsTakenBeforePinsAndDevicesAreTouched) {
  in_new_namespace([this] {
    const auto other = claim_prefix("slq");
    ASSERT_TRUE(other);
    const Status started = run("", config(), "1");
    ASSERT_FALSE(started);
    EXPECT_NE(started.error().message.find("device_prefix"), std::string::npos) << started.error().message;
    EXPECT_FALSE(std::filesystem::exists(config().pin_root));
  });
}

TEST_F(Claim, KeepsADaemonsDevicesFromAPurgeWithAnotherState) {
  in_new_namespace([this] {
    const auto other = claim_prefix("slq");
    ASSERT_TRUE(other);
    // As a daemon makes them: its prefix, and the group 0x736c63.
    ASSERT_EQ(std::system("ip link add slq1 group 7564387 type veth peer name slq1p"), 0);
    const Status purged = purge(config(), false);
    ASSERT_FALSE(purged);
    EXPECT_EQ(purged.error().code, ErrorCode::kPrecondition);
    EXPECT_EQ(std::system("ip link show slq1 >/dev/null"), 0) << "the device has gone";
  });
}

TEST_F(Claim, OfTheApiSocketComesBeforePinsToo) {
  in_new_namespace([this] {
    std::ofstream(config().api.socket.path) << "precious";
    const Status started = run("", config(), "1");
    ASSERT_FALSE(started);
    EXPECT_NE(started.error().message.find("socket"), std::string::npos) << started.error().message;
    EXPECT_FALSE(std::filesystem::exists(config().pin_root));
  });
}

}  // namespace
}  // namespace sluice::daemon
