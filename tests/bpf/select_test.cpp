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

TEST_P(Select, RoundRobinTakesTurnsAndOneThatIsDownPassesItsOn) {
  Frontend frontend =
      world.service(network, "172.16.1.1", 80, kTcp, servers(4), {.algorithm = SLUICE_ALGORITHM_ROUND_ROBIN});
  std::uint16_t port = 1000;
  for (unsigned turn = 0; turn < 12; ++turn) {
    EXPECT_EQ(backend_of(port++), frontend.targets[turn % 4].pod.address) << "turn " << turn;
  }
  world.set_ready(frontend, 1, false);
  world.set_ready(frontend, 2, false);
  for (unsigned turn = 0; turn < 12; ++turn) {
    EXPECT_EQ(backend_of(port++), frontend.targets[turn % 2 * 3].pod.address)
        << "the next one behind those that are down gets no turn of theirs";
  }
}

TEST_P(Select, RoundRobinFindsTheOnlyReadyOneOfMany) {
  Frontend frontend =
      world.service(network, "172.16.1.1", 80, kTcp, servers(60), {.algorithm = SLUICE_ALGORITHM_ROUND_ROBIN});
  for (std::size_t down = 0; down < 60; ++down) {
    if (down != 47) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1010; ++port) {
    EXPECT_EQ(backend_of(port), frontend.targets[47].pod.address);
  }
}

TEST_P(Select, WeightedRoundRobinGivesEachItsSlotsInARound) {
  Frontend frontend = world.service(network, "172.16.1.1", 80, kTcp, servers(3),
                                    {.algorithm = SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN, .ring_size = 61});
  std::map<Address, unsigned> share;
  for (std::uint16_t port = 1000; port < 1061; ++port) ++share[backend_of(port)];
  EXPECT_EQ(share[frontend.targets[0].pod.address], 21U) << "slots 0, 3, ..., 60";
  EXPECT_EQ(share[frontend.targets[1].pod.address], 20U);
  EXPECT_EQ(share[frontend.targets[2].pod.address], 20U);
}

TEST_P(Select, TurnsAreEachServicePortsOwn) {
  const Frontend one =
      world.service(network, "172.16.1.1", 80, kTcp, servers(3), {.algorithm = SLUICE_ALGORITHM_ROUND_ROBIN});
  world.service(network, "172.16.1.1", 81, kTcp, one.targets, {.algorithm = SLUICE_ALGORITHM_ROUND_ROBIN});
  EXPECT_EQ(backend_of(1000, 80), one.targets[0].pod.address);
  EXPECT_EQ(backend_of(1000, 81), one.targets[0].pod.address);
  EXPECT_EQ(backend_of(1001, 80), one.targets[1].pod.address);
}

TEST_P(Select, LeastConnectionsGoesByLiveFlowsAndWeights) {
  std::vector<Target> targets = servers(3);
  targets[2].weight = 4;
  const Frontend frontend =
      world.service(network, "172.16.1.1", 80, kTcp, targets, {.algorithm = SLUICE_ALGORITHM_LEAST_CONNECTIONS});
  std::map<Address, std::vector<std::uint16_t>> flows;
  for (std::uint16_t port = 1000; port < 1060; ++port) flows[backend_of(port)].push_back(port);
  EXPECT_EQ(flows[targets[0].pod.address].size(), 10U);
  EXPECT_EQ(flows[targets[1].pod.address].size(), 10U);
  EXPECT_EQ(flows[targets[2].pod.address].size(), 40U) << "four times the weight";
  // A reset alone is no end that counts; both sides' FIN is, long before the records go.
  const std::uint32_t slot = targets[0].pod.ref.slot;
  for (const std::uint16_t port : flows[targets[0].pod.address]) {
    const Tuple question{client.address, port, ip("172.16.1.1"), 80};
    const Tuple answer{targets[0].pod.address, 8080, client.address, port};
    send(targets[0].pod, tcp(targets[0].pod.to_router(), answer, kRst | kAck));
    EXPECT_EQ(datapath.numbers("endpoint_pairs").at(slot), 10U);
    send(targets[0].pod, tcp(targets[0].pod.to_router(), answer, kFin | kAck));
    send(client, tcp(client.to_router(), question, kAck));
    EXPECT_EQ(datapath.numbers("endpoint_pairs").at(slot), 10U) << "half closed";
    send(client, tcp(client.to_router(), question, kFin | kAck));
    EXPECT_EQ(datapath.numbers("endpoint_pairs")[slot], 9U);
    EXPECT_EQ(backend_of(static_cast<std::uint16_t>(port + 1000)), targets[0].pod.address) << "it has one less";
  }
  EXPECT_EQ(datapath.flows().size(), 2 * 70U);
}

TEST_P(Select, LeastConnectionsCountsThePodsOtherServices) {
  const std::vector<Target> targets = servers(2);
  world.service(network, "172.16.1.1", 81, kTcp, {targets[0]});
  world.service(network, "172.16.1.1", 80, kTcp, targets, {.algorithm = SLUICE_ALGORITHM_LEAST_CONNECTIONS});
  for (std::uint16_t port = 1000; port < 1005; ++port) backend_of(port, 81);
  for (std::uint16_t port = 1000; port < 1005; ++port) {
    EXPECT_EQ(backend_of(port, 80), targets[1].pod.address);
  }
}

TEST_P(Select, LeastConnectionsFindsTheOnlyReadyOneOfMany) {
  Frontend frontend =
      world.service(network, "172.16.1.1", 80, kTcp, servers(100), {.algorithm = SLUICE_ALGORITHM_LEAST_CONNECTIONS});
  for (std::size_t down = 0; down < 100; ++down) {
    if (down != 87) world.set_ready(frontend, down, false);
  }
  for (std::uint16_t port = 1000; port < 1030; ++port) {
    EXPECT_EQ(backend_of(port), frontend.targets[87].pod.address);
  }
}

class Affinity : public Select {
 protected:
  Pod other = world.pod(network, "172.16.0.11");

  Frontend sticky(std::uint16_t port, const std::vector<Target>& targets, std::uint32_t owner = 1) {
    return world.service(network, "172.16.1.1", port, kTcp, targets,
                         {.algorithm = SLUICE_ALGORITHM_ROUND_ROBIN, .affinity = 100, .owner = owner});
  }
  Address backend_for(const Pod& who, std::uint16_t port, std::uint16_t service_port = 80) {
    const Frame syn = tcp(who.to_router(), {who.address, port, ip("172.16.1.1"), service_port}, kSyn);
    const Outcome outcome = send(who, syn);
    return outcome.reason == SLUICE_REASON_TO_BACKEND ? outcome.frame.destination() : Address();
  }
  /// Moves every entry's last use back in time.
  void let_pass(std::uint64_t seconds) {
    for (std::uint32_t index = 0; index < SLUICE_AFFINITY_BUCKETS; ++index) {
      auto bucket = datapath.element<sluice_affinity_bucket>("affinities", index);
      bool any = false;
      for (sluice_affinity& entry : bucket.ways) {
        if (entry.until == 0) continue;
        entry.until -= seconds * 1'000'000'000;
        any = true;
      }
      if (any) datapath.put("affinities", index, bucket);
    }
  }
};

TEST_P(Affinity, AClientKeepsItsPodAndOthersTakeTheirTurns) {
  const std::vector<Target> targets = servers(3);
  sticky(80, targets);
  for (std::uint16_t port = 1000; port < 1010; ++port) {
    EXPECT_EQ(backend_for(client, port), targets[0].pod.address);
  }
  EXPECT_EQ(backend_for(other, 1000), targets[1].pod.address) << "the turns that nobody took were not taken";
  EXPECT_EQ(backend_for(client, 1010), targets[0].pod.address);
}

TEST_P(Affinity, IsOneForAllPortsOfAServiceAndNoOtherService) {
  const std::vector<Target> targets = servers(3);
  std::vector<Target> turned = {targets[2], targets[0], targets[1]};
  sticky(80, targets);
  sticky(81, turned);
  sticky(82, turned, 2);
  EXPECT_EQ(backend_for(client, 1000, 80), targets[0].pod.address);
  EXPECT_EQ(backend_for(client, 1000, 81), targets[0].pod.address) << "wherever it stands in the other port's list";
  EXPECT_EQ(backend_for(client, 1000, 82), turned[0].pod.address);
}

TEST_P(Affinity, EndsWhenItsTimeIsUpAndNoSooner) {
  const std::vector<Target> targets = servers(3);
  sticky(80, targets);
  EXPECT_EQ(backend_for(client, 1000), targets[0].pod.address);
  let_pass(99);
  EXPECT_EQ(backend_for(client, 1001), targets[0].pod.address) << "and begins anew with this flow";
  let_pass(99);
  EXPECT_EQ(backend_for(client, 1002), targets[0].pod.address);
  let_pass(101);
  EXPECT_EQ(backend_for(client, 1003), targets[1].pod.address);
  EXPECT_EQ(backend_for(client, 1004), targets[1].pod.address);
}

TEST_P(Affinity, EndsWithItsPod) {
  Frontend frontend = sticky(80, servers(3));
  EXPECT_EQ(backend_for(client, 1000), frontend.targets[0].pod.address);
  world.set_ready(frontend, 0, false);
  EXPECT_EQ(backend_for(client, 1001), frontend.targets[1].pod.address);
  world.set_ready(frontend, 0, true);
  EXPECT_EQ(backend_for(client, 1002), frontend.targets[1].pod.address) << "the client has got another one";
}

TEST_P(Affinity, AFlowThatACapRefusesLeavesNoEntry) {
  const std::vector<Target> targets = servers(3);
  sticky(80, targets);
  EXPECT_EQ(backend_for(client, 1000), targets[0].pod.address);
  world.limits(network, 0, 1, 100);
  const Frame syn = tcp(other.to_router(), {other.address, 1000, ip("172.16.1.1"), 80}, kSyn);
  EXPECT_EQ(send(other, syn).reason, SLUICE_REASON_NETWORK_CAP) << "it had the second turn";
  world.limits(network, 0, 100, 100);
  EXPECT_EQ(backend_for(other, 1001), targets[2].pod.address) << "and has the third now, not the second again";
}

TEST_P(Affinity, ATenantsManyClientsTakeNoOtherTenantsPlace) {
  const std::vector<Target> targets = servers(3);
  sticky(80, targets);
  EXPECT_EQ(backend_for(client, 1000), targets[0].pod.address);
  const auto find_entry = [&] {
    for (std::uint32_t index = 0;; ++index) {
      auto bucket = datapath.element<sluice_affinity_bucket>("affinities", index);
      for (const sluice_affinity& entry : bucket.ways) {
        if (entry.until != 0) return std::pair(index, bucket);
      }
    }
  };
  // The client's bucket is full, with younger entries of one other network: the next client of theirs and the next
  // of the first one's both take a place of theirs.
  auto [index, bucket] = find_entry();
  for (unsigned way = 1; way < SLUICE_AFFINITY_WAYS; ++way) {
    bucket.ways[way] = bucket.ways[0];
    bucket.ways[way].digest += way;
    bucket.ways[way].network = 77;
    bucket.ways[way].until -= 1'000'000ULL * (SLUICE_AFFINITY_WAYS - way);
  }
  const std::uint64_t mine = bucket.ways[0].digest;
  bucket.ways[0].until -= 1'000'000'000;
  bucket.ways[0].digest ^= 0xFFFF;  // another client of the first network, older than all
  datapath.put("affinities", index, bucket);
  backend_for(client, 1001);
  const auto after = datapath.element<sluice_affinity_bucket>("affinities", index);
  EXPECT_EQ(after.ways[0].digest, bucket.ways[0].digest) << "the only one of its network stays, old as it is";
  EXPECT_EQ(after.ways[1].digest, mine) << "the oldest of the network that has most goes";
  for (unsigned way = 2; way < SLUICE_AFFINITY_WAYS; ++way) EXPECT_EQ(after.ways[way].network, 77U);
  // What is past is free for anybody, whoever has most.
  bucket.ways[5].until = 1;
  datapath.put("affinities", index, bucket);
  backend_for(client, 1002);
  EXPECT_EQ(datapath.element<sluice_affinity_bucket>("affinities", index).ways[5].digest, mine);
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
IN_BOTH_FAMILIES(Affinity);

}  // namespace
}  // namespace bpftest
