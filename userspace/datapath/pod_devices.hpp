// SPDX-License-Identifier: Apache-2.0
// Devices of pods: a veth pair for each attachment, its host side running from_pod before it can carry a packet.
//
// What waits for RCU, and what does not (kernel 6.18, 2 CPUs, medians of 60, ms): moving a ready-made end into the
// pod's namespace 24.9 (p99 52); attaching a TCX link 11 to 15 (p99 23); a clsact filter 0.2; a pair whose peer is
// born inside the pod's namespace 0.4; addresses and routes there 0.3. So a pool of ready-made pairs loses to
// having none: the pair is born in place, the program is attached as a clsact filter at once (attach in all 0.9,
// p99 7), and settle() trades the filter for a TCX link when the daemon is idle. TCX runs before clsact and its
// verdict is final, so that the trade loses no packet and runs none twice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "datapath/datapath.hpp"
#include "datapath/namespaces.hpp"
#include "model/assignments.hpp"

namespace sluice::datapath {

struct PodDevice {
  std::string interface = "eth0";  ///< name inside the pod's namespace
  Mac mac;
  Ipv4 address;
  Cidr4 cidr;   ///< prefix length of the address; the connected route
  Ipv4 router;  ///< default route
  std::uint32_t mtu = 1500;
};

/// The device group of every host side, so that a leftover is recognisable from its birth ("slc" in ASCII).
inline constexpr std::uint32_t kDeviceGroup = 0x736c63;

class PodDevices {
 public:
  /// `prefix`: host-side device names are prefix + hex number ("slc1a").
  static Result<std::unique_ptr<PodDevices>> open(Datapath& datapath, std::string prefix);
  virtual ~PodDevices() = default;

  /// Gives the namespace behind `netns` (an open nsfs descriptor) an interface: MAC, MTU, address, up, default
  /// route, no IPv6 of its own. On failure nothing is left behind. kExists if the namespace has an interface of
  /// that name or a default route, kInvalid if it is the node's own namespace.
  virtual Result<model::Attachment> attach(const UniqueFd& netns, const PodDevice& device) = 0;
  /// Removes the pair and its link pin; fine if it is gone already. Waits for RCU: 20 to 70 ms.
  virtual Status detach(const model::Attachment& attachment) = 0;
  /// Gives one quickly attached device its TCX link; false when there is none left to do. The daemon calls it when
  /// idle: a call takes up to 40 ms, in which no other device can be made.
  virtual Result<bool> settle() = 0;
};

/// Removes the host sides with our group and `prefix` whose ifindex is not in `keep`: what a killed daemon or an
/// attachment without a record left. Returns their names.
Result<std::vector<std::string>> remove_leftover_devices(const std::string& prefix,
                                                         const std::vector<std::uint32_t>& keep);

}  // namespace sluice::datapath
