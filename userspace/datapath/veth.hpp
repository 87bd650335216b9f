// SPDX-License-Identifier: Apache-2.0
// The rtnetlink requests that make up a pod's device, one function each.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "datapath/netlink.hpp"
#include "datapath/pod_devices.hpp"

namespace sluice::datapath {

/// Makes a pair: `host` down in this namespace, in device group `group`, the pod's interface with MAC and MTU, down,
/// born in `netns`. Returns 0 or errno; EEXIST if either name is taken.
int create_pair(NetlinkSocket& socket, const std::string& host, std::uint32_t group, const UniqueFd& netns,
                const PodDevice& device);
/// Removes a device, and its peer with it; fine if it has gone.
Status delete_device(NetlinkSocket& socket, std::uint32_t ifindex);
Status delete_device(NetlinkSocket& socket, const std::string& name);
/// Switches IPv6 autoconfiguration of a device off (no link-local address, so no noise) and brings it up.
Status bring_up_silently(NetlinkSocket& socket, std::uint32_t ifindex);
/// Inside the pod's namespace (`socket` was opened there): loopback up, interface up, address, default route.
Status configure_pod(NetlinkSocket& socket, const PodDevice& device);

}  // namespace sluice::datapath
