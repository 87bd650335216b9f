// SPDX-License-Identifier: Apache-2.0
#include "datapath/veth.hpp"

#include <linux/veth.h>
#include <net/if.h>
#include <sluice/abi.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <cerrno>
#include <optional>
#include <utility>

namespace sluice::datapath {
namespace {

// enum in6_addr_gen_mode; <linux/if_link.h> has it under a name that clashes with C++ on some releases.
constexpr std::uint8_t kAddrGenModeNone = 1;

int disable_ipv6_autoconfiguration(NetlinkSocket& socket, std::uint32_t ifindex) {
  // Not in the request that makes the device (EAFNOSUPPORT), and not in the one that brings it up: the kernel
  // sets the flags first, and the link-local address would already be there.
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.header(link_header(ifindex));
  nlattr* families = message.begin(IFLA_AF_SPEC);
  nlattr* inet6 = message.begin(AF_INET6);
  message.u8(IFLA_INET6_ADDR_GEN_MODE, kAddrGenModeNone);
  message.end(inet6);
  message.end(families);
  const int error_number = socket.request(message);
  return error_number == EAFNOSUPPORT ? 0 : error_number;  // a kernel or a device without IPv6 is silent anyway
}

int bring_up(NetlinkSocket& socket, std::uint32_t ifindex) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  ifinfomsg header = link_header(ifindex);
  header.ifi_flags = header.ifi_change = IFF_UP;
  message.header(header);
  return socket.request(message);
}

int find_ifindex(NetlinkSocket& socket, const std::string& name, std::uint32_t& ifindex) {
  NetlinkMessage message(RTM_GETLINK, 0);
  message.header(link_header(0)).text(IFLA_IFNAME, name);
  return socket.query(message, [&ifindex](const nlmsghdr& answer) {
    ifindex = static_cast<std::uint32_t>(static_cast<const ifinfomsg*>(nlmsg_data(&answer))->ifi_index);
  });
}

/// `flags`: IFA_F_*; `broadcast`: nullptr for none.
template <std::size_t size>
int add_address(NetlinkSocket& socket, std::uint32_t ifindex, std::uint8_t family, std::uint8_t prefix_length,
                const std::array<std::uint8_t, size>& address, std::uint32_t flags, const std::uint32_t* broadcast) {
  ifaddrmsg header{};
  header.ifa_family = family;
  header.ifa_prefixlen = prefix_length;
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = ifindex;
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.header(header).bytes(IFA_LOCAL, address.data(), size).bytes(IFA_ADDRESS, address.data(), size);
  if (broadcast != nullptr) message.bytes(IFA_BROADCAST, broadcast, sizeof(*broadcast));
  if (flags != 0) message.u32(IFA_FLAGS, flags);
  return socket.request(message);
}

template <std::size_t size>
int add_default_route(NetlinkSocket& socket, std::uint32_t ifindex, std::uint8_t family,
                      const std::array<std::uint8_t, size>& router) {
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  header.rtm_flags = RTNH_F_ONLINK;  // the router may stand outside a /32 pod address
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  message.header(header).bytes(RTA_GATEWAY, router.data(), size).u32(RTA_OIF, ifindex);
  return socket.request(message);
}

Status route_failure(NetlinkSocket& socket, int error, const std::string& router) {
  if (error == 0) return {};
  if (error != EEXIST) return netlink_failure("add the default route through " + router, error, socket);
  return fail(ErrorCode::kExists,
              "the pod's namespace has a default route already; remove it, or give the pod another namespace");
}

Status configure_ipv4(NetlinkSocket& socket, std::uint32_t ifindex, const PodDevice& device) {
  const auto bytes = [](Ipv4 address) { return std::bit_cast<std::array<std::uint8_t, 4>>(address.wire()); };
  const std::uint32_t broadcast = device.cidr.last().wire();
  const int error = add_address(socket, ifindex, AF_INET, device.cidr.length, bytes(*device.address), 0,
                                device.cidr.length < 31 ? &broadcast : nullptr);
  if (error != 0) {
    return netlink_failure("add address " + device.address->text() + " to " + device.interface, error, socket);
  }
  return route_failure(socket, add_default_route(socket, ifindex, AF_INET, bytes(device.router)), device.router.text());
}

/// fe80::/64 with the modified EUI-64 of the MAC (RFC 4291, appendix A).
Ipv6 link_local(const Mac& mac) {
  std::array<std::uint8_t, 16> bytes{0xfe, 0x80};
  for (std::size_t i = 0; i < 6; i++) bytes.at(i < 3 ? 8 + i : 10 + i) = mac.bytes.at(i);
  bytes.at(8) ^= 2;
  bytes.at(11) = 0xff;
  bytes.at(12) = 0xfe;
  return Ipv6::from_wire(bytes);
}

/// The link-local address is what the pod's stack asks its neighbours from when no packet waits for the answer. Nobody
/// else can have either address, so nothing is gained by a second of duplicate address detection.
Status configure_ipv6(NetlinkSocket& socket, std::uint32_t ifindex, const PodDevice& device) {
  constexpr std::uint8_t kLinkLocalPrefix = 64;
  const std::pair<Ipv6, std::uint8_t> addresses[] = {{link_local(device.mac), kLinkLocalPrefix},
                                                     {*device.address6, device.cidr6.length}};
  for (const auto& [address, length] : addresses) {
    const int error = add_address(socket, ifindex, AF_INET6, length, address.wire(), IFA_F_NODAD, nullptr);
    if (error == EACCES || error == EOPNOTSUPP || error == EAFNOSUPPORT) {
      return fail(ErrorCode::kPrecondition,
                  "the pod's namespace has IPv6 switched off and cannot have " + device.address6->text() +
                      "; set net.ipv6.conf.all.disable_ipv6 and net.ipv6.conf.default.disable_ipv6 to 0 in it, or make "
                      "the pod with families [IPv4]");
    }
    if (error != 0) return netlink_failure("add address " + address.text() + " to " + device.interface, error, socket);
  }
  const Ipv6 router = Ipv6::from_wire(SLUICE_ROUTER_LINK_LOCAL);
  return route_failure(socket, add_default_route(socket, ifindex, AF_INET6, router.wire()), router.text());
}

}  // namespace

int create_pair(NetlinkSocket& socket, const std::string& host, std::uint32_t group, const UniqueFd& netns,
                const PodDevice& device) {
  // Both MACs are given here: udev then neither renames the device nor gives it an address of its policy.
  constexpr std::array<unsigned char, 6> kHostMac = SLUICE_ROUTER_MAC;
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.header(link_header(0)).text(IFLA_IFNAME, host).u32(IFLA_MTU, device.mtu);
  message.bytes(IFLA_ADDRESS, kHostMac.data(), kHostMac.size()).u32(IFLA_GROUP, group);
  nlattr* info = message.begin(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "veth");
  nlattr* data = message.begin(IFLA_INFO_DATA);
  nlattr* peer = message.begin(VETH_INFO_PEER);
  message.header(link_header(0)).text(IFLA_IFNAME, device.interface).u32(IFLA_MTU, device.mtu);
  message.bytes(IFLA_ADDRESS, device.mac.bytes.data(), device.mac.bytes.size());
  message.u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(netns.get()));
  message.end(peer);
  message.end(data);
  message.end(info);
  return socket.request(message);
}

Status delete_device(NetlinkSocket& socket, std::uint32_t ifindex) {
  NetlinkMessage message(RTM_DELLINK, 0);
  message.header(link_header(ifindex));
  const int error_number = socket.request(message);
  if (error_number == 0 || error_number == ENODEV) return {};
  return netlink_failure("delete device " + std::to_string(ifindex), error_number, socket);
}

Status delete_device(NetlinkSocket& socket, const std::string& name) {
  NetlinkMessage message(RTM_DELLINK, 0);
  message.header(link_header(0)).text(IFLA_IFNAME, name);
  const int error_number = socket.request(message);
  if (error_number == 0 || error_number == ENODEV) return {};
  return netlink_failure("delete device " + name, error_number, socket);
}

Status bring_up_silently(NetlinkSocket& socket, std::uint32_t ifindex) {
  if (const int error_number = disable_ipv6_autoconfiguration(socket, ifindex); error_number != 0) {
    return netlink_failure("switch IPv6 autoconfiguration off on device " + std::to_string(ifindex), error_number,
                           socket);
  }
  if (const int error_number = bring_up(socket, ifindex); error_number != 0) {
    return netlink_failure("bring device " + std::to_string(ifindex) + " up", error_number, socket);
  }
  return {};
}

Status configure_pod(NetlinkSocket& socket, const PodDevice& device) {
  std::uint32_t loopback = 0;
  std::uint32_t ifindex = 0;
  if (const int error = find_ifindex(socket, "lo", loopback); error != 0) {
    return netlink_failure("find lo in the pod's namespace", error, socket);
  }
  if (const int error = find_ifindex(socket, device.interface, ifindex); error != 0) {
    return netlink_failure("find " + device.interface + " in the pod's namespace", error, socket);
  }
  if (const int error = bring_up(socket, loopback); error != 0) {
    return netlink_failure("bring lo up in the pod's namespace", error, socket);
  }
  if (auto up = bring_up_silently(socket, ifindex); !up) return fail_in("in the pod's namespace", up);
  if (device.address) {
    if (auto configured = configure_ipv4(socket, ifindex, device); !configured) return configured;
  }
  return device.address6 ? configure_ipv6(socket, ifindex, device) : Status{};
}

}  // namespace sluice::datapath
