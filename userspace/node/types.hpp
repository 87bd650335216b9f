// SPDX-License-Identifier: Apache-2.0
// What is asked of a node and what it answers, as plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "compile/compile.hpp"
#include "model/resources.hpp"
#include "node/reconciler.hpp"
#include "node/uplinks.hpp"

namespace sluice::node {

struct Options {
  std::vector<UplinkConfig> uplinks;
  std::string device_prefix = "slc";
  std::uint32_t pod_mtu = 1500;
  compile::Limits limits;
  /// Timeouts, sweep and refusals; the secret, max_pairs and shared_pairs are filled in.
  sluice_settings settings{};
  std::chrono::milliseconds debounce{20};         ///< from the last change of the manifests to reading them
  std::chrono::milliseconds debounce_limit{500};  ///< from the first one, while they go on changing
  std::chrono::milliseconds retry_minimum{50};    ///< after a failed write; doubles up to the maximum
  std::chrono::milliseconds retry_maximum{5000};
  std::chrono::milliseconds verify_interval{60'000};
  std::chrono::milliseconds settle_delay{200};  ///< without a request, before what blocks the loop and can wait
};

struct AttachRequest {
  model::Name pod;
  std::filesystem::path netns;
  std::string interface = "eth0";
};

struct AttachReply {
  Ipv4 address;
  std::uint8_t prefix_length = 0;
  Mac mac;
  Ipv4 router;
  std::uint32_t mtu = 0;
  std::string device;  ///< host side
};

struct PodStatus {
  model::Name name;
  Ipv4 address;
  bool attached = false;
  std::string device;
};

struct ServiceStatus {
  model::Name name;
  Ipv4 address;
  std::string floating_ip;
  std::uint32_t backends = 0;  ///< of the first port, as the maps hold them
  std::uint32_t ready = 0;
};

struct UplinkStatus {
  std::string device;
  std::uint32_t ifindex = 0;  ///< 0: missing
};

struct NodeStatus {
  std::uint64_t revision = 0;  ///< of the state that the maps hold; 0: none yet
  bool synced = false;
  std::string last_error;
  std::vector<std::string> warnings;  ///< uplinks that do not work
  ReconcileCounters counters;
  std::vector<PodStatus> pods;
  std::vector<ServiceStatus> services;
  std::vector<UplinkStatus> uplinks;
  bool tcx = false;
};

}  // namespace sluice::node
