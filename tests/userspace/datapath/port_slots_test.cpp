// SPDX-License-Identifier: Apache-2.0
// The array in front of `ports`: whatever happens, it admits no packet of which the hash says otherwise.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>

#include <cstring>
#include <optional>

#include "datapath/map_io.hpp"
#include "datapath/maps.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

using Ports = compile::HashTable<std::uint32_t, sluice_port>;

sluice_port port(std::uint32_t ifindex, std::uint32_t network) {
  sluice_port made{};
  made.self = ifindex;
  made.network = network;
  return made;
}

compile::Write write_of(std::uint32_t ifindex, const std::optional<sluice_port>& value) {
  compile::Write made{.table = compile::Table::kPorts, .key = {}, .value = {}};
  const auto* key = reinterpret_cast<const std::byte*>(&ifindex);
  made.key.assign(key, key + sizeof(ifindex));
  if (!value) return made;
  const auto* bytes = reinterpret_cast<const std::byte*>(&*value);
  made.value.assign(bytes, bytes + sizeof(*value));
  return made;
}
compile::Write put(std::uint32_t ifindex, std::uint32_t network) {
  return write_of(ifindex, port(ifindex, network));
}
compile::Write gone(std::uint32_t ifindex) {
  return write_of(ifindex, std::nullopt);
}

/// Both maps as the object declares them, the hash with room for 32 ports.
class PortSlotsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
    LIBBPF_OPTS(bpf_map_create_opts, sparse, .map_flags = BPF_F_NO_PREALLOC);
    array_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", 4, sizeof(sluice_port_slot), SLUICE_PORT_SLOTS, &mapped));
    hash_.reset(bpf_map_create(BPF_MAP_TYPE_HASH, "ports", 4, sizeof(sluice_port), 32, &sparse));
    ASSERT_TRUE(array_.valid() && hash_.valid());
    auto slots = PortSlots::open(array_.get());
    ASSERT_TRUE(slots) << text(slots);
    slots_ = std::move(*slots);
    for (const auto& [name, map] : {std::pair{"ports", &hash_}, std::pair{"port_slots", &array_}}) {
      const Status added = maps_.add(name, UniqueFd(fcntl(map->get(), F_DUPFD_CLOEXEC, 0)));
      ASSERT_TRUE(added) << text(added);
    }
  }

  sluice_port_slot slot(std::uint32_t index) const {
    sluice_port_slot found{};
    EXPECT_EQ(bpf_map_lookup_elem(array_.get(), &index, &found), 0);
    return found;
  }
  void set_slot(std::uint32_t index, const sluice_port_slot& value) {
    ASSERT_EQ(bpf_map_update_elem(array_.get(), &index, &value, BPF_ANY), 0);
  }
  /// The network by which a packet of this device is judged without asking the hash; nothing if the hash is asked.
  std::optional<std::uint32_t> admitted(std::uint32_t ifindex) const {
    const sluice_port_slot found = slot(ifindex % SLUICE_PORT_SLOTS);
    if ((found.sequence & 1) != 0 || found.port.self != ifindex) return std::nullopt;
    return found.port.network;
  }
  Status apply(std::vector<compile::Write> writes, const Maps::InjectFault& fault = {}) {
    return maps_.apply({.steps = {std::move(writes)}}, fault);
  }
  Ports hash() const {
    Ports found;
    const auto shape = map_shape(hash_.get());
    EXPECT_TRUE(shape && read_table(hash_.get(), *shape, found));
    return found;
  }
  /// Counts the slots that admit, each of which must say what the hash says.
  unsigned agreeing() const {
    const Ports ports = hash();
    unsigned filled = 0;
    for (std::uint32_t index = 0; index < SLUICE_PORT_SLOTS; index++) {
      const sluice_port_slot found = slot(index);
      if ((found.sequence & 1) != 0 || found.port.self == 0) continue;
      filled++;
      const auto known = ports.find(found.port.self);
      EXPECT_TRUE(known != ports.end() && std::memcmp(&known->second, &found.port, sizeof(found.port)) == 0)
          << "slot " << index << " admits device " << found.port.self;
    }
    return filled;
  }

  UniqueFd array_;
  UniqueFd hash_;
  PortSlots slots_;
  Maps maps_;
};

TEST_F(PortSlotsTest, FollowWhatIsWrittenToTheHash) {
  ASSERT_TRUE(apply({put(7, 1), put(8, 2)}));
  EXPECT_EQ(admitted(7), 1U);
  EXPECT_EQ(admitted(8), 2U);
  const std::uint32_t sequence = slot(7).sequence;
  ASSERT_TRUE(apply({put(7, 3), gone(8)}));
  EXPECT_EQ(admitted(7), 3U);
  EXPECT_EQ(admitted(8), std::nullopt);
  EXPECT_EQ(slot(8).port.network, 0U) << "nothing of a deleted port stays";
  EXPECT_GT(slot(7).sequence, sequence) << "a reader in between would notice nothing";
  EXPECT_EQ(agreeing(), 1U);
}

TEST_F(PortSlotsTest, AreEmptyBetweenClearAndFill) {
  ASSERT_TRUE(apply({put(7, 1), put(8, 2)}));
  const compile::Write change = put(7, 9);
  const compile::Write end = gone(8);
  slots_.clear({&change, &end});
  EXPECT_EQ(admitted(7), std::nullopt);
  EXPECT_EQ(admitted(8), std::nullopt);
  slots_.fill({&change, &end});
  EXPECT_EQ(admitted(7), 9U);
  EXPECT_EQ(admitted(8), std::nullopt);
}

TEST_F(PortSlotsTest, BelongToOneOfTwoPortsThatShareThem) {
  constexpr std::uint32_t kOther = 7 + SLUICE_PORT_SLOTS;
  ASSERT_TRUE(apply({put(7, 1)}));
  ASSERT_TRUE(apply({put(kOther, 2)}));
  EXPECT_EQ(admitted(7), std::nullopt) << "the hash is asked";
  EXPECT_EQ(admitted(kOther), 2U);
  ASSERT_TRUE(apply({gone(7)}));
  EXPECT_EQ(admitted(kOther), 2U) << "the end of the other one is none of this one's";
  ASSERT_TRUE(apply({put(7, 3)}));
  ASSERT_TRUE(apply({gone(7)}));
  EXPECT_EQ(admitted(kOther), std::nullopt);
  EXPECT_EQ(agreeing(), 0U);
  slots_.restore(hash());
  EXPECT_EQ(admitted(kOther), 2U) << "the slot is given to the one that is left";
}

TEST_F(PortSlotsTest, AreRestoredAfterAKilledWriter) {
  ASSERT_TRUE(apply({put(7, 1), put(8, 2), put(9, 3)}));
  set_slot(7, {.sequence = 41, .pad = 0, .port = port(7, 99), .pad2 = {}});   // killed in the middle of a slot
  set_slot(8, {.sequence = 4, .pad = 0, .port = {}, .pad2 = {}});             // between clear and fill
  set_slot(9, {.sequence = 4, .pad = 0, .port = port(9, 98), .pad2 = {}});    // the hash was written by somebody else
  set_slot(10, {.sequence = 6, .pad = 0, .port = port(10, 97), .pad2 = {}});  // the port has gone from the hash
  set_slot(11, {.sequence = 8, .pad = 0, .port = port(7, 1), .pad2 = {}});    // a port that is not this slot's
  set_slot(12, {.sequence = 0xffffffff, .pad = 0, .port = port(12, 96), .pad2 = {}});  // the largest odd sequence
  slots_.restore(hash());
  EXPECT_EQ(admitted(7), 1U);
  EXPECT_EQ(slot(7).sequence, 42U);
  EXPECT_EQ(admitted(8), 2U);
  EXPECT_EQ(admitted(9), 3U);
  for (const std::uint32_t index : {10U, 11U, 12U}) {
    EXPECT_EQ(slot(index).port.self, 0U) << index;
    EXPECT_EQ(slot(index).sequence & 1, 0U) << index;
  }
  EXPECT_EQ(agreeing(), 3U);
}

TEST_F(PortSlotsTest, AreLeftAloneByARestoreThatFindsThemRight) {
  ASSERT_TRUE(apply({put(7, 1), put(7 + SLUICE_PORT_SLOTS, 2)}));
  const std::uint32_t before = slot(7).sequence;
  slots_.restore(hash());
  EXPECT_EQ(slot(7).sequence, before);
  EXPECT_EQ(slot(100).sequence, 0U);
}

TEST_F(PortSlotsTest, AdmitNobodyWhomAFullHashRefused) {
  ASSERT_TRUE(apply({put(1, 1)}));
  std::vector<compile::Write> writes{put(1, 2)};
  for (std::uint32_t ifindex = 2; ifindex <= 40; ifindex++) writes.push_back(put(ifindex, 5));
  const Status full = apply(writes);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kExhausted) << text(full);
  agreeing();
  for (std::uint32_t ifindex = 1; ifindex <= 40; ifindex++) {
    const bool known = hash().contains(ifindex);
    EXPECT_TRUE(known || !admitted(ifindex)) << ifindex;
  }
  slots_.restore(hash());
  EXPECT_EQ(agreeing(), 32U);
}

TEST_F(PortSlotsTest, AgreeWithTheHashWhereverAWriteFails) {
  for (std::size_t failing = 0; failing < 4; failing++) {
    ASSERT_TRUE(apply({put(1, 10), put(2, 10), put(3, 10), put(4, 10)}));
    std::size_t seen = 0;
    const auto fault = [&](const compile::Write&) -> Status {
      return seen++ == failing ? Status(fail(ErrorCode::kSystem, "injected")) : Status{};
    };
    EXPECT_FALSE(apply({put(1, 20), put(2, 20), gone(3), gone(4)}, fault));
    agreeing();
  }
}

}  // namespace
}  // namespace sluice::datapath::testing
