// SPDX-License-Identifier: Apache-2.0
// One loaded copy of the programs with maps of its own (nothing is pinned), and typed access to these maps.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "family.hpp"

namespace sluice::benchmark {

/// Packets by reason, all CPUs, of one entry point.
using Counts = std::array<std::uint64_t, SLUICE_REASON_COUNT>;

class Tables {
 public:
  /// Loads the shipped object, or the one in `file` if that is not empty. The tables have room for max_pairs flows,
  /// sized by the daemon's rule, in one family alone: nothing is put into those of the other one.
  static Result<Tables> load(const std::string& file, std::uint32_t max_pairs, Family family);

  /// Descriptor of a program, kNotFound if the object has none of that name.
  [[nodiscard]] Result<int> program(const std::string& name) const;
  [[nodiscard]] int map(const std::string& name) const;
  [[nodiscard]] std::uint32_t max_pairs() const { return max_pairs_; }

  template <typename Key, typename Value>
  [[nodiscard]] Status put(const std::string& name, const Key& key, const Value& value) const {
    if (bpf_map_update_elem(map(name), &key, &value, BPF_ANY) != 0) return fail_errno("write to map " + name);
    return {};
  }
  template <typename Value, typename Key>
  [[nodiscard]] Result<Value> get(const std::string& name, const Key& key) const {
    Value value{};
    if (bpf_map_lookup_elem(map(name), &key, &value) != 0) return fail_errno("read map " + name);
    return value;
  }
  [[nodiscard]] Result<Counts> counts(sluice_entry entry) const;

 private:
  struct Close {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
  };
  using Object = std::unique_ptr<bpf_object, Close>;
  Tables(Object object, std::uint32_t max_pairs) : object_(std::move(object)), max_pairs_(max_pairs) {}

  Object object_;
  std::uint32_t max_pairs_;
};

}  // namespace sluice::benchmark
