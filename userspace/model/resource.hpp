// SPDX-License-Identifier: Apache-2.0
// Any resource, and what names it.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <variant>

#include "model/resources.hpp"

namespace sluice::model {

/// In the order in which one may refer to another.
enum class Kind : std::uint8_t { kNetwork, kFloatingIp, kNode, kPod, kService };

struct Key {
  Kind kind = Kind::kNetwork;
  Name name;  ///< its network is empty for what is in none
  auto operator<=>(const Key&) const = default;
};

/// The alternatives stand in the order of Kind.
using Resource = std::variant<Network, FloatingIp, Node, Pod, Service>;

Key key_of(const Resource& resource);
/// "network shop", "pod shop/web-1", "service shop/web", "floating IP public", "node a".
std::string describe(const Key& key);
/// "Network", "Pod", "Service", "FloatingIP", "Node", as manifests write it.
std::string_view name(Kind kind);
bool is_in_network(Kind kind);

}  // namespace sluice::model
