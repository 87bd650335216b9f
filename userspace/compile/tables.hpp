// SPDX-License-Identifier: Apache-2.0
// The contents of the datapath's maps as values: what compile() produces, what is read back from the pins, and
// what diff() compares. Keys and values are the ABI structs (wire order inside).
#pragma once

#include <sluice/abi.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <type_traits>
#include <unordered_map>
#include <variant>
#include <vector>

namespace sluice::compile {

/// Hash and equality over the bytes of an ABI struct; only for structs without hidden padding.
template <typename T>
concept AbiRecord = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

struct BytesHash {
  template <AbiRecord T>
  std::size_t operator()(const T& record) const {
    const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(T)>>(record);
    std::uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
    return static_cast<std::size_t>(hash ^ (hash >> 29));
  }
};
struct BytesEqual {
  template <AbiRecord T>
  bool operator()(const T& a, const T& b) const {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
  }
};
template <AbiRecord Key, AbiRecord Value>
using HashTable = std::unordered_map<Key, Value, BytesHash, BytesEqual>;
/// Sparse view of an array map: absent means all bytes zero.
template <AbiRecord Value>
using ArrayTable = std::map<std::uint32_t, Value>;

struct Tables {
  sluice_settings settings{};
  ArrayTable<sluice_network_limits> network_limits;  ///< by network slot
  HashTable<std::uint32_t, sluice_port> ports;       ///< by ifindex
  HashTable<sluice_endpoint4_key, sluice_endpoint4> endpoints4;
  HashTable<sluice_frontend4_key, sluice_frontend4> frontends4;
  HashTable<sluice_endpoint6_key, sluice_endpoint6> endpoints6;
  HashTable<sluice_frontend6_key, sluice_frontend6> frontends6;
  ArrayTable<sluice_backend> backends;
  ArrayTable<sluice_ring_block> rings;
  /// By slot. A slot is free if no record names it; a freed one keeps a value that nobody else ever gets (with bit 31
  /// set), so that generations never repeat. Absent: never used.
  ArrayTable<std::uint32_t> endpoint_generations;
  ArrayTable<std::uint32_t> frontend_generations;
  ArrayTable<std::uint64_t> frontend_filter;       ///< by word
  HashTable<std::uint32_t, sluice_egress> egress;  ///< by network id
  HashTable<sluice_prefix4, std::uint32_t> denied4;
  HashTable<sluice_prefix6, std::uint32_t> denied6;
};

/// The maps that the daemon writes; the order of the enumerators means nothing.
enum class Table : std::uint8_t {
  kSettings,
  kNetworkLimits,
  kPorts,
  kEndpoints4,
  kFrontends4,
  kEndpoints6,
  kFrontends6,
  kBackends,
  kRings,
  kEndpointGenerations,
  kFrontendGenerations,
  kFrontendFilter,
  kEgress,
  kDenied4,
  kDenied6,
};

/// One map write. Values and keys are the raw bytes of the ABI structs; an empty value deletes (hash maps only).
struct Write {
  Table table{};
  std::vector<std::byte> key;
  std::vector<std::byte> value;
  bool operator==(const Write&) const = default;
};

/// Writes in the order in which they must be applied. Within a step the order is free; all of a step is applied
/// before the next begins, so that the datapath never sees a dangling reference.
struct Plan {
  std::vector<std::vector<Write>> steps;
  [[nodiscard]] bool empty() const {
    for (const auto& step : steps) {
      if (!step.empty()) return false;
    }
    return true;
  }
  [[nodiscard]] std::size_t size() const {
    std::size_t writes = 0;
    for (const auto& step : steps) writes += step.size();
    return writes;
  }
};

}  // namespace sluice::compile
