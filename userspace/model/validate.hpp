// SPDX-License-Identifier: Apache-2.0
// The rules that a declared state keeps. They hold for the whole: nothing of a state with one problem is applied.
#pragma once

#include <sluice/abi.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/resources.hpp"

namespace sluice::model {

inline constexpr std::size_t kMaxNetworks = SLUICE_MAX_NETWORK_SLOTS - 1;
inline constexpr std::size_t kMaxPodsPerNetwork = 65536;
inline constexpr std::size_t kMaxPods = SLUICE_MAX_ENDPOINT_SLOTS - 1;
inline constexpr std::size_t kMaxServicesPerNetwork = 16384;
inline constexpr std::size_t kMaxFloatingIps = 65536;
inline constexpr std::size_t kMaxPortsPerService = 64;
inline constexpr std::size_t kMaxPortsPerPod = 64;
inline constexpr std::size_t kMaxLabels = 64;
inline constexpr std::uint16_t kMaxWeight = 256;
/// Seconds of a service's affinity.
inline constexpr std::uint32_t kMaxAffinity = 7 * 24 * 3600;
inline constexpr std::uint32_t kDefaultAffinity = 3 * 3600;
inline constexpr unsigned kMinPrefixLength = 8;
inline constexpr unsigned kMaxPrefixLength = 29;
inline constexpr unsigned kMinPrefixLength6 = 48;
inline constexpr unsigned kMaxPrefixLength6 = 120;

struct Capacity;

/// The network of pods and services that name none.
inline constexpr std::string_view kDefaultNetwork = "default";

/// Declares the network `default` with default values if a pod or service is in it and nobody declared it.
void add_default_network(State& state);

/// How messages name a resource: "network shop", "pod shop/web-1", "service shop/web", "floating IP public".
std::string describe(const Network& network);
std::string describe(const Pod& pod);
std::string describe(const Service& service);
std::string describe(const FloatingIp& floating_ip);
std::string describe_pod(const Name& name);
std::string describe_service(const Name& name);

/// What is wrong, and the remedy, if the guaranteed flows of all networks do not fit a table of that many pairs.
std::optional<std::string> excess_of_guarantees(const std::map<std::string, Network>& networks, std::uint64_t pairs);

/// Every problem that the state would have as one change to an empty World, empty if it is valid. Each message reads
/// "resource: field: what is wrong with which value; remedy".
std::vector<Error> validate(const State& state);
/// The same in a World of that capacity.
std::vector<Error> validate(const State& state, const Capacity& capacity);

}  // namespace sluice::model
