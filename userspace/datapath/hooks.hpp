// SPDX-License-Identifier: Apache-2.0
// One program on one device: TCX links, clsact filters and XDP links, each as plain calls to the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "datapath/datapath.hpp"

namespace sluice::datapath {

/// Whether this kernel has TCX (Linux >= 6.6), asked by a query and not by its version.
bool kernel_has_tcx();

/// Attaches before every other program of the device's ingress.
Result<UniqueFd> attach_tcx(int program, std::uint32_t ifindex);
/// Adds our clsact filter before every other, or replaces its program atomically. kPrecondition names a foreign
/// filter that holds our place.
Status put_clsact_filter(int program, std::uint32_t ifindex);
/// Removes our filter and leaves the qdisc; fine if it or the device is gone.
Status remove_clsact_filter(std::uint32_t ifindex);
/// Removes the qdisc with everything in it; only for devices that are ours.
Status remove_clsact(std::uint32_t ifindex);
/// kPrecondition if the device has an XDP program already, which it names.
Result<UniqueFd> attach_xdp(int program, std::uint32_t ifindex, XdpMode mode);

/// The device of a link, or nothing when it has gone.
Result<std::optional<std::uint32_t>> link_device(int link);
/// Whether an XDP program runs in generic mode on this device.
Result<bool> xdp_is_generic(std::uint32_t ifindex);
/// Detaches at once (closing a link alone detaches it some time later); fine if the device is gone.
Status detach_link(int link);

/// "id 17 (name)", for messages.
std::string describe_program(std::uint32_t id);
/// The device's name and number, for messages.
std::string describe_device(std::uint32_t ifindex);
bool device_exists(std::uint32_t ifindex);

}  // namespace sluice::datapath
