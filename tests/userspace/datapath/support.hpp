// SPDX-License-Identifier: Apache-2.0
// The ground that these tests stand on: the whole test program runs in network and mount namespaces of its own with
// a bpffs of its own, so that it meets the real kernel, disturbs nothing, and leaves nothing behind however it ends.
#pragma once

#include <gtest/gtest.h>
#include <sluice/abi.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "datapath/datapath.hpp"
#include "datapath/links.hpp"
#include "datapath/pod_devices.hpp"

namespace sluice::datapath::testing {

/// The message of a failed result, for EXPECT_... << text(result).
template <typename T>
std::string text(const Result<T>& result) {
  return result ? "no error" : std::string(name(result.error().code)) + ": " + result.error().message;
}

/// Waits until `condition` holds; false after ten seconds.
bool eventually(const std::function<bool()>& condition);

/// A pin folder of its own for each test, removed with everything in it.
class DatapathTest : public ::testing::Test {
 protected:
  DatapathTest();
  ~DatapathTest() override;

  [[nodiscard]] Options options() const;
  /// Loads, or fails the test.
  std::unique_ptr<Datapath> load(const Options& options);
  std::unique_ptr<Datapath> load() { return load(options()); }
  [[nodiscard]] std::filesystem::path pins() const { return root_ / ("abi-" + std::to_string(SLUICE_ABI_VERSION)); }
  [[nodiscard]] bool pinned(const std::string& path) const { return std::filesystem::exists(pins() / path); }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

 private:
  std::filesystem::path root_;
};

/// Of the devices that these tests make.
inline const DeviceMark kMark{.prefix = "slt", .group = 0x41424344};

/// With the programs loaded and nothing attached.
class PodDevicesTest : public DatapathTest {
 protected:
  void SetUp() override;

  std::unique_ptr<Datapath> datapath_;
  std::unique_ptr<PodDevices> devices_;
};

/// With a device that can be an uplink, its far end beside it.
class UplinkTest : public DatapathTest {
 protected:
  void SetUp() override;
  void TearDown() override;
};

/// A new network namespace; it goes with its last descriptor, process and socket.
UniqueFd new_namespace();
PodDevice pod_device(std::uint32_t number = 2);
/// Runs a shell command inside a namespace and returns what it printed.
std::string shell_in(const UniqueFd& netns, const std::string& command);
std::string shell(const std::string& command);
std::uint32_t ifindex_of(const std::string& device);

/// Sends `count` broadcast frames out of a device inside a namespace, slowly enough that no queue overflows.
Status send_frames(const UniqueFd& netns, const std::string& device, unsigned count);
/// Packets that one entry point has counted, all reasons together.
std::uint64_t counted(const std::filesystem::path& pins, sluice_entry entry);

/// A tc or XDP program of somebody else, which passes everything.
UniqueFd foreign_program(bool xdp);
std::uint32_t program_id(int program);
std::uint32_t pinned_id(const std::filesystem::path& pin, bool map);

}  // namespace sluice::datapath::testing
