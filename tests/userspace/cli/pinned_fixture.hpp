// SPDX-License-Identifier: Apache-2.0
// Real maps with the layout of abi.h, pinned below a BPF file system of the test's own, and records for them.
#pragma once

#include <gtest/gtest.h>
#include <sluice/abi.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "subprocess.hpp"

namespace sluice::testing {

__be32 wire_address(std::string_view text);
__be16 wire_port(std::uint16_t port);

class PinnedMapsTest : public ::testing::Test {
 protected:
  /// Mounts a BPF file system in a mount namespace of this process, so that nothing stays behind, whatever happens.
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] std::filesystem::path pin_root() const { return mount_point_ / "sluice"; }
  [[nodiscard]] std::filesystem::path maps_folder() const {
    return pin_root() / ("abi-" + std::to_string(SLUICE_ABI_VERSION)) / "maps";
  }

  /// Makes and pins a map; an existing one of that name is replaced.
  void make_map(const std::string& name, std::uint32_t type, std::uint32_t key_size, std::uint32_t value_size,
                std::uint32_t elements);
  /// Makes every map that sluicectl reads.
  void make_maps();

  template <typename Key, typename Value>
  void put(const std::string& name, const Key& key, const Value& value) {
    put_raw(name, &key, &value);
  }
  template <typename Value>
  void put_self(const std::string& name, const Value& value) {
    put_raw(name, &value.self, &value);
  }

  /// `sluicectl bpf <arguments> --pin-root <this test's>`
  [[nodiscard]] Outcome bpf(std::vector<std::string> arguments, User user = User::kRoot) const;
  /// The same with -o json; the output as a value.
  [[nodiscard]] nlohmann::ordered_json bpf_json(std::vector<std::string> arguments) const;

  void put_raw(const std::string& name, const void* key, const void* value);

  [[nodiscard]] const std::filesystem::path& mount_point() const { return mount_point_; }

 private:
  std::filesystem::path mount_point_;
  std::map<std::string, UniqueFd> maps_;
};

}  // namespace sluice::testing
