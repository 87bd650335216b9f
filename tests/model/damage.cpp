// SPDX-License-Identifier: Apache-2.0
// What makes a good packet a strange one.
#include <algorithm>

#include "traffic.hpp"

namespace model {

using bpftest::Family;
using bpftest::Frame;

namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd;
// BPF_PROG_TEST_RUN itself refuses frames without a whole IP header of their ethertype.
constexpr std::size_t kShortest = 42, kShortestIpv6 = 54;

std::uint16_t ethertype(const Frame& frame) {
  return frame.get16(12);
}

}  // namespace

/// With one to eight extension headers, mostly allowed ones.
Frame Traffic::with_headers(const Frame& frame) {
  constexpr std::uint8_t kKinds[] = {bpftest::kHopByHop, bpftest::kRouting, bpftest::kDestinationOptions,
                                     bpftest::kDestinationOptions};
  bpftest::ExtensionHeaders headers;
  const std::uint32_t count = chance(random_, 80) ? 1 + below(random_, 2) : 1 + below(random_, 8);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint8_t kind = any_of(random_, kKinds);
    if (kind == bpftest::kHopByHop && i != 0 && chance(random_, 90)) kind = bpftest::kDestinationOptions;
    if (chance(random_, 3)) kind = bpftest::kFragment;
    const std::uint32_t units = chance(random_, 70) ? 0 : below(random_, 12);
    bpftest::Bytes bytes(7 + 8 * units);
    bytes[0] = static_cast<std::uint8_t>(units);
    if (chance(random_, 10)) bytes[2] = static_cast<std::uint8_t>(random_());  // segments left
    if (kind == bpftest::kFragment) bytes[0] = 0;
    headers.emplace_back(kind, bytes);
  }
  return bpftest::with_extension_headers(frame, headers);
}

void Traffic::decorate(Packet& packet) {
  Frame& frame = packet.frame;
  const bool v6 = ethertype(frame) == kIpv6 && frame.size() >= bpftest::kL46;
  const bool v4 = ethertype(frame) == kIpv4 && frame.size() >= bpftest::kL4;
  if (v6 && chance(random_, 12)) frame = with_headers(frame);
  if ((v4 || v6) && chance(random_, 6)) frame.set_hops(below(random_, 4)).fix_checksums();
  if (v4 && chance(random_, 1)) frame = bpftest::with_ip_options(frame, bpftest::Bytes(4 + 4 * below(random_, 4), 1));
  if (v4 && chance(random_, 1)) frame.set16(bpftest::kIp + 6, below(random_, 0x4000)).fix_checksums();
  if ((v4 || v6) && chance(random_, 1)) frame.set_source(frame.destination()).fix_checksums();
  if ((v4 || v6) && chance(random_, 1)) {
    const std::size_t l4 = v6 ? bpftest::kL46 : bpftest::kL4;
    if (frame.size() >= l4 + 4) frame.set16(l4 + 2 * below(random_, 2), 0).fix_checksums();
  }
  if (chance(random_, 1)) frame = bpftest::vlan(frame, chance(random_, 50) ? 0x8100 : 0x88a8, 5);
  if (chance(random_, 12)) mutate(frame);
}

void Traffic::mutate(Frame& frame) {
  for (std::uint32_t i = 0; i <= below(random_, 3); ++i) {
    const std::size_t size = frame.size();
    switch (below(random_, 5)) {
      case 0:
        frame.set8(below(random_, size), below(random_, 256));
        break;
      case 1:
        frame.set8(bpftest::kIp + below(random_, std::min<std::size_t>(size - bpftest::kIp, 60)), below(random_, 256));
        break;
      case 2:
        frame.resize(size - std::min<std::size_t>(size - bpftest::kEthernet, below(random_, 40)));
        break;
      case 3:
        frame.resize(size + below(random_, 40));
        break;
      default: {
        const std::size_t at = below(random_, std::min<std::size_t>(size, 34));
        frame.set8(at, frame.get8(at) ^ (1U << below(random_, 8)));
        break;
      }
    }
    const std::size_t shortest = ethertype(frame) == kIpv6 ? kShortestIpv6 : kShortest;
    if (frame.size() < shortest) frame.resize(shortest);
  }
  const bool whole = ethertype(frame) == kIpv4 ? frame.get8(bpftest::kIp) == 0x45
                                               : ethertype(frame) == kIpv6 && frame.size() >= bpftest::kL46;
  if (whole && chance(random_, 50)) frame.fix_checksums();
}

}  // namespace model
