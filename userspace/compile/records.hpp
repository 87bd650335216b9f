// SPDX-License-Identifier: Apache-2.0
// Single records of the tables, made of the resources behind them. Private to this folder.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compile/family.hpp"
#include "compile/tables.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::compile {

inline constexpr std::array<std::uint8_t, 6> kRouterMac = SLUICE_ROUTER_MAC;

/// A network with what was chosen for it.
struct NetworkPlace {
  const model::Network* network = nullptr;
  std::uint32_t id = 0;
  std::uint16_t slot = 0;
};

template <typename Endpoint>
[[nodiscard]] bool is_pod(const Endpoint& endpoint) {
  return endpoint.kind == SLUICE_ENDPOINT_POD_PEER || endpoint.kind == SLUICE_ENDPOINT_POD_DEVICE;
}

/// True if flows to `before` may go on to `after`: same device, kind of delivery and MAC.
template <typename Endpoint>
[[nodiscard]] bool same_attachment(const Endpoint& before, const Endpoint& after) {
  return before.ifindex == after.ifindex && before.kind == after.kind && std::ranges::equal(before.mac, after.mac);
}

/// Without its ref.
template <typename F>
typename F::Endpoint make_endpoint(std::uint32_t network, typename F::Address address, std::uint8_t kind) {
  typename F::Endpoint endpoint{};
  endpoint.self = endpoint.self_end = endpoint_key<F>(network, address);
  endpoint.kind = kind;
  return endpoint;
}

/// Without its ref. `attachment`: nullptr if the pod is not attached.
template <typename F>
typename F::Endpoint pod_endpoint(std::uint32_t network, typename F::Address address,
                                  const model::Attachment* attachment) {
  auto endpoint = make_endpoint<F>(network, address, SLUICE_ENDPOINT_POD_PEER);
  if (attachment == nullptr) return endpoint;
  if (attachment->plain_redirect) endpoint.kind = SLUICE_ENDPOINT_POD_DEVICE;
  endpoint.ifindex = attachment->ifindex;
  std::ranges::copy(attachment->mac.bytes, endpoint.mac);
  return endpoint;
}

/// Through which the attached pod sends.
sluice_port pod_port(const NetworkPlace& place, const model::Addresses& addresses, const model::Attachment& attachment,
                     const sluice_ref& ref);

/// nullptr: not attached.
const model::Attachment* find_attachment(const model::Attachments& attachments, const model::Name& pod);

/// The state of a pod's backends.
std::uint8_t backend_state(const model::Pod& pod, const model::Attachment* attachment);

}  // namespace sluice::compile
