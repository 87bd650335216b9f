// SPDX-License-Identifier: Apache-2.0
// Packets that came in with a sum by the device (CHECKSUM_COMPLETE), which the kernel believes: it has to follow what
// the programs change.
#include <cerrno>
#include <cstring>

#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// Runs from_pod on a packet of which the device has said the sum, and fails if that sum is not the new packet's after
/// it. The kernel does this check since 6.17; older ones refuse the flag, and only the packet is compared.
class SummedByTheDevice : public FamilyTest {
 protected:
  void expect_translation(const Pod& from, const Frame& frame, const Frame& wanted) {
    constexpr std::uint32_t kTestChecksumComplete = 1U << 2;
    Frame after(Bytes(2048));
    __sk_buff skb{};
    skb.ifindex = from.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.bytes.data();
    options.data_size_in = static_cast<std::uint32_t>(frame.size());
    options.data_out = after.bytes.data();
    options.data_size_out = static_cast<std::uint32_t>(after.size());
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
    options.repeat = 1;
    options.flags = kTestChecksumComplete;
    int error = bpf_prog_test_run_opts(datapath.program("from_pod"), &options);
    if (error == -EINVAL) {
      options.flags = 0;
      error = bpf_prog_test_run_opts(datapath.program("from_pod"), &options);
    }
    EXPECT_EQ(error, 0) << std::strerror(-error) << ": EBADMSG is a sum that is not the packet's";
    EXPECT_EQ(after.resize(options.data_size_out), wanted);
  }

  Network network_ = world.network(7, 1);
  Pod client_ = world.pod(network_, "172.16.0.10");
  Pod server_ = world.pod(network_, "172.16.0.20");
};

TEST_P(SummedByTheDevice, APacketKeepsItsSum) {
  for (const unsigned target : {80, 8080}) {
    const Address service = ip(target == 80 ? "172.16.1.1" : "172.16.1.2");
    const auto port = static_cast<std::uint16_t>(target);
    for (const std::uint8_t protocol : {kTcp, kUdp}) {
      world.service(network_, target == 80 ? "172.16.1.1" : "172.16.1.2", 80, protocol, {{server_, port}});
    }
    const Tuple sent{client_.address, 40000, service, 80}, received{client_.address, 40000, server_.address, port};
    for (const unsigned flags : {kSyn, kAck}) {
      const Frame stream = tcp(client_.to_router(), sent, flags, {.payload = Bytes(101, 7)});
      expect_translation(client_, stream, translated(stream, to_pod(server_), received));
    }
    Frame datagram = udp(client_.to_router(), sent);
    expect_translation(client_, datagram, translated(datagram, to_pod(server_), received));
    datagram.set16(l4 + 6, 0);
    expect_translation(client_, datagram, translated(datagram, to_pod(server_), received));
    const Tuple answer = received.reversed(), translated_back = sent.reversed();
    const Frame reply = udp(server_.to_router(), answer);
    expect_translation(server_, reply, translated(reply, to_pod(client_), translated_back));
  }
}

IN_BOTH_FAMILIES(SummedByTheDevice);

}  // namespace
}  // namespace bpftest
