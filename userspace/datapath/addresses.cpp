// SPDX-License-Identifier: Apache-2.0
#include "datapath/addresses.hpp"

#include <linux/if_addr.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "datapath/netlink.hpp"

namespace sluice::datapath {
namespace {

std::optional<IpAddress> ip_of(unsigned char family, const nlattr* attribute) {
  if (attribute == nullptr) return std::nullopt;
  const auto size = static_cast<std::size_t>(nla_len(attribute));
  if (family == AF_INET && size == sizeof(std::uint32_t)) return Ipv4::from_wire(nla_get_u32(attribute));
  std::array<std::uint8_t, 16> bytes{};
  if (family != AF_INET6 || size != bytes.size()) return std::nullopt;
  std::memcpy(bytes.data(), nla_data(attribute), bytes.size());
  return Ipv6::from_wire(bytes);
}

/// The address that a message is about; nothing for messages about something else.
std::optional<AddressInfo> parse_address(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) return std::nullopt;
  auto* header = const_cast<nlmsghdr*>(&message);
  if (!nlmsg_valid_hdr(header, sizeof(ifaddrmsg))) return std::nullopt;
  const auto* address = static_cast<const ifaddrmsg*>(nlmsg_data(header));
  // On a link between two hosts IFA_ADDRESS is the other one's; IPv6 has IFA_LOCAL only there.
  auto ip = ip_of(address->ifa_family, nlmsg_find_attr(header, sizeof(ifaddrmsg), IFA_LOCAL));
  if (!ip) ip = ip_of(address->ifa_family, nlmsg_find_attr(header, sizeof(ifaddrmsg), IFA_ADDRESS));
  if (!ip) return std::nullopt;
  std::uint32_t flags = address->ifa_flags;
  if (const nlattr* all = nlmsg_find_attr(header, sizeof(ifaddrmsg), IFA_FLAGS)) flags = nla_get_u32(all);
  const bool six = address->ifa_family == AF_INET6;
  static_assert(IFA_F_TEMPORARY == IFA_F_SECONDARY);  // one bit, two meanings
  return AddressInfo{.ifindex = address->ifa_index,
                     .address = *ip,
                     .global = address->ifa_scope == RT_SCOPE_UNIVERSE,
                     .secondary = !six && (flags & IFA_F_SECONDARY) != 0,
                     .temporary = six && (flags & IFA_F_TEMPORARY) != 0,
                     .deprecated = (flags & IFA_F_DEPRECATED) != 0,
                     .tentative = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0};
}

class KernelAddressWatch final : public AddressWatch {
 public:
  explicit KernelAddressWatch(NetlinkSocket events) : events_(std::move(events)) {}

  [[nodiscard]] int fd() const override { return events_.fd(); }

  Result<bool> changed() override {
    bool seen = false;
    const auto lost = events_.drain("read address events", [&seen](const nlmsghdr& message) {
      const auto address = parse_address(message);
      seen = seen || (address && address->global);
    });
    if (!lost) return std::unexpected(lost.error());
    return seen || *lost;
  }

 private:
  NetlinkSocket events_;
};

}  // namespace

Result<std::vector<AddressInfo>> list_addresses() {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  std::vector<AddressInfo> addresses;
  // A family each: a list of both would leave those of a namespace without IPv6 to chance.
  for (const int family : {AF_INET, AF_INET6}) {
    const std::size_t before = addresses.size();
    ifaddrmsg header{};
    header.ifa_family = static_cast<unsigned char>(family);
    NetlinkMessage request(RTM_GETADDR, NLM_F_DUMP);
    request.header(header);
    const int error_number = socket->dump(
        request, [&] { addresses.resize(before); },
        [&](const nlmsghdr& message) {
          if (auto address = parse_address(message)) addresses.push_back(*address);
        });
    if (error_number != 0) return netlink_failure("list the node's addresses", error_number, *socket);
  }
  return addresses;
}

Result<std::unique_ptr<AddressWatch>> AddressWatch::open() {
  auto events = NetlinkSocket::open();
  if (!events) return std::unexpected(events.error());
  for (const int group : {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}) {
    if (setsockopt(events->fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
      return fail_errno("subscribe to address events");
    }
  }
  return std::make_unique<KernelAddressWatch>(std::move(*events));
}

}  // namespace sluice::datapath
