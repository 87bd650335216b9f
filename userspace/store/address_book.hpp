// SPDX-License-Identifier: Apache-2.0
// Who has which id, slot and address: the choices as values, without a database. Given the same book and state the
// choice is the same.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::store {

enum class HolderKind : std::uint8_t { kPod = 1, kService = 2 };

struct Holder {
  HolderKind kind = HolderKind::kPod;
  std::string name;
  auto operator<=>(const Holder&) const = default;
};

/// One network's choices. The cursors make the search next-fit, so that a freed address rests as long as possible.
struct NetworkBook {
  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  std::uint32_t pod_cursor = 0;      ///< the address after which the next pod's is sought, upward; 0: none yet
  std::uint32_t service_cursor = 0;  ///< the same for services, downward
  std::map<std::string, Ipv4> pods;
  std::map<std::string, Ipv4> services;
  std::unordered_map<std::uint32_t, Holder> holders;  ///< by address; the inverse of both maps

  [[nodiscard]] std::map<std::string, Ipv4>& of(HolderKind kind) { return kind == HolderKind::kPod ? pods : services; }
  void take(const Holder& holder, Ipv4 address);
  void free(const Holder& holder);
};

struct AddressBook {
  std::uint32_t id_cursor = 0;    ///< the last id that was handed out
  std::uint32_t slot_cursor = 0;  ///< the last slot
  std::map<std::string, NetworkBook> networks;
};

/// What happened to one address, for the database. Frees come before takes.
struct AddressChange {
  std::uint32_t network_id = 0;
  Ipv4 address;
  Holder holder;
};

struct BookChanges {
  std::vector<std::string> removed_networks;
  std::map<std::string, NetworkBook> changed_networks;  ///< new and changed ones, whole
  std::vector<AddressChange> freed;
  std::vector<AddressChange> taken;
  std::uint32_t id_cursor = 0;
  std::uint32_t slot_cursor = 0;

  [[nodiscard]] bool empty() const { return removed_networks.empty() && changed_networks.empty(); }
};

/// What turns `book` into one that serves `state`; fails as Allocations::assign says. A network of `state` that
/// needs nothing is only compared, never copied.
Result<BookChanges> plan(const AddressBook& book, const model::State& state);
void apply(BookChanges&& changes, AddressBook& book);
model::Assignments assignments(const AddressBook& book);

}  // namespace sluice::store
