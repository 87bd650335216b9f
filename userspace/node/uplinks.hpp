// SPDX-License-Identifier: Apache-2.0
// The configured uplinks against the devices that exist: they may appear, vanish and be renamed at any time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compile/compile.hpp"
#include "datapath/datapath.hpp"
#include "datapath/links.hpp"

namespace sluice::node {

struct UplinkConfig {
  std::string device;
  datapath::XdpMode xdp = datapath::XdpMode::kOff;
  auto operator<=>(const UplinkConfig&) const = default;
};

class Uplinks {
 public:
  /// The datapath must outlive it.
  Uplinks(datapath::Datapath& datapath, std::vector<UplinkConfig> wanted, std::uint32_t pod_mtu);

  /// Attaches to every configured device that is there, also to one whose program somebody has removed, and lets go of
  /// those that are not there any more. True if current() has changed. What is wrong with a device is not fatal:
  /// problems() tells it, and the next call tries again.
  Result<bool> refresh();

  /// The devices that carry our program, as compile() wants them.
  [[nodiscard]] const std::vector<compile::Uplink>& current() const { return current_; }
  /// One sentence for each configured device that does not work now, or not for every packet.
  [[nodiscard]] std::vector<std::string> problems() const;
  /// True if a change of this device matters here.
  [[nodiscard]] bool concerns(const datapath::LinkInfo& link) const;
  [[nodiscard]] bool holds(std::uint32_t ifindex) const;
  [[nodiscard]] const std::vector<UplinkConfig>& wanted() const { return wanted_; }
  /// The index of a configured device that works; 0: it does not.
  [[nodiscard]] std::uint32_t ifindex_of(const std::string& device) const;

 private:
  struct Device {
    std::uint32_t ifindex = 0;  ///< 0: not attached
    Mac mac;
    std::uint32_t mtu = 0;
    std::string problem;
  };
  void refresh(const UplinkConfig& wanted, const datapath::LinkInfo* link, Device& device);
  void let_go(const std::string& name, Device& device);

  datapath::Datapath& datapath_;
  std::vector<UplinkConfig> wanted_;
  std::uint32_t pod_mtu_;
  std::map<std::string, Device> devices_;
  std::vector<compile::Uplink> current_;
};

}  // namespace sluice::node
