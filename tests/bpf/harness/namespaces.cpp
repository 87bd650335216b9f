// SPDX-License-Identifier: Apache-2.0
#include "harness/namespaces.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace bpftest {

namespace {

void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what + ": " + std::strerror(errno));
}

Descriptor this_namespace() {
  Descriptor opened(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  require(opened.get() >= 0, "open the network namespace");
  return opened;
}

ifreq request_for(const std::string& device) {
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

void control(unsigned long what, void* argument, const std::string& purpose) {
  const Descriptor socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  require(ioctl(socket_fd.get(), what, argument) == 0, purpose);
}

sockaddr inet_address(const Address& address) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_addr.s_addr = address.wire4();
  sockaddr out{};
  std::memcpy(&out, &made, sizeof(out));
  return out;
}

/// Moves a device of the calling thread's namespace into another.
void move_device(const std::string& device, int to) {
  const std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  require(nl_connect(socket.get(), NETLINK_ROUTE) == 0, "netlink");
  const std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> which(rtnl_link_alloc(), rtnl_link_put);
  const std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> change(rtnl_link_alloc(), rtnl_link_put);
  rtnl_link_set_ifindex(which.get(), static_cast<int>(if_nametoindex(device.c_str())));
  rtnl_link_set_ns_fd(change.get(), to);
  const int error = rtnl_link_change(socket.get(), which.get(), change.get(), 0);
  if (error != 0) throw std::runtime_error("move " + device + ": " + nl_geterror(error));
}

void set_mac(const std::string& device, const Mac& mac) {
  ifreq request = request_for(device);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::ranges::copy(mac, request.ifr_hwaddr.sa_data);
  control(SIOCSIFHWADDR, &request, "set the MAC address of " + device);
}

void set_default_route(const Address& router) {
  rtentry route{};
  route.rt_dst = inet_address(Address());
  route.rt_genmask = inet_address(Address());
  route.rt_gateway = inet_address(router);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  control(SIOCADDRT, &route, "set the default route");
}

void set_feature(const std::string& device, std::uint32_t command, bool on) {
  ethtool_value value{.cmd = command, .data = on ? 1U : 0U};
  ifreq request = request_for(device);
  request.ifr_data = reinterpret_cast<char*>(&value);
  control(SIOCETHTOOL, &request, "switch an offload of " + device);
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

Namespace::Namespace() : home_(this_namespace()) {
  std::thread([this] {
    require(unshare(CLONE_NEWNET) == 0, "make a network namespace");
    self_ = this_namespace();
  }).join();
}

Namespace::~Namespace() {
  if (device_.empty()) return;
  run([this] { move_device(device_, home_.get()); });
}

void Namespace::take(const std::string& device, const Mac& mac, const Address& address, unsigned prefix_length,
                     const Address& router) {
  move_device(device, self_.get());
  device_ = device;
  run([&] {
    set_mac(device, mac);
    set_address(device, address, prefix_length);
    bring_up(device);
    set_default_route(router);
  });
}

void Namespace::run(const std::function<void()>& work) const {
  std::string failure;
  std::thread([&] {
    try {
      require(setns(self_.get(), CLONE_NEWNET) == 0, "enter the network namespace");
      work();
    } catch (const std::exception& error) {
      failure = error.what();
    }
  }).join();
  EXPECT_EQ(failure, "");
}

std::uint64_t Namespace::counter(const std::string& protocol, const std::string& name) const {
  std::uint64_t found = 0;
  run([&] {
    std::ifstream file("/proc/thread-self/net/snmp");
    std::string titles, values;
    while (std::getline(file, titles) && std::getline(file, values)) {
      if (!titles.starts_with(protocol + ": ")) continue;
      std::istringstream title_words(titles), value_words(values);
      std::string title, value;
      while (title_words >> title && value_words >> value) {
        if (title != name) continue;
        found = std::stoull(value);
        return;
      }
    }
    throw std::runtime_error("the kernel has no counter " + protocol + " " + name);
  });
  return found;
}

void wait_until_running(const std::string& device) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  ifreq request = request_for(device);
  do {
    control(SIOCGIFFLAGS, &request, "read the flags of " + device);
    if ((request.ifr_flags & IFF_RUNNING) != 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  } while (std::chrono::steady_clock::now() < limit);
  throw std::runtime_error(device + " has no carrier");
}

void bring_up(const std::string& device) {
  std::ofstream("/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6") << 1;
  ifreq request = request_for(device);
  request.ifr_flags = IFF_UP;
  control(SIOCSIFFLAGS, &request, "bring " + device + " up");
}

void set_address(const std::string& device, const Address& address, unsigned prefix_length) {
  ifreq request = request_for(device);
  request.ifr_addr = inet_address(prefix_length == 0 ? Address() : address);
  control(SIOCSIFADDR, &request, "set the address of " + device);
  if (prefix_length == 0) return;
  request.ifr_netmask = inet_address(Address::of4(~0U << (32 - prefix_length)));
  control(SIOCSIFNETMASK, &request, "set the netmask of " + device);
}

void set_transmit_checksums(const std::string& device, bool on) {
  set_feature(device, ETHTOOL_STXCSUM, on);
}

void set_receive_offload(const std::string& device, bool on) {
  set_feature(device, ETHTOOL_SGRO, on);
}

std::string device_name_of(std::uint32_t ifindex) {
  char name[IFNAMSIZ] = {};
  require(if_indextoname(ifindex, name) != nullptr, "the name of a device");
  return name;
}

}  // namespace bpftest
