// SPDX-License-Identifier: Apache-2.0
// A frame's fields as the model reads them, and the shape checks of docs/datapath.md.
#pragma once

#include "model.hpp"

namespace model {

struct Parsed {
  const Bytes* frame = nullptr;
  const Port* port = nullptr;
  Tuple tuple = {};  ///< ports: ICMP echo as the specification maps them
  bool tracked = false;
  bool uplink = false;
  unsigned flags = 0;
  std::uint8_t icmp_type = 0;
  std::uint32_t sequence = 0, acknowledgement = 0, payload = 0;
  std::uint16_t charged = 0;  ///< the network slot that refusals are charged to

  [[nodiscard]] bool echo_request() const { return tuple.protocol == 1 && tracked && icmp_type == 8; }
};

inline constexpr unsigned kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

/// Rows 7 to 9: version, header length, total length, options. SLUICE_REASON_NONE: good.
sluice_reason header_shape(const Bytes& frame);
bool is_fragment(const Bytes& frame);
/// Rows 15 and 16, and the fields that the later stages want.
sluice_reason transport(const Bytes& frame, Parsed& packet);
bool martian_class(std::uint32_t address);

/// The frame with addresses and ports changed and checksums updated as by RFC 1624.
Bytes rewritten(const Bytes& frame, const Flow& flow);
Bytes reset_for(const Parsed& packet);
Bytes unreachable_for(const Parsed& packet);
Bytes echo_answer(const Parsed& packet);

}  // namespace model
