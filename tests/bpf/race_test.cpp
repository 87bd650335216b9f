// SPDX-License-Identifier: Apache-2.0
// Two CPUs at the same flow at the same time, thousands of times. After every round all accounts must balance: no
// pair leaked, no half pair, every charge given back, and the flow still works.
//
// With one CPU online the two sides run one after the other; the invariants are checked all the same.
#include <sched.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "harness/fragments.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr unsigned kDefaultRounds = 4000;

unsigned rounds_wanted() {
  const char* text = std::getenv("SLUICE_RACE_ROUNDS");
  return text == nullptr ? kDefaultRounds : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

/// Pins the calling thread to the `number`-th CPU that this process may use (or its only one).
void pin_to_cpu(unsigned number) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpus[number % cpus.size()], &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

class Race : public FamilyTest {
 protected:
  Race() {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}, {second, 8080}});
    single = world.service(network, "172.16.1.2", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.3", 80, kTcp, {{server, 8080}});
    names = world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}, {second, 5353}});
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
    world.floating("192.0.2.2", 80, kTcp, network, {{server, 8080}});
    world.uplink();
  }

  struct Side {
    sluice_entry entry = SLUICE_ENTRY_FROM_POD;
    std::uint32_t ifindex = 0;
    std::vector<Frame> frames;  ///< sent one after the other
  };
  [[nodiscard]] Side pod_side(const Pod& pod, std::vector<Frame> frames) const {
    return {SLUICE_ENTRY_FROM_POD, pod.ifindex, std::move(frames)};
  }
  Side uplink_side(std::vector<Frame> frames) { return {SLUICE_ENTRY_FROM_UPLINK, world.uplink(), std::move(frames)}; }

  /// Runs both sides at once, a random moment apart, in every round; `prepare` goes before and `check` after each.
  void race(const Side& left, const Side& right, const std::function<void()>& prepare,
            const std::function<void()>& check) {
    const Side* sides[] = {&left, &right};
    std::barrier<> gate(3);
    std::atomic<bool> done = false;
    const auto body = [&](unsigned number) {
      pin_to_cpu(number);
      std::minstd_rand random(number + 1);
      for (;;) {
        gate.arrive_and_wait();
        if (done) return;
        for (std::uint64_t spin = random() % 600; spin > 0; --spin) asm volatile("" ::: "memory");
        for (const Frame& frame : sides[number]->frames) {
          if (datapath.run_uncounted(sides[number]->entry, sides[number]->ifindex, frame) == -1000) ++broken;
        }
        gate.arrive_and_wait();
      }
    };
    std::thread first(body, 0U);
    std::thread other(body, 1U);
    const unsigned rounds = rounds_wanted();
    for (unsigned round = 0; round < rounds && !HasFailure(); ++round) {
      prepare();
      gate.arrive_and_wait();
      gate.arrive_and_wait();
      if (round % 16 == 0) {
        EXPECT_EQ(inconsistency(datapath), "") << "round " << round;
      }
      check();
      EXPECT_EQ(broken, 0U) << "a run failed";
    }
    done = true;
    gate.arrive_and_wait();
    first.join();
    other.join();
  }

  void deliver(const Side& side) {
    for (const Frame& frame : side.frames) {
      if (datapath.run_uncounted(side.entry, side.ifindex, frame) == -1000) ++broken;
    }
  }
  [[nodiscard]] Frame from_client(unsigned flags, const char* address = "172.16.1.1") const {
    return tcp(client.to_router(), {client.address, 40000, ip(address), 80}, flags, {.acknowledgement = 5001});
  }
  [[nodiscard]] Frame from_server(unsigned flags) const {
    return tcp(server.to_router(), {server.address, 8080, client.address, 40000}, flags, {.sequence = 5000});
  }
  [[nodiscard]] Frame from_internet(unsigned flags, const char* address = "192.0.2.1") const {
    return tcp(kInbound, {ip("203.0.113.9"), 50000, ip(address), 80}, flags, {.acknowledgement = 5001});
  }

  Network network = world.network(7, 1);
  Pod client = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  Pod second = world.pod(network, "172.16.0.21");
  Frontend single;  ///< with one backend
  Frontend names;
  std::atomic<unsigned> broken = 0;
};

TEST_P(Race, TwoSynsMakeOneFlow) {
  const Side syn = pod_side(client, {from_client(kSyn)});
  race(
      syn, syn, [&] { deliver(pod_side(client, {from_client(kRst)})); },
      [&] {
        ASSERT_EQ(datapath.flows().size(), 2U);
        ASSERT_EQ(datapath.run_uncounted(SLUICE_ENTRY_FROM_POD, client.ifindex, from_client(kAck)), 7);
      });
}

TEST_P(Race, TwoSynsFromTheInternetAreChargedOnce) {
  const Side syn = uplink_side({from_internet(kSyn)});
  race(
      syn, syn, [&] { deliver(uplink_side({from_internet(kRst)})); },
      [&] {
        ASSERT_EQ(datapath.usage(network.slot).half_open, 1U);
        ASSERT_EQ(datapath.usage(network.slot).pairs, 1U);
      });
}

TEST_P(Race, OfTwoEqualFragmentsOnePasses) {
  const Frame whole = udp(client.to(server), {client.address, 40000, server.address, 7}, Bytes(392));
  const Side side = pod_side(client, {fragment(whole, 1, 0, 104), fragment(whole, 1, 104, 200)});
  const auto counted = [&](sluice_reason reason) {
    return datapath.counters()[SLUICE_ENTRY_FROM_POD * SLUICE_COUNTER_STRIDE + reason].packets;
  };
  std::uint64_t rounds = 0;
  race(
      side, side,
      [&] {
        for (std::uint32_t i = 0; i < SLUICE_FRAGMENT_BUCKETS; ++i) {
          datapath.put("fragments", network.slot * SLUICE_FRAGMENT_BUCKETS + i, sluice_fragment_bucket{});
        }
      },
      [&] {
        ++rounds;
        ASSERT_EQ(counted(SLUICE_REASON_TO_POD), 2 * rounds);
        ASSERT_EQ(counted(SLUICE_REASON_FRAGMENT_OVERLAP), 2 * rounds);
      });
}

TEST_P(Race, TwoFlowsThatWouldCollideStayApart) {
  const Side left = pod_side(client, {from_client(kSyn, "172.16.1.2")});
  const Side right = pod_side(client, {from_client(kSyn, "172.16.1.3")});
  race(
      left, right,
      [&] { deliver(pod_side(client, {from_client(kRst, "172.16.1.2"), from_client(kRst, "172.16.1.3")})); },
      [&] {
        // A side that met the other's half-made pair drops its SYN; the retry must pass.
        ASSERT_EQ(datapath.run_uncounted(left.entry, left.ifindex, left.frames[0]), 7);
        ASSERT_EQ(datapath.run_uncounted(right.entry, right.ifindex, right.frames[0]), 7);
        ASSERT_EQ(datapath.flows().size(), 4U);
      });
}

TEST_P(Race, SynOnAClosingFlowAgainstItself) {
  const Side syn = uplink_side({from_internet(kSyn)});
  race(
      syn, syn, [&] { deliver(uplink_side({from_internet(kSyn), from_internet(kFin | kAck)})); },
      [&] {
        ASSERT_EQ(datapath.run_uncounted(syn.entry, syn.ifindex, syn.frames[0]), 7);
        ASSERT_EQ(datapath.flows().size(), 2U);
      });
}

TEST_P(Race, AFlowThatWasJustMadeIsNotDeletedForItsPredecessorsEnd) {
  const Side syn = uplink_side({from_internet(kSyn)});
  // Both sides decide to delete the closing flow; who comes second must leave the new one alone, and be counted in it.
  const auto dropped = [&] {
    return datapath.counters()[SLUICE_ENTRY_FROM_UPLINK * SLUICE_COUNTER_STRIDE + SLUICE_REASON_FLOW_CONTENDED].packets;
  };
  std::uint64_t before = 0;
  race(
      syn, syn,
      [&] {
        deliver(uplink_side({from_internet(kSyn), from_internet(kRst)}));
        before = dropped();
      },
      [&] {
        std::uint64_t packets = 0;
        for (const FlowRecord& flow : datapath.flows()) {
          if (flow.role == SLUICE_FLOW_FORWARD) packets = flow.packets;
        }
        ASSERT_EQ(packets + dropped() - before, 2U);
      });
}

TEST_P(Race, SynOnAClosingFlowAgainstTheRepliesOfTheOldOne) {
  const Side syn = pod_side(client, {from_client(kSyn, "172.16.1.2")});
  const Side reply = pod_side(server, {from_server(kAck), from_server(kFin | kAck), from_server(kSyn | kAck)});
  race(
      syn, reply,
      [&] { deliver(pod_side(client, {from_client(kSyn, "172.16.1.2"), from_client(kRst, "172.16.1.2")})); },
      [&] {
        ASSERT_EQ(datapath.run_uncounted(syn.entry, syn.ifindex, syn.frames[0]), 7);
        ASSERT_EQ(datapath.flows().size(), 2U);
      });
}

TEST_P(Race, ResetAgainstDataAndHandshakeAgainstReset) {
  const Side left = uplink_side({from_internet(kRst), from_internet(kSyn)});
  const Side right = uplink_side({from_internet(kAck), from_internet(kAck | kPush), from_internet(kFin | kAck)});
  const Frame syn_ack =
      tcp(server.to_router(), {server.address, 8080, ip("203.0.113.9"), 50000}, kSyn | kAck, {.sequence = 5000});
  race(
      left, right,
      [&] {
        deliver(uplink_side({from_internet(kRst), from_internet(kSyn)}));
        deliver(pod_side(server, {syn_ack}));
      },
      [] {});
}

TEST_P(Race, ChargesAtTheLimitStayExact) {
  world.limits(network, 1, 1, 1);
  const Network other = world.network(8, 2);
  world.limits(other, 0, 16, 16);
  const Pod bystander = world.pod(other, "172.16.0.10");
  world.service(other, "172.16.1.1", 80, kTcp, {{bystander, 8080}});
  ASSERT_EQ(send(bystander, tcp(bystander.to_router(), {bystander.address, 1, ip("172.16.1.1"), 80}, kSyn)).reason,
            SLUICE_REASON_TO_BACKEND);
  // One side ends and makes the network's only flow, again and again; the other is refused meanwhile.
  const Side left = uplink_side({from_internet(kRst), from_internet(kSyn), from_internet(kRst), from_internet(kSyn)});
  const Side right = uplink_side({from_internet(kSyn, "192.0.2.2"), from_internet(kSyn, "192.0.2.2")});
  race(
      left, right,
      [&] { deliver(uplink_side({from_internet(kRst, "192.0.2.2"), from_internet(kRst), from_internet(kSyn)})); },
      [&] { ASSERT_EQ(inconsistency(datapath), ""); });
}

TEST_P(Race, UdpFirstPacketsAndRepliesTogether) {
  std::vector<Frame> queries;
  std::vector<Frame> replies;
  for (std::uint16_t port = 100; port < 110; ++port) {
    queries.push_back(udp(client.to_router(), {client.address, port, ip("172.16.1.1"), 53}));
    replies.push_back(udp(server.to_router(), {server.address, 5353, client.address, port}));
  }
  race(
      pod_side(client, queries), pod_side(server, replies), [&] { world.renew(names); },
      [&] { ASSERT_EQ(datapath.flows().size(), 20U); });
}

TEST_P(Race, EndedFlowsAreReplacedOnce) {
  const Side syn = pod_side(client, {from_client(kSyn, "172.16.1.2")});
  deliver(syn);
  race(
      syn, syn, [&] { world.renew(single); },
      [&] {
        ASSERT_EQ(datapath.run_uncounted(syn.entry, syn.ifindex, syn.frames[0]), 7);
        ASSERT_EQ(datapath.flows().size(), 2U);
      });
}

TEST_P(Race, TheSweepAgainstNewPacketsOfTheSameFlows) {
  change_settings([](sluice_settings& s) {
    s.udp_new = 1;
    s.udp_stream = 1;
    s.tcp_half_open = 1;
    s.tcp_closed = 1;
    s.tcp_reset = 1;
    s.tcp_closing = 1;
    s.delete_grace = 1;
    s.sweep_interval = 20'000;
    s.sweep_pairs = 64;
  });
  datapath.start_sweep();
  std::vector<Frame> frames;
  for (std::uint16_t port = 100; port < 120; ++port) {
    frames.push_back(udp(client.to_router(), {client.address, port, ip("172.16.1.1"), 53}));
    frames.push_back(tcp(client.to_router(), {client.address, port, ip("172.16.1.1"), 80}, kSyn));
    frames.push_back(tcp(client.to_router(), {client.address, port, ip("172.16.1.1"), 80}, kRst));
  }
  std::vector<Frame> inbound;
  for (std::uint16_t port = 100; port < 120; ++port) {
    inbound.push_back(tcp(kInbound, {ip("203.0.113.9"), port, ip("192.0.2.1"), 80}, kSyn));
  }
  std::thread first([&] {
    pin_to_cpu(0);
    for (unsigned round = 0; round < rounds_wanted(); ++round) deliver(pod_side(client, frames));
  });
  std::thread other([&] {
    pin_to_cpu(1);
    for (unsigned round = 0; round < rounds_wanted(); ++round) deliver(uplink_side(inbound));
  });
  first.join();
  other.join();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (live_pairs(datapath) != 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(datapath.totals().expired, 0U);
  EXPECT_EQ(datapath.totals().orphans, 0U) << "no race may leave an orphan";
  EXPECT_EQ(live_pairs(datapath), 0U);
  EXPECT_EQ(datapath.flows().size(), 0U);
}

IN_BOTH_FAMILIES(Race);

}  // namespace
}  // namespace bpftest
