// SPDX-License-Identifier: Apache-2.0
#include "datapath/uplink_facts.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/fd.hpp"
#include "datapath/hooks.hpp"
#include "datapath/netlink.hpp"

namespace sluice::datapath {
namespace {

// Linux 6.6; the headers of Debian 12 lack them.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
constexpr std::uint32_t kMostPrograms = 64;
constexpr std::array<std::string_view, 3> kOurs{"from_pod", "from_uplink", "uplink_xdp"};

/// One filter in words; nothing for what is ours or heads a list of filters.
std::optional<std::string> describe_filter(const nlmsghdr& message) {
  auto* header = const_cast<nlmsghdr*>(&message);
  if (message.nlmsg_type != RTM_NEWTFILTER || !nlmsg_valid_hdr(header, sizeof(tcmsg))) return std::nullopt;
  const auto* filter = static_cast<const tcmsg*>(nlmsg_data(header));
  const nlattr* kind = nlmsg_find_attr(header, sizeof(tcmsg), TCA_KIND);
  if (kind == nullptr || filter->tcm_handle == 0) return std::nullopt;
  const std::string_view name(static_cast<const char*>(nla_data(kind)));
  if (name == "u32" && TC_U32_NODE(filter->tcm_handle) == 0) return std::nullopt;  // a hash table of filters
  const std::uint32_t priority = TC_H_MAJ(filter->tcm_info) >> 16;
  std::string words = fmt::format("{} filter, priority {}, handle {:#x}", name, priority, filter->tcm_handle);
  const nlattr* options = nlmsg_find_attr(header, sizeof(tcmsg), TCA_OPTIONS);
  if (name != "bpf" || options == nullptr) return words;
  const nlattr* id = nla_find(static_cast<const nlattr*>(nla_data(options)), nla_len(options), TCA_BPF_ID);
  if (id == nullptr) return words;
  if (is_ours(nla_get_u32(id))) return std::nullopt;
  return words + ", program " + describe_program(nla_get_u32(id));
}

Status add_filters(std::uint32_t ifindex, Direction direction, std::vector<std::string>& found) {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction == Direction::kIngress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
  NetlinkMessage request(RTM_GETTFILTER, NLM_F_DUMP);
  request.header(header);
  const std::size_t before = found.size();
  const int error_number = socket->dump(
      request, [&found, before] { found.resize(before); },
      [&found](const nlmsghdr& message) {
        if (auto words = describe_filter(message)) found.push_back(std::move(*words));
      });
  // What a kernel says of a device without such a qdisc.
  if (error_number == 0 || error_number == EINVAL || error_number == ENOENT || error_number == EOPNOTSUPP) return {};
  return netlink_failure("list the tc filters of " + describe_device(ifindex), error_number, *socket);
}

/// Asks the driver of a device; false with errno if it does not answer.
template <typename Request>
bool ask_driver(const std::string& device, Request& request) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return false;
  ifreq named{};
  device.copy(named.ifr_name, IFNAMSIZ - 1);
  named.ifr_data = reinterpret_cast<char*>(&request);
  return ioctl(socket.get(), SIOCETHTOOL, &named) == 0;
}

}  // namespace

Result<std::uint32_t> xdp_program(std::uint32_t ifindex) {
  std::uint32_t id = 0;
  if (const int status = bpf_xdp_query_id(static_cast<int>(ifindex), 0, &id); status != 0) {
    return fail_errno("look for XDP programs on " + describe_device(ifindex), -status);
  }
  return id;
}

Result<std::vector<std::uint32_t>> tcx_programs(std::uint32_t ifindex, Direction direction) {
  if (!kernel_has_tcx()) return std::vector<std::uint32_t>{};
  std::vector<std::uint32_t> ids(kMostPrograms);
  std::uint32_t count = kMostPrograms;
  const auto hook = direction == Direction::kIngress ? kTcxIngress : kTcxEgress;
  if (bpf_prog_query(static_cast<int>(ifindex), hook, 0, nullptr, ids.data(), &count) != 0) {
    const int error_number = errno;  // describe_device() asks the kernel too
    return fail_errno("look for TCX programs on " + describe_device(ifindex), error_number);
  }
  ids.resize(std::min(count, kMostPrograms));
  return ids;
}

Result<std::vector<std::string>> foreign_tc_programs(std::uint32_t ifindex, Direction direction) {
  auto programs = tcx_programs(ifindex, direction);
  if (!programs) return std::unexpected(programs.error());
  std::vector<std::string> found;
  for (const std::uint32_t id : *programs) {
    if (!is_ours(id)) found.push_back("TCX program " + describe_program(id));
  }
  if (auto added = add_filters(ifindex, direction, found); !added) return std::unexpected(added.error());
  return found;
}

bool is_ours(std::uint32_t program_id) {
  const UniqueFd program(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (!program.valid() || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return false;
  return std::ranges::find(kOurs, std::string_view(info.name)) != kOurs.end();
}

Result<bool> lro_enabled(const std::string& device) {
  ethtool_value value{.cmd = ETHTOOL_GFLAGS, .data = 0};
  if (!ask_driver(device, value)) return fail_errno("read the offloads of " + device);
  return (value.data & ETH_FLAG_LRO) != 0;
}

Result<Queues> queues_of(const std::string& device) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (!ask_driver(device, channels)) return fail_errno("read the queues of " + device);
  return Queues{.receive = channels.rx_count + channels.combined_count,
                .send = channels.tx_count + channels.combined_count,
                .most_send = channels.max_tx + channels.max_combined};
}

std::string driver_of(const std::string& device) {
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (!ask_driver(device, driver)) return {};
  return std::string(driver.driver, strnlen(driver.driver, sizeof(driver.driver)));
}

}  // namespace sluice::datapath
