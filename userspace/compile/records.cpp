// SPDX-License-Identifier: Apache-2.0
#include "compile/records.hpp"

#include <algorithm>

namespace sluice::compile {

sluice_frontend4_key frontend_key(std::uint32_t network, Ipv4 address, std::uint16_t port, std::uint8_t protocol) {
  return {network, address.wire(), to_wire(port), protocol, 0};
}

sluice_frontend4_key echo_key(std::uint32_t network, Ipv4 address) {
  return frontend_key(network, address, 0, kIcmp);
}

bool is_pod(const sluice_endpoint4& endpoint) {
  return endpoint.kind == SLUICE_ENDPOINT_POD_PEER || endpoint.kind == SLUICE_ENDPOINT_POD_DEVICE;
}

bool same_attachment(const sluice_endpoint4& before, const sluice_endpoint4& after) {
  return before.ifindex == after.ifindex && before.kind == after.kind && std::ranges::equal(before.mac, after.mac);
}

sluice_endpoint4 pod_endpoint(const NetworkPlace& place, Ipv4 address, const model::Attachment* attachment) {
  sluice_endpoint4 endpoint{};
  endpoint.self = endpoint.self_end = {place.id, address.wire()};
  endpoint.kind = SLUICE_ENDPOINT_POD_PEER;
  if (attachment == nullptr) return endpoint;
  if (attachment->plain_redirect) endpoint.kind = SLUICE_ENDPOINT_POD_DEVICE;
  endpoint.ifindex = attachment->ifindex;
  std::ranges::copy(attachment->mac.bytes, endpoint.mac);
  return endpoint;
}

sluice_port pod_port(const NetworkPlace& place, const sluice_endpoint4& endpoint) {
  const model::Network& network = *place.network;
  sluice_port port{};
  port.self = port.self_end = endpoint.ifindex;
  port.network = place.id;
  port.endpoint = endpoint.ref;
  port.address4 = endpoint.self.address;
  port.cidr4 = network.cidr4.address.wire();
  port.mask4 = Ipv4{network.cidr4.mask()}.wire();
  port.router4 = network.router().wire();
  port.network_slot = place.slot;
  port.kind = SLUICE_PORT_POD;
  port.delivery = endpoint.kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
  std::ranges::copy(endpoint.mac, port.mac);
  return port;
}

const model::Attachment* find_attachment(const model::Attachments& attachments, const model::Name& pod) {
  const auto found = attachments.find(pod);
  return found != attachments.end() && found->second.ifindex != 0 ? &found->second : nullptr;
}

std::uint8_t backend_state(const model::Pod& pod, const model::Attachment* attachment) {
  return attachment != nullptr && !pod.draining && pod.weight != 0 ? SLUICE_BACKEND_READY : SLUICE_BACKEND_DOWN;
}

}  // namespace sluice::compile
