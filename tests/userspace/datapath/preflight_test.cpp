// SPDX-License-Identifier: Apache-2.0
// What is found on a node before the daemon runs there.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "datapath/memory_facts.hpp"
#include "datapath/pins.hpp"
#include "datapath/preflight.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

class Preflight : public UplinkTest {
 protected:
  void TearDown() override {
    UplinkTest::TearDown();
    shell("nft flush ruleset");
  }

  [[nodiscard]] Check find(const std::string& name) const { return find(preflight(options(), {"uplink0"}), name); }
  static Check find(const std::vector<Check>& checks, const std::string& name) {
    const auto found = std::ranges::find(checks, name, &Check::name);
    EXPECT_NE(found, checks.end()) << name;
    if (found == checks.end()) return {};
    EXPECT_EQ(found->state == Check::State::kOk, found->remedy.empty()) << name;
    return *found;
  }
  static bool has(const Check& check, const std::string& text) { return check.message.find(text) != std::string::npos; }
};

TEST_F(Preflight, FindsNothingAmissOnAGoodNode) {
  for (const Check& check : preflight(options(), {"uplink0"})) {
    EXPECT_EQ(check.state, Check::State::kOk) << check.name << ": " << check.message;
    EXPECT_TRUE(check.remedy.empty()) << check.name;
    EXPECT_FALSE(check.message.empty()) << check.name;
  }
}

TEST_F(Preflight, TellsWhatIsAmissAndWhatToDo) {
  Options on_no_bpffs = options();
  on_no_bpffs.pin_root = "/tmp/sluice";
  ASSERT_EQ(shell("ip link set uplink0 down"), "");
  const auto checks = preflight(on_no_bpffs, {"uplink0", "absent0"});
  EXPECT_EQ(find(checks, "bpffs").state, Check::State::kFailed);
  EXPECT_TRUE(has(find(checks, "bpffs"), "mount -t bpf"));
  EXPECT_EQ(find(checks, "uplink uplink0").state, Check::State::kWarning) << "it is down";
  EXPECT_EQ(find(checks, "uplink absent0").state, Check::State::kWarning);
}

TEST_F(Preflight, NamesProgramsOfOthersOnAnUplink) {
  const UniqueFd xdp = foreign_program(true);
  const UniqueFd tc = foreign_program(false);
  const auto uplink = static_cast<int>(ifindex_of("uplink0"));
  const UniqueFd xdp_link(bpf_link_create(xdp.get(), uplink, BPF_XDP, nullptr));
  ASSERT_TRUE(xdp_link.valid());
  std::filesystem::create_directory(root());
  ASSERT_TRUE(pin_over(tc.get(), root() / "foreign"));
  ASSERT_EQ(shell("tc qdisc add dev uplink0 clsact && tc filter add dev uplink0 ingress prio 9 bpf da object-pinned " +
                  (root() / "foreign").string()),
            "");
  const std::string all = "protocol all u32 match u32 0 0 flowid 1:1";
  ASSERT_EQ(
      shell("tc filter add dev uplink0 ingress prio 7 " + all + " && tc filter add dev uplink0 egress prio 3 " + all),
      "");
  EXPECT_TRUE(has(find("uplink uplink0: xdp"), "somebody_elses"));
  const Check ingress = find("uplink uplink0: tc");
  EXPECT_EQ(ingress.state, Check::State::kWarning);
  EXPECT_TRUE(has(ingress, "u32 filter, priority 7")) << ingress.message;
  EXPECT_TRUE(has(ingress, "bpf filter, priority 9")) << ingress.message;
  EXPECT_TRUE(has(ingress, "(somebody_elses)")) << ingress.message;
  EXPECT_FALSE(has(ingress, "priority 3")) << ingress.message;
  const Check egress = find("uplink uplink0: tc egress");
  EXPECT_EQ(egress.state, Check::State::kWarning);
  EXPECT_TRUE(has(egress, "u32 filter, priority 3")) << egress.message;
  EXPECT_FALSE(has(egress, "priority 7")) << egress.message;
  std::filesystem::remove(root() / "foreign");
}

TEST_F(Preflight, NamesTcxProgramsOfOthersWhereTheKernelHasThem) {
  const auto datapath = load();
  if (!datapath->uses_tcx()) return;  // the filters of the test above are all that there can be
  const UniqueFd tc = foreign_program(false);
  const auto uplink = static_cast<int>(ifindex_of("uplink0"));
  const UniqueFd link(bpf_link_create(tc.get(), uplink, static_cast<bpf_attach_type>(46), nullptr));
  ASSERT_TRUE(link.valid());
  EXPECT_TRUE(has(find("uplink uplink0: tc"), "TCX program id "));
  EXPECT_TRUE(has(find("uplink uplink0: tc"), "(somebody_elses)"));
}

TEST_F(Preflight, KnowsOurOwnProgramsFromOthers) {
  for (const bool clsact : {false, true}) {
    Options how = options();
    how.force_clsact = clsact;
    const auto datapath = load(how);
    const auto attached = datapath->attach_uplink(ifindex_of("uplink0"), XdpMode::kGeneric);
    ASSERT_TRUE(attached) << text(attached);
    EXPECT_EQ(find("uplink uplink0: xdp").state, Check::State::kOk);
    EXPECT_TRUE(has(find("uplink uplink0: xdp"), "runs our"));
    EXPECT_EQ(find("uplink uplink0: tc").state, Check::State::kOk) << find("uplink uplink0: tc").message;
    ASSERT_TRUE(datapath->detach_uplink(ifindex_of("uplink0")));
  }
}

TEST_F(Preflight, ListsTheHooksOfTheFirewallAndWarnsOfThoseThatSeeArp) {
  ASSERT_EQ(
      shell("nft 'table inet host { chain in { type filter hook input priority -5; policy drop; }; chain sub { }; }'"),
      "");
  const Check host = find("firewall");
  EXPECT_EQ(host.state, Check::State::kOk);
  EXPECT_TRUE(has(host, "inet host/in (hook input, priority -5, policy drop)")) << host.message;
  EXPECT_FALSE(has(host, "sub")) << "a chain that no hook calls: " << host.message;
  EXPECT_EQ(find("uplink uplink0: firewall").state, Check::State::kOk);

  ASSERT_EQ(shell("nft 'table arp guard { chain out { type filter hook output priority 0; policy accept; }; }'"), "");
  EXPECT_EQ(find("firewall").state, Check::State::kWarning);
  EXPECT_TRUE(has(find("firewall"), "arp guard/out (hook output, priority 0, policy accept)"));

  ASSERT_EQ(shell("nft 'table netdev edge { chain here { type filter hook ingress device uplink0 priority 3; policy "
                  "drop; }; chain there { type filter hook ingress device wire0 priority 4; policy drop; }; }'"),
            "");
  const Check edge = find("uplink uplink0: firewall");
  EXPECT_EQ(edge.state, Check::State::kWarning);
  EXPECT_TRUE(has(edge, "netdev edge/here (hook ingress, priority 3, policy drop)")) << edge.message;
  EXPECT_FALSE(has(edge, "there")) << "another device's: " << edge.message;
  EXPECT_NE(edge.remedy.find("ARP"), std::string::npos) << edge.remedy;
}

TEST_F(Preflight, ComparesTheQueuesWithWhatNativeXdpNeeds) {
  EXPECT_TRUE(has(find("uplink uplink0: xdp queues"), "1 receive and 1 send queues in use"));
  ASSERT_EQ(
      shell("ip link del uplink0 && ip link add name uplink0 numrxqueues 4 numtxqueues 1 type veth peer name wire0"
            " && ip link set uplink0 up && ethtool -L uplink0 rx 4"),
      "");
  const Check few = find("uplink uplink0: xdp queues");
  EXPECT_EQ(few.state, Check::State::kWarning) << few.message;
  EXPECT_TRUE(has(few, "4 receive and 1 send queues in use")) << few.message;
  EXPECT_NE(few.remedy.find("ethtool -L uplink0"), std::string::npos) << few.remedy;
}

TEST_F(Preflight, WarnsOfAnUplinkThatIsTooSmallForPods) {
  const auto look = [this](std::uint32_t reserve) {
    return find(preflight(options(), {"uplink0"}, reserve), "uplink uplink0: mtu");
  };
  ASSERT_EQ(shell("ip link set uplink0 mtu 1350"), "");
  EXPECT_EQ(look(70).state, Check::State::kOk);
  EXPECT_TRUE(has(look(70), "leaves pods 1280"));
  EXPECT_EQ(look(71).state, Check::State::kWarning);
  EXPECT_NE(look(71).remedy.find("raise it to 1351"), std::string::npos) << look(71).remedy;
  ASSERT_EQ(shell("ip link set uplink0 mtu 1279"), "");
  EXPECT_EQ(look(0).state, Check::State::kWarning);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

TEST_F(Preflight, EstimatesWhatTheMapsReallyTake) {
  Options how = options();
  how.max_pairs = 32768;
  const auto datapath = load(how);
  std::uint64_t taken = 0;
  for (const auto& pin : std::filesystem::directory_iterator(pins() / "maps")) {
    const auto map = open_pin(pin.path());
    ASSERT_TRUE(map) << text(map);
    std::ifstream facts("/proc/self/fdinfo/" + std::to_string(map->get()));
    std::string word;
    while (facts >> word && word != "memlock:") {
    }
    std::uint64_t bytes = 0;
    ASSERT_TRUE(facts >> bytes) << pin.path();
    taken += bytes;
  }
  const auto estimated = map_bytes(how);
  ASSERT_TRUE(estimated) << text(estimated);
  EXPECT_GT(*estimated, taken * 9 / 10) << taken;
  EXPECT_LT(*estimated, taken * 11 / 10) << taken;
}

TEST_F(Preflight, FailsWhereTheMapsDoNotFitIntoMemory) {
  Options huge = options();
  huge.max_pairs = 1U << 30;
  const Check memory = find(preflight(huge, {}), "memory");
  EXPECT_EQ(memory.state, Check::State::kFailed) << memory.message;
  EXPECT_TRUE(has(memory, "max_flows 1073741824")) << memory.message;
  EXPECT_NE(memory.remedy.find("max_flows"), std::string::npos);
}

/// A process as /proc shows it, in a control group three levels deep.
class ControlGroups : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_ / "mount" / "a" / "b"); }
  ~ControlGroups() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& file, const std::string& text) const { std::ofstream(folder_ / file) << text; }
  void mount(const std::string& type, const std::string& options) const {
    write("mountinfo", "30 29 0:26 / /other rw - tmpfs tmpfs rw\n31 30 0:27 / " + (folder_ / "mount").string() +
                           " rw,relatime shared:4 - " + type + " none " + options + "\n");
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("groups" + std::to_string(getpid()));
};

TEST_F(ControlGroups, OfVersionTwoLimitByTheTightestLevel) {
  mount("cgroup2", "rw,nsdelegate");
  write("cgroup", "0::/a/b\n");
  write("mount/a/b/memory.max", "max\n");
  write("mount/a/b/memory.current", "5\n");
  EXPECT_FALSE(memory_limit(folder_));
  write("mount/a/memory.max", "1000\n");
  write("mount/a/memory.current", "300\n");
  auto limit = memory_limit(folder_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 1000U);
  EXPECT_EQ(limit->used, 300U);
  EXPECT_EQ(limit->control_group, (folder_ / "mount" / "a").string());
  write("mount/a/b/memory.max", "100\n");
  limit = memory_limit(folder_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 100U);
  EXPECT_EQ(limit->used, 5U);
}

TEST_F(ControlGroups, OfVersionOneLimitByTheirMemoryController) {
  mount("cgroup", "rw,memory");
  write("cgroup", "4:cpu,memory:/a\n1:cpuset:/elsewhere\n0::/\n");
  write("mount/a/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(memory_limit(folder_));
  write("mount/a/memory.limit_in_bytes", "4096\n");
  write("mount/a/memory.usage_in_bytes", "96\n");
  const auto limit = memory_limit(folder_);
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->limit, 4096U);
  EXPECT_EQ(limit->used, 96U);
}

}  // namespace
}  // namespace sluice::datapath::testing
