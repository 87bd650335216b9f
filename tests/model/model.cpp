// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <algorithm>

#include "bytes.hpp"
#include "parse.hpp"

namespace model {

namespace {

constexpr std::size_t kIp = 14;
constexpr Mac kRouterMac = SLUICE_ROUTER_MAC;

Verdict drop(sluice_reason reason) {
  return {reason, std::nullopt};
}

bool arp_well_formed(const Bytes& frame) {
  if (frame.size() < 42 || read16(frame, 14) != 1 || read16(frame, 16) != 0x0800) return false;
  const std::uint16_t operation = read16(frame, 20);
  return read16(frame, 18) == 0x0604 && (operation == 1 || operation == 2);
}

/// IPv6 from a pod that has no such address.
sluice_reason without_ipv6(const Bytes& frame) {
  if (frame.size() < kIp + 40) return SLUICE_REASON_TRUNCATED;
  if (frame[kIp] >> 4 != 6) return SLUICE_REASON_BAD_IP_HEADER;
  const std::size_t length = read16(frame, kIp + 4);
  if (length + 40 > frame.size() - kIp || (length == 0 && frame[kIp + 6] == 0)) return SLUICE_REASON_BAD_IP_LENGTH;
  return SLUICE_REASON_NO_FAMILY;
}

Bytes arp_reply(const Bytes& question, const Mac& mac) {
  Bytes answer = question;
  write_mac(answer, 0, read_mac(question, 6));
  write_mac(answer, 6, mac);
  write16(answer, 20, 2);
  write_mac(answer, 22, mac);
  write32(answer, 28, read32(question, 38));
  write_mac(answer, 32, read_mac(question, 22));
  write32(answer, 38, read32(question, 28));
  return answer;
}

}  // namespace

bool Model::live(const std::map<std::uint32_t, std::uint32_t>& generations, const Ref& ref) const {
  const auto found = generations.find(ref.slot);
  return (found == generations.end() ? 0 : found->second) == ref.generation;
}

bool Model::ended(const Flow& flow) const {
  return !live(tables.endpoint_generations, flow.source) || !live(tables.endpoint_generations, flow.endpoint) ||
         !live(tables.frontend_generations, flow.frontend);
}

bool Model::current(const Flow& flow, const Ref& source) const {
  return flow.source == source && live(tables.endpoint_generations, flow.endpoint) &&
         live(tables.frontend_generations, flow.frontend);
}

bool Model::is_floating(std::uint32_t address) const {
  const auto found = tables.endpoints.find({0, address});
  return found != tables.endpoints.end() && found->second.holder == Holder::kFloating;
}

void Model::erase_pair(const Tuple& tuple) {
  const auto found = flows.find(tuple);
  if (found == flows.end()) return;
  const Tuple other = found->second.other;
  flows.erase(found);
  flows.erase(other);
}

std::uint32_t Model::pairs(std::uint16_t slot) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(
      flows, [&](const auto& entry) { return entry.second.forward && entry.second.slot == slot; }));
}

std::uint32_t Model::half_open(std::uint16_t slot) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(flows, [&](const auto& entry) {
    return entry.second.slot == slot && (entry.second.state & SLUICE_STATE_HALF_OPEN_CHARGED) != 0;
  }));
}

Verdict Model::arp_from_pod(const Port& port, const Bytes& frame) const {
  if (frame.size() < 42) return drop(SLUICE_REASON_TRUNCATED);
  if (!arp_well_formed(frame)) return drop(SLUICE_REASON_ARP_MALFORMED);
  const bool request = read16(frame, 20) == 1;
  const std::uint32_t sender = read32(frame, 28);
  const std::uint32_t target = read32(frame, 38);
  if (read_mac(frame, 22) != port.mac) return drop(SLUICE_REASON_SPOOFED_ARP);
  if (sender != port.address && !(request && sender == 0)) return drop(SLUICE_REASON_SPOOFED_ARP);
  if (!request || target == port.address) return drop(SLUICE_REASON_ARP_OWN_ADDRESS);
  const auto found = tables.endpoints.find({port.network, target});
  if (found == tables.endpoints.end()) return drop(SLUICE_REASON_ARP_NO_TARGET);
  if (found->second.holder == Holder::kPod && !found->second.attached) return drop(SLUICE_REASON_ARP_NO_TARGET);
  return {SLUICE_REASON_ARP_ANSWERED, arp_reply(frame, found->second.mac)};
}

Verdict Model::arp_from_uplink(const Port& port, const Bytes& frame) const {
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  if (!arp_well_formed(frame) || read16(frame, 20) != 1) return foreign;
  if (frame[0] % 2 == 0 && read_mac(frame, 0) != port.mac) return foreign;
  const std::uint32_t target = read32(frame, 38);
  if (!is_floating(target) || target == read32(frame, 28)) return foreign;
  return {SLUICE_REASON_ARP_ANSWERED, arp_reply(frame, port.mac)};
}

sluice_reason Model::pod_header(const Port& port, const Bytes& frame) const {
  if (frame.size() < 34) return SLUICE_REASON_TRUNCATED;
  const sluice_reason reason = header_shape(frame);
  if (reason != SLUICE_REASON_NONE) return reason;
  const std::uint32_t source = read32(frame, kIp + 12);
  const std::uint32_t destination = read32(frame, kIp + 16);
  if (source != port.address) return SLUICE_REASON_SPOOFED_IP;
  if (destination == 0xffffffff || destination == port.cidr || destination == (port.cidr | ~port.mask)) {
    return SLUICE_REASON_BROADCAST;
  }
  if (destination >> 28 == 14 || frame[0] % 2 == 1) return SLUICE_REASON_MULTICAST;
  if (source == destination) return SLUICE_REASON_LAND;
  return is_fragment(frame) ? SLUICE_REASON_FRAGMENT : SLUICE_REASON_NONE;
}

Verdict Model::from_pod(std::uint32_t ifindex, const Bytes& frame, const Verdict& done) {
  complaint_.clear();
  const auto found = tables.ports.find(ifindex);
  if (found == tables.ports.end() || found->second.uplink) return drop(SLUICE_REASON_NO_PORT);
  const Port& port = found->second;
  if (read_mac(frame, 6) != port.mac) return drop(SLUICE_REASON_SPOOFED_MAC);
  switch (read16(frame, 12)) {
    case 0x0806:
      return arp_from_pod(port, frame);
    case 0x86dd:
      return drop(without_ipv6(frame));
    case 0x8100:
    case 0x88a8:
      return drop(SLUICE_REASON_VLAN);
    case 0x0800:
      break;
    default:
      return drop(SLUICE_REASON_ETHERTYPE);
  }
  sluice_reason reason = pod_header(port, frame);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  Parsed packet{.frame = &frame, .port = &port, .charged = port.slot};
  packet.tuple = {port.network, frame[kIp + 9], read32(frame, kIp + 12), read32(frame, kIp + 16), 0, 0};
  reason = transport(frame, packet);
  if (reason != SLUICE_REASON_NONE) return drop(reason);
  if (auto verdict = hit(packet)) return *verdict;
  return miss(packet, done);
}

Verdict Model::from_uplink(std::uint32_t ifindex, const Bytes& frame, const Verdict& done) {
  complaint_.clear();
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  if (frame.size() < 34) return foreign;
  const Port& port = tables.ports.at(ifindex);
  const std::uint16_t ethertype = read16(frame, 12);
  if (ethertype == 0x0806) return arp_from_uplink(port, frame);
  const std::uint32_t source = read32(frame, kIp + 12);
  const std::uint32_t destination = read32(frame, kIp + 16);
  if (ethertype != 0x0800 || !tables.filtered.contains(destination) || read_mac(frame, 0) != port.mac) return foreign;
  const bool floating = is_floating(destination);
  Parsed packet{.frame = &frame, .port = &port, .uplink = true};
  packet.tuple = {0, frame[kIp + 9], source, destination, 0, 0};
  sluice_reason reason = header_shape(frame);
  if (reason == SLUICE_REASON_NONE && source == destination) reason = SLUICE_REASON_LAND;
  if (reason == SLUICE_REASON_NONE && martian_class(source)) reason = SLUICE_REASON_MARTIAN;
  if (reason == SLUICE_REASON_NONE && is_fragment(frame)) reason = SLUICE_REASON_FRAGMENT;
  if (reason == SLUICE_REASON_NONE) reason = transport(frame, packet);
  if (reason != SLUICE_REASON_NONE) return floating ? drop(reason) : foreign;
  if (auto verdict = hit(packet)) return *verdict;
  if (!floating) return foreign;
  if (is_floating(source)) return drop(SLUICE_REASON_MARTIAN);
  return miss(packet, done);
}

Verdict Model::uplink_xdp(std::uint32_t ifindex, const Bytes& frame) const {
  const Port& port = tables.ports.at(ifindex);
  const Verdict foreign{SLUICE_REASON_FOREIGN, frame};
  if (frame.size() < 34 || read16(frame, 12) != 0x0800 || !is_floating(read32(frame, kIp + 16))) return foreign;
  const std::uint32_t source = read32(frame, kIp + 12);
  sluice_reason reason = header_shape(frame);
  if (reason == SLUICE_REASON_NONE && source == read32(frame, kIp + 16)) reason = SLUICE_REASON_LAND;
  if (reason == SLUICE_REASON_NONE && martian_class(source)) reason = SLUICE_REASON_MARTIAN;
  if (reason == SLUICE_REASON_NONE && is_fragment(frame)) reason = SLUICE_REASON_FRAGMENT;
  if (reason == SLUICE_REASON_NONE) return {SLUICE_REASON_XDP_TO_TC, frame};
  return read_mac(frame, 0) == port.mac ? drop(reason) : foreign;
}

}  // namespace model
