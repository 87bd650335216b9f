// SPDX-License-Identifier: Apache-2.0
#include "datapath/links.hpp"

#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "datapath/netlink.hpp"

namespace sluice::datapath {
namespace {

constexpr int kWatchBufferBytes = 4 * 1024 * 1024;

/// The device that a link message is about; nothing for messages that are about something else.
std::optional<LinkInfo> parse_link(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
  auto* header = const_cast<nlmsghdr*>(&message);
  if (!nlmsg_valid_hdr(header, sizeof(ifinfomsg))) return std::nullopt;
  const auto* link = static_cast<const ifinfomsg*>(nlmsg_data(header));
  // A bridge reports ports that join and leave it in the same message types; those devices neither come nor go.
  if (link->ifi_family != AF_UNSPEC) return std::nullopt;
  LinkInfo info{.ifindex = static_cast<std::uint32_t>(link->ifi_index),
                .name = {},
                .mac = {},
                .mtu = 0,
                .up = (link->ifi_flags & IFF_UP) != 0};
  if (const nlattr* name = nlmsg_find_attr(header, sizeof(ifinfomsg), IFLA_IFNAME)) {
    info.name = static_cast<const char*>(nla_data(name));
  }
  const nlattr* mac = nlmsg_find_attr(header, sizeof(ifinfomsg), IFLA_ADDRESS);
  if (mac != nullptr && static_cast<std::size_t>(nla_len(mac)) == info.mac.bytes.size()) {
    std::memcpy(info.mac.bytes.data(), nla_data(mac), info.mac.bytes.size());
  }
  if (const nlattr* mtu = nlmsg_find_attr(header, sizeof(ifinfomsg), IFLA_MTU)) info.mtu = nla_get_u32(mtu);
  return info;
}

Result<std::vector<LinkInfo>> dump_links(NetlinkSocket& socket) {
  std::vector<LinkInfo> links;
  NetlinkMessage request(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{});
  const int error_number = socket.dump(
      request, [&links] { links.clear(); },
      [&links](const nlmsghdr& message) {
        if (auto link = parse_link(message)) links.push_back(std::move(*link));
      });
  if (error_number != 0) return netlink_failure("list the network devices", error_number, socket);
  return links;
}

class KernelLinkWatch final : public LinkWatch {
 public:
  KernelLinkWatch(NetlinkSocket events, NetlinkSocket dumps) : events_(std::move(events)), dumps_(std::move(dumps)) {}

  [[nodiscard]] int fd() const override { return events_.fd(); }

  Result<Batch> read() override {
    Batch batch;
    const auto lost = events_.drain("read network device events", [&batch](const nlmsghdr& message) {
      auto link = parse_link(message);
      if (!link) return;
      const auto kind = message.nlmsg_type == RTM_DELLINK ? LinkEvent::Kind::kGone : LinkEvent::Kind::kNew;
      batch.events.push_back({kind, std::move(*link)});
    });
    if (!lost) return std::unexpected(lost.error());
    if (*lost) return resync();
    return batch;
  }

 private:
  Result<Batch> resync() {
    auto links = dump_links(dumps_);
    if (!links) return fail_in("after lost device events", links);
    Batch batch;
    batch.resynced = true;
    for (LinkInfo& link : *links) batch.events.push_back({LinkEvent::Kind::kNew, std::move(link)});
    return batch;
  }

  NetlinkSocket events_;
  NetlinkSocket dumps_;
};

}  // namespace

Result<std::unique_ptr<LinkWatch>> LinkWatch::open() {
  auto events = NetlinkSocket::open();
  if (!events) return std::unexpected(events.error());
  auto dumps = NetlinkSocket::open();
  if (!dumps) return std::unexpected(dumps.error());
  // Without the privilege to exceed rmem_max the default stays; lost events are only slower then.
  const int bytes = kWatchBufferBytes;
  static_cast<void>(setsockopt(events->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)));
  const int group = RTNLGRP_LINK;
  if (setsockopt(events->fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
    return fail_errno("subscribe to network device events");
  }
  return std::make_unique<KernelLinkWatch>(std::move(*events), std::move(*dumps));
}

Result<std::vector<LinkInfo>> list_links() {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  return dump_links(*socket);
}

Result<std::optional<LinkInfo>> find_link(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::nullopt;
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  std::optional<LinkInfo> found;
  NetlinkMessage request(RTM_GETLINK, 0);
  request.header(ifinfomsg{}).text(IFLA_IFNAME, name);
  const int error_number = socket->query(request, [&found](const nlmsghdr& message) { found = parse_link(message); });
  if (error_number == ENODEV) return std::nullopt;
  if (error_number != 0) return netlink_failure("look for device " + name, error_number, *socket);
  return found;
}

}  // namespace sluice::datapath
