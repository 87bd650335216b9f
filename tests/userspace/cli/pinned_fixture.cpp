// SPDX-License-Identifier: Apache-2.0
#include "pinned_fixture.hpp"

#include <bpf/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/address.hpp"

namespace sluice::testing {

__be32 wire_address(std::string_view text) {
  const Result<Ipv4> address = Ipv4::parse(text);
  if (!address) throw std::invalid_argument(address.error().message);
  return address->wire();
}

__be16 wire_port(std::uint16_t port) {
  return to_wire(port);
}

void PinnedMapsTest::SetUp() {
  // Once for the process; the tests run one after the other in it.
  static const bool has_own_mounts =
      ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  ASSERT_TRUE(has_own_mounts) << "these tests need root: " << std::strerror(errno);
  std::string folder = (std::filesystem::temp_directory_path() / "sluicectl-test-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr) << std::strerror(errno);
  mount_point_ = folder;
  ASSERT_EQ(::mount("bpf", mount_point_.c_str(), "bpf", 0, nullptr), 0) << std::strerror(errno);
}

void PinnedMapsTest::TearDown() {
  maps_.clear();
  if (mount_point_.empty()) return;
  ::umount2(mount_point_.c_str(), MNT_DETACH);
  std::filesystem::remove(mount_point_);
}

void PinnedMapsTest::make_map(const std::string& name, std::uint32_t type, std::uint32_t key_size,
                              std::uint32_t value_size, std::uint32_t elements) {
  std::filesystem::create_directories(maps_folder());
  std::filesystem::remove(maps_folder() / name);
  LIBBPF_OPTS(bpf_map_create_opts, options,
              .map_flags = type == BPF_MAP_TYPE_LPM_TRIE ? std::uint32_t{BPF_F_NO_PREALLOC} : 0);
  UniqueFd map(bpf_map_create(static_cast<bpf_map_type>(type), nullptr, key_size, value_size, elements, &options));
  ASSERT_TRUE(map.valid()) << "make map " << name << ": " << std::strerror(errno);
  ASSERT_EQ(bpf_obj_pin(map.get(), (maps_folder() / name).c_str()), 0)
      << "pin " << name << ": " << std::strerror(errno);
  maps_.insert_or_assign(name, std::move(map));
}

void PinnedMapsTest::make_maps() {
  make_map("settings", BPF_MAP_TYPE_ARRAY, 4, sizeof(sluice_settings), 1);
  make_map("ports", BPF_MAP_TYPE_HASH, 4, sizeof(sluice_port), 64);
  make_map("endpoints4", BPF_MAP_TYPE_HASH, sizeof(sluice_endpoint4_key), sizeof(sluice_endpoint4), 64);
  make_map("frontends4", BPF_MAP_TYPE_HASH, sizeof(sluice_frontend4_key), sizeof(sluice_frontend4), 64);
  make_map("endpoints6", BPF_MAP_TYPE_HASH, sizeof(sluice_endpoint6_key), sizeof(sluice_endpoint6), 64);
  make_map("frontends6", BPF_MAP_TYPE_HASH, sizeof(sluice_frontend6_key), sizeof(sluice_frontend6), 64);
  make_map("egress", BPF_MAP_TYPE_HASH, 4, sizeof(sluice_egress), 64);
  make_map("egress_denied4", BPF_MAP_TYPE_LPM_TRIE, sizeof(sluice_prefix4), 4, 64);
  make_map("egress_denied6", BPF_MAP_TYPE_LPM_TRIE, sizeof(sluice_prefix6), 4, 64);
  make_map("flows6", BPF_MAP_TYPE_HASH, sizeof(sluice_flow6_digest), sizeof(sluice_flow6), 64);
  make_map("backends", BPF_MAP_TYPE_ARRAY, 4, sizeof(sluice_backend), 64);
  make_map("rings", BPF_MAP_TYPE_ARRAY, 4, sizeof(sluice_ring_block), 64);
  make_map("endpoint_generations", BPF_MAP_TYPE_ARRAY, 4, 4, 64);
  make_map("endpoint_pairs", BPF_MAP_TYPE_ARRAY, 4, 4, 64);
  make_map("frontend_generations", BPF_MAP_TYPE_ARRAY, 4, 4, 64);
  make_map("flows4", BPF_MAP_TYPE_HASH, sizeof(sluice_flow4_key), sizeof(sluice_flow4), 20000);
  make_map("pairs", BPF_MAP_TYPE_ARRAY, 4, sizeof(sluice_pair), 10000);
  make_map("counters", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(sluice_counter),
           SLUICE_ENTRY_COUNT * SLUICE_COUNTER_STRIDE);
}

Outcome PinnedMapsTest::bpf(std::vector<std::string> arguments, User user) const {
  arguments.insert(arguments.begin(), "bpf");
  arguments.insert(arguments.end(), {"--pin-root", pin_root().string()});
  return run_sluicectl(arguments, user);
}

nlohmann::ordered_json PinnedMapsTest::bpf_json(std::vector<std::string> arguments) const {
  arguments.insert(arguments.end(), {"-o", "json"});
  const Outcome outcome = bpf(std::move(arguments));
  auto json = nlohmann::ordered_json::parse(outcome.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << outcome.out << outcome.err;
  return json;
}

void PinnedMapsTest::put_raw(const std::string& name, const void* key, const void* value) {
  const auto map = maps_.find(name);
  ASSERT_NE(map, maps_.end()) << "no map " << name;
  ASSERT_EQ(bpf_map_update_elem(map->second.get(), key, value, BPF_ANY), 0) << name << ": " << std::strerror(errno);
}

}  // namespace sluice::testing
