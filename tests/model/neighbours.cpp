// SPDX-License-Identifier: Apache-2.0
// Who has an address: ARP and neighbour discovery.
#include "answer.hpp"
#include "bytes.hpp"

namespace model {

namespace {

constexpr std::size_t kMessage = kIp + 40;
constexpr std::uint8_t kRouterSolicitation = 133, kRouterAdvertisement = 134, kSolicitation = 135, kRedirect = 137;
constexpr std::uint8_t kSourceOption = 1, kTargetOption = 2;

bool arp_well_formed(const Bytes& frame) {
  if (frame.size() < 42 || read16(frame, 14) != 1 || read16(frame, 16) != 0x0800) return false;
  const std::uint16_t operation = read16(frame, 20);
  return read16(frame, 18) == 0x0604 && (operation == 1 || operation == 2);
}

/// Rule 2: hop limit, code, length and checksum.
bool well_formed(const Bytes& frame) {
  const std::size_t length = read16(frame, kIp + 4);
  const bool short_one = frame.at(kMessage) == kRouterSolicitation && (length == 8 || length == 16);
  if (length != 24 && length != 32 && length != 40 && !short_one) return false;
  if (frame.at(hops_at(true)) != 255 || frame.at(kMessage + 1) != 0) return false;
  const std::uint32_t pseudo = pseudo_sum(frame, kIp, true, icmp_of(true), length);
  return ones_sum(frame, kMessage, kMessage + length, pseudo) == 0xffff;
}

/// The type of a solicitation's or an advertisement's first option; 0 if it has none.
std::uint8_t option_of(const Bytes& frame) {
  return read16(frame, kIp + 4) > 24 ? frame.at(kMessage + 24) : 0;
}

/// Is the first option of that type, and not about the port itself?
bool of_another(const Port& port, const Bytes& frame, std::uint8_t type) {
  if (option_of(frame) != type) return false;
  return frame.at(kMessage + 25) != 1 || read_mac(frame, kMessage + 26) != port.mac;
}

/// Any link-local address but the router's may be the pod's.
bool may_be_own(const Port& port, const Address& address) {
  return address.link_local() ? address != kRouterLinkLocal : address == port.v6.address;
}

/// The beginning of rule 4.
bool solicitation_allowed(const Bytes& frame) {
  if (read_address(frame, kMessage + 8, true).group()) return false;
  if (!read_address(frame, source_at(true), true).unspecified()) return true;
  return read_address(frame, destination_at(true), true).group() && option_of(frame) != kSourceOption;
}

}  // namespace

Verdict Model::arp_from_pod(const Port& port, const Bytes& frame) const {
  if (frame.size() < 42) return drop(SLUICE_REASON_TRUNCATED);
  if (!arp_well_formed(frame)) return drop(SLUICE_REASON_ARP_MALFORMED);
  if (port.v4.address.none()) return drop(SLUICE_REASON_NO_FAMILY);
  const bool request = read16(frame, 20) == 1;
  const Address sender = read_address(frame, 28, false);
  const Address target = read_address(frame, 38, false);
  if (read_mac(frame, 22) != port.mac) return drop(SLUICE_REASON_SPOOFED_ARP);
  if (sender != port.v4.address && !(request && sender.unspecified())) return drop(SLUICE_REASON_SPOOFED_ARP);
  if (!request || target == port.v4.address) return drop(SLUICE_REASON_ARP_OWN_ADDRESS);
  const auto found = tables.endpoints.find({port.network, target});
  if (found == tables.endpoints.end()) return drop(SLUICE_REASON_ARP_NO_TARGET);
  if (found->second.holder == Holder::kPod && found->second.ifindex == 0) return drop(SLUICE_REASON_ARP_NO_TARGET);
  return {SLUICE_REASON_ARP_ANSWERED, arp_reply(frame, found->second.mac)};
}

Verdict Model::arp_from_uplink(const Port& port, const Bytes& frame) const {
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  if (!arp_well_formed(frame) || read16(frame, 20) != 1) return foreign;
  if (frame[0] % 2 == 0 && read_mac(frame, 0) != port.mac) return foreign;
  const Address target = read_address(frame, 38, false);
  if (!is_ours(target) || target == read_address(frame, 28, false)) return foreign;
  return {SLUICE_REASON_ARP_ANSWERED, arp_reply(frame, port.mac)};
}

Verdict Model::discovery_from_pod(const Port& port, const Bytes& frame) const {
  const std::uint8_t type = frame.at(kMessage);
  const Address source = read_address(frame, source_at(true), true);
  if (type == kRouterAdvertisement || type == kRedirect) return drop(SLUICE_REASON_SPOOFED_ND);
  if (!may_be_own(port, source) && !source.unspecified()) return drop(SLUICE_REASON_SPOOFED_ND);
  if (!well_formed(frame)) return drop(SLUICE_REASON_ND_MALFORMED);
  if (type == kRouterSolicitation) {
    const bool names_a_mac = read16(frame, kIp + 4) > 8 && frame.at(kMessage + 8) == kSourceOption;
    if (source.unspecified() && names_a_mac) return drop(SLUICE_REASON_ND_MALFORMED);
    return {SLUICE_REASON_ROUTER_ADVERTISED, router_advertisement(frame)};
  }
  if (type == kSolicitation) return solicited(port, frame);
  const Address target = read_address(frame, kMessage + 8, true);
  if (!may_be_own(port, target) || source.unspecified() || of_another(port, frame, kTargetOption))
    return drop(SLUICE_REASON_SPOOFED_ND);
  return drop(SLUICE_REASON_ND_OWN_ADDRESS);
}

Verdict Model::solicited(const Port& port, const Bytes& frame) const {
  if (!solicitation_allowed(frame)) return drop(SLUICE_REASON_ND_MALFORMED);
  if (of_another(port, frame, kSourceOption)) return drop(SLUICE_REASON_SPOOFED_ND);
  const Address target = read_address(frame, kMessage + 8, true);
  if (target == port.v6.address) return drop(SLUICE_REASON_ND_OWN_ADDRESS);
  if (target == kRouterLinkLocal) return {SLUICE_REASON_ND_ANSWERED, advertisement(frame, kRouterMac, true)};
  const auto found = tables.endpoints.find({port.network, target});
  if (found == tables.endpoints.end()) return drop(SLUICE_REASON_ND_NO_TARGET);
  const Endpoint& endpoint = found->second;
  if (endpoint.holder == Holder::kPod && endpoint.ifindex == 0) return drop(SLUICE_REASON_ND_NO_TARGET);
  return {SLUICE_REASON_ND_ANSWERED, advertisement(frame, endpoint.mac, endpoint.holder == Holder::kRouter)};
}

Verdict Model::discovery_from_uplink(const Port& port, const Bytes& frame) const {
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  if (frame.at(kMessage) != kSolicitation || header_shape(frame, true) != SLUICE_REASON_NONE) return foreign;
  if (frame[0] % 2 == 0 && read_mac(frame, 0) != port.mac) return foreign;
  const Address destination = read_address(frame, destination_at(true), true);
  if (!destination.group() && !is_ours(destination)) return foreign;
  if (!well_formed(frame) || !solicitation_allowed(frame)) return foreign;
  if (!is_ours(read_address(frame, kMessage + 8, true))) return foreign;
  return {SLUICE_REASON_ND_ANSWERED, advertisement(frame, port.mac, false)};
}

}  // namespace model
