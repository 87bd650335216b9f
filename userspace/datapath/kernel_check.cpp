// SPDX-License-Identifier: Apache-2.0
#include "datapath/kernel_check.hpp"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "datapath/datapath.hpp"

namespace sluice::datapath {
namespace {

constexpr unsigned kMinimumMajor = 6;
constexpr unsigned kMinimumMinor = 1;
constexpr const char* kMinimum = "Sluice needs Linux 6.1 or newer";

struct Helper {
  bpf_func_id id;
  const char* name;
};
constexpr std::array kHelpers{
    Helper{BPF_FUNC_redirect, "bpf_redirect"},
    Helper{BPF_FUNC_redirect_peer, "bpf_redirect_peer"},
    Helper{BPF_FUNC_redirect_neigh, "bpf_redirect_neigh"},
    Helper{BPF_FUNC_timer_init, "bpf_timer_init"},
    Helper{BPF_FUNC_timer_set_callback, "bpf_timer_set_callback"},
    Helper{BPF_FUNC_timer_start, "bpf_timer_start"},
    Helper{BPF_FUNC_loop, "bpf_loop"},
    Helper{BPF_FUNC_ktime_get_coarse_ns, "bpf_ktime_get_coarse_ns"},
    Helper{BPF_FUNC_l3_csum_replace, "bpf_l3_csum_replace"},
    Helper{BPF_FUNC_l4_csum_replace, "bpf_l4_csum_replace"},
    Helper{BPF_FUNC_skb_change_tail, "bpf_skb_change_tail"},
    Helper{BPF_FUNC_map_push_elem, "bpf_map_push_elem"},
};

struct Capability {
  unsigned number;
  const char* name;
  const char* purpose;
};
constexpr std::array kCapabilities{
    Capability{CAP_BPF, "CAP_BPF", "loading BPF programs"},
    Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN", "attaching programs and making devices"},
    Capability{CAP_PERFMON, "CAP_PERFMON", "loading BPF programs that loop and compare pointers"},
    Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "entering the pods' network namespaces"},
};

std::unexpected<Error> missing(const std::string& feature) {
  return fail(ErrorCode::kUnsupported, "kernel " + kernel_release() + " has no " + feature + "; " + kMinimum);
}

}  // namespace

std::string kernel_release() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "unknown";
}

Status check_release(const std::string& release) {
  unsigned major = 0;
  unsigned minor = 0;
  if (std::sscanf(release.c_str(), "%u.%u", &major, &minor) != 2) {
    return fail(ErrorCode::kUnsupported, "kernel release \"" + release + "\" is no version; " + kMinimum);
  }
  if (major > kMinimumMajor || (major == kMinimumMajor && minor >= kMinimumMinor)) return {};
  return fail(ErrorCode::kUnsupported,
              "kernel " + release + " is too old; " + kMinimum + ": boot a newer kernel (Debian 12 ships 6.1)");
}

Status check_privileges() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return fail_errno("read the own capabilities");
  for (const Capability& capability : kCapabilities) {
    const std::uint32_t word = data.at(capability.number / 32).effective;
    if ((word >> (capability.number % 32) & 1U) != 0) continue;
    return fail(ErrorCode::kPermission, std::string(capability.name) + " is missing (" + capability.purpose +
                                            "); run as root, or give the service that capability");
  }
  return {};
}

Status check_features() {
  // The object is fitted to the kernel's structs at load.
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return fail(ErrorCode::kUnsupported, "kernel " + kernel_release() +
                                             " has no BTF (/sys/kernel/btf/vmlinux); boot one " +
                                             "built with CONFIG_DEBUG_INFO_BTF, as Debian's are");
  }
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) return missing("BPF program type sched_cls");
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, nullptr) != 1) return missing("BPF program type xdp");
  if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_STACK, nullptr) != 1) return missing("BPF map type stack");
  for (const Helper& helper : kHelpers) {
    if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, helper.id, nullptr) != 1) {
      return missing(std::string("helper ") + helper.name + " for sched_cls programs");
    }
  }
  return {};
}

Status Datapath::check_kernel() {
  if (auto release = check_release(kernel_release()); !release) return release;
  if (auto privileges = check_privileges(); !privileges) return privileges;
  return check_features();
}

}  // namespace sluice::datapath
