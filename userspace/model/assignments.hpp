// SPDX-License-Identifier: Apache-2.0
// What Sluice chose for resources that did not ask: ids and addresses. They are stable for the life of their
// resource and survive restarts (model/world.hpp chooses them). Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "model/resources.hpp"

namespace sluice::model {

struct Assignments {
  /// Network name -> 24-bit id, 1 to 0xFFFFFF. 0 is the public side. An id is not reused before all the
  /// others were.
  std::map<std::string, std::uint32_t> network_ids;
  /// Network name -> dense index into the per-network tables (limits, usage), 1 to 4095; 0 is the public side.
  std::map<std::string, std::uint32_t> network_slots;
  std::map<Name, Addresses> pod_addresses;
  std::map<Name, Addresses> service_addresses;
  bool operator==(const Assignments&) const = default;
};

/// Where a pod is attached on this node. An attachment ends when its device or namespace goes; the pod's
/// address stays.
struct Attachment {
  std::uint32_t ifindex = 0;       ///< host side of the pod's veth, in the node's namespace
  std::uint64_t netns_cookie = 0;  ///< of the pod's namespace
  std::string device;              ///< host side device name, "slc..."
  Mac mac;                         ///< of the pod's interface
  bool plain_redirect = false;     ///< deliver with bpf_redirect (a VM's tap), not redirect_peer
  /// When it ends at the latest, in milliseconds since 1970. Until then the pod takes no new flows. Nothing: it stays.
  std::optional<std::int64_t> leaves_at{};
  /// The last deadline of a drain (Pod::drain_deadline) at which the pod's flows have been ended here.
  std::optional<std::int64_t> drained_at{};
  auto operator<=>(const Attachment&) const = default;
};
using Attachments = std::map<Name, Attachment>;

/// The pod's MAC address: a locally administered function of (network id, addresses), so that every attachment of
/// the same pod has the same one.
Mac pod_mac(std::uint32_t network_id, const Addresses& addresses);

}  // namespace sluice::model
