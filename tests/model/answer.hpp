// SPDX-License-Identifier: Apache-2.0
// The packets that the datapath writes itself: resets, ICMP errors, echo replies, ARP replies and advertisements.
#pragma once

#include "parse.hpp"

namespace model {

Bytes reset_for(const Parsed& packet);
/// An ICMP error with the packet's header and 8 bytes quoted; `unused` is the word behind the checksum.
Bytes error_for(const Parsed& packet, const Address& from, std::uint8_t type, std::uint8_t code,
                std::uint32_t unused = 0);
Verdict echo_answer(const Parsed& packet);

Bytes arp_reply(const Bytes& question, const Mac& mac);
/// Says that the target of the solicitation is at `mac`.
Bytes advertisement(const Bytes& solicitation, const Mac& mac, bool router);
Bytes router_advertisement(const Bytes& solicitation);

}  // namespace model
