// SPDX-License-Identifier: Apache-2.0
#include "daemon/privileges.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sluice::daemon {
namespace {

struct Capability {
  int number;
  std::string_view name;
};

// The unit's CapabilityBoundingSet= is the same list; a test compares them.
constexpr std::array kKept{
    Capability{CAP_BPF, "CAP_BPF"},
    Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
    Capability{CAP_PERFMON, "CAP_PERFMON"},
    Capability{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
    Capability{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
    Capability{CAP_CHOWN, "CAP_CHOWN"},
};
constexpr auto kNames = [] {
  std::array<std::string_view, kKept.size()> names{};
  for (std::size_t i = 0; i < names.size(); i++) names[i] = kKept[i].name;
  return names;
}();

bool is_kept(int number) {
  return std::ranges::any_of(kKept, [number](const Capability& kept) { return kept.number == number; });
}

/// Needs CAP_SETPCAP; without it whoever started us has decided, and what we give up below cannot come back anyway.
Status bound() {
  for (int number = 0; ::prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++) {
    if (is_kept(number) || ::prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 0) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0 && errno != EPERM) return fail_errno("PR_CAPBSET_DROP");
  }
  return {};
}

}  // namespace

std::span<const std::string_view> kept_capabilities() {
  return kNames;
}

Status drop_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return fail_errno("PR_CAP_AMBIENT");
  if (auto bounded = bound(); !bounded) return bounded;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return fail_errno("capget");
  for (std::size_t word = 0; word < sets.size(); word++) {
    __u32 kept = 0;
    for (const Capability& capability : kKept) {
      if (static_cast<std::size_t>(CAP_TO_INDEX(capability.number)) == word) kept |= CAP_TO_MASK(capability.number);
    }
    sets[word].permitted &= kept;
    sets[word].effective = sets[word].permitted;
    sets[word].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return fail_errno("capset");
  return {};
}

}  // namespace sluice::daemon
