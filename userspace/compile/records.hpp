// SPDX-License-Identifier: Apache-2.0
// Single records of the tables, made of the resources behind them. Private to this folder.
#pragma once

#include <cstdint>

#include "compile/tables.hpp"
#include "model/assignments.hpp"
#include "model/resources.hpp"

namespace sluice::compile {

inline constexpr std::uint8_t kIcmp = 1;
inline constexpr std::array<std::uint8_t, 6> kRouterMac = SLUICE_ROUTER_MAC;

/// A network with what was chosen for it.
struct NetworkPlace {
  const model::Network* network = nullptr;
  std::uint32_t id = 0;
  std::uint16_t slot = 0;
};

sluice_frontend4_key frontend_key(std::uint32_t network, Ipv4 address, std::uint16_t port, std::uint8_t protocol);

/// ICMP echo to a service has a frontend of its own, without a port.
sluice_frontend4_key echo_key(std::uint32_t network, Ipv4 address);

[[nodiscard]] bool is_pod(const sluice_endpoint4& endpoint);

/// True if flows to `before` may go on to `after`: same device, kind of delivery and MAC.
[[nodiscard]] bool same_attachment(const sluice_endpoint4& before, const sluice_endpoint4& after);

/// Without its ref. `attachment`: nullptr if the pod is not attached.
sluice_endpoint4 pod_endpoint(const NetworkPlace& place, Ipv4 address, const model::Attachment* attachment);

/// Through which the attached pod behind `endpoint` (with its ref) sends.
sluice_port pod_port(const NetworkPlace& place, const sluice_endpoint4& endpoint);

/// nullptr: not attached.
const model::Attachment* find_attachment(const model::Attachments& attachments, const model::Name& pod);

/// The state of a pod's backends.
std::uint8_t backend_state(const model::Pod& pod, const model::Attachment* attachment);

}  // namespace sluice::compile
