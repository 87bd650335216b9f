// SPDX-License-Identifier: Apache-2.0
// What a flow with an egress address as its source is known by.
#pragma once

#include "parse.hpp"

namespace model {

inline Asked asked_by(const Parsed& packet) {
  const Tuple& tuple = packet.tuple;
  return {tuple.network, tuple.destination, tuple.destination_port, tuple.protocol};
}

/// The reverse tuples of a flow that leaves, and of one that crosses to a backend, but for the egress address and port.
inline Tuple left(const Parsed& packet) {
  const Tuple& tuple = packet.tuple;
  return {0, tuple.protocol, tuple.destination, {}, tuple.destination_port, 0};
}
inline Tuple crossed(const Parsed& packet, const Backend& backend) {
  return {backend.network, packet.tuple.protocol, backend.address, {}, backend.port, 0};
}

}  // namespace model
