// SPDX-License-Identifier: Apache-2.0
// Which backend a new flow gets: readiness, algorithms, and records that are out of date.
#include <sluice/select.h>

#include <map>
#include <set>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Select : public FamilyTest {
 protected:
  Select() : FamilyTest({.pairs = 2048}) {}

  std::vector<Target> servers(unsigned count) {
    std::vector<Target> targets;
    for (unsigned i = 0; i < count; ++i) {
      targets.push_back({world.pod(network, "172.16.2." + std::to_string(i + 1)), 8080});
    }
    return targets;
  }
  /// The address that a SYN from `port` is sent to; none if it is not delivered.
  Address backend_of(std::uint16_t port, std::uint16_t service_port = 80) {
    const Frame syn = tcp(client.to_router(), {client.address, port, ip("172.16.1.1"), service_port}, kSyn);
    const Outcome outcome = send(client, syn);
    return outcome.reason == SLUICE_REASON_TO_BACKEND ? outcome.frame.destination() : Address();
  }
  [[nodiscard]] std::uint64_t hash_of(std::uint16_t port) const {
    const sluice_settings settings = datapath.settings();
    const Address service = ip("172.16.1.1");
    const __be16 from = be(port), to = be(std::uint16_t{80});
    if (family == Family::kIpv4) {
      return sluice_flow_hash(settings.secret, network.id, client.address.wire4(), service.wire4(), from, to, kTcp);
    }
    const sluice_address6 source = client.address.wire6(), destination = service.wire6();
    return sluice_flow_hash6(settings.secret, network.id, &source, &destination, sluice_ports_word(from, to), kTcp);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
};

TEST_P(Select, RendezvousFollowsTheSharedHashExactly) {
  const std::vector<Target> targets = servers(8);
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, targets);
  std::set<Address> used;
  for (std::uint16_t port = 1000; port < 1200; ++port) {
    std::size_t best = 0;
    std::uint64_t best_score = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto backend =
          datapath.element<sluice_backend>("backends", frontend.backend_base + static_cast<std::uint32_t>(i));
      const std::uint64_t score = sluice_rendezvous_score(hash_of(port), backend.identity);
      if (i == 0 || score > best_score) best = i, best_score = score;
    }
    const Address chosen = backend_of(port);
    EXPECT_EQ(chosen, targets[best].pod.address) << "port " << port;
    used.insert(chosen);
  }
  EXPECT_EQ(used.size(), 8U) << "200 flows over 8 backends reach all";
}

TEST_P(Select, ADownBackendLosesItsOwnFlowsAloneAndGetsThemBack) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(5));
  std::map<std::uint16_t, Address> before;
  for (std::uint16_t port = 1000; port < 1100; ++port) before[port] = backend_of(port);
  const Address down = frontend.targets[2].pod.address;
  world.set_ready(frontend, 2, false);
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    EXPECT_EQ(backend_of(port), before[port]) << "a live flow keeps its backend, ready or not";
  }
  world.renew(frontend);  // ends all flows, so that each is chosen anew
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    const Address chosen = backend_of(port);
    if (before[port] == down) {
      EXPECT_NE(chosen, down);
    } else {
      EXPECT_EQ(chosen, before[port]) << "flows of other backends do not move";
    }
  }
}

TEST_P(Select, TheRingFollowsTheSharedHashExactlyWhateverIsReady) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(20), {.ring_size = 2039});
  for (std::size_t down = 0; down < 20; ++down) {
    if (down % 3 != 0) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1300; ++port) {
    Address expected;
    std::uint32_t local = 0;
    for (std::uint32_t attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS && expected.none(); ++attempt) {
      local = sluice_ring_slot(hash_of(port), attempt, 2039) % 20;
      if (frontend.targets[local].ready) expected = frontend.targets[local].pod.address;
    }
    for (std::uint32_t step = 1; expected.none(); ++step) {
      const Target& target = frontend.targets[(local + step) % 20];
      if (target.ready) expected = target.pod.address;
    }
    EXPECT_EQ(backend_of(port), expected) << "port " << port;
  }
}

TEST_P(Select, TheLastReadyBackendOfManyIsFoundByEveryFlow) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(40), {.ring_size = 4093});
  for (std::size_t down = 0; down < 40; ++down) {
    if (down != 33) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    EXPECT_EQ(backend_of(port), frontend.targets[33].pod.address) << "port " << port;
  }
}

TEST_P(Select, AlgorithmSourceGivesAClientOneBackendOnEveryPort) {
  const std::vector<Target> targets = servers(8);
  const FrontendOptions source{.algorithm = SLUICE_ALGORITHM_SOURCE};
  world.service(network, "172.16.1.1", 80, kTcp, targets, source);
  world.service(network, "172.16.1.1", 81, kTcp, targets, source);
  std::set<Address> used;
  for (std::uint16_t port = 1000; port < 1050; ++port) {
    used.insert(backend_of(port, 80));
    used.insert(backend_of(port, 81));
  }
  EXPECT_EQ(used.size(), 1U);
  EXPECT_FALSE(used.contains(Address()));
}

TEST_P(Select, AlgorithmRandomSpreadsTheSameTupleAndReadyOnesOnly) {
  std::vector<Target> targets = servers(4);
  targets[1].ready = false;
  world.service(network, "172.16.1.1", 80, kTcp, targets, {.algorithm = SLUICE_ALGORITHM_RANDOM});
  std::set<Address> used;
  for (std::uint16_t port = 1000; port < 1200; ++port) used.insert(backend_of(port));
  EXPECT_EQ(used, (std::set{targets[0].pod.address, targets[2].pod.address, targets[3].pod.address}));
}

TEST_P(Select, AChangedSecretChangesTheChoice) {
  world.service(network, "172.16.1.1", 80, kTcp, servers(8));
  std::vector<Address> before;
  for (std::uint16_t port = 1000; port < 1064; ++port) before.push_back(backend_of(port));
  for (const FlowRecord& flow : datapath.flows()) {
    if (flow.role == SLUICE_FLOW_FORWARD) send(client, tcp(client.to_router(), flow.self.tuple, kRst));
  }
  change_settings([](sluice_settings& s) { s.secret[0] ^= 1; });
  unsigned moved = 0;
  for (std::uint16_t port = 1000; port < 1064; ++port) {
    moved += backend_of(port) != before[port - 1000U] ? 1 : 0;
  }
  EXPECT_GT(moved, 32U) << "7 of 8 should move";
}

TEST_P(Select, ABackendRecordOfAnotherNetworkIsNeverUsed) {
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(1));
  auto backend = datapath.element<sluice_backend>("backends", frontend.backend_base);
  backend.network = 8;
  datapath.put("backends", frontend.backend_base, backend);
  const Frame syn = tcp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 80}, kSyn);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_TABLE_CHANGED);
}

TEST_P(Select, ABackendWhosePodIsGoneOrNewOrDetachedIsStale) {
  const std::vector<Target> targets = servers(1);
  const Pod& pod = targets[0].pod;
  world.service(network, "172.16.1.1", 80, kTcp, targets);
  const Frame syn = tcp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 80}, kSyn);
  const EndpointKey key{network.id, pod.address};
  datapath.change(key, [](auto& record) { record.ifindex = 0; });
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "detached";
  world.write(pod);
  datapath.change(key, [](auto& record) { record.ref.generation += 1; });
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "another pod has the address";
  world.write(pod);
  datapath.change(key, [](auto& record) { record.kind = SLUICE_ENDPOINT_SERVICE; });
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "a service has the address";
  datapath.remove(key);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "nobody has the address";
  world.write(pod);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_TO_BACKEND);
}

IN_BOTH_FAMILIES(Select);

}  // namespace
}  // namespace bpftest
