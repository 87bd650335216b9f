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

template <AbiRecord Key, AbiRecord Value>
void write(const Write& one, HashTable<Key, Value>& table) {
  const Key key = value_of<Key>(one.key);
  if (one.value.empty()) {
    table.erase(key);
  } else {
    table.insert_or_assign(key, value_of<Value>(one.value));
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

void write(const Write& one, Tables& tables) {
  switch (one.table) {
    case Table::kSettings:
      tables.settings = value_of<sluice_settings>(one.value);
      return;
    case Table::kNetworkLimits:
      return write(one, tables.network_limits);
    case Table::kPorts:
      return write(one, tables.ports);
    case Table::kEndpoints4:
      return write(one, tables.endpoints4);
    case Table::kFrontends4:
      return write(one, tables.frontends4);
    case Table::kBackends:
      return write(one, tables.backends);
    case Table::kRings:
      return write(one, tables.rings);
    case Table::kEndpointGenerations:
      return write(one, tables.endpoint_generations);
    case Table::kFrontendGenerations:
      return write(one, tables.frontend_generations);
    case Table::kFrontendFilter:
      return write(one, tables.frontend_filter);
  }
  throw std::logic_error("a write names no table");
}

}  // namespace

void apply(const Plan& plan, Tables& tables) {
  for (const std::vector<Write>& step : plan.steps) {
    for (const Write& one : step) write(one, tables);
  }
}

}  // namespace sluice::compile
