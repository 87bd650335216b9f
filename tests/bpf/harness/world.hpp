// SPDX-License-Identifier: Apache-2.0
// Networks, pods, services and floating IPs for a test, written to the maps as the daemon would: plain records of
// include/sluice/abi.h, without the code that computes them in the product.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/datapath.hpp"
#include "harness/devices.hpp"
#include "harness/frame.hpp"

namespace bpftest {

inline constexpr Mac kRouterMac = SLUICE_ROUTER_MAC;
inline constexpr Mac kGatewayMac = {0x02, 0xbb, 0, 0, 0, 0x01};  ///< the uplink's neighbour, where the Internet is

/// What a network has of one family: `router` is none if it has nothing of it.
struct Subnet {
  Address prefix;
  unsigned length = 0;
  Address router;
};

struct Network {
  std::uint32_t id = 0;
  std::uint16_t slot = 0;
  Address router;  ///< of the family that the network was made with
  Subnet v4, v6;

  [[nodiscard]] const Subnet& subnet(Family family) const { return family == Family::kIpv6 ? v6 : v4; }
};

struct Pod {
  Network network;
  Address address;
  Address second;  ///< of the other family, if any
  Mac mac{};
  std::uint32_t ifindex = 0;
  sluice_ref ref{};
  std::uint8_t kind = SLUICE_ENDPOINT_POD_PEER;

  /// None if the pod has no address of that family.
  [[nodiscard]] Address in(Family family) const {
    return address.family() == family ? address : second.family() == family ? second : Address();
  }
  /// Frames of this pod to the router (services, other subnets) and to a neighbour.
  [[nodiscard]] Link to_router() const { return {mac, kRouterMac}; }
  [[nodiscard]] Link to(const Pod& other) const { return {mac, other.mac}; }
  [[nodiscard]] Link from_router() const { return {kRouterMac, mac}; }
};

struct Target {
  Pod pod;
  std::uint16_t port = 0;
  bool ready = true;
  std::uint16_t weight = 1;
};

struct FrontendOptions {
  std::uint8_t algorithm = SLUICE_ALGORITHM_HASH;
  std::uint32_t ring_size = 0;
  std::uint32_t affinity = 0;  ///< seconds
  std::uint32_t owner = 0;
};

/// A service port, or a floating IP's port (network 0 in its key), as sluice_frontend4 or sluice_frontend6 has it.
struct Frontend {
  FrontendKey key;
  std::uint32_t backend_network = 0;
  sluice_ref ref{};
  std::uint32_t backend_base = 0, ring_base = 0;
  Address router;
  std::uint16_t network_slot = 0;
  std::uint8_t cidr_length = 0;
  FrontendOptions options;
  std::vector<Target> targets;

  [[nodiscard]] std::uint32_t ready_count() const;
};

struct WayOutOptions {
  std::uint16_t first = 20000, last = 20999;  ///< ports
  std::uint32_t quota = 1000;
  bool shared = false;  ///< the address is the node's own
};

/// How a network's pods leave in one family, that of the address.
struct WayOut {
  std::uint32_t network = 0;
  Address address;
  sluice_ref ref{};
  WayOutOptions options;
};

/// Texts of addresses are those that ip(text, family) takes: a test that is written in IPv4 addresses has IPv6 ones in
/// a world of that family.
class World {
 public:
  explicit World(Datapath& datapath, Family family = Family::kIpv4) : datapath_(datapath), family_(family) {}

  [[nodiscard]] Address ip(const std::string& text) const { return bpftest::ip(text, family_); }

  /// A network with its router at the first address and the limits of max_pairs shared by all. `length` is that of the
  /// text's own family.
  Network network(std::uint32_t id, std::uint16_t slot, const std::string& cidr = "172.16.0.0", unsigned length = 16);
  /// Gives a network the other family as well; pods that are made from then on may have a second address.
  void add_subnet(Network& network, const Address& prefix, unsigned length);
  void limits(const Network& network, std::uint32_t guaranteed, std::uint32_t most, std::uint32_t half_open);
  Pod pod(const Network& network, const std::string& address, std::uint8_t kind = SLUICE_ENDPOINT_POD_PEER);
  /// A pod with an address of each family.
  Pod pod(const Network& network, const Address& address, const Address& second);
  Frontend service(const Network& network, const std::string& address, std::uint16_t port, std::uint8_t protocol,
                   const std::vector<Target>& targets, const FrontendOptions& options = {});
  /// The device of the uplink; made at the first call.
  std::uint32_t uplink();
  Frontend floating(const std::string& address, std::uint16_t port, std::uint8_t protocol, const Network& network,
                    const std::vector<Target>& targets, const FrontendOptions& options = {});
  /// An address of kind floating or service without any port.
  void service_address(const Network& network, const std::string& address);
  void floating_address(const std::string& address);

  /// By an egress address, which may be that of other networks too; in place of the network's former one of its family.
  /// The quota is that of both families.
  WayOut way_out(const Network& network, const std::string& address, const WayOutOptions& options = {});
  void renew(WayOut& way);
  void remove(const WayOut& way);
  /// No pod reaches the prefix; `length` as for network().
  void deny(const std::string& prefix, unsigned length);

  /// Removes the pod's records and ends its generation; its device and slot are free for another.
  void remove(const Pod& pod);
  /// Another pod in the slot, on the device and with the address of a removed one.
  Pod replace(const Pod& pod);
  /// Ends the pod's flows; it keeps its address and its device.
  void renew(Pod& pod);
  void detach(const Pod& pod);
  /// Writes the pod's records as they were when it was made.
  void write(const Pod& pod);
  void set_filter_bit(const EndpointKey& key);
  /// A port's record and the slot in front of it, as the daemon writes them.
  void put_port(const sluice_port& port);
  void remove_port(std::uint32_t ifindex);
  /// Ends the frontend's flows; its record keeps the old generation.
  void bump(const Frontend& frontend);
  /// Ends its flows, and lets new ones be made.
  void renew(Frontend& frontend);
  void remove(const Frontend& frontend);
  void set_ready(Frontend& frontend, std::size_t index, bool ready);

  std::uint32_t next_generation() { return ++generation_; }

 private:
  Pod make_pod(const Network& network, const Address& address, const Address& second, std::uint8_t kind);
  void put_endpoint(const EndpointKey& key, std::uint8_t kind, const Mac& mac, const Pod* pod = nullptr);
  Frontend frontend(std::uint32_t network, const Network& tenant, const Address& address, std::uint16_t port,
                    std::uint8_t protocol, const std::vector<Target>& targets, const FrontendOptions& options);
  void put_backends(const Frontend& frontend);
  void put_frontend(const Frontend& frontend);
  void put_ring(const Frontend& frontend);
  void put_way(const WayOut& way);

  Datapath& datapath_;
  Family family_;
  std::uint32_t generation_ = 100;
  std::uint32_t next_endpoint_slot_ = 1;
  std::uint32_t next_frontend_slot_ = 1;
  std::uint32_t next_backend_ = 0;
  std::uint32_t next_ring_block_ = 0;
  unsigned next_device_ = 0;
  std::uint32_t uplink_ = 0;
};

}  // namespace bpftest
