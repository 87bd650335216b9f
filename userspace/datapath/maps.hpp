// SPDX-License-Identifier: Apache-2.0
// The maps that the daemon owns, as typed tables: reading them back and applying plans.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "compile/tables.hpp"
#include "datapath/port_slots.hpp"

namespace sluice::datapath {

/// What a map is: as the object declares it, or as the kernel has it.
struct MapShape {
  std::uint32_t type = 0;  ///< enum bpf_map_type
  std::uint32_t key_size = 0;
  std::uint32_t value_size = 0;
  std::uint32_t max_entries = 0;
  std::uint32_t flags = 0;  ///< BPF_F_*
  bool operator==(const MapShape&) const = default;
  [[nodiscard]] std::string text() const;
};
/// The shape of an open map.
Result<MapShape> map_shape(int fd);

class Maps {
 public:
  using InjectFault = std::function<Status(const compile::Write&)>;

  /// Takes a map over under the name that abi.h gives it.
  Status add(const std::string& name, UniqueFd fd);
  /// kNotFound if there is no such map.
  [[nodiscard]] Result<int> fd(const std::string& name) const;

  /// Also makes the array in front of `ports` agree with it: see PortSlots::restore.
  [[nodiscard]] Result<compile::Tables> read() const;
  /// Step by step, each step by table; `inject_fault` may be empty.
  [[nodiscard]] Status apply(const compile::Plan& plan, const InjectFault& inject_fault) const;

  [[nodiscard]] Result<sluice_meta> meta() const;
  [[nodiscard]] Status put_meta(const sluice_meta& meta) const;
  /// A random one: for maps that have no records yet.
  [[nodiscard]] Status make_digest_key() const;
  /// Flow pairs charged to a network, by its slot.
  [[nodiscard]] Result<std::uint64_t> pairs_of(std::uint32_t network_slot) const;

 private:
  struct Entry {
    UniqueFd fd;
    MapShape shape;
  };
  [[nodiscard]] const Entry* find(const std::string& name) const;
  [[nodiscard]] Status check(const compile::Write& write) const;
  /// The element of an array that has one.
  [[nodiscard]] Status put_only(const std::string& name, const void* value) const;

  std::map<std::string, Entry> maps_;
  std::optional<PortSlots> port_slots_;
};

/// The map that holds a table.
const char* map_name(compile::Table table);

}  // namespace sluice::datapath
