// SPDX-License-Identifier: Apache-2.0
#include "datapath/firewall.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "datapath/netlink.hpp"

namespace sluice::datapath {
namespace {

// NFTA_DEVICE_PREFIX, Linux 6.17: the beginning of device names.
constexpr int kDevicePrefix = 2;

std::string family_name(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_BRIDGE:
      return "bridge";
    case NFPROTO_NETDEV:
      return "netdev";
    default:
      return fmt::format("family {}", family);
  }
}

/// The numbers of hooks mean another thing in each family.
std::string hook_name(std::uint8_t family, std::uint32_t hook) {
  static constexpr std::array<std::string_view, 6> kInet{"prerouting", "input",       "forward",
                                                         "output",     "postrouting", "ingress"};
  static constexpr std::array<std::string_view, 3> kArp{"input", "output", "forward"};
  static constexpr std::array<std::string_view, 2> kNetdev{"ingress", "egress"};
  if (family == NFPROTO_NETDEV && hook < kNetdev.size()) return std::string(kNetdev.at(hook));
  if (family == NFPROTO_ARP && hook < kArp.size()) return std::string(kArp.at(hook));
  if (family != NFPROTO_NETDEV && family != NFPROTO_ARP && hook < kInet.size()) return std::string(kInet.at(hook));
  return fmt::format("number {}", hook);
}

const nlattr* find_in(const nlattr* nest, int type) {
  return nla_find(static_cast<const nlattr*>(nla_data(nest)), nla_len(nest), type);
}

std::uint32_t number_of(const nlattr* attribute) {
  return attribute == nullptr ? 0 : ntohl(nla_get_u32(attribute));
}

std::string text_of(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const std::string_view bytes(static_cast<const char*>(nla_data(attribute)),
                               static_cast<std::size_t>(nla_len(attribute)));
  return std::string(bytes.substr(0, bytes.find('\0')));
}

std::vector<std::string> devices_of(const nlattr* hook) {
  std::vector<std::string> devices;
  if (const nlattr* list = find_in(hook, NFTA_HOOK_DEVS)) {
    int left = nla_len(list);
    for (const auto* one = static_cast<const nlattr*>(nla_data(list)); nla_ok(one, left); one = nla_next(one, &left)) {
      devices.push_back(text_of(one) + (nla_type(one) == kDevicePrefix ? "*" : ""));
    }
  } else if (const nlattr* device = find_in(hook, NFTA_HOOK_DEV)) {
    devices.push_back(text_of(device));
  }
  return devices;
}

/// Nothing for a chain that only other chains call.
std::optional<FirewallChain> parse_chain(const nlmsghdr& message) {
  auto* header = const_cast<nlmsghdr*>(&message);
  if (message.nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN)) return std::nullopt;
  if (!nlmsg_valid_hdr(header, sizeof(nfgenmsg))) return std::nullopt;
  const nlattr* hook = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_HOOK);
  if (hook == nullptr) return std::nullopt;
  const std::uint8_t family = static_cast<const nfgenmsg*>(nlmsg_data(header))->nfgen_family;
  const nlattr* policy = nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_POLICY);
  return FirewallChain{.family = family_name(family),
                       .table = text_of(nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_TABLE)),
                       .name = text_of(nlmsg_find_attr(header, sizeof(nfgenmsg), NFTA_CHAIN_NAME)),
                       .hook = hook_name(family, number_of(find_in(hook, NFTA_HOOK_HOOKNUM))),
                       .priority = static_cast<std::int32_t>(number_of(find_in(hook, NFTA_HOOK_PRIORITY))),
                       .drops = policy != nullptr && number_of(policy) == NF_DROP,
                       .devices = devices_of(hook)};
}

}  // namespace

bool FirewallChain::is_on(const std::string& device) const {
  return std::ranges::any_of(devices, [&device](const std::string& one) {
    return one.ends_with('*') ? device.starts_with(std::string_view(one).substr(0, one.size() - 1)) : one == device;
  });
}

std::string FirewallChain::text() const {
  return fmt::format("{} {}/{} (hook {}, priority {}, policy {})", family, table, name, hook, priority,
                     drops ? "drop" : "accept");
}

Result<std::vector<FirewallChain>> firewall_chains() {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return std::unexpected(socket.error());
  std::vector<FirewallChain> chains;
  NetlinkMessage request((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, NLM_F_DUMP);
  request.header(nfgenmsg{.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0, .res_id = 0});
  const int error_number = socket->dump(
      request, [&chains] { chains.clear(); },
      [&chains](const nlmsghdr& message) {
        if (auto chain = parse_chain(message)) chains.push_back(std::move(*chain));
      });
  // What nfnetlink says when nobody serves nftables' messages.
  if (error_number == EINVAL || error_number == EOPNOTSUPP) return std::vector<FirewallChain>{};
  if (error_number != 0) return netlink_failure("list the chains of nftables", error_number, *socket);
  return chains;
}

std::vector<std::string> legacy_firewall_tables() {
  static constexpr std::array<std::pair<const char*, const char*>, 3> kFiles{
      {{"ip", "/proc/self/net/ip_tables_names"},
       {"ip6", "/proc/self/net/ip6_tables_names"},
       {"arp", "/proc/self/net/arp_tables_names"}}};
  std::vector<std::string> tables;
  for (const auto& [family, path] : kFiles) {
    std::ifstream file(path);  // missing: the module is not loaded, so it has no table
    for (std::string table; std::getline(file, table);) tables.push_back(std::string(family) + " " + table);
  }
  return tables;
}

}  // namespace sluice::datapath
