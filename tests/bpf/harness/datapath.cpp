// SPDX-License-Identifier: Apache-2.0
#include "harness/datapath.hpp"

#include <gtest/gtest.h>
#include <linux/pkt_cls.h>
#include <sluice.skel.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <ostream>
#include <span>
#include <stdexcept>

#include "harness/devices.hpp"

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::size_t kRoom = 4096;

struct ReasonText {
  const char* name;
  const char* kind;
};

constexpr ReasonText kReasons[] = {
#define SLUICE_REASON_TEXT(NAME, name, class, help) {#name, #class},
    SLUICE_REASONS(SLUICE_REASON_TEXT)
#undef SLUICE_REASON_TEXT
};

const char* const kPrograms[] = {"from_pod", "from_uplink", "uplink_xdp"};

bool verdict_fits(int verdict, const std::string& kind, sluice_entry entry) {
  if (entry == SLUICE_ENTRY_UPLINK_XDP) return verdict == (kind == "PASS" ? XDP_PASS : XDP_DROP);
  if (kind == "PASS") return verdict == TC_ACT_UNSPEC;
  if (kind == "DROP") return verdict == TC_ACT_SHOT;
  return verdict == TC_ACT_REDIRECT;
}

}  // namespace

void PrintTo(sluice_reason reason, std::ostream* out) {
  *out << bpftest::reason_name(reason);
}

namespace bpftest {

std::string reason_class(sluice_reason reason) {
  return kReasons[reason].kind;
}
std::string reason_name(sluice_reason reason) {
  return kReasons[reason].name;
}

std::uint64_t coarse_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

void Datapath::require(int error, const std::string& what) {
  if (error != 0) throw std::runtime_error(what + ": " + std::strerror(errno));
}

namespace {

/// Objects that tests have given back, by the sizes that they were loaded with.
using Spare = std::multimap<std::pair<std::uint32_t, std::uint32_t>, struct sluice*>;
Spare& spare_objects() {
  static Spare spare;
  return spare;
}

void clear_hash(int fd, std::size_t key_size) {
  Bytes key(key_size);
  while (bpf_map_get_next_key(fd, nullptr, key.data()) == 0) bpf_map_delete_elem(fd, key.data());
}

/// The object of this build; or that of the file in SLUICE_BPF_OBJECT, so that another one (tools/mutants) can be tried
/// without building anything but it.
struct sluice* open_object() {
  const char* path = std::getenv("SLUICE_BPF_OBJECT");
  if (path == nullptr) return sluice__open();
  std::ifstream file(path, std::ios::binary);
  static Bytes bytes;
  bytes.assign(std::istreambuf_iterator<char>(file), {});
  auto* made = static_cast<struct sluice*>(std::calloc(1, sizeof(struct sluice)));
  if (made == nullptr || sluice__create_skeleton(made) != 0) return nullptr;
  made->skeleton->data = bytes.data();
  made->skeleton->data_sz = bytes.size();
  if (bpf_object__open_skeleton(made->skeleton, nullptr) == 0) return made;
  sluice__destroy(made);
  return nullptr;
}

/// One call for all elements: a model's session would otherwise spend more calls on this than on its packets.
constexpr std::array kCounts{"egress_pairs", "egress_shares", "endpoint_pairs", "turns"};

/// An array of numbers in memory, for as long as this lives. The kernel gives each element eight bytes.
class Mapped {
 public:
  explicit Mapped(const bpf_map* array) : count_(bpf_map__max_entries(array)) {
    memory_ = mmap(nullptr, count_ * sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(array), 0);
    if (memory_ == MAP_FAILED) throw std::runtime_error(std::string("map ") + bpf_map__name(array));
  }
  ~Mapped() { munmap(memory_, count_ * sizeof(std::uint64_t)); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  [[nodiscard]] std::span<std::uint64_t> elements() const { return {static_cast<std::uint64_t*>(memory_), count_}; }

 private:
  std::size_t count_ = 0;
  void* memory_ = nullptr;
};

bool clear_array(const bpf_map* array) {
  const bool per_cpu = bpf_map__type(array) == BPF_MAP_TYPE_PERCPU_ARRAY;
  const std::size_t copies = per_cpu ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  std::uint32_t count = bpf_map__max_entries(array);
  std::vector<std::uint32_t> keys(count);
  std::iota(keys.begin(), keys.end(), 0U);
  const Bytes zero(count * copies * bpf_map__value_size(array));
  return bpf_map_update_batch(bpf_map__fd(array), keys.data(), zero.data(), &count, nullptr) == 0;
}

}  // namespace

Datapath::Datapath(const Sizes& sizes) : sizes_(sizes) {
  if (sizes_.flows == 0) sizes_.flows = 2 * sizes_.pairs;
  const auto spare = spare_objects().find({sizes_.pairs, sizes_.flows});
  if (spare != spare_objects().end()) {
    holder_ = spare->second;
    object_ = spare->second->obj;
    spare_objects().erase(spare);
  } else {
    load();
  }
  bpf_map* each = nullptr;
  bpf_object__for_each_map(each, object_) maps_[bpf_map__name(each)] = bpf_map__fd(each);
  for (std::size_t entry = 0; entry < std::size(kPrograms); ++entry) programs_[entry] = find(kPrograms[entry]);
  counters_.emplace(map("counters"));
  write_defaults();
}

void Datapath::load() {
  struct sluice* skeleton = open_object();
  if (skeleton == nullptr) throw std::runtime_error(std::string("open the BPF object: ") + std::strerror(errno));
  holder_ = skeleton;
  object_ = skeleton->obj;
  const std::pair<const char*, std::uint32_t> entries[] = {
      {"flows4", sizes_.flows},     {"flows6", sizes_.flows}, {"pairs", sizes_.pairs}, {"pairs_free", sizes_.pairs},
      {"pair_keys6", sizes_.pairs}, {"backends", 4096},       {"rings", 4096},
  };
  for (const auto& [name, count] : entries) {
    require(bpf_map__set_max_entries(bpf_object__find_map_by_name(object_, name), count), "size of the map");
  }
  for (const char* name : kCounts) {  // to be read through memory: there are too many elements for calls
    bpf_map* map = bpf_object__find_map_by_name(object_, name);
    require(bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_MMAPABLE), "flags of the map");
  }
  require(sluice__load(skeleton), "load the BPF object");
}

/// As if just loaded: what the test wrote, and what the programs write.
void Datapath::reset() {
  clear_hash(map("ports"), sizeof(std::uint32_t));
  clear_hash(map("endpoints4"), sizeof(sluice_endpoint4_key));
  clear_hash(map("frontends4"), sizeof(sluice_frontend4_key));
  clear_hash(map("flows4"), sizeof(sluice_flow4_key));
  clear_hash(map("endpoints6"), sizeof(sluice_endpoint6_key));
  clear_hash(map("frontends6"), sizeof(sluice_frontend6_key));
  clear_hash(map("flows6"), sizeof(sluice_flow6_digest));
  if (has_egress_) clear_egress();
  if (has_affinity_) clear_affinities();
  clear_counts({"endpoint_pairs", "turns"});
  const Bytes zero(4096);
  for (const auto& [name, index] : written_) {
    if (name != "ports") require(bpf_map_update_elem(map(name), &index, zero.data(), BPF_ANY), "clear " + name);
  }
  for (const char* owned_by_programs :
       {"network_usage", "refusal_windows", "pairs", "pair_keys6", "flow_totals", "fragments", "counters"}) {
    const bpf_map* array = bpf_object__find_map_by_name(object_, owned_by_programs);
    if (!clear_array(array)) throw std::runtime_error(std::string("clear ") + owned_by_programs);
  }
  std::uint32_t index = 0;
  while (bpf_map_lookup_and_delete_elem(map("pairs_free"), nullptr, &index) == 0) continue;
}

void Datapath::clear_egress() {
  clear_hash(map("egress"), sizeof(std::uint32_t));
  clear_hash(map("egress_denied4"), sizeof(sluice_prefix4));
  clear_hash(map("egress_denied6"), sizeof(sluice_prefix6));
  clear_counts({"egress_pairs", "egress_shares"});
  has_egress_ = false;
}

void Datapath::clear_counts(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Mapped counts(bpf_object__find_map_by_name(object_, name));
    std::ranges::fill(counts.elements(), 0);
  }
}

std::map<std::uint32_t, std::uint32_t> Datapath::numbers(const std::string& name) const {
  const Mapped counts(bpf_object__find_map_by_name(object_, name.c_str()));
  std::map<std::uint32_t, std::uint32_t> found;
  for (std::size_t i = 0; i < counts.elements().size(); ++i) {
    const auto value = static_cast<std::uint32_t>(counts.elements()[i]);
    if (value != 0) found.emplace(static_cast<std::uint32_t>(i), value);
  }
  return found;
}

/// In one call, for there are many.
template <typename Bucket>
void Datapath::clear_buckets(const char* name, std::uint32_t count) {
  std::vector<std::uint32_t> indexes(count);
  std::iota(indexes.begin(), indexes.end(), 0U);
  const std::vector<Bucket> zero(count);
  require(bpf_map_update_batch(map(name), indexes.data(), zero.data(), &count, nullptr), std::string("clear ") + name);
}

void Datapath::clear_affinities() {
  clear_buckets<sluice_affinity_bucket>("affinities", SLUICE_AFFINITY_BUCKETS);
  has_affinity_ = false;
}

void Datapath::clear_fragments() {
  clear_buckets<sluice_fragment_bucket>("fragments", SLUICE_FRAGMENT_WINDOWS * SLUICE_FRAGMENT_BUCKETS);
}

Datapath::~Datapath() {
  auto* skeleton = static_cast<struct sluice*>(holder_);
  if (!run_by_others_) counters_->expect_all_seen();
  if (sweeps_) {
    sluice__destroy(skeleton);
    return;
  }
  reset();
  spare_objects().emplace(std::pair{sizes_.pairs, sizes_.flows}, skeleton);
}

void Datapath::write_defaults() {
  sluice_settings settings{};
  settings.secret[0] = 0x0706050403020100;
  settings.secret[1] = 0x0f0e0d0c0b0a0908;
  settings.tcp_half_open = 30 * kSecond;
  settings.tcp_established = 7440 * kSecond;
  settings.tcp_closing = 240 * kSecond;
  settings.tcp_closed = 240 * kSecond;
  settings.tcp_reset = 10 * kSecond;
  settings.udp_new = 30 * kSecond;
  settings.udp_stream = 120 * kSecond;
  settings.icmp = 30 * kSecond;
  settings.sweep_interval = kSecond / 1000;
  settings.delete_grace = kSecond;
  settings.sweep_pairs = 16;
  settings.max_pairs = sizes_.pairs;
  settings.shared_pairs = sizes_.pairs;
  settings.refusals_per_second = 1'000'000;
  set_settings(settings);
  put("digest_key", std::uint32_t{0}, kDigestKey);
  sluice_meta meta{};
  meta.abi_version = SLUICE_ABI_VERSION;
  put("meta", std::uint32_t{0}, meta);
  // Slot 0 is the public side: it is charged refusals, never flows.
}

int Datapath::map(const std::string& name) const {
  const auto found = maps_.find(name);
  if (found == maps_.end()) throw std::runtime_error("the object has no map " + name);
  return found->second;
}

int Datapath::program(const std::string& name) const {
  run_by_others_ = true;
  return find(name);
}

int Datapath::find(const std::string& name) const {
  const bpf_program* found = bpf_object__find_program_by_name(object_, name.c_str());
  if (found == nullptr) throw std::runtime_error("the object has no program " + name);
  return bpf_program__fd(found);
}

Outcome Datapath::run(sluice_entry entry, std::uint32_t ifindex, const Frame& frame, std::uint32_t gso_size) {
  if (run_by_others_) counters_->forget();
  counters_->prepare();
  Outcome outcome;
  outcome.frame.resize(kRoom);

  LIBBPF_OPTS(bpf_test_run_opts, options);
  __sk_buff skb{};
  skb.ifindex = ifindex;
  skb.ingress_ifindex = ifindex;
  skb.gso_size = gso_size;
  options.data_in = frame.bytes.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.data_out = outcome.frame.bytes.data();
  options.data_size_out = kRoom;
  if (entry != SLUICE_ENTRY_UPLINK_XDP) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
  }
  options.repeat = 1;
  require(bpf_prog_test_run_opts(programs_[entry], &options), "run " + std::string(kPrograms[entry]));
  outcome.verdict = static_cast<int>(options.retval);
  outcome.frame.resize(options.data_size_out);

  const Counted counted = counters_->take(entry);
  outcome.reason = counted.reason;
  EXPECT_EQ(counted.packets, 1U) << "every run counts exactly one reason, the last here was "
                                 << reason_name(counted.reason);
  EXPECT_EQ(counted.bytes, frame.size()) << reason_name(counted.reason);
  EXPECT_NE(outcome.reason, SLUICE_REASON_NONE);
  const std::string kind = reason_class(outcome.reason);
  EXPECT_TRUE(verdict_fits(outcome.verdict, kind, entry))
      << "verdict " << outcome.verdict << " for " << reason_name(outcome.reason) << " of class " << kind;
  if (kind == "PASS") {
    EXPECT_EQ(outcome.frame, frame) << "what is passed must be untouched";
  }
  return outcome;
}

int Datapath::run_uncounted(sluice_entry entry, std::uint32_t ifindex, const Frame& frame) const {
  LIBBPF_OPTS(bpf_test_run_opts, options);
  __sk_buff skb{};
  skb.ifindex = ifindex;
  skb.ingress_ifindex = ifindex;
  options.data_in = frame.bytes.data();
  options.data_size_in = static_cast<std::uint32_t>(frame.size());
  options.ctx_in = &skb;
  options.ctx_size_in = sizeof(skb);
  options.repeat = 1;
  counters_->forget();
  if (bpf_prog_test_run_opts(programs_[entry], &options) != 0) return -1000;
  return static_cast<int>(options.retval);
}

void Datapath::start_sweep() {
  sweeps_ = true;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  const Bytes any(64);
  options.data_in = any.data();
  options.data_size_in = static_cast<std::uint32_t>(any.size());
  require(bpf_prog_test_run_opts(find("sweep_start"), &options), "run sweep_start");
  EXPECT_EQ(static_cast<int>(options.retval), 0) << "sweep_start";
}

namespace {

template <typename Names>
void add_flows(Names names, int fd, std::vector<FlowRecord>& found) {
  auto key = names.map_key({}), next = key;
  for (int error = bpf_map_get_next_key(fd, nullptr, &next); error == 0;
       error = bpf_map_get_next_key(fd, &key, &next)) {
    key = next;
    typename Names::Flow flow{};
    if (bpf_map_lookup_elem(fd, &key, &flow) != 0) continue;
    found.push_back(read_flow(flow));
    const auto own = names.map_key(flow.self);
    EXPECT_EQ(std::memcmp(&own, &key, sizeof(key)), 0) << "a flow record stands under another key";
  }
}

}  // namespace

std::vector<FlowRecord> Datapath::flows() const {
  std::vector<FlowRecord> found;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    in_family(family, [&](auto names) { add_flows(names, map(names.kFlows), found); });
  }
  return found;
}

std::optional<FlowRecord> Datapath::flow(const FlowKey& key) const {
  return in_family(key.family(), [&](auto names) -> std::optional<FlowRecord> {
    const auto record = lookup<typename decltype(names)::Flow>(names.kFlows, names.map_key(wire_key(names, key)));
    return record ? std::optional(read_flow(*record)) : std::nullopt;
  });
}

void Datapath::put_flow(const FlowKey& key, const FlowRecord& record) {
  in_family(key.family(), [&](auto names) {
    typename decltype(names)::Flow wire{};
    write_flow(record, wire);
    put(names.kFlows, names.map_key(wire_key(names, key)), wire);
  });
}

void Datapath::remove_flow(const FlowKey& key) {
  in_family(key.family(), [&](auto names) { remove(names.kFlows, names.map_key(wire_key(names, key))); });
}

void Datapath::remove(const EndpointKey& key) {
  in_family(key.address.family(), [&](auto names) { remove(names.kEndpoints, wire_key(names, key)); });
}

void Datapath::remove(const FrontendKey& key) {
  in_family(key.address.family(), [&](auto names) { remove(names.kFrontends, wire_key(names, key)); });
}

std::vector<std::uint32_t> Datapath::free_pairs() const {
  std::vector<std::uint32_t> indexes;
  std::uint32_t index = 0;
  const int fd = map("pairs_free");
  while (bpf_map_lookup_and_delete_elem(fd, nullptr, &index) == 0) indexes.insert(indexes.begin(), index);
  for (std::uint32_t value : indexes) {
    require(bpf_map_update_elem(fd, nullptr, &value, BPF_ANY), "put back a pair index");
  }
  return indexes;
}

}  // namespace bpftest
