// SPDX-License-Identifier: Apache-2.0
// The shipped BPF object, loaded with small tables: runs programs on frames and reads and writes its maps.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <array>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/counters.hpp"
#include "harness/frame.hpp"
#include "harness/records.hpp"

/// Prints a reason by name in test failures.
void PrintTo(sluice_reason reason, std::ostream* out);

namespace bpftest {

/// FORWARD, PASS, REPLY or DROP: the class that reasons.h gives the reason.
std::string reason_class(sluice_reason reason);
std::string reason_name(sluice_reason reason);

/// What one run of a program did.
struct Outcome {
  int verdict = 0;                            ///< TC_ACT_* or XDP_*
  sluice_reason reason = SLUICE_REASON_NONE;  ///< the one that was counted
  Frame frame;                                ///< the whole packet as the program left it
};

struct Sizes {
  std::uint32_t pairs = 64;
  std::uint32_t flows = 0;  ///< elements of flows4 and flows6 each; 0: 2 * pairs, as the daemon sizes them
};

/// Owns one loaded object. A failed load or map access throws: a test cannot go on without. Loading takes most of a
/// test's time (the verifier, seconds in a virtual machine), so an object whose sweep never ran is emptied and handed
/// to the next test that wants the same sizes.
class Datapath {
 public:
  explicit Datapath(const Sizes& sizes = {});
  ~Datapath();
  Datapath(const Datapath&) = delete;
  Datapath& operator=(const Datapath&) = delete;

  /// Runs the program of `entry` on `frame`, received on device `ifindex`. Fails the test unless exactly one reason
  /// was counted, for this entry and this frame's length, and the verdict is one of that reason's class. That no other
  /// entry counted anything shows at the end. `gso_size`: the frame stands for segments with so much payload each.
  Outcome run(sluice_entry entry, std::uint32_t ifindex, const Frame& frame, std::uint32_t gso_size = 0);
  /// The same without reading counters: for loops in several threads.
  [[nodiscard]] int run_uncounted(sluice_entry entry, std::uint32_t ifindex, const Frame& frame) const;
  /// Starts the sweep's timer.
  void start_sweep();

  [[nodiscard]] int map(const std::string& name) const;
  /// To be run by others: this object no longer knows what is counted.
  [[nodiscard]] int program(const std::string& name) const;
  [[nodiscard]] std::uint32_t pairs() const { return sizes_.pairs; }

  template <typename Value, typename Key>
  [[nodiscard]] std::optional<Value> lookup(const std::string& name, const Key& key) const {
    Value value{};
    if (bpf_map_lookup_elem(map(name), &key, &value) != 0) return std::nullopt;
    return value;
  }
  template <typename Value>
  [[nodiscard]] Value element(const std::string& name, std::uint32_t index) const {
    Value value{};
    require(bpf_map_lookup_elem(map(name), &index, &value), "read " + name);
    return value;
  }
  template <typename Key, typename Value>
  void put(const std::string& name, const Key& key, const Value& value) {
    require(bpf_map_update_elem(map(name), &key, &value, BPF_ANY), "write " + name);
    if (name.starts_with("egress")) {
      has_egress_ = true;
    } else if constexpr (std::is_same_v<Key, std::uint32_t>) {
      written_.emplace(name, key);
    }
  }
  template <typename Key>
  void remove(const std::string& name, const Key& key) {
    require(bpf_map_delete_elem(map(name), &key), "delete from " + name);
  }

  /// The flow records of both families.
  [[nodiscard]] std::vector<FlowRecord> flows() const;
  [[nodiscard]] std::optional<FlowRecord> flow(const FlowKey& key) const;
  /// Writes a record in its place, or in another's.
  void put_flow(const FlowRecord& record) { put_flow(record.self, record); }
  void put_flow(const FlowKey& key, const FlowRecord& record);
  void remove_flow(const FlowKey& key);

  /// Calls change(record) with the sluice_endpoint4 or sluice_endpoint6 that must be there, and writes it back.
  template <typename Change>
  void change(const EndpointKey& key, Change&& change) {
    in_family(key.address.family(), [&](auto names) {
      using Record = typename decltype(names)::Endpoint;
      change_record<Record>(decltype(names)::kEndpoints, wire_key(names, key), change);
    });
  }
  /// The same for sluice_frontend4 and sluice_frontend6.
  template <typename Change>
  void change(const FrontendKey& key, Change&& change) {
    in_family(key.address.family(), [&](auto names) {
      using Record = typename decltype(names)::Frontend;
      change_record<Record>(decltype(names)::kFrontends, wire_key(names, key), change);
    });
  }
  void remove(const EndpointKey& key);
  void remove(const FrontendKey& key);

  /// The elements of an array of numbers that are not 0.
  [[nodiscard]] std::map<std::uint32_t, std::uint32_t> numbers(const std::string& name) const;
  /// Does the sweep's timer run?
  [[nodiscard]] bool sweeps() const { return sweeps_; }
  /// Has the test given a network a way out?
  [[nodiscard]] bool has_egress() const { return has_egress_; }
  /// Clients of a frontend will be noted: the table is large, and cleared only then.
  void expect_affinity() { has_affinity_ = true; }

  [[nodiscard]] Counters counters() const { return counters_->all(); }
  /// The indexes that were given back, lowest of the stack first. Must not run beside the programs.
  [[nodiscard]] std::vector<std::uint32_t> free_pairs() const;
  [[nodiscard]] sluice_flow_totals totals() const { return element<sluice_flow_totals>("flow_totals", 0); }
  [[nodiscard]] sluice_network_usage usage(std::uint16_t slot) const {
    return element<sluice_network_usage>("network_usage", slot);
  }
  [[nodiscard]] sluice_settings settings() const { return element<sluice_settings>("settings", 0); }
  void set_settings(const sluice_settings& settings) { put("settings", std::uint32_t{0}, settings); }

 private:
  static void require(int error, const std::string& what);
  [[nodiscard]] int find(const std::string& program) const;
  void load();
  void reset();
  template <typename Bucket>
  void clear_buckets(const char* name, std::uint32_t count);
  void clear_counts(std::initializer_list<const char*> names);
  void clear_fragments();
  void clear_affinities();
  void clear_egress();
  void write_defaults();
  template <typename Record>
  void change_record(const char* name, const auto& key, auto&& change) {
    std::optional<Record> record = lookup<Record>(name, key);
    if (!record) throw std::runtime_error(std::string("no such record in ") + name);
    change(*record);
    put(name, key, *record);
  }

  Sizes sizes_;
  bpf_object* object_ = nullptr;
  std::map<std::string, int> maps_;
  std::array<int, SLUICE_ENTRY_COUNT> programs_{};
  bool has_egress_ = false;
  bool has_affinity_ = false;
  bool sweeps_ = false;                                      ///< the timer runs: not to be reused
  std::set<std::pair<std::string, std::uint32_t>> written_;  ///< elements of arrays, and ports
  void* holder_ = nullptr;                                   ///< the generated skeleton, known to datapath.cpp only
  mutable std::optional<CounterReader> counters_;
  mutable bool run_by_others_ = false;
};

/// Nanoseconds of the clock that the programs stamp flows with.
std::uint64_t coarse_now();

}  // namespace bpftest
