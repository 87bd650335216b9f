// SPDX-License-Identifier: Apache-2.0
#include "compile/records.hpp"

namespace sluice::compile {

/// A family that the pod does not have stays empty.
sluice_port pod_port(const NetworkPlace& place, const model::Addresses& addresses, const model::Attachment& attachment,
                     const sluice_ref& ref) {
  const model::Network& network = *place.network;
  sluice_port port{};
  port.self = port.self_end = attachment.ifindex;
  port.network = place.id;
  port.endpoint = ref;
  if (addresses.v4) {
    port.address4 = addresses.v4->wire();
    port.cidr4 = network.cidr4.address.wire();
    port.mask4 = Ipv4{network.cidr4.mask()}.wire();
    port.router4 = network.router().wire();
  }
  if (addresses.v6 && network.cidr6) {
    port.address6 = Six::wire(*addresses.v6);
    port.cidr6 = Six::wire(network.cidr6->address);
    port.cidr6_length = network.cidr6->length;
    port.router6 = Six::wire(*network.router6());
  }
  port.network_slot = place.slot;
  port.kind = SLUICE_PORT_POD;
  port.delivery = attachment.plain_redirect ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
  std::ranges::copy(attachment.mac.bytes, port.mac);
  return port;
}

const model::Attachment* find_attachment(const model::Attachments& attachments, const model::Name& pod) {
  const auto found = attachments.find(pod);
  return found != attachments.end() && found->second.ifindex != 0 ? &found->second : nullptr;
}

std::uint8_t backend_state(const model::Pod& pod, const model::Attachment* attachment) {
  return attachment != nullptr && !attachment->leaves_at && !pod.draining && pod.weight != 0 ? SLUICE_BACKEND_READY
                                                                                             : SLUICE_BACKEND_DOWN;
}

}  // namespace sluice::compile
