// SPDX-License-Identifier: Apache-2.0
// The node's own addresses (rtnetlink).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::datapath {

/// An address on a device of this network namespace.
struct AddressInfo {
  std::uint32_t ifindex = 0;
  IpAddress address;
  bool global = false;      ///< scope "global" to the kernel, which takes unique local addresses of IPv6 for that too
  bool secondary = false;   ///< IPv4: another address of the same prefix came first
  bool temporary = false;   ///< IPv6: made for privacy (RFC 8981), goes after hours or days
  bool deprecated = false;  ///< not for new connections
  bool tentative = false;   ///< not known to be this node's alone: DAD has not ended, or has found somebody
  auto operator<=>(const AddressInfo&) const = default;
};

/// In the kernel's order, IPv4 first.
Result<std::vector<AddressInfo>> list_addresses();

/// Tells that addresses have come, gone or changed. What there is must be listed: events may be lost.
class AddressWatch {
 public:
  static Result<std::unique_ptr<AddressWatch>> open();
  virtual ~AddressWatch() = default;
  [[nodiscard]] virtual int fd() const = 0;
  /// Whether there was any event since the last call, or one may have been lost (ENOBUFS). Events about addresses of
  /// the link alone do not count: each device that comes up makes some.
  virtual Result<bool> changed() = 0;
};

}  // namespace sluice::datapath
