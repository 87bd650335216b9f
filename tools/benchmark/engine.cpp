// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>

#include "restore.h"
#include "sluice_restore.skel.h"

namespace sluice::benchmark {

namespace {

constexpr std::size_t kEthertypeOffset = 2 * ETH_ALEN;

// Golden ratio: neighbours in time are far apart in the table.
std::uint32_t stride(std::uint32_t flows) {
  if (flows <= 64) return 1;
  auto step = static_cast<std::uint32_t>(flows * 0.6180339887) | 1;
  while (std::gcd(step, flows) != 1) step += 2;
  return step;
}

void set_fields(restore_config& config, const Traffic& traffic) {
  config.low_port_shift = traffic.low == Field::kDestinationPort ? RESTORE_DESTINATION_PORT : RESTORE_SOURCE_PORT;
  switch (traffic.high) {
    case Field::kSourceAddress:
      config.high_source_mask = ~0U;
      break;
    case Field::kDestinationAddress:
      config.high_destination_mask = ~0U;
      break;
    case Field::kSourcePort:
    case Field::kDestinationPort:
      config.high_port_mask = ~0U;
      config.high_port_shift = traffic.high == Field::kDestinationPort ? RESTORE_DESTINATION_PORT : RESTORE_SOURCE_PORT;
      break;
  }
}

double thread_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

void Engine::Destroy::operator()(sluice_restore* skeleton) const {
  sluice_restore__destroy(skeleton);
}

Result<Engine> Engine::open() {
  Skeleton skeleton(sluice_restore__open_and_load());
  if (!skeleton) return fail_errno("load the restoring wrapper (needs root)");
  return Engine(std::move(skeleton));
}

int Engine::trivial(Hook hook) const {
  return bpf_program__fd(hook == Hook::kTc ? skeleton_->progs.trivial_tc : skeleton_->progs.trivial_xdp);
}

int Engine::lower_bound() const {
  return bpf_program__fd(skeleton_->progs.lower_bound);
}

int Engine::lower_bound_close() const {
  return bpf_program__fd(skeleton_->progs.lower_bound_close);
}

Status Engine::select(Hook hook, int program, const Traffic& traffic, const Flows& flows) {
  const std::uint32_t slot = 0;
  const int target = bpf_map__fd(hook == Hook::kTc ? skeleton_->maps.tc_target : skeleton_->maps.xdp_target);
  if (bpf_map_update_elem(target, &slot, &program, BPF_ANY) != 0) return fail_errno("tail call to the program");
  hook_ = hook;
  frame_ = traffic.frame;
  restore_config config{};
  config.packet_length = static_cast<std::uint32_t>(frame_.size());
  config.packet_type = traffic.for_this_host ? PACKET_HOST : PACKET_OTHERHOST;
  config.flows = flows.count;
  config.stride = stride(flows.count);
  config.first = flows.first;
  config.index_mask = kFlowSpace - 1;
  config.ipv6 = frame_[kEthertypeOffset] == (ETH_P_IPV6 >> 8) ? 1 : 0;
  set_fields(config, traffic);
  std::memcpy(config.header, frame_.data(), std::min<std::size_t>(frame_.size(), RESTORE_LENGTH));
  skeleton_->data->config = config;
  return {};
}

Result<double> Engine::run(std::uint32_t ifindex, std::uint32_t repeat, int verdict) {
  std::vector<std::uint8_t> out(frame_.size() + 256);
  __sk_buff skb{};
  skb.ifindex = ifindex;
  skb.ingress_ifindex = ifindex;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  options.data_in = frame_.data();
  options.data_size_in = static_cast<std::uint32_t>(frame_.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<std::uint32_t>(out.size());
  options.repeat = static_cast<int>(repeat);
  if (hook_ == Hook::kTc) {
    options.ctx_in = &skb;
    options.ctx_size_in = sizeof(skb);
  }
  const int wrapper = bpf_program__fd(hook_ == Hook::kTc ? skeleton_->progs.restore_tc : skeleton_->progs.restore_xdp);
  const double before = thread_nanoseconds();
  if (bpf_prog_test_run_opts(wrapper, &options) != 0) return fail_errno("BPF_PROG_TEST_RUN");
  const double after = thread_nanoseconds();
  if (static_cast<int>(options.retval) != verdict) {
    return fail(ErrorCode::kPrecondition, "the program's verdict is " +
                                              std::to_string(static_cast<int>(options.retval)) + " and not " +
                                              std::to_string(verdict));
  }
  return after - before;
}

}  // namespace sluice::benchmark
