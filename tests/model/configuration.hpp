// SPDX-License-Identifier: Apache-2.0
// A random configuration, written to the maps and to the model alike: networks with the same CIDRs, pods of one family
// or of both, services, floating IPs, limits; and random changes of it.
#pragma once

#include <random>
#include <vector>

#include "harness/world.hpp"
#include "model.hpp"

namespace model {

using Random = std::mt19937_64;

inline std::uint32_t below(Random& random, std::size_t bound) {
  return static_cast<std::uint32_t>(random() % bound);
}
inline bool chance(Random& random, std::uint32_t percent) {
  return below(random, 100) < percent;
}
template <typename Values>
auto& any_of(Random& random, Values& values) {
  return values[below(random, std::size(values))];
}

Address to_model(const bpftest::Address& address);
bpftest::Address from_model(const Address& address);

inline constexpr std::uint16_t kServicePorts[] = {80, 81, 53};

inline std::uint32_t network_of_slot(std::uint32_t slot) {
  return 100 + slot;
}

/// How large a configuration is.
struct Shape {
  std::uint32_t networks, pods;  ///< pods of each network
  std::uint32_t pairs;           ///< that the datapath has; few sizes, because loading an object for each takes seconds
  std::uint32_t egress = 80;     ///< per cent of the configurations in which networks have ways out
};
inline Shape small_shape(std::uint64_t seed) {
  return {.networks = 2 + static_cast<std::uint32_t>(seed / 3 % 2), .pods = 5, .pairs = 12U << seed % 3};
}

class Configuration {
 public:
  /// Everything follows from `seed`.
  Configuration(std::uint64_t seed, const Shape& shape, bpftest::Datapath& datapath, Model& model);

  /// Changes something in both worlds: readiness, a replaced or detached pod, a renewed service.
  void change(std::uint64_t seed);

  [[nodiscard]] const std::vector<bpftest::Pod>& pods() const { return pods_; }
  [[nodiscard]] std::uint32_t uplink() const { return uplink_; }
  /// Everything worth sending to, in one family.
  [[nodiscard]] const std::vector<bpftest::Address>& targets(bool v6) const { return targets_[v6 ? 1 : 0]; }
  [[nodiscard]] const std::vector<bpftest::Address>& floating(bool v6) const { return floating_[v6 ? 1 : 0]; }
  [[nodiscard]] const std::vector<bpftest::Address>& clients(bool v6) const { return clients_[v6 ? 1 : 0]; }
  /// What pods reach outside, or would if they might.
  [[nodiscard]] const std::vector<bpftest::Address>& remotes(bool v6) const { return remotes_[v6 ? 1 : 0]; }
  /// The addresses that pods leave by; a network's way may be any of them. Empty if no network has one.
  [[nodiscard]] const std::vector<bpftest::Address>& egress(bool v6) const { return egress_[v6 ? 1 : 0]; }
  [[nodiscard]] std::uint16_t shared_first() const { return shared_first_; }
  /// May the networks' pods be short of ports, if they all ask the same?
  [[nodiscard]] bool crowded() const { return crowded_; }
  /// Those that networks have, or have had until a change took them away.
  [[nodiscard]] const std::vector<bpftest::WayOut>& ways() const { return ways_; }

 private:
  void add_settings();
  void add_mtus();
  void add_network(Random& random, std::uint16_t slot, std::uint32_t pods);
  void add_pods(Random& random, const bpftest::Network& network, std::uint32_t count);
  void add_pod(const bpftest::Pod& pod);
  void add_services(Random& random, const bpftest::Network& network);
  void add_service(Random& random, const bpftest::Network& network, const bpftest::Address& address,
                   std::uint8_t protocol, bool floating);
  void add_frontend(const bpftest::Frontend& frontend);
  void add_egress(Random& random);
  void add_way(Random& random, const bpftest::Network& network, bpftest::Family family);
  void put_way(const bpftest::WayOut& way);
  void change_way(Random& random);
  void deny(const bpftest::Address& prefix, unsigned length);
  void replace(bpftest::Pod& pod);
  void detach_or_attach(const bpftest::Pod& pod);
  void change_frontend(Random& random, bpftest::Frontend& frontend);
  void move_backend(const bpftest::Frontend& frontend, std::size_t index);

  bpftest::Datapath& datapath_;
  Model& model_;
  bpftest::World world_;
  Random random_;
  std::uint32_t uplink_ = 0;
  std::vector<bpftest::Network> networks_;
  std::vector<bpftest::Pod> pods_;
  std::vector<bpftest::Frontend> frontends_;
  std::vector<bpftest::WayOut> ways_;
  std::uint16_t shared_first_ = 0, shared_last_ = 0;
  std::uint32_t quota_ = 0;
  bool crowded_ = false;  ///< one network has more of the others' ports of a remote than is left for them
  std::vector<bpftest::Address> targets_[2], floating_[2], clients_[2], remotes_[2], egress_[2];
};

}  // namespace model
