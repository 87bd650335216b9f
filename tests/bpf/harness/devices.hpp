// SPDX-License-Identifier: Apache-2.0
// BPF_PROG_TEST_RUN wants a real device for skb->dev. The test program lives in a network namespace of its own that
// has kDevices of them (ends of veths: every kernel build has veth, not every one has dummy).
#pragma once

#include <cstdint>

#include "harness/frame.hpp"

namespace bpftest {

inline constexpr unsigned kDevices = 136;
inline constexpr Mac kUplinkMac = {0x02, 0xaa, 0, 0, 0, 0x01};

/// The interface index of device `number` (0 .. kDevices - 1) in this program's namespace.
std::uint32_t device(unsigned number);

/// The index of a device that has the MAC address kUplinkMac: a frame to another address is not for this host.
std::uint32_t uplink_device();

/// Changes the MTU of a device, 1500 at first.
void set_mtu(std::uint32_t ifindex, unsigned mtu);

/// Makes the namespace and its devices before the first test; called once, by the harness.
void register_devices();

}  // namespace bpftest
