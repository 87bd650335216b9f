// SPDX-License-Identifier: Apache-2.0
// The node's way out as compile() wants it: what the configuration asks for, against the addresses, uplinks and sockets
// that there are now.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compile/egress.hpp"
#include "datapath/addresses.hpp"
#include "model/resources.hpp"
#include "node/egress_config.hpp"
#include "node/host_ports.hpp"

namespace sluice::node {

/// What the way out depends on beside the configuration.
struct EgressFacts {
  std::uint32_t ifindex = 0;  ///< of the configured device; 0: it does not work
  std::vector<datapath::AddressInfo> addresses;
  std::vector<PortRange> reserved;  ///< reserved_ports()
  std::string unreserved;           ///< why the ports could not be reserved; empty: nobody tried, or it worked
  std::vector<HostSocket> sockets;  ///< with a port of the configured range
  bool whole = false;               ///< `sockets` has connections too, not only those that listen
  std::vector<Ipv4> underlays;      ///< by which nodes reach each other
};

struct EgressDecision {
  compile::Egress value;
  std::vector<std::string> problems;  ///< a sentence each, with its remedy
  bool needs_whole = false;           ///< a shared address would be begun if the whole list of sockets allowed it
};

using FloatingIps = std::map<std::string, model::FloatingIp>;

/// A shared address is not begun while its ports are not reserved or a socket of the host has one of them, or as long
/// as nobody has read the whole list of sockets; one by which pods leave already (`before`) stays: their connections
/// are worth more than what might collide. An address that a floating IP has is nobody's way out: the tables have one
/// place for it.
EgressDecision decide_egress(const EgressConfig& config, const EgressFacts& facts, const FloatingIps& floating_ips,
                             const compile::Egress& before);

/// The device's address to leave by: `before` as long as it will do, because another address ends every flow; else the
/// first that is neither temporary, deprecated nor tentative. Of IPv6 one that the Internet routes, if there is one,
/// before a unique local one (RFC 4193).
std::optional<Ipv4> egress_address4(const std::vector<datapath::AddressInfo>& addresses, std::uint32_t ifindex,
                                    std::optional<Ipv4> before);
std::optional<Ipv6> egress_address6(const std::vector<datapath::AddressInfo>& addresses, std::uint32_t ifindex,
                                    std::optional<Ipv6> before);

/// Whether pods may leave by an address of the node's own, whose ports must be reserved.
bool wants_shared_ports(const EgressConfig& config);

/// Follows all that through the life of a node; the node says when to look.
class EgressFollower {
 public:
  explicit EgressFollower(std::optional<EgressConfig> config) : config_(std::move(config)) {}

  void change(std::optional<EgressConfig> config) { config_ = std::move(config); }
  /// By what pods left before this process began, as far as somebody knows: it is not begun, it goes on.
  void resume(compile::Egress held) { current_ = std::move(held); }

  /// Reads addresses, reserved ports and sockets; reserves the ports if that is needed and allowed. What cannot be read
  /// is a problem, and stays as it was known last.
  void look();
  /// From what look() found last, the device's index (0: it does not work), and nodes and floating IPs of the desired
  /// state. Reads the whole list of sockets if a shared address is about to begin. True if current() has changed: never
  /// before the node's addresses were read, because what must be denied is not known either.
  bool decide(std::uint32_t ifindex, const std::map<std::string, model::Node>& nodes, const FloatingIps& floating_ips);

  /// An uplink's name; empty if nobody leaves.
  [[nodiscard]] std::string device() const { return config_ ? config_->device : ""; }
  [[nodiscard]] const compile::Egress& current() const { return current_; }
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  Status look_at_addresses();
  Status look_at_ports();
  Status look_at_sockets(SocketKinds kinds);
  EgressDecision make(const FloatingIps& floating_ips);
  void not_seen(const Status& why) { unseen_ = "egress: " + why.error().message + "; it is tried again"; }
  void log_changes(const EgressDecision& now) const;

  std::optional<EgressConfig> config_;
  EgressFacts facts_;
  bool addresses_known_ = false;  ///< look() has read them
  std::string unseen_;            ///< why something could not be read
  compile::Egress current_;
  std::vector<std::string> problems_;
};

}  // namespace sluice::node
