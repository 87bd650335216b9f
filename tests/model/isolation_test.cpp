// SPDX-License-Identifier: Apache-2.0
// 64 networks with the same addresses: nothing that any of them sends, or that comes from outside for one of them, is
// ever delivered to another. BPF_PROG_TEST_RUN does not tell the device of a redirect, so what is judged is the
// Ethernet destination, which names a pod and its network, and the devices that the flows' records hold.
// SLUICE_MODEL_PROBES (of each network) and SLUICE_MODEL_SEED change how much and what.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "comparison.hpp"

namespace model {
namespace {

constexpr Shape kShape = {.networks = 64, .pods = 2, .pairs = 512};
constexpr std::uint64_t kDefaultProbes = 1000;
constexpr std::uint64_t kEventsOfOneSession = 16'000;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The network of the pod that has this MAC address (see bpftest::World); 0: no pod has.
std::uint32_t network_of(const Mac& mac) {
  return mac[0] == 0x02 && mac[1] == 0x10 ? mac[2] : 0;
}

/// Who may send what and get what, as far as devices and floating IPs say.
class Owners {
 public:
  explicit Owners(const Configuration& configuration) {
    for (const bpftest::Pod& pod : configuration.pods()) of_device_[pod.ifindex] = pod.network.id;
    for (std::uint32_t slot = 1; slot <= kShape.networks; ++slot) {
      const std::string text = "192.0.2." + std::to_string(slot);
      of_floating_[bpftest::ip(text)] = network_of_slot(slot);
      of_floating_[bpftest::ip(text, bpftest::Family::kIpv6)] = network_of_slot(slot);
    }
  }

  /// The network that a packet may be delivered in; 0: none.
  [[nodiscard]] std::uint32_t of(const Packet& packet) const {
    if (packet.entry == SLUICE_ENTRY_FROM_POD) return find(of_device_, packet.ifindex);
    return packet.frame.size() < bpftest::kL4 ? 0 : find(of_floating_, packet.frame.destination());
  }
  [[nodiscard]] std::uint32_t of_device(std::uint32_t ifindex) const { return find(of_device_, ifindex); }

 private:
  template <typename Map, typename Key>
  static std::uint32_t find(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? 0 : found->second;
  }

  std::map<std::uint32_t, std::uint32_t> of_device_;
  std::map<bpftest::Address, std::uint32_t> of_floating_;
};

/// Empty, or how the packet came to somebody whom it must not reach.
std::string crossing(const Owners& owners, const Packet& packet, const bpftest::Outcome& outcome) {
  const std::string kind = bpftest::reason_class(outcome.reason);
  if (kind != "FORWARD" && kind != "REPLY") return "";
  const Mac receiver = outcome.frame.mac(0);
  if (kind == "REPLY") {
    const bool to_all = (receiver[0] & 1) != 0;  // who has no address yet hears his answer so
    return receiver == packet.frame.mac(6) || to_all ? "" : "an answer went to another than the sender";
  }
  // Towards the uplink the Ethernet header is left to the neighbour table; who gets it here has it from the router.
  const bool routed = outcome.frame.mac(6) == bpftest::kRouterMac;
  if (outcome.reason == SLUICE_REASON_TO_UPLINK) return routed ? "rewritten for a pod" : "";
  if (outcome.reason == SLUICE_REASON_ERROR_TRANSLATED && !routed) return "";
  const std::uint32_t network = network_of(receiver);
  if (network == owners.of(packet)) return "";
  return "delivered in network " + std::to_string(network) + ", sent in " + std::to_string(owners.of(packet));
}

/// A flow between pods has both its directions and both its devices in one network.
void expect_flows_inside(const Owners& owners, const Session& session) {
  for (const auto& [tuple, flow] : session.flows()) {
    const std::uint32_t network = tuple.network != 0 ? tuple.network : flow.other.network;
    const std::uint32_t other = flow.other.network != 0 ? flow.other.network : network;
    EXPECT_EQ(network, other);
    if (!flow.to_uplink()) {
      EXPECT_EQ(owners.of_device(flow.ifindex), network);
    }
  }
}

TEST(Isolation, DeliversNothingToAnotherNetwork) {
  const std::uint64_t seed = setting("SLUICE_MODEL_SEED", std::random_device{}());
  const std::uint64_t probes = setting("SLUICE_MODEL_PROBES", kDefaultProbes) * kShape.networks;
  std::cout << "SLUICE_MODEL_SEED=" << seed << " SLUICE_MODEL_PROBES=" << probes / kShape.networks << std::endl;
  Random random(seed);
  std::uint64_t sent = 0, delivered = 0, translated = 0;
  while (sent < probes) {
    Session session(random(), kShape);
    const Owners owners(session.configuration());
    for (std::uint64_t i = 0; i < kEventsOfOneSession && sent < probes; ++i) {
      const Event event = session.draw();
      ASSERT_EQ(session.apply(event), "");
      if (event.change != 0) continue;
      ++sent;
      const bpftest::Outcome& outcome = session.outcome();
      if (bpftest::reason_class(outcome.reason) == "FORWARD") ++delivered;
      if (outcome.reason == SLUICE_REASON_ERROR_TRANSLATED) ++translated;
      ASSERT_EQ(crossing(owners, event.packet, outcome), "") << ::testing::PrintToString(event.packet.frame);
    }
    ASSERT_EQ(session.compare_tables(), "");
    expect_flows_inside(owners, session);
  }
  std::cout << delivered << " of " << sent << " probes were delivered, " << translated << " errors among them\n";
  EXPECT_GT(delivered, sent / 20);
  EXPECT_GT(translated, 0U);
}

}  // namespace
}  // namespace model
