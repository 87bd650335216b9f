// SPDX-License-Identifier: Apache-2.0
// What tests of malformed packets have in common: good packets to spoil, from a pod and from the public side.
#pragma once

#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "harness/program_test.hpp"

namespace bpftest {

struct Case {
  std::string what;
  Frame frame;
  sluice_reason reason;
};

enum class From { kPod, kUplink };
inline constexpr From kEntries[] = {From::kPod, From::kUplink};

inline std::string name_of(From from) {
  return from == From::kPod ? "FromPod" : "FromUplink";
}
inline void PrintTo(From from, std::ostream* out) {
  *out << name_of(from);
}

class MalformedTest : public ProgramTest {
 protected:
  using Change = std::function<void(Frame&)>;

  MalformedTest(Family its_family, From its_entry) : ProgramTest(its_family), from(its_entry) {
    world.service(network, "172.16.1.1", 80, kTcp, {{server, 8080}});
    world.service(network, "172.16.1.1", 53, kUdp, {{server, 5353}});
    world.service(network, "172.16.1.1", 0, kIcmp, {{server, 0}});
    for (const char* address : {"192.0.2.1", "192.0.2.2"}) {
      world.floating(address, 80, kTcp, network, {{server, 8080}});
      world.floating(address, 53, kUdp, network, {{server, 5353}});
      world.floating(address, 0, kIcmp, network, {{server, 0}});
    }
  }

  /// Packets that would be delivered: to a neighbour, or to a floating IP.
  [[nodiscard]] Frame good_tcp() const {
    return tcp(link, {source, 40000, destination, 80}, kSyn, {.payload = text("hello")});
  }
  [[nodiscard]] Frame good_udp() const { return udp(link, {source, 40000, destination, 53}); }
  [[nodiscard]] Frame good_echo() const { return echo_request(link, source, destination, 77); }
  [[nodiscard]] Frame good_other() const { return ip_packet(link, source, destination, kExperiment, Bytes(12)); }
  static Frame changed(Frame frame, const Change& change) {
    change(frame);
    return frame;
  }
  static Frame repaired(Frame frame, const Change& change) {
    change(frame);
    return frame.fix_checksums();
  }
  [[nodiscard]] Frame addressed(const Frame& frame, const std::string& to) const {
    return repaired(frame, [&](Frame& f) { f.set_destination(ip(to)); });
  }
  [[nodiscard]] Frame sent_by(const Frame& frame, const std::string& by) const {
    return repaired(frame, [&](Frame& f) { f.set_source(ip(by)); });
  }
  Outcome run(const Frame& frame) { return from == From::kPod ? send(pod, frame) : receive(frame); }
  [[nodiscard]] sluice_reason delivered() const {
    return from == From::kPod ? SLUICE_REASON_TO_POD : SLUICE_REASON_TO_BACKEND;
  }

  /// Each has its reason and makes no flow. On the uplink the same frame to an address that is nobody's is FOREIGN.
  void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.what);
      EXPECT_EQ(run(c.frame).reason, c.reason);
      if (from == From::kUplink && c.reason != SLUICE_REASON_LAND && c.reason != SLUICE_REASON_FOREIGN) {
        const Frame foreign = changed(c.frame, [&](Frame& f) { f.set_destination(ip("198.51.100.77")); });
        EXPECT_EQ(run(foreign).reason, SLUICE_REASON_FOREIGN) << "to a foreign address";
      }
      EXPECT_EQ(datapath.flows().size(), 0U) << "a malformed packet made a flow";
    }
  }

  const From from;
  Network network = world.network(7, 1);
  Pod pod = world.pod(network, "172.16.0.10");
  Pod server = world.pod(network, "172.16.0.20");
  const Link link = from == From::kPod ? pod.to(server) : kInbound;
  const Address source = from == From::kPod ? pod.address : ip("203.0.113.9");
  const Address destination = from == From::kPod ? server.address : ip("192.0.2.1");
};

/// One family from both entries; or one entry.
template <Family its_family>
class MalformedIn : public MalformedTest, public ::testing::WithParamInterface<From> {
 protected:
  MalformedIn() : MalformedTest(its_family, GetParam()) {}
};
template <From its_entry>
class MalformedBy : public MalformedTest {
 protected:
  explicit MalformedBy(Family its_family) : MalformedTest(its_family, its_entry) {}
};

#define BY_EACH_ENTRY(Suite)                                                  \
  INSTANTIATE_TEST_SUITE_P(, Suite, ::testing::ValuesIn(::bpftest::kEntries), \
                           [](const auto& run) { return ::bpftest::name_of(run.param); })

}  // namespace bpftest
