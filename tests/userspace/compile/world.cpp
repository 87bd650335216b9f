// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::compile {

World::World() {
  settings.secret[0] = 0x0706050403020100;
  settings.secret[1] = 0x0f0e0d0c0b0a0908;
  settings.tcp_established = 7440ULL * 1000000000;
}

model::Network& World::network(const std::string& name, std::uint32_t id, const std::string& cidr) {
  model::Network network;
  network.name = name;
  network.cidr4 = Cidr4::parse(cidr).value();
  assignments.network_ids[name] = id;
  assignments.network_slots[name] = id % 1000 + 1;
  return state.networks[name] = network;
}

model::Pod& World::pod(const std::string& network, const std::string& name, const std::string& address,
                       model::Labels labels) {
  model::Pod pod;
  pod.name = {network, name};
  pod.labels = std::move(labels);
  assignments.pod_addresses[pod.name] = Ipv4::parse(address).value();
  return state.pods[pod.name] = pod;
}

void World::attach(const std::string& network, const std::string& name, std::uint32_t ifindex, bool plain_redirect) {
  model::Attachment attachment;
  attachment.ifindex = ifindex;
  attachment.netns_cookie = 4000 + ifindex;
  attachment.device = "slc" + std::to_string(ifindex);
  // As in the product: a function of the address, so every attachment of a pod has the same one.
  const model::Addresses& addresses = assignments.pod_addresses.at({network, name});
  const auto address = addresses.v4 ? addresses.v4->value : static_cast<std::uint32_t>(addresses.v6->low);
  attachment.mac = Mac{{2, 0, 0, 0, static_cast<std::uint8_t>(address >> 8), static_cast<std::uint8_t>(address)}};
  attachment.plain_redirect = plain_redirect;
  attachments[{network, name}] = attachment;
}

model::Service& World::service(const std::string& network, const std::string& name, const std::string& address,
                               model::Labels selector, std::vector<model::ServicePort> ports) {
  model::Service service;
  service.name = {network, name};
  service.selector = std::move(selector);
  service.ports = std::move(ports);
  assignments.service_addresses[service.name] = Ipv4::parse(address).value();
  return state.services[service.name] = service;
}

void World::floating_ip(const std::string& name, const std::string& address) {
  state.floating_ips[name] = {name, Ipv4::parse(address).value()};
}

Input World::input() const {
  return {state, assignments, attachments, uplinks, settings, limits, egress};
}

Egress give_egress() {
  Egress egress;
  egress.ifindex = 2;
  egress.v4 = {Ipv4::parse("192.0.2.1").value(), true, {16384, 29999}};
  egress.v6 = {Ipv6::parse("2001:db8::1").value(), false, {1024, 65535}};
  egress.flows_per_pod = 100;
  return egress;
}

Tables World::tables(const Tables& previous) const {
  Result<Tables> compiled = compile(input(), previous);
  if (!compiled) {
    ADD_FAILURE() << compiled.error().message;
    return {};
  }
  return std::move(*compiled);
}

std::string World::error(const Tables& previous) const {
  const Result<Tables> compiled = compile(input(), previous);
  return compiled ? "(no error)" : std::string(name(compiled.error().code)) + ": " + compiled.error().message;
}

model::ServicePort tcp(std::uint16_t port, std::uint16_t target) {
  return {"tcp-" + std::to_string(port), port, model::Protocol::kTcp, target};
}
model::ServicePort tcp_named(std::uint16_t port, const std::string& target) {
  return {"tcp-" + std::to_string(port), port, model::Protocol::kTcp, target};
}
model::ServicePort udp(std::uint16_t port, std::uint16_t target) {
  return {"udp-" + std::to_string(port), port, model::Protocol::kUdp, target};
}

std::uint32_t wire(const std::string& address) {
  return Ipv4::parse(address).value().wire();
}

const sluice_endpoint4* endpoint(const Tables& tables, std::uint32_t network, const std::string& address) {
  const auto found = tables.endpoints4.find({network, wire(address)});
  return found == tables.endpoints4.end() ? nullptr : &found->second;
}

const sluice_frontend4* frontend(const Tables& tables, std::uint32_t network, const std::string& address,
                                 std::uint16_t port, std::uint8_t protocol) {
  const auto found = tables.frontends4.find({network, wire(address), to_wire(port), protocol, 0});
  return found == tables.frontends4.end() ? nullptr : &found->second;
}

std::vector<sluice_backend> backends(const Tables& tables, const sluice_frontend4& frontend) {
  std::vector<sluice_backend> list;
  for (std::uint32_t i = 0; i < frontend.backend_count; i++) {
    const auto found = tables.backends.find(frontend.backend_base + i);
    list.push_back(found == tables.backends.end() ? sluice_backend{} : found->second);
  }
  return list;
}

sluice_backend backend(const Tables& tables, const sluice_frontend4& frontend, const std::string& address) {
  for (const sluice_backend& candidate : backends(tables, frontend)) {
    if (candidate.address4 == wire(address)) return candidate;
  }
  ADD_FAILURE() << "no backend " << address;
  return {};
}

namespace {

template <typename Table>
bool equal_table(const Table& a, const Table& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&b](const auto& entry) {
           const auto other = b.find(entry.first);
           return other != b.end() && std::memcmp(&entry.second, &other->second, sizeof(entry.second)) == 0;
         });
}

}  // namespace

bool equal(const Tables& a, const Tables& b) {
  return std::memcmp(&a.settings, &b.settings, sizeof(a.settings)) == 0 &&
         equal_table(a.network_limits, b.network_limits) && equal_table(a.ports, b.ports) &&
         equal_table(a.endpoints4, b.endpoints4) && equal_table(a.frontends4, b.frontends4) &&
         equal_table(a.endpoints6, b.endpoints6) && equal_table(a.frontends6, b.frontends6) &&
         equal_table(a.backends, b.backends) && equal_table(a.rings, b.rings) &&
         equal_table(a.endpoint_generations, b.endpoint_generations) &&
         equal_table(a.frontend_generations, b.frontend_generations) &&
         equal_table(a.frontend_filter, b.frontend_filter) && equal_table(a.egress, b.egress) &&
         equal_table(a.denied4, b.denied4) && equal_table(a.denied6, b.denied6);
}

std::vector<Plan> single_writes(const Plan& plan) {
  std::vector<Plan> list;
  for (const std::vector<Write>& step : plan.steps) {
    for (const Write& write : step) list.push_back({{{write}}});
  }
  return list;
}

}  // namespace sluice::compile
