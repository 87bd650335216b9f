// SPDX-License-Identifier: Apache-2.0
#include "model/resource.hpp"

#include <type_traits>

#include "model/names.hpp"

namespace sluice::model {

Key key_of(const Resource& resource) {
  return std::visit(
      [&resource](const auto& value) {
        const auto kind = static_cast<Kind>(resource.index());
        if constexpr (std::is_same_v<decltype(value.name), Name>) {
          return Key{kind, value.name};
        } else {
          return Key{kind, {"", value.name}};
        }
      },
      resource);
}

bool is_in_network(Kind kind) {
  return kind == Kind::kPod || kind == Kind::kService;
}

std::string describe(const Key& key) {
  switch (key.kind) {
    case Kind::kNetwork:
      return "network " + printable(key.name.name);
    case Kind::kFloatingIp:
      return "floating IP " + printable(key.name.name);
    case Kind::kNode:
      return "node " + printable(key.name.name);
    case Kind::kPod:
      return "pod " + printable(key.name.text());
    case Kind::kService:
      return "service " + printable(key.name.text());
  }
  return printable(key.name.text());
}

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::kNetwork:
      return "Network";
    case Kind::kFloatingIp:
      return "FloatingIP";
    case Kind::kNode:
      return "Node";
    case Kind::kPod:
      return "Pod";
    case Kind::kService:
      return "Service";
  }
  return "";
}

}  // namespace sluice::model
