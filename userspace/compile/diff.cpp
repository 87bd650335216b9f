// SPDX-License-Identifier: Apache-2.0
// The order of writes, and nothing else, keeps the datapath consistent while it changes:
//
//  kPrepare  settings, shares, and generations of new holders: nothing refers to these slots yet (or, in a full table,
//            the slot's former holder ends here).
//  kFill     backends and rings in regions that no frontend refers to yet.
//  kReach    endpoints that can be reached: a backend must be there before it is chosen.
//  kAdmit    ports and filter bits: whoever may send now can be answered already. A port before its endpoint would let
//  a
//            pod speak that nobody can answer.
//  kRaise    backends that come up (or got another pod ref) in a region in use: their endpoints stand since kReach, so
//            no new flow runs into a pod that is not there yet.
//  kSwitch   frontends: each write switches one service port from one region, ring and ready_count to the next. All
//  that
//            it names is complete. Up before and down after the switch: a set that changes from {a} to {b} has a ready
//            backend at every moment.
//  kRetire   frontends that go.
//  kLower    backends that go down in place. The switch's lower ready_count stands above more ready elements for a
//            moment, which costs nothing; a ready_count above no ready element at all never happens, because every
//            frontend that counted this one has been switched or is gone.
//  kEnd      generations of slots that lost their holder: one write ends all its flows. After the switch, so that no
//  new
//            flow is made for a dead generation; before its records go and its elements are reused.
//  kRemove   endpoints that go or are detached, ports, filter bits. In between, records name an ended generation: the
//            packets that still find them are delivered to the pod that they always named, or dropped and counted.
//  kClear    elements that nothing refers to any more, shares of networks that are gone.
//
// A plan may stop after any write. What was written then is read back, compiled and diffed again; the mark on freed
// slots (slots.hpp) tells which ends are still to come.
#include <algorithm>
#include <span>

#include "compile/compile.hpp"
#include "compile/hashing.hpp"
#include "compile/records.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {
namespace {

enum Step : std::size_t {
  kPrepare,
  kFill,
  kReach,
  kAdmit,
  kRaise,
  kSwitch,
  kRetire,
  kLower,
  kEnd,
  kRemove,
  kClear,
  kSteps
};

template <AbiRecord T>
std::vector<std::byte> bytes_of(const T& value) {
  const auto bytes = std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
  return {bytes.begin(), bytes.end()};
}

template <AbiRecord T>
bool same(const T& a, const T& b) {
  return BytesEqual{}(a, b);
}

class Writer {
 public:
  Writer() { plan_.steps.resize(kSteps); }

  template <AbiRecord Key, AbiRecord Value>
  void put(Step step, Table table, const Key& key, const Value& value) {
    plan_.steps[step].push_back({table, bytes_of(key), bytes_of(value)});
  }
  template <AbiRecord Key>
  void remove(Step step, Table table, const Key& key) {
    plan_.steps[step].push_back({table, bytes_of(key), {}});
  }
  Plan take() { return std::move(plan_); }

 private:
  Plan plan_;
};

/// Calls found(index, before, after) for each element that differs; absent is zero.
template <AbiRecord Value, typename Found>
void each_change(const ArrayTable<Value>& actual, const ArrayTable<Value>& wanted, Found found) {
  const Value zero{};
  auto before = actual.begin();
  auto after = wanted.begin();
  while (before != actual.end() || after != wanted.end()) {
    const bool has_before = before != actual.end() && (after == wanted.end() || before->first <= after->first);
    const bool has_after = after != wanted.end() && (before == actual.end() || after->first <= before->first);
    const std::uint32_t index = has_before ? before->first : after->first;
    const Value& old_value = has_before ? before->second : zero;
    const Value& new_value = has_after ? after->second : zero;
    if (!same(old_value, new_value)) found(index, old_value, new_value);
    if (has_before) ++before;
    if (has_after) ++after;
  }
}

/// Calls put(wanted record, actual record or nullptr) and gone(actual record).
template <AbiRecord Key, AbiRecord Value, typename Put, typename Gone>
void each_change(const HashTable<Key, Value>& actual, const HashTable<Key, Value>& wanted, Put put, Gone gone) {
  for (const auto& [key, value] : wanted) {
    const auto before = actual.find(key);
    if (before == actual.end()) {
      put(key, value, static_cast<const Value*>(nullptr));
    } else if (!same(before->second, value)) {
      put(key, value, &before->second);
    }
  }
  for (const auto& [key, value] : actual) {
    if (!wanted.contains(key)) gone(key);
  }
}

/// The elements of an arena that frontends refer to: region_of(frontend) has base and count.
class Regions {
 public:
  template <typename RegionOf>
  Regions(const Tables& tables, RegionOf region_of) {
    each_family([&]<typename F>(F) {
      for (const auto& [key, frontend] : tables.*F::kFrontends) {
        const auto [base, count] = region_of(frontend);
        if (count != 0) spans_.emplace_back(base, std::uint64_t{base} + count);
      }
    });
    std::ranges::sort(spans_);
    std::uint64_t furthest = 0;
    for (auto& [start, end] : spans_) furthest = end = std::max(furthest, end);
  }

  [[nodiscard]] bool contains(std::uint32_t index) const {
    const auto after = std::ranges::upper_bound(spans_, std::uint64_t{index}, {}, &Range::first);
    return after != spans_.begin() && index < std::prev(after)->second;
  }

 private:
  using Range = std::pair<std::uint64_t, std::uint64_t>;
  std::vector<Range> spans_;  ///< by start; ends made ascending, so that the nearest start decides
};

using Span = std::pair<std::uint32_t, std::uint32_t>;
constexpr auto backends_of = [](const auto& frontend) { return Span{frontend.backend_base, frontend.backend_count}; };
constexpr auto ring_of = [](const auto& frontend) { return Span{frontend.ring_base, ring_blocks(frontend.ring_size)}; };

bool is_zero(const auto& value) {
  return same(value, std::remove_cvref_t<decltype(value)>{});
}

void diff_networks(const Tables& actual, const Tables& wanted, Writer& writer) {
  if (!same(actual.settings, wanted.settings)) {
    writer.put(kPrepare, Table::kSettings, std::uint32_t{0}, wanted.settings);
  }
  each_change(actual.network_limits, wanted.network_limits, [&](std::uint32_t slot, const auto&, const auto& after) {
    writer.put(is_zero(after) ? kClear : kPrepare, Table::kNetworkLimits, slot, after);
  });
}

void diff_generations(Table table, const ArrayTable<std::uint32_t>& actual, const ArrayTable<std::uint32_t>& wanted,
                      Writer& writer) {
  each_change(actual, wanted, [&](std::uint32_t slot, std::uint32_t, std::uint32_t after) {
    const bool holder = after != 0 && (after & kFreedSlot) == 0;
    writer.put(holder ? kPrepare : kEnd, table, slot, after);
  });
}

void diff_regions(const Tables& actual, const Tables& wanted, Writer& writer) {
  const Regions in_use(actual, backends_of);
  each_change(actual.backends, wanted.backends,
              [&](std::uint32_t index, const sluice_backend&, const sluice_backend& after) {
                Step step = kFill;
                if (is_zero(after)) {
                  step = kClear;
                } else if (in_use.contains(index)) {
                  step = after.state == SLUICE_BACKEND_READY ? kRaise : kLower;
                }
                writer.put(step, Table::kBackends, index, after);
              });
  // A block of a ring may be zero: 32 slots of the first backend.
  const Regions wanted_rings(wanted, ring_of);
  each_change(actual.rings, wanted.rings, [&](std::uint32_t index, const auto&, const auto& after) {
    const bool unused = is_zero(after) && !wanted_rings.contains(index);
    writer.put(unused ? kClear : kFill, Table::kRings, index, after);
  });
}

void diff_endpoints(const Tables& actual, const Tables& wanted, Writer& writer) {
  each_family([&]<typename F>(F) {
    each_change(
        actual.*F::kEndpoints, wanted.*F::kEndpoints,
        [&](const auto& key, const auto& after, const auto* before) {
          const bool detached = before != nullptr && is_pod(after) && after.ifindex == 0;
          writer.put(detached ? kRemove : kReach, F::kEndpointTable, key, after);
        },
        [&](const auto& key) { writer.remove(kRemove, F::kEndpointTable, key); });
  });
  each_change(
      actual.ports, wanted.ports,
      [&](const auto& key, const sluice_port& after, const auto*) { writer.put(kAdmit, Table::kPorts, key, after); },
      [&](const auto& key) { writer.remove(kRemove, Table::kPorts, key); });
  each_change(actual.frontend_filter, wanted.frontend_filter,
              [&](std::uint32_t word, std::uint64_t before, std::uint64_t after) {
                const std::uint64_t both = before | after;
                if (both != before) writer.put(kAdmit, Table::kFrontendFilter, word, both);
                if (after != both) writer.put(kRemove, Table::kFrontendFilter, word, after);
              });
}

/// What is no longer reached is refused before anything else changes. The way itself is switched by one write.
void diff_egress(const Tables& actual, const Tables& wanted, Writer& writer) {
  const auto diff_denied = [&writer](Table table, const auto& before, const auto& after) {
    each_change(
        before, after,
        [&](const auto& key, std::uint32_t value, const auto*) { writer.put(kPrepare, table, key, value); },
        [&](const auto& key) { writer.remove(kRemove, table, key); });
  };
  diff_denied(Table::kDenied4, actual.denied4, wanted.denied4);
  diff_denied(Table::kDenied6, actual.denied6, wanted.denied6);
  each_change(
      actual.egress, wanted.egress,
      [&](std::uint32_t network, const sluice_egress& after, const auto*) {
        writer.put(kSwitch, Table::kEgress, network, after);
      },
      [&](std::uint32_t network) { writer.remove(kRetire, Table::kEgress, network); });
}

void diff_frontends(const Tables& actual, const Tables& wanted, Writer& writer) {
  each_family([&]<typename F>(F) {
    each_change(
        actual.*F::kFrontends, wanted.*F::kFrontends,
        [&](const auto& key, const auto& after, const auto*) { writer.put(kSwitch, F::kFrontendTable, key, after); },
        [&](const auto& key) { writer.remove(kRetire, F::kFrontendTable, key); });
  });
}

}  // namespace

Plan diff(const Tables& actual, const Tables& wanted) {
  Writer writer;
  diff_networks(actual, wanted, writer);
  diff_generations(Table::kEndpointGenerations, actual.endpoint_generations, wanted.endpoint_generations, writer);
  diff_generations(Table::kFrontendGenerations, actual.frontend_generations, wanted.frontend_generations, writer);
  diff_regions(actual, wanted, writer);
  diff_endpoints(actual, wanted, writer);
  diff_frontends(actual, wanted, writer);
  diff_egress(actual, wanted, writer);
  return writer.take();
}

}  // namespace sluice::compile
