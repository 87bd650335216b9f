// SPDX-License-Identifier: Apache-2.0
// 64 networks with the same addresses: nothing that any of them sends, or that comes from outside for one of them, is
// ever delivered to another, but for what has been asked for by both:
//   - what a pod sends to a floating IP reaches the backends of that floating IP's network, and they see it come from
//   an
//     egress address of the sender's network;
//   - what is sent to an egress address reaches the network that has asked for it: by the very tuple, turned around, or
//     (of fragments and errors, which do not have it) one that has sent something from that address.
// BPF_PROG_TEST_RUN does not tell the device of a redirect, so what is judged is the
// Ethernet destination, which names a pod and its network, and the devices that the flows' records hold.
// SLUICE_MODEL_PROBES (of each network) and SLUICE_MODEL_SEED change how much and what.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "comparison.hpp"
#include "parse.hpp"

namespace model {
namespace {

constexpr Shape kShape = {.networks = 64, .pods = 2, .pairs = 512, .egress = 100};
constexpr std::uint64_t kDefaultProbes = 1000;
constexpr std::uint64_t kEventsOfManyNetworks = 16'000;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The network of the pod that has this MAC address (see bpftest::World); 0: no pod has.
std::uint32_t network_of(const Mac& mac) {
  return mac[0] == 0x02 && mac[1] == 0x10 ? mac[2] : 0;
}

/// The tuple of a packet that `network` sends or gets; none of what has no ports.
std::optional<Tuple> tuple_of_frame(const bpftest::Frame& frame, std::uint32_t network) {
  const bool v6 = frame.family() == bpftest::Family::kIpv6;
  if (header_shape(frame.bytes, v6) != SLUICE_REASON_NONE) return std::nullopt;
  const Port port{.network = network};
  Parsed packet = parsed(frame.bytes, port, v6);
  if (transport(packet) != SLUICE_REASON_NONE || !packet.tracked) return std::nullopt;
  return packet.tuple;
}

/// Who may send what and get what, as far as devices, floating IPs and egress addresses say.
class Owners {
 public:
  explicit Owners(const Configuration& configuration) {
    for (const bpftest::Pod& pod : configuration.pods()) of_device_[pod.ifindex] = pod.network.id;
    for (std::uint32_t slot = 1; slot <= kShape.networks; ++slot) {
      const std::string text = "192.0.2." + std::to_string(slot);
      of_floating_[bpftest::ip(text)] = network_of_slot(slot);
      of_floating_[bpftest::ip(text, bpftest::Family::kIpv6)] = network_of_slot(slot);
    }
    for (const bpftest::WayOut& way : configuration.ways()) leave_by_[way.address].insert(way.network);
  }

  /// The network that a packet may be delivered in; 0: none.
  [[nodiscard]] std::uint32_t of(const Packet& packet) const {
    if (packet.entry == SLUICE_ENTRY_FROM_POD) return find(of_device_, packet.ifindex);
    return packet.frame.size() < bpftest::kL4 ? 0 : find(of_floating_, packet.frame.destination());
  }
  [[nodiscard]] std::uint32_t of_device(std::uint32_t ifindex) const { return find(of_device_, ifindex); }
  [[nodiscard]] std::uint32_t of_floating(const bpftest::Address& address) const { return find(of_floating_, address); }
  [[nodiscard]] bool leaves_by(std::uint32_t network, const bpftest::Address& address) const {
    const auto found = leave_by_.find(address);
    return found != leave_by_.end() && found->second.contains(network);
  }

  /// A pod's packet became `frame`, which somebody in `receiver` (0: outside) gets from an egress address.
  void note_question(std::uint32_t ifindex, const bpftest::Frame& frame, std::uint32_t receiver) {
    const std::uint32_t network = of_device(ifindex);
    asked_from_[frame.source()].insert(network);
    if (const auto tuple = tuple_of_frame(frame, receiver)) askers_[tuple->turned()] = network;
  }
  /// May what came from somebody in `sender` for an egress address be delivered in `network`?
  [[nodiscard]] bool asked(std::uint32_t network, const Packet& packet, std::uint32_t sender, bool is_error) const {
    const auto tuple = is_error ? std::nullopt : tuple_of_frame(packet.frame, sender);
    if (tuple) return find(askers_, *tuple) == network;
    const auto found = asked_from_.find(packet.frame.destination());
    return found != asked_from_.end() && found->second.contains(network);
  }

 private:
  template <typename Map, typename Key>
  static std::uint32_t find(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? 0 : found->second;
  }

  std::map<std::uint32_t, std::uint32_t> of_device_;
  std::map<bpftest::Address, std::uint32_t> of_floating_;
  std::map<bpftest::Address, std::set<std::uint32_t>> leave_by_, asked_from_;
  std::map<Tuple, std::uint32_t> askers_;  ///< by the tuple of the answer: who has asked last
};

/// What was delivered in another network than it came from, and may be.
struct Crossings {
  std::uint64_t to_floating = 0, answers = 0;
};

/// Is it one of the two ways into another network that the beginning of this file names?
bool may_cross(Owners& owners, const Packet& packet, const bpftest::Outcome& outcome, std::uint32_t network,
               Crossings& crossings) {
  const bool from_pod = packet.entry == SLUICE_ENTRY_FROM_POD,
             is_error = outcome.reason == SLUICE_REASON_ERROR_TRANSLATED;
  const std::uint32_t sender = from_pod ? owners.of_device(packet.ifindex) : 0;
  const bool to_floating = from_pod && owners.of_floating(packet.frame.destination()) == network;
  if (to_floating && (outcome.reason == SLUICE_REASON_TO_BACKEND || is_error)) {
    if (!is_error) owners.note_question(packet.ifindex, outcome.frame, network);
    ++crossings.to_floating;
    return owners.leaves_by(sender, outcome.frame.source());
  }
  ++crossings.answers;
  return (outcome.reason == SLUICE_REASON_TO_CLIENT || is_error) && owners.asked(network, packet, sender, is_error);
}

/// Empty, or how the packet came to somebody whom it must not reach.
std::string crossing(Owners& owners, const Packet& packet, const bpftest::Outcome& outcome, Crossings& crossings) {
  const std::string kind = bpftest::reason_class(outcome.reason);
  if (kind != "FORWARD" && kind != "REPLY") return "";
  const Mac receiver = outcome.frame.mac(0);
  if (kind == "REPLY") {
    const bool to_all = (receiver[0] & 1) != 0;  // who has no address yet hears his answer so
    return receiver == packet.frame.mac(6) || to_all ? "" : "an answer went to another than the sender";
  }
  // Towards the uplink the Ethernet header is left to the neighbour table; who gets it here has it from the router.
  const bool routed = outcome.frame.mac(6) == bpftest::kRouterMac;
  if (outcome.reason == SLUICE_REASON_TO_EGRESS) {
    if (!owners.leaves_by(owners.of(packet), outcome.frame.source())) return "left by an address that it does not have";
    owners.note_question(packet.ifindex, outcome.frame, 0);
    return routed ? "rewritten for a pod" : "";
  }
  if (outcome.reason == SLUICE_REASON_TO_UPLINK) return routed ? "rewritten for a pod" : "";
  if (outcome.reason == SLUICE_REASON_ERROR_TRANSLATED && !routed) return "";
  const std::uint32_t network = network_of(receiver);
  if (network == owners.of(packet)) return "";
  if (network != 0 && may_cross(owners, packet, outcome, network, crossings)) return "";
  return "delivered in network " + std::to_string(network) + ", sent in " + std::to_string(owners.of(packet));
}

/// A flow between pods has both its directions and both its devices in one network, unless it holds a port of an egress
/// address.
void expect_flows_inside(const Owners& owners, const Session& session) {
  for (const auto& [tuple, flow] : session.flows()) {
    const std::uint32_t other = flow.other.network;
    const Flow& forward = flow.forward ? flow : session.flows().at(flow.other);
    if (tuple.network != 0 && other != 0 && !forward.asked) {
      EXPECT_EQ(tuple.network, other);
    }
    EXPECT_EQ(flow.to_uplink(), other == 0);
    EXPECT_EQ(owners.of_device(flow.to_uplink() ? 0 : flow.ifindex), other);
  }
}

TEST(Isolation, DeliversNothingToAnotherNetwork) {
  const std::uint64_t seed = from_environment("SLUICE_MODEL_SEED", std::random_device{}());
  const std::uint64_t probes = from_environment("SLUICE_MODEL_PROBES", kDefaultProbes) * kShape.networks;
  std::cout << "SLUICE_MODEL_SEED=" << seed << " SLUICE_MODEL_PROBES=" << probes / kShape.networks << std::endl;
  Random random(seed);
  std::uint64_t sent = 0, delivered = 0, translated = 0;
  Crossings crossings;
  while (sent < probes) {
    Session session(random(), kShape);
    Owners owners(session.configuration());
    for (std::uint64_t i = 0; i < kEventsOfManyNetworks && sent < probes; ++i) {
      const Event event = session.draw();
      ASSERT_EQ(session.apply(event), "");
      if (event.change != 0) continue;
      ++sent;
      const bpftest::Outcome& outcome = session.outcome();
      if (bpftest::reason_class(outcome.reason) == "FORWARD") ++delivered;
      if (outcome.reason == SLUICE_REASON_ERROR_TRANSLATED) ++translated;
      ASSERT_EQ(crossing(owners, event.packet, outcome, crossings), "") << ::testing::PrintToString(event.packet.frame);
    }
    ASSERT_EQ(session.compare_tables(), "");
    expect_flows_inside(owners, session);
  }
  std::cout << delivered << " of " << sent << " probes were delivered, " << translated << " errors among them; "
            << crossings.to_floating << " crossed to a floating IP of another network, " << crossings.answers
            << " came back to who had asked from an egress address\n";
  EXPECT_GT(delivered, sent / 20);
  EXPECT_GT(translated, 0U);
  EXPECT_GT(crossings.to_floating, 0U);
  EXPECT_GT(crossings.answers, 0U);
}

}  // namespace
}  // namespace model
