// SPDX-License-Identifier: Apache-2.0
// Which backend a new flow gets: readiness, algorithms, and records that are out of date.
#include <sluice/select.h>

#include <map>
#include <set>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

class Select : public ProgramTest {
 protected:
  Select() : ProgramTest({.pairs = 2048}) {}

  std::vector<Target> servers(unsigned count) {
    std::vector<Target> targets;
    for (unsigned i = 0; i < count; ++i) {
      targets.push_back({world.pod(network, "172.16.2." + std::to_string(i + 1)), 8080});
    }
    return targets;
  }
  /// The address that a SYN from `port` is sent to; 0 if it is not delivered.
  std::uint32_t backend_of(std::uint16_t port, std::uint16_t service_port = 80) {
    const Frame syn = tcp(client.to_router(), {client.address, port, ip("172.16.1.1"), service_port}, kSyn);
    const Outcome outcome = send(client, syn);
    return outcome.reason == SLUICE_REASON_TO_BACKEND ? outcome.frame.get32(kIp + 16) : 0;
  }
  [[nodiscard]] std::uint64_t hash_of(std::uint16_t port) const {
    return sluice_flow_hash(datapath.settings().secret, network.id, be(client.address), be(ip("172.16.1.1")), be(port),
                            be(std::uint16_t{80}), kTcp);
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
};

TEST_F(Select, RendezvousFollowsTheSharedHashExactly) {
  const std::vector<Target> targets = servers(8);
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, targets);
  std::set<std::uint32_t> used;
  for (std::uint16_t port = 1000; port < 1200; ++port) {
    std::size_t best = 0;
    std::uint64_t best_score = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto backend =
          datapath.element<sluice_backend>("backends", frontend.record.backend_base + static_cast<std::uint32_t>(i));
      const std::uint64_t score = sluice_rendezvous_score(hash_of(port), backend.identity);
      if (i == 0 || score > best_score) best = i, best_score = score;
    }
    const std::uint32_t chosen = backend_of(port);
    EXPECT_EQ(chosen, targets[best].pod.address) << "port " << port;
    used.insert(chosen);
  }
  EXPECT_EQ(used.size(), 8U) << "200 flows over 8 backends reach all";
}

TEST_F(Select, ADownBackendLosesItsOwnFlowsAloneAndGetsThemBack) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(5));
  std::map<std::uint16_t, std::uint32_t> before;
  for (std::uint16_t port = 1000; port < 1100; ++port) before[port] = backend_of(port);
  const std::uint32_t down = frontend.targets[2].pod.address;
  world.set_ready(frontend, 2, false);
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    EXPECT_EQ(backend_of(port), before[port]) << "a live flow keeps its backend, ready or not";
  }
  world.bump(frontend);  // ends all flows, so that each is chosen anew
  frontend.record.ref.generation = world.next_generation();
  datapath.put("frontend_generations", frontend.record.ref.slot, frontend.record.ref.generation);
  datapath.put("frontends4", frontend.record.self, frontend.record);
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    const std::uint32_t chosen = backend_of(port);
    if (before[port] == down) {
      EXPECT_NE(chosen, down);
    } else {
      EXPECT_EQ(chosen, before[port]) << "flows of other backends do not move";
    }
  }
}

TEST_F(Select, TheRingFollowsTheSharedHashExactlyWhateverIsReady) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(20), {.ring_size = 2039});
  for (std::size_t down = 0; down < 20; ++down) {
    if (down % 3 != 0) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1300; ++port) {
    std::uint32_t expected = 0;
    std::uint32_t local = 0;
    for (std::uint32_t attempt = 0; attempt <= SLUICE_SELECT_ATTEMPTS && expected == 0; ++attempt) {
      local = sluice_ring_slot(hash_of(port), attempt, 2039) % 20;
      if (frontend.targets[local].ready) expected = frontend.targets[local].pod.address;
    }
    for (std::uint32_t step = 1; expected == 0; ++step) {
      const Target& target = frontend.targets[(local + step) % 20];
      if (target.ready) expected = target.pod.address;
    }
    EXPECT_EQ(backend_of(port), expected) << "port " << port;
  }
}

TEST_F(Select, TheLastReadyBackendOfManyIsFoundByEveryFlow) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(40), {.ring_size = 4093});
  for (std::size_t down = 0; down < 40; ++down) {
    if (down != 33) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    EXPECT_EQ(backend_of(port), frontend.targets[33].pod.address) << "port " << port;
  }
}

TEST_F(Select, AlgorithmSourceGivesAClientOneBackendOnEveryPort) {
  const std::vector<Target> targets = servers(8);
  const FrontendOptions source{.algorithm = SLUICE_ALGORITHM_SOURCE};
  world.service(network, "172.16.1.1", 80, kTcp, targets, source);
  world.service(network, "172.16.1.1", 81, kTcp, targets, source);
  std::set<std::uint32_t> used;
  for (std::uint16_t port = 1000; port < 1050; ++port) {
    used.insert(backend_of(port, 80));
    used.insert(backend_of(port, 81));
  }
  EXPECT_EQ(used.size(), 1U);
  EXPECT_FALSE(used.contains(0));
}

TEST_F(Select, AlgorithmRandomSpreadsTheSameTupleAndReadyOnesOnly) {
  std::vector<Target> targets = servers(4);
  targets[1].ready = false;
  world.service(network, "172.16.1.1", 80, kTcp, targets, {.algorithm = SLUICE_ALGORITHM_RANDOM});
  std::set<std::uint32_t> used;
  for (std::uint16_t port = 1000; port < 1200; ++port) used.insert(backend_of(port));
  EXPECT_EQ(used, (std::set{targets[0].pod.address, targets[2].pod.address, targets[3].pod.address}));
}

TEST_F(Select, AChangedSecretChangesTheChoice) {
  world.service(network, "172.16.1.1", 80, kTcp, servers(8));
  std::vector<std::uint32_t> before;
  for (std::uint16_t port = 1000; port < 1064; ++port) before.push_back(backend_of(port));
  for (const sluice_flow4& flow : datapath.flows()) {
    if (flow.role == SLUICE_FLOW_FORWARD)
      send(client, tcp(client.to_router(), {client.address, be(flow.self.source_port), ip("172.16.1.1"), 80}, kRst));
  }
  change_settings([](sluice_settings& s) { s.secret[0] ^= 1; });
  unsigned moved = 0;
  for (std::uint16_t port = 1000; port < 1064; ++port) {
    moved += backend_of(port) != before[port - 1000U] ? 1 : 0;
  }
  EXPECT_GT(moved, 32U) << "7 of 8 should move";
}

TEST_F(Select, ABackendRecordOfAnotherNetworkIsNeverUsed) {
  const Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(1));
  auto backend = datapath.element<sluice_backend>("backends", frontend.record.backend_base);
  backend.network = 8;
  datapath.put("backends", frontend.record.backend_base, backend);
  const Frame syn = tcp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 80}, kSyn);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_TABLE_CHANGED);
}

TEST_F(Select, ABackendWhosePodIsGoneOrNewOrDetachedIsStale) {
  const std::vector<Target> targets = servers(1);
  const Pod& pod = targets[0].pod;
  world.service(network, "172.16.1.1", 80, kTcp, targets);
  const Frame syn = tcp(client.to_router(), {client.address, 1, ip("172.16.1.1"), 80}, kSyn);
  const sluice_endpoint4_key key{network.id, be(pod.address)};
  const auto record = datapath.lookup<sluice_endpoint4>("endpoints4", key).value();

  auto changed = record;
  changed.ifindex = 0;
  datapath.put("endpoints4", key, changed);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "detached";
  changed = record;
  changed.ref.generation += 1;
  datapath.put("endpoints4", key, changed);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "another pod has the address";
  changed = record;
  changed.kind = SLUICE_ENDPOINT_SERVICE;
  datapath.put("endpoints4", key, changed);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "a service has the address";
  datapath.remove("endpoints4", key);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_STALE_ENDPOINT) << "nobody has the address";
  datapath.put("endpoints4", key, record);
  EXPECT_EQ(send(client, syn).reason, SLUICE_REASON_TO_BACKEND);
}

}  // namespace
}  // namespace bpftest
