// SPDX-License-Identifier: Apache-2.0
// Which of our programs runs on which device. The pins under links/ are the only record of it:
//   pod-N, uplink-N                the TCX link of the device with ifindex N
//   xdp-N                          its XDP link
//   clsact-pod-N, clsact-uplink-N  an empty folder: the device has our clsact filter (a filter cannot be pinned)
// A folder is made before its filter and removed after it, so that a kill between two steps leaves a record whose
// filter the next load adds again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "datapath/datapath.hpp"
#include "datapath/pins.hpp"

namespace sluice::datapath {

struct Programs {
  int from_pod = -1;
  int from_uplink = -1;
  int uplink_xdp = -1;
};

class Attachments {
 public:
  Attachments(const PinFolders& pins, Programs programs, bool tcx) : pins_(pins), programs_(programs), tcx_(tcx) {}

  /// Puts the programs into everything that is recorded, atomically one by one, and drops the records of devices
  /// that have gone. A hook that cannot be taken over is logged and left to attach_pod() or attach_uplink().
  Status take_over();

  Status attach_pod(std::uint32_t ifindex);
  Result<bool> settle();
  Status detach_pod(std::uint32_t ifindex);
  Status attach_uplink(std::uint32_t ifindex, XdpMode mode);
  Status detach_uplink(std::uint32_t ifindex);
  [[nodiscard]] Result<std::vector<std::uint32_t>> attached() const;

  /// Detaches and forgets everything that is recorded under `pins`.
  static Status remove_all(const PinFolders& pins);

 private:
  Result<bool> has_live_link(const std::string& name, std::uint32_t ifindex) const;
  Status take_over_one(const std::string& name);
  Result<bool> settle_one(const std::string& name, std::uint32_t ifindex);
  Status put_filter(const std::string& role, int program, std::uint32_t ifindex);
  Status attach_tc_uplink(std::uint32_t ifindex);
  Status attach_uplink_xdp(std::uint32_t ifindex, XdpMode mode);
  Status remove(const std::string& name) const;
  [[nodiscard]] int program_of(const std::string& role) const;

  const PinFolders& pins_;
  Programs programs_;
  bool tcx_;
};

}  // namespace sluice::datapath
