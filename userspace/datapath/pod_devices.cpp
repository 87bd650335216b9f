// SPDX-License-Identifier: Apache-2.0
#include "datapath/pod_devices.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "datapath/links.hpp"
#include "datapath/veth.hpp"

namespace sluice::datapath {
namespace {

constexpr std::size_t kNameBytes = IF_NAMESIZE - 1;
constexpr std::size_t kNumberBytes = 8;    // hex digits of the largest number
constexpr std::uint32_t kMinimumMtu = 68;  // RFC 791
constexpr std::uint32_t kMaximumMtu = 65535;

struct OwnedDevice {
  std::uint32_t ifindex = 0;
  std::string name;
};

/// Devices with the group of `mark` whose name is its prefix and a hex number.
Result<std::vector<OwnedDevice>> owned_devices(NetlinkSocket& socket, const DeviceMark& mark) {
  const std::string& prefix = mark.prefix;
  std::vector<OwnedDevice> owned;
  NetlinkMessage request(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{});
  const auto collect = [&](const nlmsghdr& message) {
    auto* header = const_cast<nlmsghdr*>(&message);
    const nlattr* name = nlmsg_find_attr(header, sizeof(ifinfomsg), IFLA_IFNAME);
    const nlattr* group = nlmsg_find_attr(header, sizeof(ifinfomsg), IFLA_GROUP);
    if (name == nullptr || group == nullptr || nla_get_u32(group) != mark.group) return;
    const std::string text = static_cast<const char*>(nla_data(name));
    if (!text.starts_with(prefix) || text.size() == prefix.size()) return;
    if (text.find_first_not_of("0123456789abcdef", prefix.size()) != std::string::npos) return;
    const auto* link = static_cast<const ifinfomsg*>(nlmsg_data(header));
    owned.push_back({static_cast<std::uint32_t>(link->ifi_index), text});
  };
  const int error_number = socket.dump(request, [&owned] { owned.clear(); }, collect);
  if (error_number != 0) return netlink_failure("list the network devices", error_number, socket);
  return owned;
}

/// A socket inside the namespace, and the namespace's cookie read through it.
Result<NetlinkSocket> enter(const UniqueFd& netns, std::uint64_t& cookie) {
  std::optional<NetlinkSocket> inside;
  const Status entered = run_in_netns(netns, [&]() -> Status {
    auto socket = NetlinkSocket::open();
    if (!socket) return std::unexpected(socket.error());
    socklen_t size = sizeof(cookie);
    if (getsockopt(socket->fd(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
      return fail_errno("read SO_NETNS_COOKIE");
    }
    inside = std::move(*socket);
    return {};
  });
  if (!entered) return std::unexpected(entered.error());
  return std::move(*inside);
}

Status check_request(const UniqueFd& netns, const PodDevice& device) {
  if (device.interface.empty() || device.interface.size() > kNameBytes || device.interface == "lo" ||
      device.interface.find_first_of("/: \t\n") != std::string::npos || device.interface.front() == '.') {
    return fail(ErrorCode::kInvalid, "interface \"" + device.interface + "\" is no device name of 1 to 15 characters");
  }
  if (device.mtu < kMinimumMtu || device.mtu > kMaximumMtu) {
    return fail(ErrorCode::kInvalid,
                fmt::format("mtu {} is not between {} and {}", device.mtu, kMinimumMtu, kMaximumMtu));
  }
  auto own = is_own_netns(netns);
  if (!own) return std::unexpected(own.error());
  if (*own) return fail(ErrorCode::kInvalid, "netns is the node's own network namespace; a pod needs one of its own");
  return {};
}

class VethDevices final : public PodDevices {
 public:
  VethDevices(Datapath& datapath, DeviceMark mark, NetlinkSocket socket, std::uint64_t next)
      : datapath_(datapath), mark_(std::move(mark)), socket_(std::move(socket)), next_(next) {}

  Result<model::Attachment> attach(const UniqueFd& netns, const PodDevice& device) override {
    if (auto sound = check_request(netns, device); !sound) return std::unexpected(sound.error());
    model::Attachment attachment{
        .ifindex = 0, .netns_cookie = 0, .device = {}, .mac = device.mac, .plain_redirect = false};
    auto inside = enter(netns, attachment.netns_cookie);
    if (!inside) return std::unexpected(inside.error());
    if (auto created = create(netns, device, attachment); !created) return std::unexpected(created.error());
    if (auto finished = finish(*inside, device, attachment.ifindex); !finished) {
      // The first failure is what the caller must know; a second one here leaves a device that
      // remove_leftover_devices() finds.
      static_cast<void>(detach(attachment));
      return fail_in("attach " + attachment.device, finished);
    }
    return attachment;
  }

  Status detach(const model::Attachment& attachment) override {
    // The device first: the link of a device that has gone is dropped without waiting for RCU. The name must
    // still fit, so that a number that the kernel has given to another device never ends that one.
    if (const auto now = static_cast<std::uint32_t>(if_nametoindex(attachment.device.c_str()));
        now == attachment.ifindex && now != 0) {
      if (auto deleted = delete_device(socket_, attachment.ifindex); !deleted) return deleted;
    }
    return datapath_.detach_pod(attachment.ifindex);
  }

  Result<bool> settle() override { return datapath_.settle(); }

 private:
  Status create(const UniqueFd& netns, const PodDevice& device, model::Attachment& attachment) {
    while (true) {
      attachment.device = fmt::format("{}{:x}", mark_.prefix, next_++ & 0xffffffff);
      const int error_number = create_pair(socket_, attachment.device, mark_.group, netns, device);
      if (error_number == EEXIST && if_nametoindex(attachment.device.c_str()) != 0) continue;
      if (error_number == EEXIST) {
        return fail(ErrorCode::kExists, "the pod's namespace has an interface " + device.interface +
                                            " already; name another interface, or remove that one");
      }
      if (error_number != 0) return netlink_failure("make a veth pair", error_number, socket_);
      break;
    }
    attachment.ifindex = static_cast<std::uint32_t>(if_nametoindex(attachment.device.c_str()));
    if (attachment.ifindex != 0) return {};
    auto failure = fail_errno("find the new device " + attachment.device);
    // Gone already, or the kernel cannot say its number: it takes a name as well.
    static_cast<void>(delete_device(socket_, attachment.device));
    return failure;
  }

  Status finish(NetlinkSocket& inside, const PodDevice& device, std::uint32_t ifindex) {
    // from_pod is in place before the host side is up: no packet of the pod ever meets the host's stack.
    if (auto attached = datapath_.attach_pod(ifindex); !attached) return attached;
    if (auto up = bring_up_silently(socket_, ifindex); !up) return up;
    return configure_pod(inside, device);
  }

  Datapath& datapath_;
  DeviceMark mark_;
  NetlinkSocket socket_;
  std::uint64_t next_;
};

}  // namespace

std::uint32_t device_group(const std::array<std::uint8_t, 16>& store_uuid) {
  std::uint32_t folded = 0;
  for (std::size_t i = 0; i < store_uuid.size(); i++) folded ^= std::uint32_t{store_uuid.at(i)} << (i % 4 * 8);
  return (folded & 0x3fffffffU) | 0x40000000U;
}

Result<std::unique_ptr<PodDevices>> PodDevices::open(Datapath& datapath, DeviceMark mark) {
  const std::string& prefix = mark.prefix;
  if (prefix.empty() || prefix.size() + kNumberBytes > kNameBytes ||
      prefix.find_first_of("/: \t\n.") != std::string::npos) {
    return fail(ErrorCode::kInvalid, fmt::format("device prefix \"{}\" must have 1 to {} characters that a device name "
                                                 "can have",
                                                 prefix, kNameBytes - kNumberBytes));
  }
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  auto owned = owned_devices(*socket, mark);
  if (!owned) return std::unexpected(owned.error());
  std::uint64_t next = 1;
  for (const OwnedDevice& device : *owned) {
    next = std::max(next, std::uint64_t{std::stoull(device.name.substr(prefix.size()), nullptr, 16) + 1});
  }
  return std::make_unique<VethDevices>(datapath, std::move(mark), std::move(*socket), next);
}

Result<std::vector<std::string>> remove_leftover_devices(const DeviceMark& mark,
                                                         const std::vector<std::uint32_t>& keep) {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  auto owned = owned_devices(*socket, mark);
  if (!owned) return std::unexpected(owned.error());
  std::vector<std::string> removed;
  for (const OwnedDevice& device : *owned) {
    if (std::ranges::find(keep, device.ifindex) != keep.end()) continue;
    if (auto deleted = delete_device(*socket, device.ifindex); !deleted) return fail_in(device.name, deleted);
    removed.push_back(device.name);
  }
  return removed;
}

Result<std::optional<std::string>> interface_with(const UniqueFd& netns, const Mac& mac) {
  std::optional<std::string> found;
  const Status looked = run_in_netns(netns, [&]() -> Status {
    auto links = list_links();
    if (!links) return std::unexpected(links.error());
    const auto link = std::ranges::find(*links, mac, &LinkInfo::mac);
    if (link != links->end()) found = link->name;
    return {};
  });
  if (!looked) return std::unexpected(looked.error());
  return found;
}

}  // namespace sluice::datapath
