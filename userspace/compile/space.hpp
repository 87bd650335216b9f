// SPDX-License-Identifier: Apache-2.0
// What the records of some tables take: slots, regions, generations, bits of the filter. A function of the tables;
// kept beside them, it spares each run a look at every record.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "compile/arena.hpp"
#include "compile/family.hpp"
#include "compile/limits.hpp"
#include "compile/tables.hpp"

namespace sluice::compile {

class Space {
 public:
  /// O(everything): once after the maps were read.
  explicit Space(const Limits& limits, const Tables& tables = {});

  /// A record that came into the tables or left them. apply() calls these for a plan.
  void add(const sluice_port& port);
  void add(const sluice_endpoint4& endpoint) { add_endpoint<Four>(endpoint); }
  void add(const sluice_endpoint6& endpoint) { add_endpoint<Six>(endpoint); }
  void add(const sluice_frontend4& frontend) { add_frontend(frontend); }
  void add(const sluice_frontend6& frontend) { add_frontend(frontend); }
  void add(const sluice_egress& egress);
  void remove(const sluice_port& port);
  void remove(const sluice_endpoint4& endpoint) { remove_endpoint<Four>(endpoint); }
  void remove(const sluice_endpoint6& endpoint) { remove_endpoint<Six>(endpoint); }
  void remove(const sluice_frontend4& frontend) { remove_frontend(frontend); }
  void remove(const sluice_frontend6& frontend) { remove_frontend(frontend); }
  void remove(const sluice_egress& egress);
  /// A generation that stands somewhere in the tables: the next new one is above it.
  void see(std::uint32_t generation);

  /// True if this was made for these limits and no two regions overlap by a part, so that one can be given back
  /// without the other. Only tables that somebody else wrote have such.
  [[nodiscard]] bool usable(const Limits& limits) const;
  [[nodiscard]] std::uint32_t last_generation() const { return last_generation_; }
  /// The addresses with this bit of the filter.
  [[nodiscard]] std::uint32_t filter_count(std::uint32_t bit) const;

  bool operator==(const Space&) const = default;

 private:
  friend class Builder;  // takes drafts of the arenas

  struct Region {
    std::uint32_t count = 0;
    std::uint32_t users = 0;
    bool operator==(const Region&) const = default;
  };
  /// Regions or slots with the number of records that name them; taken out of the arena while there is one.
  struct Users {
    Arena arena;
    std::unordered_map<std::uint32_t, Region> regions;  ///< by base
    bool overlap = false;

    void add(std::uint32_t base, std::uint32_t count);
    void remove(std::uint32_t base, std::uint32_t count);
    bool operator==(const Users&) const = default;
  };
  template <typename F>
  void add_endpoint(const typename F::Endpoint& endpoint);
  template <typename F>
  void remove_endpoint(const typename F::Endpoint& endpoint);
  template <typename Frontend>
  void add_frontend(const Frontend& frontend);
  template <typename Frontend>
  void remove_frontend(const Frontend& frontend);
  static void add_slot(Users& slots, const sluice_ref& ref);
  static void remove_slot(Users& slots, const sluice_ref& ref);

  Users endpoint_slots_;
  Users frontend_slots_;
  Users backends_;
  Users rings_;
  std::unordered_map<std::uint32_t, std::uint32_t> filter_;  ///< by bit
  std::uint32_t last_generation_ = 0;
};

/// True if the bit of this record's address is set in the filter.
template <typename Endpoint>
[[nodiscard]] bool has_filter_bit(const Endpoint& endpoint) {
  return endpoint.kind == SLUICE_ENDPOINT_SERVICE || endpoint.kind == SLUICE_ENDPOINT_FLOATING ||
         endpoint.kind == SLUICE_ENDPOINT_EGRESS || endpoint.kind == SLUICE_ENDPOINT_SHARED;
}

}  // namespace sluice::compile
