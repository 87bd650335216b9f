// SPDX-License-Identifier: Apache-2.0
#include "changes.hpp"

namespace sluice::compile {
namespace {

/// Calls differs(name) for each name whose value(world, name) is not the same in both.
template <typename Map, typename Value, typename Differs>
void each_difference(const Map& before, const Map& after, Value same, Differs differs) {
  for (const auto& [name, value] : before) {
    if (!after.contains(name) || !same(name)) differs(name);
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) differs(name);
  }
}

}  // namespace

model::Change difference(const World& before, const World& after) {
  model::Change change;
  const auto& old = before.assignments;
  const auto& now = after.assignments;
  each_difference(
      before.state.networks, after.state.networks,
      [&](const auto& name) {
        return before.state.networks.at(name) == after.state.networks.at(name) &&
               old.network_ids.at(name) == now.network_ids.at(name) &&
               old.network_slots.at(name) == now.network_slots.at(name);
      },
      [&](const auto& name) {
        auto& former = change.networks[name];
        if (!before.state.networks.contains(name)) return;
        former = {before.state.networks.at(name), old.network_ids.at(name), old.network_slots.at(name)};
      });
  each_difference(
      before.state.pods, after.state.pods,
      [&](const auto& name) {
        return before.state.pods.at(name) == after.state.pods.at(name) &&
               old.pod_addresses.at(name) == now.pod_addresses.at(name);
      },
      [&](const auto& name) {
        auto& former = change.pods[name];
        if (before.state.pods.contains(name)) former = {before.state.pods.at(name), old.pod_addresses.at(name)};
      });
  each_difference(
      before.state.services, after.state.services,
      [&](const auto& name) {
        return before.state.services.at(name) == after.state.services.at(name) &&
               old.service_addresses.at(name) == now.service_addresses.at(name);
      },
      [&](const auto& name) {
        auto& former = change.services[name];
        if (!before.state.services.contains(name)) return;
        former = {before.state.services.at(name), old.service_addresses.at(name)};
      });
  each_difference(
      before.state.floating_ips, after.state.floating_ips,
      [&](const auto& name) { return before.state.floating_ips.at(name) == after.state.floating_ips.at(name); },
      [&](const auto& name) {
        auto& former = change.floating_ips[name];
        if (before.state.floating_ips.contains(name)) former = before.state.floating_ips.at(name);
      });
  each_difference(
      before.attachments, after.attachments,
      [&](const auto& name) { return before.attachments.at(name) == after.attachments.at(name); },
      [&](const auto& name) { change.attachments.insert(name); });
  return change;
}

}  // namespace sluice::compile
