// SPDX-License-Identifier: Apache-2.0
// Every malformed class from the public side: a counted drop for floating IPs, untouched for any other address.
#include <functional>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

struct Case {
  std::string what;
  Frame frame;
  sluice_reason reason;
};

class MalformedFromUplink : public ProgramTest {
 protected:
  MalformedFromUplink() {
    world.floating("192.0.2.1", 80, kTcp, network, {{server, 8080}});
    world.floating("192.0.2.1", 53, kUdp, network, {{server, 5353}});
    world.floating("192.0.2.2", 80, kTcp, network, {{server, 8080}});
  }

  [[nodiscard]] Frame good_tcp() const {
    return tcp(kInbound, {client, 40000, address, 80}, kSyn, {.payload = text("hello")});
  }
  [[nodiscard]] Frame good_udp() const { return udp(kInbound, {client, 40000, address, 53}); }
  static Frame changed(Frame frame, const std::function<void(Frame&)>& change) {
    change(frame);
    return frame;
  }
  static Frame repaired(Frame frame, const std::function<void(Frame&)>& change) {
    change(frame);
    return frame.fix_checksums();
  }

  /// The reason for the floating IP, and FOREIGN once the same frame goes to an address that is nobody's.
  void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.what);
      EXPECT_EQ(receive(c.frame).reason, c.reason);
      if (c.reason == SLUICE_REASON_LAND) continue;
      const Frame foreign = changed(c.frame, [&](Frame& f) { f.set_destination(ip("198.51.100.77")); });
      EXPECT_EQ(receive(foreign).reason, SLUICE_REASON_FOREIGN) << "to a foreign address";
      EXPECT_EQ(datapath.flows().size(), 0U) << "a malformed packet made a flow";
    }
  }

  Network network = world.network(7, 1);
  Pod server = world.pod(network, "172.16.0.20");
  Address client = ip("203.0.113.9");
  Address address = ip("192.0.2.1");
};

TEST_F(MalformedFromUplink, DropsWrongIpHeaders) {
  std::vector<Case> cases;
  for (unsigned first : {0x05U, 0x15U, 0x55U, 0x65U, 0xf5U, 0x40U, 0x44U}) {
    cases.push_back({"first byte " + std::to_string(first), changed(good_tcp(), [&](Frame& f) { f.set8(kIp, first); }),
                     SLUICE_REASON_BAD_IP_HEADER});
  }
  for (unsigned total : {0U, 19U, static_cast<unsigned>(good_tcp().size()) - 13, 0xffffU}) {
    cases.push_back({"total length " + std::to_string(total),
                     changed(good_tcp(), [&](Frame& f) { f.set16(kIp + 2, total); }), SLUICE_REASON_BAD_IP_LENGTH});
  }
  for (std::size_t size = l4; size < good_tcp().size(); ++size) {
    cases.push_back({"cut to " + std::to_string(size), good_tcp().resize(size), SLUICE_REASON_BAD_IP_LENGTH});
  }
  cases.push_back({"options", with_ip_options(good_tcp(), Bytes(4, 1)), SLUICE_REASON_IP_OPTIONS});
  cases.push_back({"40 bytes of options", with_ip_options(good_udp(), Bytes(40, 0)), SLUICE_REASON_IP_OPTIONS});
  expect(cases);
}

TEST_F(MalformedFromUplink, DropsSourcesThatCannotBe) {
  std::vector<Case> cases;
  for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.1.1",
                             "240.0.0.1", "255.255.255.255", "192.0.2.2"}) {
    cases.push_back({std::string("source ") + source, repaired(good_tcp(), [&](Frame& f) { f.set_source(ip(source)); }),
                     SLUICE_REASON_MARTIAN});
  }
  cases.push_back({"land", repaired(good_tcp(), [&](Frame& f) { f.set_source(address); }), SLUICE_REASON_LAND});
  expect(cases);
}

TEST_F(MalformedFromUplink, DropsFragmentsAndWrongTransportHeaders) {
  const auto at16 = [&](const Frame& frame, std::size_t offset, unsigned value) {
    return repaired(frame, [&](Frame& f) { f.set16(offset, value); });
  };
  const auto flags = [&](unsigned value) { return repaired(good_tcp(), [&](Frame& f) { f.set8(l4 + 13, value); }); };
  expect({
      {"first fragment", at16(good_udp(), kIp + 6, 0x2000), SLUICE_REASON_FRAGMENT},
      {"last fragment", at16(good_udp(), kIp + 6, 0x00b9), SLUICE_REASON_FRAGMENT},
      {"fragment of an unknown protocol", at16(ip_packet(kInbound, client, address, kSctp, Bytes(12)), kIp + 6, 0x2000),
       SLUICE_REASON_FRAGMENT},
      {"TCP without its header", at16(good_tcp(), kIp + 2, 39), SLUICE_REASON_TRUNCATED},
      {"UDP without its header", at16(good_udp(), kIp + 2, 27), SLUICE_REASON_TRUNCATED},
      {"ICMP without its header", ip_packet(kInbound, client, address, kIcmp, {8, 0, 0, 0, 0, 0, 0}),
       SLUICE_REASON_TRUNCATED},
      {"TCP data offset 4", repaired(good_tcp(), [&](Frame& f) { f.set8(l4 + 12, 0x40); }),
       SLUICE_REASON_BAD_L4_HEADER},
      {"TCP data offset 15", repaired(good_tcp(), [&](Frame& f) { f.set8(l4 + 12, 0xf0); }),
       SLUICE_REASON_BAD_L4_HEADER},
      {"SYN+FIN", flags(kSyn | kFin), SLUICE_REASON_BAD_L4_HEADER},
      {"SYN+RST", flags(kSyn | kRst), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length 7", changed(good_udp(), [&](Frame& f) { f.set16(l4 + 4, 7); }), SLUICE_REASON_BAD_L4_HEADER},
      {"UDP length beyond the packet", changed(good_udp(), [&](Frame& f) { f.set16(l4 + 4, 13); }),
       SLUICE_REASON_BAD_L4_HEADER},
      {"TCP source port 0", at16(good_tcp(), l4, 0), SLUICE_REASON_ZERO_PORT},
      {"TCP destination port 0", at16(good_tcp(), l4 + 2, 0), SLUICE_REASON_ZERO_PORT},
      {"UDP source port 0", at16(good_udp(), l4, 0), SLUICE_REASON_ZERO_PORT},
      {"UDP destination port 0", at16(good_udp(), l4 + 2, 0), SLUICE_REASON_ZERO_PORT},
  });
}

TEST_F(MalformedFromUplink, TheFirstCheckThatAppliesDecides) {
  const auto fragment = [&](Frame& f) { f.set16(kIp + 6, 0x2000); };
  expect({
      {"fragments before a floating IP as source",
       repaired(good_tcp(), [&](Frame& f) { fragment(f), f.set_source(ip("192.0.2.2")); }), SLUICE_REASON_FRAGMENT},
      {"loopback before fragments", repaired(good_tcp(), [&](Frame& f) { fragment(f), f.set_source(ip("127.0.0.1")); }),
       SLUICE_REASON_MARTIAN},
      {"the transport header before a floating IP as source",
       repaired(good_tcp(), [&](Frame& f) { f.set16(kIp + 2, 30).set_source(ip("192.0.2.2")); }),
       SLUICE_REASON_TRUNCATED},
      {"fragments before ports", repaired(good_tcp(), [&](Frame& f) { fragment(f), f.set16(l4, 0); }),
       SLUICE_REASON_FRAGMENT},
      {"options before a martian source",
       repaired(with_ip_options(good_tcp(), Bytes(4, 1)), [&](Frame& f) { f.set_source(ip("127.0.0.1")); }),
       SLUICE_REASON_IP_OPTIONS},
  });
}

}  // namespace
}  // namespace bpftest
