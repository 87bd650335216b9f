// SPDX-License-Identifier: Apache-2.0
// Builds states for the tests of allocation.
#pragma once

#include <optional>
#include <string>

#include "model/resources.hpp"

namespace sluice::store {

inline Ipv4 ip(const std::string& text) {
  return Ipv4::parse(text).value();
}

inline void add_network(model::State& state, const std::string& name, const std::string& cidr = "172.16.0.0/16",
                        const std::optional<std::string>& router = std::nullopt) {
  model::Network network;
  network.name = name;
  network.cidr4 = Cidr4::parse(cidr).value();
  if (router) network.router4 = ip(*router);
  state.networks[name] = network;
}

inline void add_pod(model::State& state, const std::string& network, const std::string& name,
                    const std::optional<std::string>& address = std::nullopt) {
  model::Pod pod;
  pod.name = {network, name};
  if (address) pod.address4 = ip(*address);
  state.pods[pod.name] = pod;
}

inline void add_service(model::State& state, const std::string& network, const std::string& name,
                        const std::optional<std::string>& address = std::nullopt) {
  model::Service service;
  service.name = {network, name};
  service.selector = {{"app", name}};
  service.ports = {{"", 80, model::Protocol::kTcp, std::uint16_t{80}}};
  if (address) service.address4 = ip(*address);
  state.services[service.name] = service;
}

}  // namespace sluice::store
