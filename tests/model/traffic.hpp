// SPDX-License-Identifier: Apache-2.0
// Random configurations, written to the maps and to the model alike, and random packets for them.
#pragma once

#include <random>
#include <vector>

#include "harness/world.hpp"
#include "model.hpp"

namespace model {

using Random = std::mt19937_64;

inline std::uint32_t below(Random& random, std::uint32_t bound) {
  return static_cast<std::uint32_t>(random() % bound);
}
inline bool chance(Random& random, std::uint32_t percent) {
  return below(random, 100) < percent;
}

struct Packet {
  sluice_entry entry = SLUICE_ENTRY_FROM_POD;
  std::uint32_t ifindex = 0;
  bpftest::Frame frame = {};
};

/// One random configuration in both worlds, and its packets.
class Traffic {
 public:
  Traffic(Random& random, bpftest::Datapath& datapath, Model& model);

  /// The next packet: an opening, a follow-up or reply of a known flow, ARP, or anything at all; some are mutated.
  Packet next();
  /// Changes something in both worlds: readiness, a replaced pod, a renewed service.
  void change();
  [[nodiscard]] const std::vector<bpftest::Network>& networks() const { return networks_; }

 private:
  void add_network();
  void add_service(const bpftest::Network& network, const std::string& address, std::uint16_t port,
                   std::uint8_t protocol, bool floating);
  void add_pod(const bpftest::Pod& pod);
  void add_frontend(const bpftest::Frontend& frontend, bool sticky);
  bpftest::Frame opening(const bpftest::Link& link, const bpftest::Address& source,
                         const bpftest::Address& destination);
  Packet of_flow();
  Packet from_pod();
  Packet from_internet();
  void mutate(bpftest::Frame& frame);
  template <typename T>
  const T& any(const std::vector<T>& values) {
    return values.at(below(random_, static_cast<std::uint32_t>(values.size())));
  }

  Random& random_;
  bpftest::Datapath& datapath_;
  Model& model_;
  bpftest::World world_;
  std::vector<bpftest::Network> networks_;
  std::vector<bpftest::Pod> pods_;
  std::vector<bpftest::Frontend> frontends_;
  std::vector<bpftest::Address> addresses_;  ///< everything worth sending to
  std::vector<bpftest::Address> clients_;    ///< on the Internet
};

}  // namespace model
