// SPDX-License-Identifier: Apache-2.0
#include "datapath/pod_mtu.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "datapath/namespaces.hpp"
#include "datapath/netlink.hpp"

namespace sluice::datapath {
namespace {

/// A pair as its host side tells it.
struct Pair {
  std::uint32_t ifindex = 0;
  std::uint32_t mtu = 0;
  std::uint32_t peer = 0;                     ///< the other end's index in its own namespace
  std::optional<std::uint32_t> namespace_id;  ///< by which this namespace knows the other's
};

std::optional<std::uint32_t> number(const nlmsghdr& message, int attribute) {
  const nlattr* found = nlmsg_find_attr(const_cast<nlmsghdr*>(&message), sizeof(ifinfomsg), attribute);
  return found == nullptr ? std::nullopt : std::optional(nla_get_u32(found));
}

Result<std::vector<Pair>> pairs_of(NetlinkSocket& socket, const std::map<std::uint32_t, std::uint64_t>& pods) {
  std::vector<Pair> pairs;
  NetlinkMessage request(RTM_GETLINK, NLM_F_DUMP);
  request.header(ifinfomsg{});
  const int error_number = socket.dump(
      request, [&pairs] { pairs.clear(); },
      [&](const nlmsghdr& message) {
        const auto ifindex = static_cast<std::uint32_t>(static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_index);
        if (!pods.contains(ifindex)) return;
        pairs.push_back({.ifindex = ifindex,
                         .mtu = number(message, IFLA_MTU).value_or(0),
                         .peer = number(message, IFLA_LINK).value_or(0),
                         .namespace_id = number(message, IFLA_LINK_NETNSID)});
      });
  if (error_number != 0) return netlink_failure("list the network devices", error_number, socket);
  return pairs;
}

/// The MTU of the pod's end, asked for from outside; nothing if the kernel does not tell.
std::optional<std::uint32_t> peer_mtu(NetlinkSocket& socket, const Pair& pair) {
  if (!pair.namespace_id || pair.peer == 0) return std::nullopt;
  std::optional<std::uint32_t> mtu;
  NetlinkMessage request(RTM_GETLINK, 0);
  request.header(link_header(pair.peer)).u32(IFLA_TARGET_NETNSID, *pair.namespace_id);
  const auto take = [&mtu](const nlmsghdr& message) { mtu = number(message, IFLA_MTU); };
  return socket.query(request, take) == 0 ? mtu : std::nullopt;
}

Status set_mtu(NetlinkSocket& socket, std::uint32_t ifindex, std::uint32_t mtu) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  message.header(link_header(ifindex)).u32(IFLA_MTU, mtu);
  const int error_number = socket.request(message);
  if (error_number != 0) return netlink_failure("set the MTU to " + std::to_string(mtu), error_number, socket);
  return {};
}

/// There is no request that changes a device in another namespace: IFLA_TARGET_NETNSID would move it there.
Status set_peer_mtu(const UniqueFd& netns, std::uint32_t ifindex, std::uint32_t mtu) {
  return run_in_netns(netns, [&]() -> Status {
    auto socket = NetlinkSocket::open();
    if (!socket) return std::unexpected(socket.error());
    return set_mtu(*socket, ifindex, mtu);
  });
}

class Change {
 public:
  Change(NetlinkSocket& socket, std::uint32_t mtu, PodMtus& outcome) : socket_(socket), mtu_(mtu), outcome_(outcome) {}

  /// `netns` of the pod, or nullptr if it was not found; not looked at if the pod's end is right.
  void apply(Pair& pair, bool peer_right, const UniqueFd* netns) {
    const bool raise = pair.mtu < mtu_;
    Status done;
    if (raise) done = set_host(pair);
    if (done && !peer_right) {
      done = netns == nullptr ? Status(fail(ErrorCode::kNotFound, "its network namespace has no process and no name"))
                              : set_peer_mtu(*netns, pair.peer, mtu_);
    }
    if (done && !raise) done = set_host(pair);
    if (done) {
      outcome_.changed++;
    } else {
      outcome_.failed[pair.ifindex] = done.error().message;
    }
  }

 private:
  Status set_host(Pair& pair) {
    if (pair.mtu == mtu_) return {};
    auto done = set_mtu(socket_, pair.ifindex, mtu_);
    if (done) pair.mtu = mtu_;
    return done;
  }

  NetlinkSocket& socket_;
  std::uint32_t mtu_;
  PodMtus& outcome_;
};

}  // namespace

Result<PodMtus> set_pod_mtus(const std::map<std::uint32_t, std::uint64_t>& pods, std::uint32_t mtu) {
  PodMtus outcome;
  if (pods.empty()) return outcome;
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  auto pairs = pairs_of(*socket, pods);
  if (!pairs) return std::unexpected(pairs.error());
  std::set<std::uint64_t> wanted;
  std::vector<std::pair<Pair*, bool>> wrong;
  for (Pair& pair : *pairs) {
    const bool peer_right = peer_mtu(*socket, pair) == mtu;
    if (peer_right && pair.mtu == mtu) continue;
    if (!peer_right) wanted.insert(pods.at(pair.ifindex));
    wrong.emplace_back(&pair, peer_right);
  }
  const auto namespaces = find_netns(wanted);
  Change change(*socket, mtu, outcome);
  for (const auto& [pair, peer_right] : wrong) {
    const auto netns = namespaces.find(pods.at(pair->ifindex));
    change.apply(*pair, peer_right, netns == namespaces.end() ? nullptr : &netns->second);
  }
  for (const Pair& pair : *pairs) {
    outcome.smallest = outcome.smallest == 0 ? pair.mtu : std::min(outcome.smallest, pair.mtu);
  }
  return outcome;
}

}  // namespace sluice::datapath
