// SPDX-License-Identifier: Apache-2.0
#include "datapath/multicast.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

#include "base/fd.hpp"

namespace sluice::datapath {
namespace {

constexpr std::array<std::uint8_t, 3> kSolicitedNode{0x33, 0x33, 0xff};

/// The solicited-node groups that have been joined for the device itself. Each line of the list: index, name, users,
/// whether the device itself is one, and the group in hexadecimal digits.
Result<std::set<Mac>> joined_groups(std::uint32_t ifindex) {
  std::ifstream list("/proc/thread-self/net/dev_mcast");
  if (!list) return fail_errno("read /proc/thread-self/net/dev_mcast", errno);
  std::set<Mac> joined;
  for (std::string line; std::getline(list, line);) {
    std::istringstream fields(line);
    std::uint32_t index = 0;
    std::string name, group;
    int users = 0, itself = 0;
    Mac mac;
    if (!(fields >> index >> name >> users >> itself >> group) || index != ifindex || itself == 0) continue;
    if (group.size() != 2 * mac.bytes.size()) continue;
    for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
      mac.bytes[i] = static_cast<std::uint8_t>(std::stoul(group.substr(2 * i, 2), nullptr, 16));
    }
    if (std::ranges::equal(std::span(mac.bytes).first<3>(), kSolicitedNode)) joined.insert(mac);
  }
  return joined;
}

Status change(const UniqueFd& socket, unsigned long request, std::uint32_t ifindex, const Mac& group) {
  ifreq argument{};
  if (if_indextoname(ifindex, argument.ifr_name) == nullptr) return {};
  argument.ifr_hwaddr.sa_family = AF_UNSPEC;
  std::memcpy(argument.ifr_hwaddr.sa_data, group.bytes.data(), group.bytes.size());
  if (ioctl(socket.get(), request, &argument) == 0) return {};
  const int error = errno;
  // Gone meanwhile; or a driver that passes up everything.
  if (error == ENODEV || error == ENOENT || error == EINVAL) return {};
  return fail_errno((request == SIOCADDMULTI ? "join group " : "leave group ") + group.text() + " on " +
                        std::string(argument.ifr_name),
                    error);
}

}  // namespace

Mac solicited_node_group(const Ipv6& address) {
  return Mac{{kSolicitedNode[0], kSolicitedNode[1], kSolicitedNode[2], static_cast<std::uint8_t>(address.low >> 16),
              static_cast<std::uint8_t>(address.low >> 8), static_cast<std::uint8_t>(address.low)}};
}

Status follow_groups(std::uint32_t ifindex, const std::set<Ipv6>& addresses) {
  auto joined = joined_groups(ifindex);
  if (!joined) return std::unexpected(joined.error());
  std::set<Mac> wanted;
  for (const Ipv6& address : addresses) wanted.insert(solicited_node_group(address));
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("open a socket");
  for (const Mac& group : wanted) {
    if (joined->contains(group)) continue;
    if (auto done = change(socket, SIOCADDMULTI, ifindex, group); !done) return done;
  }
  for (const Mac& group : *joined) {
    if (wanted.contains(group)) continue;
    if (auto done = change(socket, SIOCDELMULTI, ifindex, group); !done) return done;
  }
  return {};
}

}  // namespace sluice::datapath
