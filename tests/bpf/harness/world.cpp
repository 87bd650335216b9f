// SPDX-License-Identifier: Apache-2.0
#include "harness/world.hpp"

#include <algorithm>
#include <stdexcept>

namespace bpftest {

namespace {

std::uint32_t netmask(unsigned length) {
  return length == 0 ? 0 : ~0U << (32 - length);
}

bool is_pod(std::uint8_t kind) {
  return kind == SLUICE_ENDPOINT_POD_PEER || kind == SLUICE_ENDPOINT_POD_DEVICE;
}

sluice_port port_record(const Pod& pod) {
  sluice_port port{};
  port.self = port.self_end = pod.ifindex;
  port.network = pod.network.id;
  port.endpoint = pod.ref;
  port.address4 = pod.in(Family::kIpv4).wire4();
  port.cidr4 = pod.network.v4.prefix.wire4();
  port.mask4 = be(netmask(pod.network.v4.length));
  port.router4 = pod.network.v4.router.wire4();
  port.address6 = pod.in(Family::kIpv6).wire6();
  port.cidr6 = pod.network.v6.prefix.wire6();
  port.cidr6_length = static_cast<std::uint8_t>(pod.network.v6.length);
  port.router6 = pod.network.v6.router.wire6();
  port.network_slot = pod.network.slot;
  port.kind = SLUICE_PORT_POD;
  port.delivery = pod.kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
  std::ranges::copy(pod.mac, port.mac);
  return port;
}

}  // namespace

std::uint32_t Frontend::ready_count() const {
  return static_cast<std::uint32_t>(std::ranges::count(targets, true, &Target::ready));
}

Network World::network(std::uint32_t id, std::uint16_t slot, const std::string& cidr, unsigned length) {
  Network network;
  network.id = id;
  network.slot = slot;
  const Address prefix = ip(cidr);
  add_subnet(network, prefix, bpftest::ip(cidr) == prefix ? length : prefix_length(length, family_));
  network.router = network.subnet(prefix.family()).router;
  limits(network, 0, datapath_.pairs(), datapath_.pairs());
  return network;
}

void World::add_subnet(Network& network, const Address& prefix, unsigned length) {
  Subnet& subnet = prefix.family() == Family::kIpv6 ? network.v6 : network.v4;
  subnet = {prefix, length, prefix + 1};
  put_endpoint({network.id, subnet.router}, SLUICE_ENDPOINT_ROUTER, kRouterMac);
}

void World::limits(const Network& network, std::uint32_t guaranteed, std::uint32_t most, std::uint32_t half_open) {
  datapath_.put("network_limits", std::uint32_t{network.slot},
                sluice_network_limits{network.id, guaranteed, most, half_open});
}

void World::put_endpoint(const EndpointKey& key, std::uint8_t kind, const Mac& mac, const Pod* pod) {
  in_family(key.address.family(), [&](auto names) {
    typename decltype(names)::Endpoint record{};
    record.self = record.self_end = wire_key(names, key);
    record.kind = kind;
    std::ranges::copy(mac, record.mac);
    if (pod != nullptr) {
      record.ref = pod->ref;
      record.ifindex = pod->ifindex;
    }
    datapath_.put(names.kEndpoints, record.self, record);
  });
}

void World::write(const Pod& pod) {
  datapath_.put("endpoint_generations", pod.ref.slot, pod.ref.generation);
  for (const Address& address : {pod.address, pod.second}) {
    if (!address.none()) put_endpoint({pod.network.id, address}, pod.kind, pod.mac, &pod);
  }
  put_port(port_record(pod));
}

Pod World::make_pod(const Network& network, const Address& address, const Address& second, std::uint8_t kind) {
  if (!is_pod(kind)) throw std::runtime_error("a pod of a kind that is none");
  Pod pod;
  pod.network = network;
  pod.address = address;
  pod.second = second;
  pod.kind = kind;
  pod.ref = {next_endpoint_slot_++, next_generation()};
  const std::uint8_t* last = address.end();
  pod.mac = {0x02,     0x10,     static_cast<std::uint8_t>(network.id),
             last[-2], last[-1], static_cast<std::uint8_t>(pod.ref.generation)};
  if (next_device_ == kDevices) throw std::runtime_error("the test has more pods than devices");
  pod.ifindex = device(next_device_++);
  write(pod);
  return pod;
}

Pod World::pod(const Network& network, const std::string& address, std::uint8_t kind) {
  return make_pod(network, ip(address), {}, kind);
}

Pod World::pod(const Network& network, const Address& address, const Address& second) {
  return make_pod(network, address, second, SLUICE_ENDPOINT_POD_PEER);
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

Frontend World::frontend(std::uint32_t network, const Network& tenant, const Address& address, std::uint16_t port,
                         std::uint8_t protocol, const std::vector<Target>& targets, const FrontendOptions& options) {
  const Subnet& subnet = tenant.subnet(address.family());
  Frontend frontend;
  frontend.key = {network, address, port, protocol};
  frontend.backend_network = tenant.id;
  frontend.ref = {next_frontend_slot_++, next_generation()};
  frontend.backend_base = next_backend_;
  frontend.ring_base = next_ring_block_;
  frontend.router = subnet.router;
  frontend.network_slot = tenant.slot;
  frontend.cidr_length = static_cast<std::uint8_t>(subnet.length);
  frontend.options = options;
  frontend.targets = targets;
  next_backend_ += static_cast<std::uint32_t>(targets.size());
  next_ring_block_ += (options.ring_size + SLUICE_RING_BLOCK - 1) / SLUICE_RING_BLOCK;
  put_backends(frontend);
  put_ring(frontend);
  datapath_.put("frontend_generations", frontend.ref.slot, frontend.ref.generation);
  put_frontend(frontend);
  return frontend;
}

void World::put_backends(const Frontend& frontend) {
  const Family family = frontend.key.address.family();
  std::uint32_t index = frontend.backend_base;
  for (const Target& target : frontend.targets) {
    sluice_backend backend{};
    backend.network = frontend.backend_network;
    backend.address4 = family == Family::kIpv4 ? target.pod.in(family).wire4() : 0;
    if (family == Family::kIpv6) backend.address6 = target.pod.in(family).wire6();
    backend.endpoint = target.pod.ref;
    backend.port = be(target.port);
    backend.state = target.ready ? SLUICE_BACKEND_READY : SLUICE_BACKEND_DOWN;
    backend.weight = static_cast<__u8>(target.weight - 1);
    backend.identity = 0x9e3779b1u * (target.pod.ref.slot + 7u);
    datapath_.put("backends", index++, backend);
  }
}

void World::put_frontend(const Frontend& frontend) {
  in_family(frontend.key.address.family(), [&](auto names) {
    typename decltype(names)::Frontend record{};
    record.self = record.self_end = wire_key(names, frontend.key);
    record.backend_network = frontend.backend_network;
    record.ref = frontend.ref;
    record.backend_base = frontend.backend_base;
    record.backend_count = static_cast<std::uint32_t>(frontend.targets.size());
    record.ready_count = frontend.ready_count();
    record.ring_base = frontend.ring_base;
    record.ring_size = frontend.options.ring_size;
    decltype(names)::router(record) = names.wire(frontend.router);
    record.network_slot = frontend.network_slot;
    record.algorithm = frontend.options.algorithm;
    record.cidr_length = frontend.cidr_length;
    record.affinity = frontend.options.affinity;
    record.owner = frontend.options.owner;
    datapath_.put(names.kFrontends, record.self, record);
    if (record.affinity != 0) datapath_.expect_affinity();
  });
}

void World::put_ring(const Frontend& frontend) {
  sluice_ring_block block{};
  const std::uint32_t size = frontend.options.ring_size;
  for (std::uint32_t slot = 0; slot < size; ++slot) {
    block.entries[slot % SLUICE_RING_BLOCK] = static_cast<__u16>(slot % frontend.targets.size());
    if (slot % SLUICE_RING_BLOCK == SLUICE_RING_BLOCK - 1 || slot + 1 == size) {
      datapath_.put("rings", frontend.ring_base + slot / SLUICE_RING_BLOCK, block);
    }
  }
}

void World::service_address(const Network& network, const std::string& address) {
  const EndpointKey key{network.id, ip(address)};
  set_filter_bit(key);
  put_endpoint(key, SLUICE_ENDPOINT_SERVICE, kRouterMac);
}

void World::set_filter_bit(const EndpointKey& key) {
  const sluice_address6 wire6 = key.address.wire6();
  const std::uint32_t bit = key.address.family() == Family::kIpv6 ? sluice_filter_bit6(key.network, &wire6)
                                                                  : sluice_filter_bit(key.network, key.address.wire4());
  auto word = datapath_.element<std::uint64_t>("frontend_filter", bit / 64);
  word |= std::uint64_t{1} << (bit % 64);
  datapath_.put("frontend_filter", bit / 64, word);
}

void World::floating_address(const std::string& address) {
  const EndpointKey key{0, ip(address)};
  set_filter_bit(key);
  put_endpoint(key, SLUICE_ENDPOINT_FLOATING, kUplinkMac);
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
  datapath_.put("port_slots", port.self % SLUICE_PORT_SLOTS,
                sluice_port_slot{.sequence = 2, .pad = 0, .port = port, .pad2 = {}});
  datapath_.put("ports", port.self, port);
}

void World::remove_port(std::uint32_t ifindex) {
  datapath_.put("port_slots", ifindex % SLUICE_PORT_SLOTS, sluice_port_slot{});
  datapath_.remove("ports", ifindex);
}

void World::remove(const Pod& pod) {
  datapath_.put("endpoint_generations", pod.ref.slot, next_generation());
  remove_port(pod.ifindex);
  for (const Address& address : {pod.address, pod.second}) {
    if (!address.none()) datapath_.remove(EndpointKey{pod.network.id, address});
  }
}

Pod World::replace(const Pod& pod) {
  Pod next = pod;
  next.kind = SLUICE_ENDPOINT_POD_PEER;
  next.ref.generation = next_generation();
  next.mac[5] = static_cast<std::uint8_t>(next.ref.generation);
  write(next);
  return next;
}

void World::renew(Pod& pod) {
  pod.ref.generation = next_generation();
  write(pod);
}

void World::detach(const Pod& pod) {
  for (const Address& address : {pod.address, pod.second}) {
    if (!address.none())
      datapath_.change(EndpointKey{pod.network.id, address}, [](auto& record) { record.ifindex = 0; });
  }
  remove_port(pod.ifindex);
}

void World::bump(const Frontend& frontend) {
  datapath_.put("frontend_generations", frontend.ref.slot, next_generation());
}

void World::renew(Frontend& frontend) {
  frontend.ref.generation = next_generation();
  datapath_.put("frontend_generations", frontend.ref.slot, frontend.ref.generation);
  put_frontend(frontend);
}

void World::remove(const Frontend& frontend) {
  bump(frontend);
  datapath_.remove(frontend.key);
}

void World::set_ready(Frontend& frontend, std::size_t index, bool ready) {
  frontend.targets.at(index).ready = ready;
  put_backends(frontend);
  put_frontend(frontend);
}

WayOut World::way_out(const Network& network, const std::string& address, const WayOutOptions& options) {
  WayOut way{network.id, ip(address), {next_frontend_slot_++, next_generation()}, options};
  set_filter_bit({0, way.address});
  put_endpoint({0, way.address}, options.shared ? SLUICE_ENDPOINT_SHARED : SLUICE_ENDPOINT_EGRESS, kUplinkMac);
  if (options.shared) {
    sluice_settings settings = datapath_.settings();
    if (way.address.family() == Family::kIpv6) {
      settings.shared6 = way.address.wire6();
    } else {
      settings.shared4 = way.address.wire4();
    }
    settings.shared_first = options.first;
    settings.shared_last = options.last;
    datapath_.set_settings(settings);
  }
  put_way(way);
  return way;
}

void World::put_way(const WayOut& way) {
  datapath_.put("frontend_generations", way.ref.slot, way.ref.generation);
  auto record = datapath_.lookup<sluice_egress>("egress", way.network).value_or(sluice_egress{});
  record.self = record.self_end = way.network;
  record.ifindex = uplink();
  record.quota = way.options.quota;
  if (way.address.family() == Family::kIpv6) {
    record.address6 = way.address.wire6();
    record.ref6 = way.ref;
    record.first6 = way.options.first;
    record.last6 = way.options.last;
  } else {
    record.address4 = way.address.wire4();
    record.ref4 = way.ref;
    record.first4 = way.options.first;
    record.last4 = way.options.last;
  }
  datapath_.put("egress", way.network, record);
}

void World::renew(WayOut& way) {
  way.ref.generation = next_generation();
  put_way(way);
}

void World::remove(const WayOut& way) {
  datapath_.put("frontend_generations", way.ref.slot, next_generation());
  auto record = datapath_.lookup<sluice_egress>("egress", way.network).value_or(sluice_egress{});
  const bool v6 = way.address.family() == Family::kIpv6;
  const bool last = v6 ? record.address4 == 0 : Address::of6(record.address6) == bpftest::ip("::");
  if (last) return datapath_.remove("egress", way.network);
  if (v6) {
    record.address6 = {};
  } else {
    record.address4 = 0;
  }
  datapath_.put("egress", way.network, record);
}

void World::deny(const std::string& prefix, unsigned length) {
  const Address address = ip(prefix);
  if (address.family() == Family::kIpv6) {
    sluice_prefix6 key{bpftest::ip(prefix) == address ? length : prefix_length(length, family_), {}};
    std::copy(address.begin(), address.end(), key.address);
    datapath_.put("egress_denied6", key, std::uint32_t{1});
  } else {
    datapath_.put("egress_denied4", sluice_prefix4{length, address.wire4()}, std::uint32_t{1});
  }
}

}  // namespace bpftest
