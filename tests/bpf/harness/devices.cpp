// SPDX-License-Identifier: Apache-2.0
#include "harness/devices.hpp"

#include <gtest/gtest.h>
#include <net/if.h>
#include <netlink/route/link/veth.h>
#include <netlink/socket.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace bpftest {

namespace {

std::string device_name(unsigned number) {
  return "slt" + std::to_string(number);
}

constexpr const char* kUplinkName = "sltup0";

class PrivateNetwork : public ::testing::Environment {
 public:
  void SetUp() override { make_devices(); }

 private:
  static void make_devices() {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "a network namespace of our own (are we root?): " << std::strerror(errno);
    const std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
    ASSERT_EQ(nl_connect(socket.get(), NETLINK_ROUTE), 0);
    for (unsigned number = 0; number < kDevices; number += 2) {
      const int error =
          rtnl_link_veth_add(socket.get(), device_name(number).c_str(), device_name(number + 1).c_str(), getpid());
      ASSERT_EQ(error, 0) << "make a veth: " << nl_geterror(error);
    }
    make_uplink(socket.get());
  }

  static void make_uplink(nl_sock* socket) {
    const std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> link(rtnl_link_veth_alloc(), rtnl_link_put);
    const std::unique_ptr<nl_addr, decltype(&nl_addr_put)> mac(nl_addr_build(AF_LLC, kUplinkMac.data(), 6),
                                                               nl_addr_put);
    rtnl_link_set_name(link.get(), kUplinkName);
    rtnl_link_set_addr(link.get(), mac.get());
    rtnl_link_set_name(rtnl_link_veth_get_peer(link.get()), "sltup1");
    const int error = rtnl_link_add(socket, link.get(), NLM_F_CREATE | NLM_F_EXCL);
    ASSERT_EQ(error, 0) << "make the uplink: " << nl_geterror(error);
  }
};

}  // namespace

std::uint32_t device(unsigned number) {
  return if_nametoindex(device_name(number).c_str());
}

std::uint32_t uplink_device() {
  return if_nametoindex(kUplinkName);
}

void set_mtu(std::uint32_t ifindex, unsigned mtu) {
  ifreq request{};
  ASSERT_NE(if_indextoname(ifindex, request.ifr_name), nullptr) << std::strerror(errno);
  request.ifr_mtu = static_cast<int>(mtu);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(ioctl(socket, SIOCSIFMTU, &request), 0) << request.ifr_name << ": " << std::strerror(errno);
  close(socket);
}

void register_devices() {
  ::testing::AddGlobalTestEnvironment(new PrivateNetwork);
}

}  // namespace bpftest
