// SPDX-License-Identifier: Apache-2.0
// Devices of pods: a bounded pool of veth pairs whose host side already runs from_pod (and so drops everything
// until a port record exists), because attaching programs and moving devices wait for RCU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "datapath/datapath.hpp"
#include "model/assignments.hpp"

namespace sluice::datapath {

struct PodDevice {
  std::string interface = "eth0";  ///< name inside the pod's namespace
  Mac mac;
  Ipv4 address;
  Cidr4 cidr;                      ///< prefix length of the address; the connected route
  Ipv4 router;                     ///< default route
  std::uint32_t mtu = 1500;
};

class VethPool {
 public:
  /// `prefix`: host-side device names are prefix + hex number ("slc1a"). `size`: pairs kept ready.
  static Result<std::unique_ptr<VethPool>> open(Datapath& datapath, std::string prefix, std::uint32_t size);
  virtual ~VethPool() = default;

  /// Gives the namespace behind `netns` (an open nsfs descriptor) an interface: MAC, MTU, address, up, default
  /// route. Takes a pair of the pool, or makes one when the pool is empty. On failure nothing is left behind.
  /// kExists if the namespace has an interface of that name.
  virtual Result<model::Attachment> attach(const UniqueFd& netns, const PodDevice& device) = 0;
  /// Removes the pair and its link pin; fine if it is gone already.
  virtual Status detach(const model::Attachment& attachment) = 0;
  /// Makes pairs until the pool is full; the daemon calls it when idle. One pair a call.
  virtual Result<bool> refill() = 0;
  [[nodiscard]] virtual std::size_t ready() const = 0;
};

/// Opens a network namespace by path. kNotFound if the path does not exist, kInvalid if it is no network namespace.
Result<UniqueFd> open_netns(const std::filesystem::path& path);
/// SO_NETNS_COOKIE of that namespace (Linux >= 5.14), unique per boot.
Result<std::uint64_t> netns_cookie(const UniqueFd& netns);
/// /proc/sys/kernel/random/boot_id
Result<std::string> boot_id();

}  // namespace sluice::datapath
