// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>
#include <thread>

#include "datapath/pins.hpp"
#include "datapath/uplink_facts.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::array kMaps{"meta",
                           "settings",
                           "network_limits",
                           "network_usage",
                           "ports",
                           "endpoints4",
                           "frontends4",
                           "backends",
                           "rings",
                           "endpoint_generations",
                           "frontend_filter",
                           "endpoints6",
                           "frontends6",
                           "flows4",
                           "flows6",
                           "pairs",
                           "pair_keys6",
                           "frontend_generations",
                           "pairs_free",
                           "flow_totals",
                           "sweeper",
                           "counters",
                           "port_slots",
                           "refusal_windows",
                           "fragments",
                           "digest_key"};

compile::Plan one_write(compile::Table table, const auto& key, const auto& value) {
  compile::Write write{.table = table, .key = {}, .value = {}};
  const auto* key_bytes = reinterpret_cast<const std::byte*>(&key);
  const auto* value_bytes = reinterpret_cast<const std::byte*>(&value);
  write.key.assign(key_bytes, key_bytes + sizeof(key));
  write.value.assign(value_bytes, value_bytes + sizeof(value));
  return {.steps = {{write}}};
}

sluice_flow_totals totals(const fs::path& pins) {
  auto map = open_pin(pins / "maps" / "flow_totals");
  EXPECT_TRUE(map) << text(map);
  sluice_flow_totals totals{};
  const std::uint32_t zero = 0;
  EXPECT_TRUE(map && bpf_map_lookup_elem(map->get(), &zero, &totals) == 0);
  return totals;
}

class Load : public DatapathTest {};

TEST_F(Load, PinsEveryMapAndProgram) {
  const auto datapath = load();
  for (const char* name : kMaps) EXPECT_TRUE(pinned(std::string("maps/") + name)) << name;
  for (const char* name : {"from_pod", "from_uplink", "uplink_xdp", "sweep_start"}) {
    EXPECT_TRUE(pinned(std::string("programs/") + name)) << name;
  }
  const auto tables = datapath->read_tables();
  ASSERT_TRUE(tables) << text(tables);
  EXPECT_TRUE(tables->ports.empty() && tables->backends.empty());
}

TEST_F(Load, KeepsTheMapsAndReplacesTheProgramsOnTheNextLoad) {
  load();
  std::vector<std::uint32_t> before;
  for (const char* name : kMaps) before.push_back(pinned_id(pins() / "maps" / name, true));
  const std::uint32_t program = pinned_id(pins() / "programs/from_pod", false);
  load();
  std::vector<std::uint32_t> after;
  for (const char* name : kMaps) after.push_back(pinned_id(pins() / "maps" / name, true));
  EXPECT_EQ(before, after);
  EXPECT_NE(program, pinned_id(pins() / "programs/from_pod", false));
}

TEST_F(Load, SweepsAfterTheLoaderHasGone) {
  sluice_settings settings{};
  settings.sweep_interval = 1000000;
  settings.sweep_pairs = 64;
  settings.max_pairs = options().max_pairs;
  for (int round = 0; round < 3; round++) {
    const auto applied = load()->apply(one_write(compile::Table::kSettings, std::uint32_t{0}, settings));
    ASSERT_TRUE(applied) << text(applied);
    const std::uint64_t slice = totals(pins()).last_slice;
    EXPECT_TRUE(eventually([&] { return totals(pins()).last_slice > slice; })) << "in round " << round;
  }
}

TEST_F(Load, RefusesThePinsOfAnotherStateFolder) {
  load();
  Options other = options();
  other.owner_uuid = {9};
  const auto refused = Datapath::load(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  EXPECT_NE(refused.error().message.find("belong to another state folder"), std::string::npos) << text(refused);
  load();
}

TEST_F(Load, RefusesOtherSizesAndNamesTheSetting) {
  load();
  Options other = options();
  other.ring_arena *= 2;
  const auto refused = Datapath::load(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  for (const char* part : {"rings", "1024", "2048", "ring arena"}) {
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << part << " in " << text(refused);
  }
  load();
}

TEST_F(Load, RefusesSizesOfZero) {
  Options none = options();
  none.max_pairs = 0;
  const auto refused = Datapath::load(none);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
}

TEST_F(Load, RefusesAFolderThatIsOnNoBpffs) {
  Options other = options();
  other.pin_root = "/tmp/no-bpffs-here/sluice";
  const auto refused = Datapath::load(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  EXPECT_NE(refused.error().message.find("mount -t bpf"), std::string::npos) << text(refused);
  EXPECT_FALSE(fs::exists("/tmp/no-bpffs-here"));
}

TEST_F(Load, KeepsItsPinFoldersFromOthers) {
  ASSERT_EQ(mkdir(root().c_str(), 0755), 0);
  ASSERT_EQ(mkdir(pins().c_str(), 0755), 0);
  ASSERT_EQ(chmod(pins().c_str(), 0755), 0) << "as an older release made them";
  load();
  for (const fs::path& folder : {root(), pins(), pins() / "maps", pins() / "programs", pins() / "links"}) {
    EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all) << folder;
  }
}

TEST_F(Load, RefusesPinFoldersOfAnotherUser) {
  load();
  for (const fs::path& folder : {root(), pins(), pins() / "links"}) {
    ASSERT_EQ(chown(folder.c_str(), 65534, 65534), 0);
    const auto refused = Datapath::load(options());
    ASSERT_FALSE(refused) << folder;
    EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
    EXPECT_NE(refused.error().message.find(folder.string() + " belongs to user 65534"), std::string::npos)
        << text(refused);
    ASSERT_EQ(chown(folder.c_str(), 0, 0), 0);
  }
  load();
}

TEST_F(Load, RefusesAPinFolderThatIsALinkToAnother) {
  load();
  Options other = options();
  other.pin_root = "/sys/fs/bpf/link";
  fs::create_symlink(root(), other.pin_root);
  for (const char* path : {"/sys/fs/bpf/link", "/sys/fs/bpf/link/"}) {
    other.pin_root = path;
    EXPECT_FALSE(Datapath::load(other)) << path;
  }
  fs::remove("/sys/fs/bpf/link");
}

TEST_F(Load, RefusesASecondLoaderWhileTheFirstLives) {
  const auto first = load();
  const auto second = Datapath::load(options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kPrecondition);
  EXPECT_NE(second.error().message.find("in use by another process"), std::string::npos) << text(second);
  const auto purged = Datapath::purge(root());
  ASSERT_FALSE(purged);
  EXPECT_EQ(purged.error().code, ErrorCode::kPrecondition);
  EXPECT_TRUE(pinned("maps/meta"));
}

TEST_F(Load, NamesAMissingPinOfAFinishedSet) {
  load();
  ASSERT_EQ(unlink((pins() / "maps/flows4").c_str()), 0);
  const auto refused = Datapath::load(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  EXPECT_NE(refused.error().message.find("flows4"), std::string::npos) << text(refused);
}

TEST_F(Load, RefusesAPinThatIsAnotherKindOfMap) {
  load();
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, "stranger", 4, 4, 16, nullptr));
  ASSERT_TRUE(map.valid());
  const auto pinned = pin_over(map.get(), pins() / "maps/ports");
  ASSERT_TRUE(pinned) << text(pinned);
  const auto refused = Datapath::load(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
  EXPECT_NE(refused.error().message.find("map ports"), std::string::npos) << text(refused);
}

TEST_F(Load, MakesAnUnfinishedFirstStartAnew) {
  load();
  // What a kill between the pins and the meta record leaves.
  const auto empty = sluice_meta{};
  const std::uint32_t zero = 0;
  auto meta = open_pin(pins() / "maps/meta");
  ASSERT_TRUE(meta) << text(meta);
  ASSERT_EQ(bpf_map_update_elem(meta->get(), &zero, &empty, BPF_ANY), 0);
  ASSERT_EQ(unlink((pins() / "maps/rings").c_str()), 0);
  ASSERT_EQ(rename((pins() / "maps/backends").c_str(), (pins() / "maps/backends-unfinished").c_str()), 0);
  load();
  EXPECT_TRUE(pinned("maps/rings"));
  EXPECT_FALSE(pinned("maps/backends-unfinished"));
}

/// Loads in a child that is killed after `delay`; true if it was killed before it had finished.
bool killed_during_load(const Options& options, std::chrono::microseconds delay) {
  const pid_t child = fork();
  if (child == 0) _exit(Datapath::load(options) ? 0 : 1);
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "the load itself failed";
  return WIFSIGNALED(status);
}

TEST_F(Load, SucceedsAfterAKillAtAnyMoment) {
  const auto begin = std::chrono::steady_clock::now();
  load();
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  const UniqueFd netns = new_namespace();
  std::mt19937 random(20);
  unsigned killed = 0;
  for (int round = 0; round < 12; round++) {
    // Every other round from nothing, so that both the first start and the taking over are hit.
    const bool first_start = round % 2 == 0;
    const Status purged = first_start ? Datapath::purge(root()) : Status{};
    ASSERT_TRUE(purged) << text(purged);
    const auto delay = std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(0, whole.count())(random));
    killed += killed_during_load(options(), delay) ? 1U : 0U;
    const auto datapath = load();
    for (const char* name : kMaps) EXPECT_TRUE(pinned(std::string("maps/") + name)) << name << " in round " << round;
    if (first_start) {
      auto devices = PodDevices::open(*datapath, kMark);
      ASSERT_TRUE(devices) << text(devices);
      ASSERT_TRUE(remove_leftover_devices(kMark, {}));
      const auto attached = (*devices)->attach(netns, pod_device());
      ASSERT_TRUE(attached) << text(attached);
      const auto settled = (*devices)->settle();
      ASSERT_TRUE(settled) << text(settled);
    }
    const auto reachable = datapath->attached();
    ASSERT_TRUE(reachable) << text(reachable);
    EXPECT_EQ(reachable->size(), 1U) << "in round " << round;
    const std::uint64_t before = counted(pins(), SLUICE_ENTRY_FROM_POD);
    ASSERT_TRUE(send_frames(netns, "eth0", 10));
    EXPECT_TRUE(eventually([&] { return counted(pins(), SLUICE_ENTRY_FROM_POD) == before + 10; }));
  }
  EXPECT_GT(killed, 4U) << "the kills came too late to mean anything";
}

TEST_F(Load, LeavesNothingAfterAPurge) {
  {
    const auto datapath = load();
    auto devices = PodDevices::open(*datapath, kMark);
    ASSERT_TRUE(devices) << text(devices);
    const UniqueFd netns = new_namespace();
    ASSERT_TRUE((*devices)->attach(netns, pod_device()));
    ASSERT_EQ(shell("ip link add name uplink0 type veth peer name wire0"), "");
    const auto attached = datapath->attach_uplink(ifindex_of("uplink0"), XdpMode::kGeneric);
    ASSERT_TRUE(attached) << text(attached);
    ASSERT_NE(xdp_program(ifindex_of("uplink0")), 0U);
  }
  const auto purged = Datapath::purge(root());
  ASSERT_TRUE(purged) << text(purged);
  EXPECT_FALSE(fs::exists(root()));
  EXPECT_EQ(xdp_program(ifindex_of("uplink0")), 0U);
  EXPECT_EQ(tcx_programs(ifindex_of("uplink0"), Direction::kIngress), std::vector<std::uint32_t>{});
  EXPECT_EQ(shell("ip link del uplink0"), "");
}

/// Ifindexes begin anew in each network namespace, and bpffs is the same in all.
TEST_F(Load, KeepsAwayFromPinsOfAnotherNetworkNamespace) {
  Options filters = options();
  filters.force_clsact = true;
  {
    const auto datapath = load(filters);
  }
  const UniqueFd netns = new_namespace();
  ASSERT_EQ(shell_in(netns,
                     "ip link add name here0 index 4711 type veth peer name there0 && "
                     "tc qdisc add dev here0 clsact"),
            "");
  fs::create_directory(pins() / "links" / "clsact-pod-4711");
  const Status entered = run_in_netns(netns, [&]() -> Status {
    const auto refused = Datapath::load(filters);
    EXPECT_FALSE(refused);
    if (refused) return {};
    EXPECT_EQ(refused.error().code, ErrorCode::kPrecondition);
    EXPECT_NE(refused.error().message.find("another network namespace"), std::string::npos) << text(refused);
    EXPECT_NE(refused.error().message.find("--purge"), std::string::npos) << text(refused);
    const Status purged = Datapath::purge(root());
    EXPECT_TRUE(purged) << text(purged);
    return {};
  });
  ASSERT_TRUE(entered) << text(entered);
  EXPECT_NE(shell_in(netns, "tc qdisc show dev here0").find("clsact"), std::string::npos) << "another device's qdisc";
  EXPECT_FALSE(fs::exists(root()));
}

TEST_F(Load, KnowsToWhichStoreItsPinsBelong) {
  EXPECT_FALSE(Datapath::pinned_owner(root()));
  {
    const auto datapath = load();
  }
  EXPECT_EQ(Datapath::pinned_owner(root()), options().owner_uuid);
}

}  // namespace
}  // namespace sluice::datapath::testing
