// SPDX-License-Identifier: Apache-2.0
// The way out of a node that runs: addresses, uplinks, sockets and sysctls of the host come, change and go.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "node/host_ports.hpp"
#include "node_fixture.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::eventually;
using datapath::testing::ifindex_of;
using datapath::testing::shell;
using datapath::testing::text;

constexpr PortRange kPorts{16384, 29999};

void set_reserved(const std::string& ports) {
  EXPECT_EQ(shell("echo '" + ports + "' > /proc/sys/net/ipv4/ip_local_reserved_ports"), "");
}

/// A socket at every IPv4 address; TCP listens.
UniqueFd socket_at(int type, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 1), 0);
  }
  return fd;
}

/// A connection of the host with itself, whose listening end has closed: `first` has the port.
struct Connection {
  UniqueFd first;
  UniqueFd second;
};
Connection connection_at(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(::inet_pton(AF_INET, host.c_str(), &address.sin_addr), 1);
  const UniqueFd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int reuse = 1;
  EXPECT_EQ(::setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)), 0);
  EXPECT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
      << std::strerror(errno);
  EXPECT_EQ(::listen(listening.get(), 1), 0);
  Connection made;
  made.second = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(made.second.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0)
      << std::strerror(errno);
  made.first = UniqueFd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(made.first.valid());
  return made;
}

class NodeEgress : public NodeTest {
 protected:
  void SetUp() override {
    set_reserved("");
    ASSERT_EQ(shell("ip link add up0 type veth peer name up0p && ip link set up0 up && ip link set up0p up && "
                    "ip addr add 192.0.2.7/24 dev up0 && ip addr add 2001:db8::7/64 nodad dev up0"),
              "");
  }
  void TearDown() override {
    shell("ip link del up0");
    set_reserved("");
  }
  [[nodiscard]] Options with_egress() const {
    Options options = node_options();
    options.uplinks = {{"up0", datapath::XdpMode::kOff}};
    options.egress.emplace();
    options.egress->device = "up0";
    options.verify_interval = std::chrono::milliseconds(50);
    return options;
  }
  static compile::Egress egress_of(const Running& node) {
    const auto status = node.status();
    EXPECT_TRUE(status.egress);
    return status.egress ? status.egress->value : compile::Egress{};
  }
  static std::string address4(const Running& node) {
    const auto v4 = egress_of(node).v4;
    return v4 ? v4->address.text() : "none";
  }
  static std::string address6(const Running& node) {
    const auto v6 = egress_of(node).v6;
    return v6 ? v6->address.text() : "none";
  }
  static bool warns(const Running& node, const std::string& part) {
    return std::ranges::any_of(node.status().warnings,
                               [&](const std::string& one) { return one.find(part) != std::string::npos; });
  }
};

TEST_F(NodeEgress, IsAbsentWhereNobodyConfiguredIt) {
  Options options = with_egress();
  options.egress.reset();
  const auto node = start(options);
  EXPECT_FALSE(node->status().egress);
  EXPECT_TRUE(reserved_ports().value().empty()) << "no sysctl is touched";
}

TEST_F(NodeEgress, IsThereFromTheStartWithItsPortsReserved) {
  set_reserved("8080,30000");
  const auto node = start(with_egress());
  const compile::Egress egress = egress_of(*node);
  EXPECT_EQ(egress.ifindex, ifindex_of("up0"));
  EXPECT_EQ(address4(*node), "192.0.2.7");
  EXPECT_EQ(address6(*node), "2001:db8::7");
  EXPECT_TRUE(egress.v4 && egress.v4->shared && egress.v4->ports == kPorts);
  EXPECT_EQ(std::ranges::count(egress.denied4, Cidr4::parse("192.0.2.7/32").value()), 1);
  EXPECT_EQ(std::ranges::count(egress.denied6, Cidr6::parse("2001:db8::7/128").value()), 1);
  EXPECT_EQ(text_of(reserved_ports().value()), "8080,16384-30000") << "what stood there stays";
  EXPECT_TRUE(node->status().warnings.empty());
  EXPECT_TRUE(node->status().synced);
}

TEST_F(NodeEgress, FollowsAddressesAsTheyComeAndGo) {
  Options options = with_egress();
  options.verify_interval = std::chrono::hours(1);  // by the kernel's events alone
  const auto node = start(options);
  ASSERT_EQ(shell("ip addr add 198.51.100.3/24 dev up0p"), "");
  EXPECT_TRUE(eventually([&] {
    const auto denied = egress_of(*node).denied4;
    return std::ranges::count(denied, Cidr4::parse("198.51.100.3/32").value()) == 1;
  })) << "an address of any device is denied";
  ASSERT_EQ(shell("ip addr add 192.0.2.8/32 dev up0 && ip addr del 192.0.2.7/24 dev up0"), "");
  EXPECT_TRUE(eventually([&] { return address4(*node) == "192.0.2.8"; })) << address4(*node);
  ASSERT_EQ(shell("ip addr flush dev up0 scope global"), "");
  EXPECT_TRUE(eventually([&] { return address4(*node) == "none" && address6(*node) == "none"; }));
  EXPECT_TRUE(warns(*node, "egress: device up0 has no global address"));
  ASSERT_EQ(shell("ip addr add 2001:db8::8/64 nodad dev up0"), "");
  EXPECT_TRUE(eventually([&] { return address6(*node) == "2001:db8::8"; }));
  EXPECT_FALSE(warns(*node, "egress"));
  EXPECT_TRUE(node->status().synced);
}

TEST_F(NodeEgress, FollowsTheDevice) {
  Options options = with_egress();
  options.verify_interval = std::chrono::hours(1);
  const auto node = start(options);
  ASSERT_EQ(shell("ip link del up0"), "");
  EXPECT_TRUE(eventually([&] { return egress_of(*node).ifindex == 0; }));
  EXPECT_TRUE(warns(*node, "egress: device up0 does not work as an uplink"));
  ASSERT_EQ(shell("ip link add up0 type veth peer name up0p && ip link set up0 up && ip addr add 192.0.2.9/24 dev up0"),
            "");
  EXPECT_TRUE(eventually([&] { return address4(*node) == "192.0.2.9"; }));
  EXPECT_EQ(egress_of(*node).ifindex, ifindex_of("up0"));
}

TEST_F(NodeEgress, DeniesTheUnderlaysOfAllNodes) {
  const auto denies = [](const Running& node, const std::string& prefix) {
    const auto denied = egress_of(node).denied4;
    return std::ranges::count(denied, Cidr4::parse(prefix).value()) == 1;
  };
  const std::string host = "---\nkind: Node\nname: host-2\nunderlay4: ";
  write_manifests(two_networks() + host + "198.51.100.20\n");
  const auto node = start(with_egress());
  EXPECT_TRUE(denies(*node, "198.51.100.20/32"));
  write_manifests(two_networks() + host + "198.51.100.21\n");
  EXPECT_TRUE(eventually([&] { return denies(*node, "198.51.100.21/32"); })) << "a change of a Node alone";
  EXPECT_FALSE(denies(*node, "198.51.100.20/32"));
}

TEST_F(NodeEgress, WaitsForSocketsThatHaveItsPorts) {
  UniqueFd tcp = socket_at(SOCK_STREAM, 20000);
  UniqueFd udp = socket_at(SOCK_DGRAM, 29999);
  const UniqueFd outside = socket_at(SOCK_STREAM, 30000);
  const auto node = start(with_egress());
  EXPECT_EQ(address4(*node), "none");
  EXPECT_EQ(address6(*node), "2001:db8::7");
  EXPECT_TRUE(warns(*node, "TCP 0.0.0.0:20000, UDP 0.0.0.0:29999; end or move them"));
  tcp.reset();
  EXPECT_TRUE(eventually([&] { return warns(*node, ": UDP 0.0.0.0:29999; end"); }));
  EXPECT_EQ(address4(*node), "none");
  udp.reset();
  EXPECT_TRUE(eventually([&] { return address4(*node) == "192.0.2.7"; }));
  EXPECT_FALSE(warns(*node, "egress"));
  tcp = socket_at(SOCK_STREAM, 20000);
  EXPECT_TRUE(eventually([&] { return warns(*node, "pods go on to leave by 192.0.2.7"); }));
  EXPECT_EQ(address4(*node), "192.0.2.7");
}

TEST_F(NodeEgress, WaitsForConnectionsThatHaveItsPortsUntilItBegins) {
  ASSERT_EQ(shell("ip link set lo up"), "");
  Connection connection = connection_at("192.0.2.7", 20000);
  const auto node = start(with_egress());
  EXPECT_EQ(address4(*node), "none");
  EXPECT_EQ(address6(*node), "2001:db8::7");
  EXPECT_TRUE(warns(*node,
                    "egress.address4: the host has sockets at ports of egress.ports 16384-29999: TCP "
                    "192.0.2.7:20000; end or move them"));
  connection.first.reset();  // closes first: TIME_WAIT with the port, which is in nobody's way
  connection.second.reset();
  EXPECT_TRUE(eventually([&] { return address4(*node) == "192.0.2.7"; }));
  EXPECT_EQ(sockets_with(kPorts, SocketKinds::kWhole).value().size(), 0U);
  EXPECT_EQ(shell("grep -c ':4E20 [^ ]* 06' /proc/net/tcp"), "1\n");
  connection = connection_at("192.0.2.7", 20001);
  EXPECT_EQ(sockets_with(kPorts, SocketKinds::kWhole).value().size(), 1U);
  EXPECT_EQ(sockets_with(kPorts, SocketKinds::kListening).value().size(), 0U);
  ASSERT_TRUE(shell("ip addr add 198.51.100.9/24 dev up0p").empty());  // makes it look again
  EXPECT_TRUE(eventually(
      [&] { return std::ranges::count(egress_of(*node).denied4, Cidr4::parse("198.51.100.9/32").value()) == 1; }));
  EXPECT_EQ(address4(*node), "192.0.2.7");
  EXPECT_FALSE(warns(*node, "egress")) << "while it is in use only sockets that listen are read";
}

TEST_F(NodeEgress, LeavesItsAddressToAFloatingIpAndGoesOnApplyingChanges) {
  const auto floating = [](const std::string& name, const std::string& address) {
    return "---\nkind: FloatingIP\nname: " + name + "\naddress: " + address + "\n";
  };
  write_manifests(two_networks() + floating("web", "192.0.2.8"));
  const auto node = start(with_egress());
  EXPECT_EQ(address4(*node), "192.0.2.7");
  ASSERT_EQ(shell("ip addr add 192.0.2.8/32 dev up0 && ip addr del 192.0.2.7/24 dev up0"), "");
  EXPECT_TRUE(eventually([&] { return warns(*node, "egress.address4: 192.0.2.8 is the address of floating IP web"); }));
  EXPECT_EQ(address4(*node), "none");
  EXPECT_EQ(address6(*node), "2001:db8::7");
  EXPECT_TRUE(node->status().synced) << node->status().last_error;
  const auto revision = node->status().revision;
  write_manifests(two_networks() + floating("web", "192.0.2.8") + floating("more", "192.0.2.9"));
  EXPECT_TRUE(eventually([&] { return node->status().revision > revision && node->status().synced; }))
      << node->status().last_error;
  write_manifests(two_networks() + floating("web", "192.0.2.10"));
  EXPECT_TRUE(eventually([&] { return address4(*node) == "192.0.2.8"; }));
  EXPECT_FALSE(warns(*node, "egress"));
  EXPECT_TRUE(eventually([&] { return node->status().synced; })) << node->status().last_error;
}

TEST_F(NodeEgress, ChangesWhileItRuns) {
  const auto node = start(with_egress());
  EgressConfig other = *with_egress().egress;
  other.ports = {2000, 3000};
  other.address6.kind = EgressWish<Ipv6>::Kind::kNone;
  other.deny4 = {Cidr4::parse("10.0.0.0/8").value()};
  node->post([&] { (*node)->change_egress(other); });
  EXPECT_TRUE(eventually([&] { return address6(*node) == "none"; }));
  EXPECT_EQ(egress_of(*node).v4->ports, (PortRange{2000, 3000}));
  EXPECT_EQ(egress_of(*node).denied4.front().text(), "10.0.0.0/8");
  EXPECT_TRUE(covers(reserved_ports().value(), {2000, 3000}));
  node->post([&] { (*node)->change_egress(std::nullopt); });
  EXPECT_TRUE(eventually([&] { return !node->status().egress; }));
}

TEST_F(NodeEgress, ReservesOnceWhatIsNotReservedYet) {
  set_reserved("1,3,5-7,65535");
  ASSERT_TRUE(reserve_ports({16384, 29999}));
  EXPECT_EQ(text_of(reserved_ports().value()), "1,3,5-7,16384-29999,65535");
  ASSERT_TRUE(reserve_ports({20000, 20100}));
  EXPECT_EQ(text_of(reserved_ports().value()), "1,3,5-7,16384-29999,65535");
}

TEST_F(NodeEgress, ReservesPortsAlsoWhereTheyAreListedOnManyPages) {
  std::vector<PortRange> every;
  for (std::uint16_t port = 30001; port < 34000; port += 2) every.push_back({port, port});
  const std::string text_of_every = text_of(every);
  ASSERT_GT(text_of_every.size(), 2 * 4096U);
  const UniqueFd file(::open("/proc/sys/net/ipv4/ip_local_reserved_ports", O_WRONLY));
  for (std::size_t done = 0; done < text_of_every.size();) {  // a page each, as the kernel takes them
    const ssize_t written = ::write(file.get(), text_of_every.data() + done, text_of_every.size() - done);
    ASSERT_GT(written, 0);
    done += static_cast<std::size_t>(written);
  }
  ASSERT_TRUE(reserved_ports().value() == every);
  const Status reserved = reserve_ports(kPorts);
  ASSERT_TRUE(reserved) << text(reserved);
  EXPECT_TRUE(reserved_ports().value() == with_range(every, kPorts));
}

}  // namespace
}  // namespace sluice::node::testing
