// SPDX-License-Identifier: Apache-2.0
#include "harness/world.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace bpftest {

namespace {

sluice_endpoint4 endpoint_record(std::uint32_t network, std::uint32_t address, std::uint8_t kind, const Mac& mac) {
  sluice_endpoint4 record{};
  record.self = record.self_end = {network, be(address)};
  record.kind = kind;
  std::ranges::copy(mac, record.mac);
  return record;
}

}  // namespace

Network World::network(std::uint32_t id, std::uint16_t slot, const std::string& cidr, unsigned prefix_length) {
  Network network;
  network.id = id;
  network.slot = slot;
  network.cidr = ip(cidr);
  network.mask = ~0U << (32 - prefix_length);
  network.router = network.cidr + 1;
  limits(network, 0, datapath_.pairs(), datapath_.pairs());
  const sluice_endpoint4 router = endpoint_record(id, network.router, SLUICE_ENDPOINT_ROUTER, kRouterMac);
  datapath_.put("endpoints4", router.self, router);
  return network;
}

void World::limits(const Network& network, std::uint32_t guaranteed, std::uint32_t most, std::uint32_t half_open) {
  datapath_.put("network_limits", std::uint32_t{network.slot},
                sluice_network_limits{network.id, guaranteed, most, half_open});
}

void World::write_pod(const Pod& pod, std::uint8_t kind) {
  sluice_endpoint4 endpoint = endpoint_record(pod.network.id, pod.address, kind, pod.mac);
  endpoint.ref = pod.ref;
  endpoint.ifindex = pod.ifindex;
  sluice_port port{};
  port.self = port.self_end = pod.ifindex;
  port.network = pod.network.id;
  port.endpoint = pod.ref;
  port.address4 = be(pod.address);
  port.cidr4 = be(pod.network.cidr);
  port.mask4 = be(pod.network.mask);
  port.router4 = be(pod.network.router);
  port.network_slot = pod.network.slot;
  port.kind = SLUICE_PORT_POD;
  port.delivery = kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
  std::ranges::copy(pod.mac, port.mac);
  datapath_.put("endpoint_generations", pod.ref.slot, pod.ref.generation);
  datapath_.put("endpoints4", endpoint.self, endpoint);
  put_port(port);
}

Pod World::pod(const Network& network, const std::string& address, std::uint8_t kind) {
  Pod pod;
  pod.network = network;
  pod.address = ip(address);
  pod.ref = {next_endpoint_slot_++, next_generation()};
  pod.mac = {0x02,
             0x10,
             static_cast<std::uint8_t>(network.id),
             static_cast<std::uint8_t>(pod.address >> 8),
             static_cast<std::uint8_t>(pod.address),
             static_cast<std::uint8_t>(pod.ref.generation)};
  if (next_device_ == kDevices) throw std::runtime_error("the test has more pods than devices");
  pod.ifindex = device(next_device_++);
  write_pod(pod, kind);
  return pod;
}

std::uint32_t World::uplink() {
  if (uplink_ != 0) return uplink_;
  uplink_ = uplink_device();
  sluice_port port{};
  port.kind = SLUICE_PORT_UPLINK;
  port.delivery = SLUICE_DELIVER_UPLINK;
  std::ranges::copy(kUplinkMac, port.mac);
  // A test run of an XDP program is always on the loopback device.
  constexpr std::uint32_t kLoopback = 1;
  for (const std::uint32_t ifindex : {uplink_, kLoopback}) {
    port.self = port.self_end = ifindex;
    put_port(port);
  }
  return uplink_;
}

Frontend World::frontend(std::uint32_t network, const Network& tenant, std::uint32_t address, std::uint16_t port,
                         std::uint8_t protocol, const std::vector<Target>& targets, const FrontendOptions& options) {
  Frontend frontend;
  frontend.address = address;
  frontend.port = port;
  frontend.targets = targets;
  sluice_frontend4& record = frontend.record;
  record.self = record.self_end = {network, be(address), be(port), protocol, 0};
  record.backend_network = tenant.id;
  record.cidr_length = static_cast<std::uint8_t>(std::popcount(tenant.mask));
  record.ref = {next_frontend_slot_++, next_generation()};
  record.backend_base = next_backend_;
  record.backend_count = static_cast<std::uint32_t>(targets.size());
  record.router4 = be(tenant.router);
  record.network_slot = tenant.slot;
  record.algorithm = options.algorithm;
  record.ring_size = options.ring_size;
  record.ring_base = next_ring_block_;
  for (const Target& target : targets) {
    record.ready_count += target.ready ? 1 : 0;
    sluice_backend backend{};
    backend.network = tenant.id;
    backend.address4 = be(target.pod.address);
    backend.endpoint = target.pod.ref;
    backend.port = be(target.port);
    backend.state = target.ready ? SLUICE_BACKEND_READY : SLUICE_BACKEND_DOWN;
    backend.identity = 0x9e3779b1u * (target.pod.ref.slot + 7u);
    datapath_.put("backends", next_backend_++, backend);
  }
  write_ring(frontend);
  next_ring_block_ += (options.ring_size + SLUICE_RING_BLOCK - 1) / SLUICE_RING_BLOCK;
  datapath_.put("frontend_generations", record.ref.slot, record.ref.generation);
  datapath_.put("frontends4", record.self, record);
  return frontend;
}

void World::write_ring(const Frontend& frontend) {
  const sluice_frontend4& record = frontend.record;
  sluice_ring_block block{};
  for (std::uint32_t slot = 0; slot < record.ring_size; ++slot) {
    block.entries[slot % SLUICE_RING_BLOCK] = static_cast<__u16>(slot % record.backend_count);
    if (slot % SLUICE_RING_BLOCK == SLUICE_RING_BLOCK - 1 || slot + 1 == record.ring_size) {
      datapath_.put("rings", record.ring_base + slot / SLUICE_RING_BLOCK, block);
    }
  }
}

void World::service_address(const Network& network, const std::string& address) {
  const sluice_endpoint4 record = endpoint_record(network.id, ip(address), SLUICE_ENDPOINT_SERVICE, kRouterMac);
  set_filter_bit(record.self);
  datapath_.put("endpoints4", record.self, record);
}

void World::set_filter_bit(const sluice_endpoint4_key& key) {
  const std::uint32_t bit = sluice_filter_bit(key.network, key.address);
  auto word = datapath_.element<std::uint64_t>("frontend_filter", bit / 64);
  word |= std::uint64_t{1} << (bit % 64);
  datapath_.put("frontend_filter", bit / 64, word);
}

void World::floating_address(const std::string& address) {
  const sluice_endpoint4 record = endpoint_record(0, ip(address), SLUICE_ENDPOINT_FLOATING, kUplinkMac);
  set_filter_bit(record.self);
  datapath_.put("endpoints4", record.self, record);
}

Frontend World::service(const Network& network, const std::string& address, std::uint16_t port, std::uint8_t protocol,
                        const std::vector<Target>& targets, const FrontendOptions& options) {
  service_address(network, address);
  return frontend(network.id, network, ip(address), port, protocol, targets, options);
}

Frontend World::floating(const std::string& address, std::uint16_t port, std::uint8_t protocol, const Network& network,
                         const std::vector<Target>& targets, const FrontendOptions& options) {
  floating_address(address);
  return frontend(0, network, ip(address), port, protocol, targets, options);
}

void World::put_port(const sluice_port& port) {
  datapath_.put("port_slots", port.self % SLUICE_PORT_SLOTS, sluice_port_slot{.sequence = 2, .port = port, .pad = {}});
  datapath_.put("ports", port.self, port);
}

void World::remove_port(std::uint32_t ifindex) {
  datapath_.put("port_slots", ifindex % SLUICE_PORT_SLOTS, sluice_port_slot{});
  datapath_.remove("ports", ifindex);
}

void World::remove(const Pod& pod) {
  datapath_.put("endpoint_generations", pod.ref.slot, next_generation());
  remove_port(pod.ifindex);
  datapath_.remove("endpoints4", sluice_endpoint4_key{pod.network.id, be(pod.address)});
}

Pod World::replace(const Pod& pod) {
  Pod next = pod;
  next.ref.generation = next_generation();
  next.mac[5] = static_cast<std::uint8_t>(next.ref.generation);
  write_pod(next, SLUICE_ENDPOINT_POD_PEER);
  return next;
}

void World::detach(const Pod& pod) {
  const sluice_endpoint4_key key{pod.network.id, be(pod.address)};
  auto record = datapath_.lookup<sluice_endpoint4>("endpoints4", key);
  record.value().ifindex = 0;
  datapath_.put("endpoints4", key, *record);
  remove_port(pod.ifindex);
}

void World::bump(const Frontend& frontend) {
  datapath_.put("frontend_generations", frontend.record.ref.slot, next_generation());
}

void World::remove(const Frontend& frontend) {
  bump(frontend);
  datapath_.remove("frontends4", frontend.record.self);
}

void World::set_ready(Frontend& frontend, std::size_t index, bool ready) {
  const std::uint32_t at = frontend.record.backend_base + static_cast<std::uint32_t>(index);
  auto backend = datapath_.element<sluice_backend>("backends", at);
  backend.state = ready ? SLUICE_BACKEND_READY : SLUICE_BACKEND_DOWN;
  datapath_.put("backends", at, backend);
  frontend.targets.at(index).ready = ready;
  frontend.record.ready_count = static_cast<std::uint32_t>(std::ranges::count(frontend.targets, true, &Target::ready));
  datapath_.put("frontends4", frontend.record.self, frontend.record);
}

}  // namespace bpftest
