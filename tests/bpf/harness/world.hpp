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

struct Network {
  std::uint32_t id = 0;
  std::uint16_t slot = 0;
  std::uint32_t cidr = 0;
  std::uint32_t mask = 0;
  std::uint32_t router = 0;
};

struct Pod {
  Network network;
  std::uint32_t address = 0;
  Mac mac{};
  std::uint32_t ifindex = 0;
  sluice_ref ref{};

  /// Frames of this pod to the router (services, other subnets) and to a neighbour.
  [[nodiscard]] Link to_router() const { return {mac, kRouterMac}; }
  [[nodiscard]] Link to(const Pod& other) const { return {mac, other.mac}; }
  [[nodiscard]] Link from_router() const { return {kRouterMac, mac}; }
};

struct Target {
  Pod pod;
  std::uint16_t port = 0;
  bool ready = true;
};

/// A service port, or a floating IP's port (network.id of the key is 0 then).
struct Frontend {
  sluice_frontend4 record{};
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  std::vector<Target> targets;
};

struct FrontendOptions {
  std::uint8_t algorithm = SLUICE_ALGORITHM_HASH;
  std::uint32_t ring_size = 0;
};

class World {
 public:
  explicit World(Datapath& datapath) : datapath_(datapath) {}

  /// A network with its router at the first address and the limits of max_pairs shared by all.
  Network network(std::uint32_t id, std::uint16_t slot, const std::string& cidr = "172.16.0.0",
                  unsigned prefix_length = 16);
  void limits(const Network& network, std::uint32_t guaranteed, std::uint32_t most, std::uint32_t half_open);
  Pod pod(const Network& network, const std::string& address, std::uint8_t kind = SLUICE_ENDPOINT_POD_PEER);
  Frontend service(const Network& network, const std::string& address, std::uint16_t port, std::uint8_t protocol,
                   const std::vector<Target>& targets, const FrontendOptions& options = {});
  /// The device of the uplink; made at the first call.
  std::uint32_t uplink();
  Frontend floating(const std::string& address, std::uint16_t port, std::uint8_t protocol, const Network& network,
                    const std::vector<Target>& targets, const FrontendOptions& options = {});
  /// An address of kind floating or service without any port.
  void service_address(const Network& network, const std::string& address);
  void floating_address(const std::string& address);

  /// Removes the pod's records and ends its generation; its device and slot are free for another.
  void remove(const Pod& pod);
  /// Another pod in the slot, on the device and with the address of a removed one.
  Pod replace(const Pod& pod);
  void detach(const Pod& pod);
  void set_filter_bit(const sluice_endpoint4_key& key);
  /// A port's record and the slot in front of it, as the daemon writes them.
  void put_port(const sluice_port& port);
  void remove_port(std::uint32_t ifindex);
  void bump(const Frontend& frontend);
  void remove(const Frontend& frontend);
  void set_ready(Frontend& frontend, std::size_t index, bool ready);

  std::uint32_t next_generation() { return ++generation_; }

 private:
  void write_pod(const Pod& pod, std::uint8_t kind);
  Frontend frontend(std::uint32_t network, const Network& tenant, std::uint32_t address, std::uint16_t port,
                    std::uint8_t protocol, const std::vector<Target>& targets, const FrontendOptions& options);
  void write_ring(const Frontend& frontend);

  Datapath& datapath_;
  std::uint32_t generation_ = 100;
  std::uint32_t next_endpoint_slot_ = 1;
  std::uint32_t next_frontend_slot_ = 1;
  std::uint32_t next_backend_ = 0;
  std::uint32_t next_ring_block_ = 0;
  unsigned next_device_ = 0;
  std::uint32_t uplink_ = 0;
};

}  // namespace bpftest
