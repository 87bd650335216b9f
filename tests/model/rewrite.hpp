// SPDX-License-Identifier: Apache-2.0
// Translated packets: every word that changes, and every checksum that is over it.
#pragma once

#include "parse.hpp"

namespace model {

/// The packet as `flow` carries it on, with a hop less. `most`: the largest maximum segment size that TCP's options may
/// name; 0: any.
Verdict rewritten(const Parsed& packet, const Flow& flow, sluice_reason reason, std::uint32_t most);

/// The same for a fragment without a transport header.
Verdict rewritten_later(const Parsed& packet, const Flow& flow, sluice_reason reason);

/// What an ICMP error quotes, by offsets in its frame.
struct Quote {
  std::size_t ip = 0;  ///< the quoted header
  std::size_t l4 = 0;  ///< behind it
  Tuple tuple = {};    ///< of the quoted packet
};
/// The error, and what it quotes, as the sender of what is quoted knows it. `flow` is the record that owns the quoted
/// tuple turned around.
Verdict translated_error(const Parsed& packet, const Quote& quote, const Flow& flow);

}  // namespace model
