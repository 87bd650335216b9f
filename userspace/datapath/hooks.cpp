// SPDX-License-Identifier: Apache-2.0
#include "datapath/hooks.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace sluice::datapath {
namespace {

// Names of Linux 6.6 that the headers of Debian 12 (6.1) lack.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // BPF_TCX_INGRESS
constexpr std::uint32_t kBefore = 1U << 3;                      // BPF_F_BEFORE
// Our place among clsact filters: the first priority, and a handle that no tool picks by itself.
constexpr std::uint32_t kFilterPriority = 1;
constexpr std::uint32_t kFilterHandle = 0x736c63;
constexpr std::uint32_t kLoopbackIfindex = 1;

bpf_tc_hook ingress_of(std::uint32_t ifindex) {
  bpf_tc_hook hook{};
  hook.sz = sizeof(hook);
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = BPF_TC_INGRESS;
  return hook;
}

bpf_tc_opts our_filter() {
  bpf_tc_opts filter{};
  filter.sz = sizeof(filter);
  filter.handle = kFilterHandle;
  filter.priority = kFilterPriority;
  return filter;
}

std::uint32_t xdp_flags(XdpMode mode) {
  if (mode == XdpMode::kGeneric) return XDP_FLAGS_SKB_MODE;
  return mode == XdpMode::kNative ? XDP_FLAGS_DRV_MODE : 0U;
}

std::unexpected<Error> xdp_failure(std::uint32_t ifindex, XdpMode mode, int error_number) {
  const std::string what = "attach XDP to " + describe_device(ifindex);
  if (error_number == EOPNOTSUPP && mode == XdpMode::kNative) {
    return fail(ErrorCode::kUnsupported, what + ": its driver has no native XDP; use xdp: generic, or off");
  }
  if (error_number == ERANGE || error_number == EINVAL) {
    return fail(ErrorCode::kPrecondition, what +
                                              ": the driver refuses it with the device's MTU or offloads; lower "
                                              "the MTU, switch LRO off (ethtool -K), or use xdp: generic");
  }
  return fail_errno(what, error_number);
}

}  // namespace

bool kernel_has_tcx() {
  std::uint32_t count = 0;
  return bpf_prog_query(static_cast<int>(kLoopbackIfindex), kTcxIngress, 0, nullptr, nullptr, &count) == 0;
}

bool device_exists(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(ifindex, name.data()) != nullptr;
}

std::string describe_device(std::uint32_t ifindex) {
  std::array<char, IF_NAMESIZE> name{};
  if (if_indextoname(ifindex, name.data()) == nullptr) return fmt::format("device {} (gone)", ifindex);
  return fmt::format("device {} (ifindex {})", name.data(), ifindex);
}

std::string describe_program(std::uint32_t id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (!program.valid() || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return fmt::format("id {}", id);
  return fmt::format("id {} ({})", id, info.name[0] == '\0' ? "without a name" : info.name);
}

Result<UniqueFd> attach_tcx(int program, std::uint32_t ifindex) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
  UniqueFd link(bpf_link_create(program, static_cast<int>(ifindex), kTcxIngress, &options));
  const int error_number = errno;  // describe_device() asks the kernel too
  if (!link.valid()) return fail_errno("attach a TCX link to " + describe_device(ifindex), error_number);
  return link;
}

Status put_clsact_filter(int program, std::uint32_t ifindex) {
  bpf_tc_hook hook = ingress_of(ifindex);
  if (const int status = bpf_tc_hook_create(&hook); status != 0 && status != -EEXIST) {
    return fail_errno("add a clsact qdisc to " + describe_device(ifindex), -status);
  }
  bpf_tc_opts filter = our_filter();
  filter.prog_fd = program;
  filter.flags = BPF_TC_F_REPLACE;
  const int status = bpf_tc_attach(&hook, &filter);
  if (status == -EINVAL || status == -EEXIST || status == -EOPNOTSUPP) {
    return fail(ErrorCode::kPrecondition, "add a clsact filter to " + describe_device(ifindex) +
                                              ": another filter holds priority 1; give that one another priority "
                                              "(tc filter show dev DEVICE ingress lists them)");
  }
  if (status != 0) return fail_errno("add a clsact filter to " + describe_device(ifindex), -status);
  return {};
}

Status remove_clsact_filter(std::uint32_t ifindex) {
  bpf_tc_hook hook = ingress_of(ifindex);
  const bpf_tc_opts filter = our_filter();
  const int status = bpf_tc_detach(&hook, &filter);
  // Without the qdisc the kernel says EINVAL.
  if (status == 0 || status == -ENOENT || status == -EINVAL || status == -ENODEV) return {};
  return fail_errno("remove the clsact filter of " + describe_device(ifindex), -status);
}

Status remove_clsact(std::uint32_t ifindex) {
  bpf_tc_hook hook = ingress_of(ifindex);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  const int status = bpf_tc_hook_destroy(&hook);
  if (status == 0 || status == -ENOENT || status == -EINVAL || status == -ENODEV) return {};
  return fail_errno("remove the clsact qdisc of " + describe_device(ifindex), -status);
}

Result<UniqueFd> attach_xdp(int program, std::uint32_t ifindex, XdpMode mode) {
  std::uint32_t foreign = 0;
  if (const int status = bpf_xdp_query_id(static_cast<int>(ifindex), 0, &foreign); status != 0) {
    return fail_errno("look for XDP programs on " + describe_device(ifindex), -status);
  }
  if (foreign != 0) {
    return fail(ErrorCode::kPrecondition,
                describe_device(ifindex) + " runs another XDP program already: " + describe_program(foreign) +
                    "; remove it (ip link set dev DEVICE xdp off) or use xdp: off for this uplink");
  }
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = xdp_flags(mode));
  UniqueFd link(bpf_link_create(program, static_cast<int>(ifindex), BPF_XDP, &options));
  if (!link.valid()) return xdp_failure(ifindex, mode, errno);
  return link;
}

Result<std::optional<std::uint32_t>> link_device(int link) {
  bpf_link_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link, &info, &size) != 0) return fail_errno("read what a link is");
  // TCX and XDP links both begin with the ifindex; it is 0 once the device has gone.
  if (info.xdp.ifindex == 0) return std::nullopt;
  return info.xdp.ifindex;
}

Result<bool> xdp_is_generic(std::uint32_t ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (const int status = bpf_xdp_query(static_cast<int>(ifindex), 0, &options); status != 0) {
    return fail_errno("look for XDP programs on " + describe_device(ifindex), -status);
  }
  return options.attach_mode == XDP_ATTACHED_SKB;
}

Status detach_link(int link) {
  if (bpf_link_detach(link) == 0 || errno == ENOLINK || errno == ENODEV) return {};
  return fail_errno("detach a link");
}

}  // namespace sluice::datapath
