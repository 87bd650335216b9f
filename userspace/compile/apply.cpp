// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

#include "compile/compile.hpp"

namespace sluice::compile {
namespace {

/// A plan with wrong sizes is a bug of diff(), not an input.
template <AbiRecord T>
T value_of(const std::vector<std::byte>& bytes) {
  if (bytes.size() != sizeof(T)) throw std::logic_error("a write has the wrong size for its table");
  std::array<std::byte, sizeof(T)> raw{};
  std::memcpy(raw.data(), bytes.data(), sizeof(T));
  return std::bit_cast<T>(raw);
}

/// `space` may be nullptr.
template <AbiRecord Key, AbiRecord Value>
void write(const Write& one, HashTable<Key, Value>& table, Space* space) {
  const Key key = value_of<Key>(one.key);
  if (space != nullptr) {
    if (const auto before = table.find(key); before != table.end()) space->remove(before->second);
  }
  if (one.value.empty()) {
    table.erase(key);
    return;
  }
  const Value value = value_of<Value>(one.value);
  if (space != nullptr) space->add(value);
  table.insert_or_assign(key, value);
}

/// Records that take nothing.
template <AbiRecord Key>
void write(const Write& one, HashTable<Key, std::uint32_t>& table) {
  if (one.value.empty()) {
    table.erase(value_of<Key>(one.key));
  } else {
    table.insert_or_assign(value_of<Key>(one.key), value_of<std::uint32_t>(one.value));
  }
}

template <AbiRecord Value>
void write(const Write& one, ArrayTable<Value>& table) {
  const auto index = value_of<std::uint32_t>(one.key);
  const Value value = value_of<Value>(one.value);
  if (BytesEqual{}(value, Value{})) {
    table.erase(index);
  } else {
    table.insert_or_assign(index, value);
  }
}

void write(const Write& one, ArrayTable<std::uint32_t>& generations, Space* space) {
  write(one, generations);
  if (space != nullptr) space->see(value_of<std::uint32_t>(one.value));
}

void write(const Write& one, Tables& tables, Space* space) {
  switch (one.table) {
    case Table::kSettings:
      tables.settings = value_of<sluice_settings>(one.value);
      return;
    case Table::kNetworkLimits:
      return write(one, tables.network_limits);
    case Table::kPorts:
      return write(one, tables.ports, space);
    case Table::kEndpoints4:
      return write(one, tables.endpoints4, space);
    case Table::kFrontends4:
      return write(one, tables.frontends4, space);
    case Table::kEndpoints6:
      return write(one, tables.endpoints6, space);
    case Table::kFrontends6:
      return write(one, tables.frontends6, space);
    case Table::kBackends:
      return write(one, tables.backends);
    case Table::kRings:
      return write(one, tables.rings);
    case Table::kEndpointGenerations:
      return write(one, tables.endpoint_generations, space);
    case Table::kFrontendGenerations:
      return write(one, tables.frontend_generations, space);
    case Table::kFrontendFilter:
      return write(one, tables.frontend_filter);
    case Table::kEgress:
      return write(one, tables.egress, space);
    case Table::kDenied4:
      return write(one, tables.denied4);
    case Table::kDenied6:
      return write(one, tables.denied6);
  }
  throw std::logic_error("a write names no table");
}

void write(const Plan& plan, Tables& tables, Space* space) {
  for (const std::vector<Write>& step : plan.steps) {
    for (const Write& one : step) write(one, tables, space);
  }
}

}  // namespace

void apply(const Plan& plan, Tables& tables) {
  write(plan, tables, nullptr);
}

void apply(const Plan& plan, Tables& tables, Space& space) {
  write(plan, tables, &space);
}

}  // namespace sluice::compile
