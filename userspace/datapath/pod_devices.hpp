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

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
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
  std::optional<Ipv4> address;  ///< this, or address6, or both
  Cidr4 cidr;                   ///< prefix length of the address; the connected route
  Ipv4 router;                  ///< default route
  std::uint32_t mtu = 1500;
  std::optional<Ipv6> address6{};
  Cidr6 cidr6{};  ///< as cidr; the default route is the router's link-local address
};

/// What tells a daemon's devices from all others from their birth on: names are prefix + hex number ("slc1a"), and
/// their device group is that of the daemon's store. The name alone is not enough: "slca1" is slc + a1 and slca + 1,
/// and two daemons may have the same prefix one after the other.
struct DeviceMark {
  std::string prefix;
  std::uint32_t group = 0;
};

/// The device group of a store. Not 0 (every other device) and above what people number themselves.
std::uint32_t device_group(const std::array<std::uint8_t, 16>& store_uuid);

class PodDevices {
 public:
  static Result<std::unique_ptr<PodDevices>> open(Datapath& datapath, DeviceMark mark);
  virtual ~PodDevices() = default;

  /// Gives the namespace behind `netns` (an open nsfs descriptor) an interface: MAC, MTU, addresses, up, default
  /// routes; IPv6 addresses at once, without duplicate address detection, and none that the kernel chooses itself. On
  /// failure nothing is left behind. kExists if the namespace has an interface of that name or a default route,
  /// kInvalid if it is the node's own namespace, kPrecondition if an IPv6 address is asked for and the namespace has no
  /// IPv6.
  virtual Result<model::Attachment> attach(const UniqueFd& netns, const PodDevice& device) = 0;
  /// Removes the pair and its link pin; fine if it is gone already. Waits for RCU: 20 to 70 ms.
  virtual Status detach(const model::Attachment& attachment) = 0;
  /// Gives one quickly attached device its TCX link; false when there is none left to do. The daemon calls it when
  /// idle: a call takes up to 40 ms, in which no other device can be made.
  virtual Result<bool> settle() = 0;
};

/// Removes the host sides with this mark whose ifindex is not in `keep`: what a killed daemon or an attachment without
/// a record left. Returns their names.
Result<std::vector<std::string>> remove_leftover_devices(const DeviceMark& mark,
                                                         const std::vector<std::uint32_t>& keep);

/// The name of the interface with that MAC inside the namespace; nothing if there is none.
Result<std::optional<std::string>> interface_with(const UniqueFd& netns, const Mac& mac);

}  // namespace sluice::datapath
