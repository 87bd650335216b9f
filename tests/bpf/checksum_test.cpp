// SPDX-License-Identifier: Apache-2.0
// Transport checksums as the kernel has them: unfinished (CHECKSUM_PARTIAL, super packets too), finished and verified.
// Real sockets send through the programs; the receiving stack verifies, also where the sender left the work to a device
// and the way to the receiver has none that does it.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "harness/namespaces.hpp"
#include "harness/program_test.hpp"

namespace bpftest {
namespace {

constexpr std::size_t kStream = 300'000;
constexpr unsigned kSamePort = 80;
constexpr unsigned kOtherPort = 81;
constexpr unsigned kClosedPort = 82;
constexpr unsigned kTargetOfOther = 8081;
constexpr const char* kHostAddress = "198.51.100.1";
constexpr const char* kOutsideAddress = "198.51.100.2";
constexpr Mac kOutsideMac = {0x02, 0xcc, 0, 0, 0, 0x01};

sockaddr_in to(const Address& address, unsigned port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_addr.s_addr = address.wire4();
  made.sin_port = be(static_cast<std::uint16_t>(port));
  return made;
}

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

/// A socket that gives up after ten seconds instead of waiting for ever.
Descriptor open_socket(int type) {
  Descriptor made(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  require(made.get() >= 0, "socket");
  const timeval limit{10, 0};
  const int yes = 1;
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    require(setsockopt(made.get(), SOL_SOCKET, option, &limit, sizeof(limit)) == 0, "limit the waiting");
  }
  require(setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0, "reuse addresses");
  return made;
}

Descriptor bound_socket(int type, unsigned port) {
  Descriptor made = open_socket(type);
  const sockaddr_in address = to(Address(), port);
  require(bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "bind");
  if (type == SOCK_STREAM) require(listen(made.get(), 4) == 0, "listen");
  return made;
}

void connect_to(const Descriptor& end, const Address& address, unsigned port) {
  const sockaddr_in peer = to(address, port);
  require(connect(end.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) == 0, "connect");
}

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes made(size);
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<std::uint8_t>((i * 2654435761U + seed) >> 11);
  return made;
}

void send_all(const Descriptor& end, const Bytes& data) {
  for (std::size_t sent = 0; sent < data.size();) {
    const ssize_t step = ::send(end.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
    require(step > 0, "send");
    sent += static_cast<std::size_t>(step);
  }
  require(shutdown(end.get(), SHUT_WR) == 0, "shutdown");
}

Bytes receive_all(const Descriptor& end) {
  Bytes data(2 * kStream);
  std::size_t size = 0;
  for (ssize_t step = 1; step != 0; size += static_cast<std::size_t>(step)) {
    step = recv(end.get(), data.data() + size, data.size() - size, 0);
    require(step >= 0, "receive");
  }
  data.resize(size);
  return data;
}

/// Looks at the frames that come in from a device, before any program: how the kernel holds their checksums.
class Observer {
 public:
  explicit Observer(std::uint32_t ifindex) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = be(std::uint16_t{ETH_P_ALL});
    address.sll_ifindex = static_cast<int>(ifindex);
    require(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "observe a device");
    const int yes = 1;
    for (const int option : {PACKET_AUXDATA, PACKET_IGNORE_OUTGOING}) {
      require(setsockopt(fd_.get(), SOL_PACKET, option, &yes, sizeof(yes)) == 0, "ask for the state of checksums");
    }
    const int room = 1 << 24;
    require(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) == 0, "room for every frame");
  }

  struct Seen {
    unsigned partial = 0;
    unsigned none = 0;
    unsigned verified = 0;
    std::size_t longest = 0;
  };
  /// What came in since the last call.
  [[nodiscard]] Seen take(std::uint8_t protocol) const {
    Seen seen;
    Bytes head(64);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(tpacket_auxdata))];
    while (true) {
      sockaddr_ll from{};
      iovec into{head.data(), head.size()};
      msghdr message{};
      message.msg_name = &from;
      message.msg_namelen = sizeof(from);
      message.msg_iov = &into;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      const ssize_t size = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_TRUNC);
      if (size < 0) return seen;
      const bool counts = from.sll_protocol == be(std::uint16_t{ETH_P_IP}) && head[kIp + 9] == protocol;
      if (counts) count(seen, message, static_cast<std::size_t>(size));
    }
  }

 private:
  static void count(Seen& seen, msghdr& message, std::size_t size) {
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    require(header != nullptr && header->cmsg_type == PACKET_AUXDATA, "the state of a frame");
    tpacket_auxdata state{};
    std::memcpy(&state, CMSG_DATA(header), sizeof(state));
    seen.partial += (state.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
    seen.verified += (state.tp_status & TP_STATUS_CSUM_VALID) != 0;
    seen.none += (state.tp_status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID)) == 0;
    seen.longest = std::max(seen.longest, size);
  }

  Descriptor fd_;
};

struct Way {
  const char* name;
  bool sender_leaves_it;    ///< the sender's device claims to do checksums, so its stack leaves them undone
  bool merged_on_arrival;   ///< GRO on the host's side, which verifies, and joins segments
  bool finished_behind_us;  ///< no device behind the programs does checksums, so the kernel finishes what is undone
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << way.name;
}

class Checksums : public ProgramTest, public ::testing::WithParamInterface<Way> {
 protected:
  void SetUp() override {
    for (const std::uint8_t protocol : {kTcp, kUdp}) {
      world.service(network_, "172.16.1.1", kSamePort, protocol, {{server_, kSamePort}});
      world.service(network_, "172.16.1.1", kOtherPort, protocol, {{server_, kTargetOfOther}});
      world.floating("192.0.2.1", kSamePort, protocol, network_, {{server_, kSamePort}});
      world.floating("192.0.2.1", kOtherPort, protocol, network_, {{server_, kTargetOfOther}});
      world.service(network_, "172.15.0.21", kOtherPort, protocol, {{server_, kTargetOfOther}});
    }
    set_address(device_name_of(world.uplink()), ip(kHostAddress), 24);
    hook(client_.ifindex, "from_pod");
    hook(server_.ifindex, "from_pod");
    hook(world.uplink(), "from_uplink");
    inside_.take("slt1", client_.mac, client_.address, 16, network_.router);
    serving_.take("slt3", server_.mac, server_.address, 16, network_.router);
    outside_.take("sltup1", kOutsideMac, ip(kOutsideAddress), 24, ip(kHostAddress));
    inside_.run([this] { set_transmit_checksums("slt1", way_.sender_leaves_it); });
    serving_.run([this] { set_transmit_checksums("slt3", way_.sender_leaves_it); });
    outside_.run([this] { set_transmit_checksums("sltup1", way_.sender_leaves_it); });
    for (const std::uint32_t ifindex : {client_.ifindex, server_.ifindex, world.uplink()}) {
      wait_until_running(device_name_of(ifindex));
    }
    inside_.run([] { wait_until_running("slt1"); });
    serving_.run([] { wait_until_running("slt3"); });
    outside_.run([] { wait_until_running("sltup1"); });
  }

  void TearDown() override {
    inside_.run([] { set_transmit_checksums("slt1", true); });
    serving_.run([] { set_transmit_checksums("slt3", true); });
    outside_.run([] { set_transmit_checksums("sltup1", true); });
    for (const std::uint32_t ifindex : {client_.ifindex, server_.ifindex, world.uplink()}) {
      bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
      EXPECT_EQ(bpf_tc_hook_destroy(&hook), 0);
      set_transmit_checksums(device_name_of(ifindex), true);
      set_receive_offload(device_name_of(ifindex), false);
    }
    set_address(device_name_of(world.uplink()), {}, 0);
    for (const Namespace* side : {&inside_, &serving_, &outside_}) {
      for (const char* protocol : {"Tcp", "Udp"}) EXPECT_EQ(side->counter(protocol, "InCsumErrors"), 0U);
    }
    ProgramTest::TearDown();
  }

  static bpf_tc_hook hook_of(std::uint32_t ifindex, unsigned where) {
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = static_cast<bpf_tc_attach_point>(where);
    return hook;
  }
  void hook(std::uint32_t ifindex, const char* program) const {
    const std::string device = device_name_of(ifindex);
    bring_up(device);
    set_transmit_checksums(device, !way_.finished_behind_us);
    set_receive_offload(device, way_.merged_on_arrival);
    bpf_tc_hook hook = hook_of(ifindex, BPF_TC_INGRESS);
    ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
    LIBBPF_OPTS(bpf_tc_opts, options);
    options.prog_fd = datapath.program(program);
    ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);
  }

  /// Runs `server` in the server's pod and `client` on `side` at the same time, when the server's socket is open.
  void together(const Namespace& side, int type, unsigned target, const std::function<void(const Descriptor&)>& server,
                const std::function<void()>& client) const {
    Descriptor listening;
    serving_.run([&] { listening = bound_socket(type, target); });
    std::thread other([&] { serving_.run([&] { server(listening); }); });
    side.run(client);
    other.join();
  }

  void exchange_stream(const Namespace& side, const Address& address, unsigned port, unsigned target) const {
    const auto server = [](const Descriptor& listening) {
      const Descriptor peer(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
      require(peer.get() >= 0, "accept");
      EXPECT_TRUE(receive_all(peer) == pattern(kStream, 1));
      send_all(peer, pattern(kStream, 2));
    };
    together(side, SOCK_STREAM, target, server, [&] {
      const Descriptor end = open_socket(SOCK_STREAM);
      connect_to(end, address, port);
      send_all(end, pattern(kStream, 1));
      EXPECT_TRUE(receive_all(end) == pattern(kStream, 2));
    });
  }

  /// Datagrams of many sizes there and back, with checksums or without.
  void exchange_datagrams(const Namespace& side, const Address& address, unsigned port, unsigned target,
                          int without) const {
    static constexpr std::size_t kSizes[] = {0, 1, 2, 3, 17, 100, 511, 1472};
    const auto server = [without](const Descriptor& end) {
      require(setsockopt(end.get(), SOL_SOCKET, SO_NO_CHECK, &without, sizeof(without)) == 0, "checksums or none");
      for ([[maybe_unused]] const std::size_t size : kSizes) {
        Bytes data(2000);
        sockaddr_in from{};
        socklen_t length = sizeof(from);
        const ssize_t got =
            recvfrom(end.get(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
        require(got >= 0, "receive a datagram");
        require(sendto(end.get(), data.data(), static_cast<std::size_t>(got), 0,
                       reinterpret_cast<const sockaddr*>(&from), length) == got,
                "answer a datagram");
      }
    };
    together(side, SOCK_DGRAM, target, server, [&] {
      const Descriptor end = open_socket(SOCK_DGRAM);
      require(setsockopt(end.get(), SOL_SOCKET, SO_NO_CHECK, &without, sizeof(without)) == 0, "checksums or none");
      connect_to(end, address, port);
      for (const std::size_t size : kSizes) {
        const Bytes data = pattern(size, static_cast<unsigned>(size));
        Bytes back(2000);
        require(::send(end.get(), data.data(), size, 0) == static_cast<ssize_t>(size), "send a datagram");
        const ssize_t got = recv(end.get(), back.data(), back.size(), 0);
        require(got >= 0, "receive the answer");
        back.resize(static_cast<std::size_t>(got));
        EXPECT_TRUE(back == data) << size << " bytes";
      }
    });
  }

  /// Did the checksums come in as this way wants them?
  void expect_seen(const Observer::Seen& seen) const {
    EXPECT_EQ(seen.partial != 0, way_.sender_leaves_it || way_.merged_on_arrival);
    EXPECT_EQ(seen.none == 0, way_.sender_leaves_it || way_.merged_on_arrival);
    EXPECT_EQ(seen.verified != 0, way_.merged_on_arrival);
    EXPECT_EQ(seen.longest > 1514, way_.sender_leaves_it || way_.merged_on_arrival) << "joined segments";
  }

  Way way_ = GetParam();
  std::uint8_t kind_ = way_.finished_behind_us ? SLUICE_ENDPOINT_POD_DEVICE : SLUICE_ENDPOINT_POD_PEER;
  Network network_ = world.network(7, 1);
  Pod client_ = world.pod(network_, "172.16.0.10", kind_);  ///< slt0
  Pod end_of_client_ = world.pod(network_, "172.16.0.11");  ///< slt1, the client's own device
  Pod server_ = world.pod(network_, "172.16.0.20", kind_);  ///< slt2
  Pod end_of_server_ = world.pod(network_, "172.16.0.21");  ///< slt3
  Address service_ = ip("172.16.1.1");
  Address equal_sum_ = ip("172.15.0.21");  ///< adds the same to a checksum as the server's address
  Address floating_ = ip("192.0.2.1");
  Namespace inside_;
  Namespace serving_;
  Namespace outside_;
};

TEST_P(Checksums, OfStreamsAreRightWithAndWithoutAChangeOfPort) {
  const Observer from_client(client_.ifindex), from_server(server_.ifindex), from_outside(world.uplink());
  exchange_stream(inside_, service_, kSamePort, kSamePort);
  exchange_stream(inside_, service_, kOtherPort, kTargetOfOther);
  exchange_stream(inside_, equal_sum_, kOtherPort, kTargetOfOther);
  expect_seen(from_client.take(kTcp));
  expect_seen(from_server.take(kTcp));
  exchange_stream(outside_, floating_, kSamePort, kSamePort);
  exchange_stream(outside_, floating_, kOtherPort, kTargetOfOther);
  expect_seen(from_outside.take(kTcp));
  expect_seen(from_server.take(kTcp));
}

TEST_P(Checksums, OfDatagramsAreRightAndNoneStaysNone) {
  const Observer from_client(client_.ifindex);
  for (const int without : {0, 1}) {
    exchange_datagrams(inside_, service_, kSamePort, kSamePort, without);
    exchange_datagrams(inside_, service_, kOtherPort, kTargetOfOther, without);
    exchange_datagrams(inside_, equal_sum_, kOtherPort, kTargetOfOther, without);
    exchange_datagrams(outside_, floating_, kSamePort, kSamePort, without);
    exchange_datagrams(outside_, floating_, kOtherPort, kTargetOfOther, without);
    EXPECT_EQ(from_client.take(kUdp).partial != 0, way_.sender_leaves_it && without == 0);
  }
}

TEST_P(Checksums, OfRefusalsAreRight) {
  for (const auto& [side, address] : {std::pair{&inside_, service_}, {&outside_, floating_}}) {
    side->run([address] {
      const Descriptor stream = open_socket(SOCK_STREAM);
      const sockaddr_in closed = to(address, kClosedPort);
      EXPECT_EQ(connect(stream.get(), reinterpret_cast<const sockaddr*>(&closed), sizeof(closed)), -1);
      EXPECT_EQ(errno, ECONNREFUSED);
      const Descriptor datagrams = open_socket(SOCK_DGRAM);
      connect_to(datagrams, address, kClosedPort);
      require(::send(datagrams.get(), "?", 1, 0) == 1, "send a datagram");
      char answer = 0;
      EXPECT_EQ(recv(datagrams.get(), &answer, 1, 0), -1);
      EXPECT_EQ(errno, ECONNREFUSED);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(OnEveryWay, Checksums,
                         ::testing::Values(Way{"UndoneAndBelieved", true, false, false},
                                           Way{"UndoneAndFinished", true, false, true},
                                           Way{"Done", false, false, false}, Way{"DoneAndFinished", false, false, true},
                                           Way{"Verified", false, true, false},
                                           Way{"VerifiedAndFinished", false, true, true}),
                         [](const ::testing::TestParamInfo<Way>& way) { return way.param.name; });

}  // namespace
}  // namespace bpftest
