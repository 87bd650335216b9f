// SPDX-License-Identifier: Apache-2.0
#include <bpf/libbpf.h>
#include <sluice/reasons.h>

#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

class Counters : public PinnedMapsTest {
 protected:
  void SetUp() override {
    PinnedMapsTest::SetUp();
    if (HasFatalFailure()) return;
    make_maps();
  }

  /// CPU 0 counts `packets`, every other CPU one more packet of 100 bytes.
  void put_counter(sluice_entry entry, std::uint32_t reason, std::uint64_t packets) {
    std::vector<sluice_counter> values(static_cast<std::size_t>(cpus()), sluice_counter{1, 100});
    values[0] = {packets, packets * 100};
    const std::uint32_t index = static_cast<std::uint32_t>(entry) * SLUICE_COUNTER_STRIDE + reason;
    put_raw("counters", &index, values.data());
  }
  static int cpus() { return libbpf_num_possible_cpus(); }
};

TEST_F(Counters, AreSummedOverTheCpus) {
  put_counter(SLUICE_ENTRY_FROM_POD, SLUICE_REASON_SPOOFED_IP, 41);
  const std::uint64_t packets = 41 + static_cast<std::uint64_t>(cpus()) - 1;
  const Json expected = {{{"entry", "from_pod"},
                          {"reason", "spoofed_ip"},
                          {"class", "DROP"},
                          {"packets", packets},
                          {"bytes", packets * 100},
                          {"help", "source address is not the pod's own"}}};
  EXPECT_EQ(bpf_json({"counters", "--nonzero"})["counters"].dump(2), expected.dump(2));
  const std::string line =
      "from_pod  spoofed_ip  DROP        " + std::to_string(packets) + "   " + std::to_string(packets * 100);
  EXPECT_EQ(bpf({"counters", "--nonzero"}).out, "ENTRY     REASON      CLASS  PACKETS  BYTES\n" + line + "\n");
  EXPECT_EQ(bpf({"counters", "--nonzero", "--explain"}).out,
            "ENTRY     REASON      CLASS  PACKETS  BYTES  HELP\n" + line + "  source address is not the pod's own\n");
}

TEST_F(Counters, WithoutAFilterEveryReasonOfTheEntryPointsInUseIsShown) {
  EXPECT_EQ(bpf_json({"counters"})["counters"].size(), 3U * SLUICE_REASON_COUNT);
  put_counter(SLUICE_ENTRY_FROM_OVERLAY, SLUICE_REASON_FOREIGN, 1);
  EXPECT_EQ(bpf_json({"counters"})["counters"].size(), 3U * SLUICE_REASON_COUNT + 1);
}

TEST_F(Counters, EntryAndReasonNarrowThem) {
  const Json entry = bpf_json({"counters", "--entry", "uplink_xdp"})["counters"];
  ASSERT_EQ(entry.size(), static_cast<std::size_t>(SLUICE_REASON_COUNT));
  EXPECT_EQ(entry[0]["entry"], "uplink_xdp");
  const Json both = bpf_json({"counters", "--entry", "from_uplink", "--reason", "martian"})["counters"];
  ASSERT_EQ(both.size(), 1U);
  EXPECT_EQ(both[0]["reason"], "martian");
  EXPECT_EQ(both[0]["packets"], 0);
}

TEST_F(Counters, AReasonThatThisBuildDoesNotKnowIsShownWhenItCounts) {
  put_counter(SLUICE_ENTRY_FROM_POD, SLUICE_COUNTER_STRIDE - 1, 7);
  const Json counters = bpf_json({"counters", "--nonzero"})["counters"];
  ASSERT_EQ(counters.size(), 1U);
  EXPECT_EQ(counters[0]["reason"], "unknown(127)");
  EXPECT_EQ(counters[0]["class"], "UNKNOWN");
}

TEST_F(Counters, NothingCountedIsNoFailure) {
  const Outcome outcome = bpf({"counters", "--nonzero"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "ENTRY  REASON  CLASS  PACKETS  BYTES\n");
}

}  // namespace
}  // namespace sluice::testing
