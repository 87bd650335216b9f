// SPDX-License-Identifier: Apache-2.0
// What BPF_PROG_TEST_RUN cannot do: frames without a whole IP header, VLAN tags in skb metadata, and redirects that
// really arrive. The program is attached to one end of a veth, frames are sent and received as raw bytes.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "harness/namespaces.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

/// Our end of the wire: a raw socket on one device.
class Wire {
 public:
  explicit Wire(std::uint32_t ifindex) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = be(std::uint16_t{ETH_P_ALL});
    address.sll_ifindex = static_cast<int>(ifindex);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0) << std::strerror(errno);
  }
  ~Wire() { close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(const Frame& frame) const {
    EXPECT_EQ(write(fd_, frame.bytes.data(), frame.size()), static_cast<ssize_t>(frame.size())) << std::strerror(errno);
  }
  /// The next frame that came in from the other end; empty after ten seconds.
  [[nodiscard]] Frame receive() const {
    pollfd ready{fd_, POLLIN, 0};
    while (poll(&ready, 1, 10'000) == 1) {
      Frame frame(Bytes(4096));
      sockaddr_ll from{};
      socklen_t length = sizeof(from);
      const ssize_t size =
          recvfrom(fd_, frame.bytes.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0) break;
      if (from.sll_pkttype != PACKET_OUTGOING) return frame.resize(static_cast<std::size_t>(size));
    }
    return {};
  }

 private:
  int fd_;
};

class OnTheWire : public ProgramTest {
 protected:
  void SetUp() override {
    for (const Pod* pod : {&pod_, &peer_of_pod_, &machine_, &peer_of_machine_}) bring_up(device_name_of(pod->ifindex));
    wire_.emplace(peer_of_pod_.ifindex);  // a socket bound to a device that is down remembers it as an error
    hook_.sz = sizeof(hook_);
    hook_.ifindex = static_cast<int>(pod_.ifindex);
    hook_.attach_point = BPF_TC_INGRESS;
    ASSERT_EQ(bpf_tc_hook_create(&hook_), 0);
    LIBBPF_OPTS(bpf_tc_opts, options);
    options.prog_fd = datapath.program("from_pod");
    ASSERT_EQ(bpf_tc_attach(&hook_, &options), 0);
  }
  void TearDown() override {
    hook_.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    EXPECT_EQ(bpf_tc_hook_destroy(&hook_), 0);
    ProgramTest::TearDown();
  }

  /// Sends and waits until the program has counted it.
  void expect(const Frame& frame, sluice_reason reason) {
    const auto counted = [&] { return datapath.counters()[reason].packets; };
    const std::uint64_t before = counted();
    wire_->send(frame);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (counted() == before && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_EQ(counted(), before + 1) << reason_name(reason) << "\n" << ::testing::PrintToString(frame);
  }

  Network network = world.network(7, 1);
  Pod pod_ = world.pod(network, "172.16.0.10");
  Pod peer_of_pod_ = world.pod(network, "172.16.0.11");  ///< takes the device at the other end
  Pod machine_ = world.pod(network, "172.16.0.20", SLUICE_ENDPOINT_POD_DEVICE);
  Pod peer_of_machine_ = world.pod(network, "172.16.0.21");
  std::optional<Wire> wire_;
  bpf_tc_hook hook_{};
};

TEST_F(OnTheWire, FramesShorterThanAnIpHeaderAreTruncated) {
  const Frame good = udp(pod_.to(machine_), {pod_.address, 1, machine_.address, 2});
  for (std::size_t size = kEthernet + 1; size < l4; ++size) {
    Frame cut = good;
    expect(cut.resize(size), SLUICE_REASON_TRUNCATED);
  }
  Frame spoofed = good;
  expect(spoofed.set8(6, 0x06).resize(20), SLUICE_REASON_SPOOFED_MAC);
  expect(good, SLUICE_REASON_TO_POD);
}

TEST_F(OnTheWire, VlanTagsAreSeenThoughTheKernelHasTakenThemOut) {
  const Frame good = udp(pod_.to(machine_), {pod_.address, 1, machine_.address, 2});
  expect(vlan(good, 0x8100, 5), SLUICE_REASON_VLAN);
  expect(vlan(good, 0x88a8, 5), SLUICE_REASON_VLAN);
  Frame spoofed = vlan(good, 0x8100, 5);
  expect(spoofed.set8(6, 0x06), SLUICE_REASON_VLAN);
}

TEST_F(OnTheWire, ADeliveredFrameArrivesAtTheReceiversDeviceByteByByte) {
  world.service(network, "172.16.1.1", 80, kTcp, {{machine_, 8080}});
  const Wire receiver(peer_of_machine_.ifindex);
  const Frame direct = udp(pod_.to(machine_), {pod_.address, 1, machine_.address, 2});
  wire_->send(direct);
  EXPECT_EQ(receiver.receive(), direct);
  const Frame syn = tcp(pod_.to_router(), {pod_.address, 40000, ip("172.16.1.1"), 80}, kSyn);
  wire_->send(syn);
  EXPECT_EQ(receiver.receive(), translated(syn, to_pod(machine_), {pod_.address, 40000, machine_.address, 8080}));
}

TEST_F(OnTheWire, AnswersComeBackOnTheSameDevice) {
  const Frame question = arp({pod_.mac, kBroadcastMac}, 1, pod_.mac, pod_.address, {}, machine_.address);
  wire_->send(question);
  EXPECT_EQ(wire_->receive(), arp({machine_.mac, pod_.mac}, 2, machine_.mac, machine_.address, pod_.mac, pod_.address));
}

}  // namespace
}  // namespace bpftest
