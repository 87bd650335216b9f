// SPDX-License-Identifier: Apache-2.0
// The configured uplinks against the devices that exist: they may appear, vanish and be renamed at any time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
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

/// How the MTU of pods is chosen (docs/config.md).
struct MtuPolicy {
  std::optional<std::uint32_t> fixed;  ///< nothing: what the uplinks leave
  std::uint32_t reserve = 0;           ///< bytes by which a packet may grow on its way
  auto operator<=>(const MtuPolicy&) const = default;
};

class Uplinks {
 public:
  /// The datapath must outlive it.
  Uplinks(datapath::Datapath& datapath, std::vector<UplinkConfig> wanted, const MtuPolicy& policy);

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
  /// Its MTU; 0 likewise.
  [[nodiscard]] std::uint32_t mtu_of(const std::string& device) const;

  void change_policy(const MtuPolicy& policy) { policy_ = policy; }
  /// The MTU that pods' devices are to have with the uplinks as they are.
  [[nodiscard]] std::uint32_t pod_mtu() const;
  /// The smallest of the uplinks that work; nothing if none does.
  [[nodiscard]] std::optional<std::uint32_t> smallest_mtu() const;

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
  MtuPolicy policy_;
  std::map<std::string, Device> devices_;
  std::vector<compile::Uplink> current_;
};

}  // namespace sluice::node
