// SPDX-License-Identifier: Apache-2.0
// A small cluster state built in code, and what the tests ask the tables.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compile/compile.hpp"

namespace sluice::compile {

/// Everything that compile() reads. Each call declares one thing.
class World {
 public:
  World();

  model::Network& network(const std::string& name, std::uint32_t id, const std::string& cidr = "172.16.0.0/16");
  model::Pod& pod(const std::string& network, const std::string& name, const std::string& address,
                  model::Labels labels);
  void attach(const std::string& network, const std::string& name, std::uint32_t ifindex, bool plain_redirect = false);
  model::Service& service(const std::string& network, const std::string& name, const std::string& address,
                          model::Labels selector, std::vector<model::ServicePort> ports);
  void floating_ip(const std::string& name, const std::string& address);

  [[nodiscard]] Input input() const;
  /// Compiles over `previous` and expects success.
  [[nodiscard]] Tables tables(const Tables& previous = {}) const;
  [[nodiscard]] std::string error(const Tables& previous = {}) const;

  model::State state;
  model::Assignments assignments;
  model::Attachments attachments;
  std::vector<Uplink> uplinks;
  sluice_settings settings{};
  Limits limits;
  Egress egress;
};

/// By the node's own IPv4 address and an IPv6 address that nobody else has.
Egress give_egress();

model::ServicePort tcp(std::uint16_t port, std::uint16_t target);
model::ServicePort tcp_named(std::uint16_t port, const std::string& target);
model::ServicePort udp(std::uint16_t port, std::uint16_t target);

std::uint32_t wire(const std::string& address);
const sluice_endpoint4* endpoint(const Tables& tables, std::uint32_t network, const std::string& address);
const sluice_frontend4* frontend(const Tables& tables, std::uint32_t network, const std::string& address,
                                 std::uint16_t port, std::uint8_t protocol = 6);
std::vector<sluice_backend> backends(const Tables& tables, const sluice_frontend4& frontend);
/// The backend of a frontend by its address; fails the test if there is none.
sluice_backend backend(const Tables& tables, const sluice_frontend4& frontend, const std::string& address);

/// Byte for byte, and independent of diff().
bool equal(const Tables& a, const Tables& b);

/// The writes of a plan one by one, in order.
std::vector<Plan> single_writes(const Plan& plan);

}  // namespace sluice::compile

/// In the namespace of the ABI structs, so that GoogleTest finds it.
inline bool operator==(const sluice_ref& a, const sluice_ref& b) {
  return a.slot == b.slot && a.generation == b.generation;
}
