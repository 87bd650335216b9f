// SPDX-License-Identifier: Apache-2.0
// Resources for the tests of World, and all that a World shows.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/world.hpp"

namespace sluice::model {

inline Ipv4 ip(const std::string& text) {
  return Ipv4::parse(text).value();
}

inline Network network(const std::string& name, const std::string& cidr = "172.16.0.0/16") {
  Network made;
  made.name = name;
  made.cidr4 = Cidr4::parse(cidr).value();
  return made;
}

inline Pod pod(const std::string& network, const std::string& name, const std::optional<std::string>& address = {}) {
  Pod made;
  made.name = {network, name};
  if (address) made.address4 = ip(*address);
  return made;
}

inline ServicePort port(std::uint16_t number, Protocol protocol = Protocol::kTcp) {
  return {"", number, protocol, std::uint16_t{8080}};
}

inline Service service(const std::string& network, const std::string& name,
                       const std::optional<std::string>& floating_ip = {},
                       std::vector<ServicePort> ports = {port(80)}) {
  Service made;
  made.name = {network, name};
  made.selector = {{"app", name}};
  made.floating_ip = floating_ip;
  made.ports = std::move(ports);
  return made;
}

/// Without an address: one of the pool.
inline FloatingIp floating_ip(const std::string& name, const std::optional<std::string>& address,
                              const std::string& pool = "") {
  FloatingIp made;
  made.name = name;
  if (address) made.address = ip(*address);
  made.pool = pool;
  return made;
}

inline Edit put(Resource resource) {
  const Key key = key_of(resource);
  return {key, std::move(resource)};
}
inline Edit erase(Kind kind, const std::string& name) {
  return {{kind, {"", name}}, std::nullopt};
}
inline Edit erase(Kind kind, const std::string& network, const std::string& name) {
  return {{kind, {network, name}}, std::nullopt};
}

/// All that a World shows.
struct Picture {
  State state;
  Assignments assignments;
  Cursors cursors;
  std::map<std::string, NetworkCursors> network_cursors;
  PoolCursors pool_cursors;
  std::map<std::string, std::set<Name>> users;
  bool operator==(const Picture&) const = default;
};

inline Picture picture(const World& world) {
  Picture shown{world.state(), world.assignments(), world.cursors(), {}, world.pool_cursors(), {}};
  for (const auto& [name, value] : world.state().networks) shown.network_cursors[name] = world.cursors(name);
  for (const auto& [name, value] : world.state().floating_ips) shown.users[name] = world.users_of(name);
  return shown;
}

/// Another World with the same contents, as a store would make it.
inline World rebuilt(const World& world) {
  World made(world.capacity());
  const Assignments& assignments = world.assignments();
  const auto restore = [&made](const Resource& resource, const Addresses& addresses, std::uint32_t id = 0,
                               std::uint32_t slot = 0) {
    const Status restored = made.restore(resource, addresses, id, slot);
    EXPECT_TRUE(restored) << restored.error().message;
  };
  for (const auto& [name, value] : world.state().networks)
    restore(value, {}, assignments.network_ids.at(name), assignments.network_slots.at(name));
  for (const auto& [name, value] : world.state().floating_ips) restore(value, {});
  for (const auto& [name, value] : world.state().nodes) restore(value, {});
  for (const auto& [name, value] : world.state().pods) restore(value, assignments.pod_addresses.at(name));
  for (const auto& [name, value] : world.state().services) restore(value, assignments.service_addresses.at(name));
  made.restore(world.cursors());
  for (const auto& [pool, last] : world.pool_cursors()) made.restore_pool(pool, last);
  for (const auto& [name, value] : world.state().networks) made.restore(name, world.cursors(name));
  return made;
}

}  // namespace sluice::model
