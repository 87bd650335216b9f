// SPDX-License-Identifier: Apache-2.0
#include "datapath/uplink_facts.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "base/fd.hpp"
#include "datapath/hooks.hpp"

namespace sluice::datapath {
namespace {

constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // BPF_TCX_INGRESS, Linux 6.6
constexpr std::uint32_t kMostPrograms = 64;
constexpr std::array<std::string_view, 3> kOurs{"from_pod", "from_uplink", "uplink_xdp"};

}  // namespace

Result<std::uint32_t> xdp_program(std::uint32_t ifindex) {
  std::uint32_t id = 0;
  if (const int status = bpf_xdp_query_id(static_cast<int>(ifindex), 0, &id); status != 0) {
    return fail_errno("look for XDP programs on " + describe_device(ifindex), -status);
  }
  return id;
}

Result<std::vector<std::uint32_t>> tc_ingress_programs(std::uint32_t ifindex) {
  std::vector<std::uint32_t> ids(kMostPrograms);
  if (!kernel_has_tcx()) return std::vector<std::uint32_t>{};
  std::uint32_t count = kMostPrograms;
  if (bpf_prog_query(static_cast<int>(ifindex), kTcxIngress, 0, nullptr, ids.data(), &count) != 0) {
    return fail_errno("look for tc programs on " + describe_device(ifindex));
  }
  ids.resize(std::min(count, kMostPrograms));
  return ids;
}

bool is_ours(std::uint32_t program_id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (!program.valid() || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return false;
  return std::ranges::find(kOurs, std::string_view(info.name)) != kOurs.end();
}

Result<bool> lro_enabled(const std::string& device) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("open a socket");
  ethtool_value value{.cmd = ETHTOOL_GFLAGS, .data = 0};
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  if (ioctl(socket.get(), SIOCETHTOOL, &request) != 0) return fail_errno("read the offloads of " + device);
  return (value.data & ETH_FLAG_LRO) != 0;
}

}  // namespace sluice::datapath
