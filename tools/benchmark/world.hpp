// SPDX-License-Identifier: Apache-2.0
// A network with a client pod, backends, services and a floating IP, written as the daemon would, and flows that the
// programs themselves have made from packets.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "devices.hpp"
#include "engine.hpp"
#include "family.hpp"
#include "tables.hpp"

namespace sluice::benchmark {

/// Who opens the flows.
enum class Side : std::uint8_t {
  kPod,     ///< the client pod, to 256 services
  kPublic,  ///< clients on the public side, to the floating IP
  kEgress,  ///< the client pod, to the public side by an egress address
};

struct WorldShape {
  Family family = Family::kIpv4;
  Side side = Side::kPod;
  std::uint32_t flows = 1;     ///< in the table from the beginning
  std::uint32_t backends = 1;  ///< of each service; above SLUICE_RENDEZVOUS_MAX a ring chooses among them
};

class World {
 public:
  /// Loads the programs, fills the tables and opens the flows (SYN, SYN+ACK, ACK); checks that they are there.
  static Result<std::unique_ptr<World>> make(const WorldShape& shape, const Devices& devices, const std::string& object,
                                             Engine& engine);

  // The packets. Flow index i is the same flow in request() and reply().
  [[nodiscard]] Traffic request(std::uint8_t flags) const;
  [[nodiscard]] Traffic reply(std::uint8_t flags) const;
  /// From the client to a backend's own address: no service, no flow.
  [[nodiscard]] Traffic pod_to_pod() const;
  /// On the uplink, to addresses that are not ours.
  [[nodiscard]] Traffic foreign() const;

  [[nodiscard]] const Tables& tables() const { return tables_; }
  [[nodiscard]] Family family() const { return shape_.family; }
  [[nodiscard]] Side side() const { return shape_.side; }
  [[nodiscard]] std::uint32_t request_device() const;
  [[nodiscard]] std::uint32_t reply_device() const {
    return shape_.side == Side::kEgress ? devices_.uplink : devices_.backend;
  }
  [[nodiscard]] std::uint32_t flows() const { return shape_.flows; }

  /// The next `count` flows that are not in the table: for SYNs. Every flow of the window must be opened.
  [[nodiscard]] Flows next_new(std::uint32_t count) const { return {oldest_ + shape_.flows, count}; }
  /// For new flows by an egress address, all of one remote: holds 7 of 16 of its ports by records of nobody's, so that
  /// with the flows themselves half of them are taken on average; and lets those of the last call go.
  [[nodiscard]] Status hold_ports(const Flows& flows);
  /// After next_new() flows were opened: closes as many of the oldest, giving back their records, pair indexes and
  /// share as the sweep does.
  [[nodiscard]] Status close_oldest(std::uint32_t count);

 private:
  World(const WorldShape& shape, const Devices& devices, Tables tables)
      : shape_(shape), devices_(devices), tables_(std::move(tables)) {}
  [[nodiscard]] Status write_settings() const;
  [[nodiscard]] Address address(Ipv4 number) const;
  [[nodiscard]] Status put_endpoint(std::uint32_t network, const Address& address, std::uint8_t kind, const Mac& mac,
                                    const sluice_ref& ref = {}, std::uint32_t ifindex = 0) const;
  [[nodiscard]] Status write_pod(std::uint32_t slot, Ipv4 number, std::uint32_t ifindex) const;
  [[nodiscard]] Status write_pods() const;
  [[nodiscard]] Status set_filter_bit(std::uint32_t network, const Address& address) const;
  [[nodiscard]] Status put_port(const sluice_port& port) const;
  [[nodiscard]] Status write_frontend(std::uint32_t index, std::uint32_t network, const Address& address,
                                      std::uint16_t target_port) const;
  [[nodiscard]] Status write_backends(std::uint32_t base, std::uint16_t target_port) const;
  [[nodiscard]] Status write_ring(std::uint32_t index) const;
  [[nodiscard]] Status write_frontends() const;
  [[nodiscard]] Status write_egress() const;
  template <typename Names>
  [[nodiscard]] typename Names::FlowKey held_key(std::uint32_t remote, std::uint32_t port) const;
  [[nodiscard]] Status give_back(std::uint32_t pair) const;
  [[nodiscard]] Status open_flows(Engine& engine) const;
  [[nodiscard]] Status check_flows() const;
  template <typename Names>
  [[nodiscard]] typename Names::FlowKey forward_key(std::uint32_t flow) const;
  [[nodiscard]] Status close_flow(std::uint32_t flow) const;

  WorldShape shape_;
  Devices devices_;
  Tables tables_;
  std::uint32_t oldest_ = 0;
  std::optional<std::uint32_t> held_remote_;
};

}  // namespace sluice::benchmark
