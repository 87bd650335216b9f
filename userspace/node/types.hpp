// SPDX-License-Identifier: Apache-2.0
// What is asked of a node and what it answers, as plain values.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "compile/compile.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"
#include "node/egress_config.hpp"
#include "node/events.hpp"
#include "node/reconciler.hpp"
#include "node/uplinks.hpp"
#include "store/codec.hpp"

namespace sluice::node {

struct Options {
  std::vector<UplinkConfig> uplinks;
  std::string device_prefix = "slc";
  std::optional<EgressConfig> egress;  ///< nothing: no pod leaves for the public side
  MtuPolicy mtu;
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

struct DetachRequest {
  model::Name pod;
  /// How long the pod may keep its flows; at most model::kLongestGrace. 0: it is detached at once.
  std::chrono::milliseconds grace{0};
};

struct DetachReply {
  std::optional<std::int64_t> leaves_at;  ///< in milliseconds since 1970; nothing: it is detached
};

struct AttachReply {
  model::Addresses addresses;
  std::uint8_t prefix_length = 0;   ///< of the IPv4 address
  std::uint8_t prefix_length6 = 0;  ///< of the IPv6 address
  Mac mac;
  Ipv4 router;
  std::uint32_t mtu = 0;
  std::string device;  ///< host side
};

struct PodStatus {
  model::Name name;
  model::Addresses addresses;
  bool attached = false;
  std::string device;
  bool draining = false;
  std::optional<std::int64_t> drain_deadline;  ///< milliseconds since 1970, as leaves_at
  bool drained = false;                        ///< the deadline has passed, and the flows of before have ended
  std::optional<std::int64_t> leaves_at;       ///< when it is detached at the latest
};

struct ServiceStatus {
  model::Name name;
  model::Addresses addresses;
  std::string floating_ip;
  std::uint32_t backends = 0;  ///< of the first port, as the maps hold them, of the family that has more of them
  std::uint32_t ready = 0;
};

struct UplinkStatus {
  std::string device;
  std::uint32_t ifindex = 0;  ///< 0: missing
  std::uint32_t mtu = 0;      ///< 0 likewise
};

struct EgressStatus {
  std::string device;
  compile::Egress value;  ///< ifindex 0: nobody leaves now
};

struct StoreStatus {
  std::array<std::uint8_t, 16> uuid{};
  std::uint64_t epoch = 0;
  std::uint64_t revision = 0;   ///< the newest
  std::uint64_t compacted = 0;  ///< watches from before it must list again
  std::string manifests;        ///< where the state comes from; empty: the API
  std::string refuses_writes;   ///< why; empty: it takes them
};

/// One pod behind one port of a service, used or not.
struct BackendReport {
  model::Name service;
  model::Name pod;
  std::string port;            ///< of the service, "80/TCP"
  model::Addresses addresses;  ///< those by which the service reaches the pod
  std::uint16_t target_port = 0;
  std::uint16_t weight = 1;
  std::string reason;  ///< why it gets no new flows; empty: it does
};

/// What the node sees of one resource.
struct Description {
  store::Stored stored;
  std::optional<model::Attachment> attachment;  ///< of a pod
  std::uint32_t mtu = 0;                        ///< of an attached pod
  bool drained = false;                         ///< of a pod: as PodStatus has it
  std::optional<std::uint64_t> flows_left;      ///< of a pod that drains or leaves: those to it, now
  std::vector<BackendReport> backends;          ///< of a service, of a pod
  std::vector<model::Name> users;               ///< services bound to a floating IP
  std::uint32_t pods = 0;                       ///< of a network
  std::uint32_t services = 0;                   ///< of a network
  std::uint64_t flows = 0;                      ///< of a network: pairs, now
  std::vector<Event> events;
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
  std::optional<EgressStatus> egress;  ///< nothing: it is not configured
  std::uint32_t pod_mtu = 0;           ///< of the devices of attached pods
  bool tcx = false;
  StoreStatus store;
};

}  // namespace sluice::node
