// SPDX-License-Identifier: Apache-2.0
// The frames that are measured: Ethernet, IPv4 or IPv6, TCP, with right lengths and checksums.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "family.hpp"

namespace sluice::benchmark {

struct TcpFrame {
  Mac destination_mac;
  Mac source_mac;
  Address source;  ///< its family is the frame's
  Address destination;
  std::uint16_t source_port = 0;  ///< host order, as all numbers here
  std::uint16_t destination_port = 0;
  std::uint8_t flags = 0;  ///< kSyn, kAck
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
};

inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kAck = 0x10;
/// Long enough for the headers that the restoring wrapper rewrites, short enough to stay in two cache lines.
inline constexpr std::size_t kFrameLength = 128;

/// The frame's bytes. Checksums are those of the frame as given: where the wrapper varies a field from flow to flow
/// they are stale, which no program looks at (they change checksums by differences).
std::vector<std::uint8_t> build(const TcpFrame& frame);

}  // namespace sluice::benchmark
