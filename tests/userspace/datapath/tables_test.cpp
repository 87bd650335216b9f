// SPDX-License-Identifier: Apache-2.0
// Tables through the kernel and back.
#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <random>
#include <set>

#include "compile/compile.hpp"
#include "datapath/map_io.hpp"
#include "support.hpp"

namespace sluice::datapath::testing {
namespace {

using compile::Tables;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::uint32_t below(std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(engine_);
  }
  /// A record with random bytes, never all zero.
  template <typename Record>
  Record record() {
    std::array<unsigned char, sizeof(Record)> bytes{};
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(below(256));
    bytes[0] |= 1;
    return std::bit_cast<Record>(bytes);
  }

 private:
  std::mt19937 engine_;
};

template <typename Value>
void fill(Random& random, compile::ArrayTable<Value>& table, std::uint32_t size, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; i++) table[random.below(size)] = random.record<Value>();
}

template <typename Key, typename Value>
void fill(Random& random, compile::HashTable<Key, Value>& table, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; i++) {
    auto value = random.record<Value>();
    value.self = random.record<Key>();
    table[value.self] = value;
  }
}

Tables random_tables(unsigned seed, std::uint32_t count, const Options& options) {
  Random random(seed);
  Tables tables;
  tables.settings = random.record<sluice_settings>();
  tables.settings.sweep_interval = 1000000000;
  tables.settings.sweep_pairs = 1;
  tables.settings.max_pairs = options.max_pairs;
  fill(random, tables.network_limits, SLUICE_MAX_NETWORK_SLOTS, count);
  fill(random, tables.ports, count);
  fill(random, tables.endpoints4, count);
  fill(random, tables.frontends4, count);
  fill(random, tables.backends, options.backend_arena, count);
  fill(random, tables.rings, options.ring_arena, count);
  fill(random, tables.endpoint_generations, SLUICE_MAX_ENDPOINT_SLOTS, count);
  fill(random, tables.frontend_generations, SLUICE_MAX_FRONTEND_SLOTS, count);
  fill(random, tables.frontend_filter, SLUICE_FILTER_WORDS, count / 2);
  return tables;
}

template <typename Map>
void expect_same_map(const Map& wanted, const Map& found, const char* name) {
  EXPECT_EQ(wanted.size(), found.size()) << name;
  for (const auto& [key, value] : wanted) {
    const auto other = found.find(key);
    ASSERT_NE(other, found.end()) << name;
    EXPECT_EQ(std::memcmp(&value, &other->second, sizeof(value)), 0) << name;
  }
}

void expect_same(const Tables& wanted, const Tables& found) {
  EXPECT_EQ(std::memcmp(&wanted.settings, &found.settings, sizeof(wanted.settings)), 0);
  expect_same_map(wanted.network_limits, found.network_limits, "network_limits");
  expect_same_map(wanted.ports, found.ports, "ports");
  expect_same_map(wanted.endpoints4, found.endpoints4, "endpoints4");
  expect_same_map(wanted.frontends4, found.frontends4, "frontends4");
  expect_same_map(wanted.backends, found.backends, "backends");
  expect_same_map(wanted.rings, found.rings, "rings");
  expect_same_map(wanted.endpoint_generations, found.endpoint_generations, "endpoint_generations");
  expect_same_map(wanted.frontend_generations, found.frontend_generations, "frontend_generations");
  expect_same_map(wanted.frontend_filter, found.frontend_filter, "frontend_filter");
}

class TablesInTheKernel : public DatapathTest {};

TEST_F(TablesInTheKernel, AreReadBackAsTheyWereWritten) {
  auto datapath = load();
  Tables now;
  // Few writes go one by one, many in batches; each state replaces the one before.
  for (const std::uint32_t count : {3U, 700U, 5U, 900U, 0U}) {
    const Tables wanted = random_tables(count, count, options());
    const auto applied = datapath->apply(compile::diff(now, wanted));
    ASSERT_TRUE(applied) << text(applied);
    const auto found = datapath->read_tables();
    ASSERT_TRUE(found) << text(found);
    expect_same(wanted, *found);
    EXPECT_TRUE(compile::diff(*found, wanted).empty());
    now = wanted;
  }
}

TEST_F(TablesInTheKernel, OutliveTheirLoader) {
  const Tables wanted = random_tables(4, 200, options());
  ASSERT_TRUE(load()->apply(compile::diff({}, wanted)));
  const auto found = load()->read_tables();
  ASSERT_TRUE(found) << text(found);
  expect_same(wanted, *found);
}

TEST_F(TablesInTheKernel, AreReachedInTheEndWhenOneWriteInTenFails) {
  Random random(6);
  unsigned failures = 0;
  Options faulty = options();
  faulty.inject_fault = [&](const compile::Write&) -> Status {
    if (random.below(10) != 0) return {};
    failures++;
    return fail(ErrorCode::kSystem, "injected");
  };
  const auto datapath = load(faulty);
  const Tables wanted = random_tables(5, 40, options());
  Tables found;
  for (unsigned attempt = 0; attempt < 2000; attempt++) {
    const auto plan = compile::diff(found, wanted);
    if (plan.empty()) break;
    const unsigned before = failures;
    const auto applied = datapath->apply(plan);
    EXPECT_EQ(applied.has_value(), failures == before);
    EXPECT_TRUE(applied || applied.error().message.starts_with("write map")) << text(applied);
    const auto actual = datapath->read_tables();
    ASSERT_TRUE(actual) << text(actual);
    EXPECT_LE(compile::diff(*actual, wanted).size(), plan.size()) << "a failed plan undid something";
    found = *actual;
  }
  EXPECT_GT(failures, 10U);
  expect_same(wanted, found);
}

TEST_F(TablesInTheKernel, StopAtAFailureAndLeaveLaterStepsAlone) {
  Options faulty = options();
  unsigned seen = 0;
  faulty.inject_fault = [&seen](const compile::Write&) -> Status {
    return ++seen == 11 ? Status(fail(ErrorCode::kSystem, "injected")) : Status{};
  };
  const auto datapath = load(faulty);
  compile::Plan plan;
  const auto write = [](std::uint32_t index, std::uint32_t value) {
    compile::Write made{.table = compile::Table::kEndpointGenerations, .key = {}, .value = {}};
    const auto* key = reinterpret_cast<const std::byte*>(&index);
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    made.key.assign(key, key + sizeof(index));
    made.value.assign(bytes, bytes + sizeof(value));
    return made;
  };
  plan.steps.resize(2);
  for (std::uint32_t i = 1; i <= 20; i++) plan.steps[0].push_back(write(i, i));
  plan.steps[1].push_back(write(100, 1));
  EXPECT_FALSE(datapath->apply(plan));
  const auto found = datapath->read_tables();
  ASSERT_TRUE(found) << text(found);
  EXPECT_EQ(found->endpoint_generations.size(), 10U);
  EXPECT_FALSE(found->endpoint_generations.contains(100));
  EXPECT_EQ(seen, 11U);
}

TEST_F(TablesInTheKernel, RefuseWritesThatDoNotFit) {
  const auto datapath = load();
  compile::Write write{.table = compile::Table::kBackends, .key = std::vector<std::byte>(4), .value = {}};
  const auto deletes = datapath->apply({.steps = {{write}}});
  ASSERT_FALSE(deletes);
  EXPECT_EQ(deletes.error().code, ErrorCode::kInvalid);
  write.value.resize(sizeof(sluice_backend) - 1);
  const auto wrong = datapath->apply({.steps = {{write}}});
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("backends"), std::string::npos) << text(wrong);
  write.value.resize(sizeof(sluice_backend));
  write.key.assign(4, std::byte{0xff});
  const auto beyond = datapath->apply({.steps = {{write}}});
  ASSERT_FALSE(beyond);
  EXPECT_NE(beyond.error().message.find("0xffffffff"), std::string::npos) << text(beyond);
}

TEST(MapIo, ReadsArraysThatCannotBeMapped) {
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "plain", 4, 4, 50000, nullptr));
  ASSERT_TRUE(map.valid());
  const auto shape = map_shape(map.get());
  ASSERT_TRUE(shape) << text(shape);
  for (const std::uint32_t index : {0U, 8191U, 8192U, 49999U}) {
    const std::uint32_t value = index + 1;
    ASSERT_EQ(bpf_map_update_elem(map.get(), &index, &value, BPF_ANY), 0);
  }
  compile::ArrayTable<std::uint32_t> found;
  ASSERT_TRUE(read_table(map.get(), *shape, found));
  EXPECT_EQ(found, (compile::ArrayTable<std::uint32_t>{{0, 1}, {8191, 8192}, {8192, 8193}, {49999, 50000}}));
}

TEST(MapIo, NamesTheWriteThatFoundTheMapFull) {
  LIBBPF_OPTS(bpf_map_create_opts, no_preallocation, .map_flags = BPF_F_NO_PREALLOC);
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, "small", 4, 4, 32, &no_preallocation));
  ASSERT_TRUE(map.valid());
  const auto shape = map_shape(map.get());
  ASSERT_TRUE(shape) << text(shape);
  std::vector<compile::Write> writes(40);
  std::vector<const compile::Write*> pointers;
  for (std::size_t i = 0; i < writes.size(); i++) {
    writes[i].key.assign(4, static_cast<std::byte>(i));
    writes[i].value.assign(4, std::byte{1});
    pointers.push_back(&writes[i]);
  }
  const auto written = write_all(map.get(), *shape, pointers);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kExhausted);
  EXPECT_NE(written.error().message.find("0x20202020"), std::string::npos) << text(written);
  compile::HashTable<std::uint32_t, std::uint32_t> found;
  ASSERT_TRUE(read_table(map.get(), *shape, found));
  EXPECT_EQ(found.size(), 32U);
  for (compile::Write& write : writes) write.value.clear();
  EXPECT_TRUE(write_all(map.get(), *shape, pointers)) << "deleting what is not there is fine";
}

}  // namespace
}  // namespace sluice::datapath::testing
