// SPDX-License-Identifier: Apache-2.0
#include "model/selection.hpp"

#include <algorithm>

namespace sluice::model {

bool matches(const Labels& labels, const Labels& selector) {
  return std::ranges::all_of(selector, [&labels](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

std::optional<std::uint16_t> target_port(const ServicePort& port, const Pod& pod) {
  if (const auto* number = std::get_if<std::uint16_t>(&port.target_port)) return *number != 0 ? *number : port.port;
  const auto named = pod.ports.find(std::get<std::string>(port.target_port));
  if (named == pod.ports.end() || named->second.protocol != port.protocol) return std::nullopt;
  return named->second.port;
}

}  // namespace sluice::model
