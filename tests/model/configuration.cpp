// SPDX-License-Identifier: Apache-2.0
#include "configuration.hpp"

#include <algorithm>

#include "harness/devices.hpp"

namespace model {

using bpftest::Family;
using bpftest::ip;

namespace {

constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};
constexpr std::uint32_t kUsualMtu = 1500;
constexpr std::uint8_t kProtocols[] = {bpftest::kTcp, bpftest::kUdp, bpftest::kIcmp, bpftest::kSctp};
const char* const kStrangers[] = {"172.16.0.1",      "172.16.0.99", "172.16.255.255", "172.16.0.0", "10.0.0.1",
                                  "255.255.255.255", "224.0.0.1",   "9.9.9.9",        "0.0.0.0"};
// The last one is the node's own.
const char* const kEgress[] = {"192.0.2.201", "192.0.2.202", "192.0.2.203"};
const char* const kOwnEgress = kEgress[2];
/// Small ones, of which ports run out, and one that has enough; some with clients' ports in them.
constexpr std::uint16_t kFirstPorts[] = {40000, 40000, 40002, 20000};
constexpr std::uint16_t kPortCounts[] = {4, 5, 8, 16, 16, 1000};

Ref to_ref(const sluice_ref& ref) {
  return {ref.slot, ref.generation};
}

Side side_of(const bpftest::Pod& pod, Family family) {
  const bpftest::Subnet& subnet = pod.network.subnet(family);
  return {to_model(pod.in(family)), to_model(subnet.prefix), subnet.length, to_model(subnet.router)};
}

std::uint8_t delivery_of(std::uint8_t kind) {
  return kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER;
}

}  // namespace

Address to_model(const bpftest::Address& address) {
  Address made{static_cast<std::uint8_t>(address.size())};
  std::ranges::copy(address, made.bytes.begin());
  return made;
}

bpftest::Address from_model(const Address& address) {
  return bpftest::Address::read(address.v6() ? Family::kIpv6 : Family::kIpv4, address.bytes.data());
}

Configuration::Configuration(std::uint64_t seed, const Shape& shape, bpftest::Datapath& datapath, Model& model)
    : datapath_(datapath), model_(model), world_(datapath), random_(seed) {
  crowded_ = chance(random_, shape.egress / 3);
  add_settings();
  uplink_ = world_.uplink();
  model_.tables.ports[uplink_] = Port{.uplink = true, .ifindex = uplink_, .mac = bpftest::kUplinkMac};
  for (const Family family : kFamilies) {
    const bool v6 = family == Family::kIpv6;
    for (const char* text : {"203.0.113.9", "198.51.100.7", "8.8.8.8"}) clients_[v6].push_back(ip(text, family));
    for (const char* text : kStrangers) targets_[v6].push_back(ip(text, family));
  }
  for (const char* text : {"ff02::1", "fe80::73:6cff:fe63:1", "::1", "::"}) targets_[1].push_back(ip(text));
  for (std::uint16_t slot = 1; slot <= shape.networks; ++slot) add_network(random_, slot, shape.pods);
  if (crowded_ || chance(random_, shape.egress)) add_egress(random_);
  add_mtus();
}

/// Most devices carry everything that is sent, some very little.
void Configuration::add_mtus() {
  std::uint32_t smallest = kUsualMtu;
  for (const auto& [ifindex, port] : model_.tables.ports) {
    const std::uint32_t mtu = chance(random_, 15) ? 80 + below(random_, 120) : kUsualMtu;
    bpftest::set_mtu(ifindex, mtu);
    model_.tables.mtus[ifindex] = mtu;
    smallest = std::min(smallest, mtu);
  }
  sluice_settings settings = datapath_.settings();
  settings.smallest_mtu = chance(random_, 50) ? smallest : 0;
  datapath_.set_settings(settings);
  model_.tables.smallest_mtu = settings.smallest_mtu;
}

void Configuration::add_settings() {
  sluice_settings settings = datapath_.settings();
  settings.refusals_per_second = chance(random_, 80) ? 1'000'000'000 : 0;
  settings.shared_pairs = crowded_ ? datapath_.pairs() : 4 + below(random_, datapath_.pairs());
  datapath_.set_settings(settings);
  model_.tables.refusals_allowed = settings.refusals_per_second != 0;
  model_.tables.shared_pairs = settings.shared_pairs;
  model_.tables.secret = {settings.secret[0], settings.secret[1]};
  model_.tables.max_pairs = datapath_.pairs();
}

void Configuration::add_network(Random& random, std::uint16_t slot, std::uint32_t pods) {
  const std::uint32_t kind = below(random, 6);  // 0: IPv4 only, 1: IPv6 only, else both
  const std::uint32_t id = network_of_slot(slot);
  bpftest::Network network = kind == 1 ? world_.network(id, slot, ip("172.16.0.0", Family::kIpv6).text(), 64)
                                       : world_.network(id, slot, "172.16.0.0", 16);
  if (kind > 1) world_.add_subnet(network, ip("172.16.0.0", Family::kIpv6), 64);
  networks_.push_back(network);
  // At times there is room for all, so that the table itself becomes full.
  const bool roomy = crowded_ || chance(random, 30);
  const Limits limits{.guaranteed = below(random, 6),
                      .most = roomy ? datapath_.pairs() : 3 + below(random, 30),
                      .half_open = roomy ? datapath_.pairs() : 1 + below(random, 9)};
  world_.limits(network, limits.guaranteed, limits.most, limits.half_open);
  model_.tables.limits[slot] = limits;
  for (const Family family : kFamilies) {
    const bpftest::Address& router = network.subnet(family).router;
    if (router.none()) continue;
    model_.tables.endpoints[{id, to_model(router)}] = Endpoint{.holder = Holder::kRouter, .mac = bpftest::kRouterMac};
  }
  add_pods(random, network, pods);
  add_services(random, network);
}

void Configuration::add_pods(Random& random, const bpftest::Network& network, std::uint32_t count) {
  const bool both = !network.v4.router.none() && !network.v6.router.none();
  for (unsigned i = 0; i < count; ++i) {
    const std::string text = "172.16.0." + std::to_string(10 + i);
    const bpftest::Address four = ip(text), six = ip(text, Family::kIpv6);
    const std::uint32_t kind = both ? below(random, 5) : network.v4.router.none() ? 1 : 0;
    const std::uint8_t delivery = chance(random, 70) ? SLUICE_ENDPOINT_POD_PEER : SLUICE_ENDPOINT_POD_DEVICE;
    pods_.push_back(kind == 0   ? world_.pod(network, four.text(), delivery)
                    : kind == 1 ? world_.pod(network, six.text(), delivery)
                                : world_.pod(network, four, six));
    add_pod(pods_.back());
    for (const Family family : kFamilies) targets_[family == Family::kIpv6].push_back(ip(text, family));
  }
}

void Configuration::add_pod(const bpftest::Pod& pod) {
  model_.tables.endpoint_generations[pod.ref.slot] = pod.ref.generation;
  Port port{.ifindex = pod.ifindex,
            .delivery = delivery_of(pod.kind),
            .network = pod.network.id,
            .slot = pod.network.slot,
            .pod = to_ref(pod.ref),
            .v4 = side_of(pod, Family::kIpv4),
            .v6 = side_of(pod, Family::kIpv6),
            .mac = pod.mac};
  for (const Side& side : {port.v4, port.v6}) {
    if (side.address.none()) continue;
    model_.tables.endpoints[{pod.network.id, side.address}] = Endpoint{.holder = Holder::kPod,
                                                                       .pod = to_ref(pod.ref),
                                                                       .ifindex = pod.ifindex,
                                                                       .delivery = port.delivery,
                                                                       .mac = pod.mac};
  }
  model_.tables.ports[pod.ifindex] = port;
}

void Configuration::add_services(Random& random, const bpftest::Network& network) {
  for (const Family family : kFamilies) {
    if (network.subnet(family).router.none()) continue;
    for (const char* text : {"172.16.1.1", "172.16.1.2", "10.96.0.1"}) {
      for (const std::uint8_t protocol : kProtocols) {
        if (chance(random, 70)) add_service(random, network, ip(text, family), protocol, false);
      }
    }
    const std::string floating = "192.0.2." + std::to_string(network.slot);
    for (const std::uint8_t protocol : kProtocols) {
      if (chance(random, 80)) add_service(random, network, ip(floating, family), protocol, true);
    }
  }
}

void Configuration::add_service(Random& random, const bpftest::Network& network, const bpftest::Address& address,
                                std::uint8_t protocol, bool floating) {
  const std::uint16_t port = protocol == bpftest::kIcmp ? 0 : any_of(random, kServicePorts);
  auto target_port = static_cast<std::uint16_t>(protocol == bpftest::kIcmp ? 0 : 8080 + below(random, 2));
  if (protocol == bpftest::kSctp && chance(random, 50)) target_port = port;  // else no fragment passes
  std::vector<bpftest::Target> targets;
  for (const bpftest::Pod& pod : pods_) {
    const bool fits = pod.network.id == network.id && !pod.in(address.family()).none();
    if (fits && chance(random, 60)) targets.push_back({pod, target_port, chance(random, 85)});
  }
  bpftest::FrontendOptions options;
  options.algorithm = static_cast<std::uint8_t>(below(random, 6));
  if (!targets.empty() && chance(random, 30)) options.ring_size = 127;
  if (options.ring_size == 0 && options.algorithm == SLUICE_ALGORITHM_WEIGHTED_ROUND_ROBIN) options.algorithm = 0;
  if (chance(random, 20)) options.affinity = 1 + below(random, 100);
  options.owner = below(random, 3);
  frontends_.push_back(floating ? world_.floating(address.text(), port, protocol, network, targets, options)
                                : world_.service(network, address.text(), port, protocol, targets, options));
  add_frontend(frontends_.back());
  model_.tables.endpoints[{floating ? 0 : network.id, to_model(address)}] =
      Endpoint{.holder = floating ? Holder::kFloating : Holder::kService,
               .mac = floating ? bpftest::kUplinkMac : bpftest::kRouterMac};
  const bool v6 = address.family() == Family::kIpv6;
  targets_[v6].push_back(address);
  if (floating) floating_[v6].push_back(address);
}

void Configuration::add_frontend(const bpftest::Frontend& frontend) {
  const Family family = frontend.key.address.family();
  Frontend made{.ref = to_ref(frontend.ref),
                .backend_network = frontend.backend_network,
                .slot = frontend.network_slot,
                .router = to_model(frontend.router),
                .length = frontend.cidr_length,
                .sticky = frontend.options.affinity == 0 && frontend.options.algorithm <= SLUICE_ALGORITHM_SOURCE};
  for (const bpftest::Target& target : frontend.targets) {
    made.backends.push_back(
        {frontend.backend_network, to_model(target.pod.in(family)), target.port, to_ref(target.pod.ref), target.ready});
  }
  model_.tables.frontend_generations[frontend.ref.slot] = frontend.ref.generation;
  model_.tables.frontends[{frontend.key.network, to_model(frontend.key.address), frontend.key.port,
                           bpftest::protocol_in(family, frontend.key.protocol)}] = made;
}

void Configuration::add_egress(Random& random) {
  constexpr std::uint32_t kQuotas[] = {1, 2, 6, 1000, 1000, 1000};
  quota_ = crowded_ ? 1000 : any_of(random, kQuotas);
  shared_first_ = any_of(random, kFirstPorts);
  shared_last_ = static_cast<std::uint16_t>(shared_first_ + any_of(random, kPortCounts) - 1);
  for (const Family family : kFamilies) {
    const bool v6 = family == Family::kIpv6;
    for (const char* text : kEgress) egress_[v6].push_back(ip(text, family));
    remotes_[v6] = clients_[v6];
    for (const char* text : {"9.9.9.9", "198.51.100.8", "10.0.0.1"}) remotes_[v6].push_back(ip(text, family));
    for (const bpftest::Address& address : egress_[v6]) {
      remotes_[v6].push_back(address);
      targets_[v6].push_back(address);
    }
    if (chance(random, 60)) deny(ip("198.51.100.0", family), v6 ? 120 : 24);
    if (chance(random, 40)) deny(ip("9.9.9.9", family), v6 ? 128 : 32);
    if (chance(random, 40)) deny(ip("10.0.0.0", family), v6 ? 24 : 8);
    if (chance(random, 50)) deny(ip(kOwnEgress, family), v6 ? 128 : 32);
    for (const bpftest::Network& network : networks_) {
      if (!network.subnet(family).router.none() && chance(random, 80)) add_way(random, network, family);
    }
  }
  for (const char* text : {"169.254.169.254", "127.0.0.1", "240.0.0.1"}) remotes_[0].push_back(ip(text));
  for (const char* text : {"::1", "::ffff:203.0.113.9", "fe80::1"}) remotes_[1].push_back(ip(text));
}

void Configuration::deny(const bpftest::Address& prefix, unsigned length) {
  world_.deny(prefix.text(), length);
  model_.tables.denied.emplace_back(to_model(prefix), length);
}

/// Whoever leaves by an address that is nobody's but theirs mostly has the same ports, but need not.
void Configuration::add_way(Random& random, const bpftest::Network& network, Family family) {
  bpftest::WayOutOptions options{.quota = quota_, .shared = !crowded_ && chance(random, 40)};
  if (crowded_) {
    options.first = kFirstPorts[0];
    options.last = static_cast<std::uint16_t>(options.first + (network.slot == 1 ? 63 : 3));
  } else if (options.shared || chance(random, 60)) {
    options.first = shared_first_;
    options.last = shared_last_;
  } else {
    options.first = any_of(random, kFirstPorts);
    options.last = static_cast<std::uint16_t>(options.first + any_of(random, kPortCounts) - 1);
  }
  const char* text = options.shared ? kOwnEgress : kEgress[crowded_ || chance(random, 75) ? 0 : 1];
  ways_.push_back(world_.way_out(network, ip(text, family).text(), options));
  put_way(ways_.back());
}

void Configuration::put_way(const bpftest::WayOut& way) {
  Tables& tables = model_.tables;
  const Address address = to_model(way.address);
  tables.ways[{way.network, address.v6()}] = Way{.address = address,
                                                 .ref = to_ref(way.ref),
                                                 .first = way.options.first,
                                                 .last = way.options.last,
                                                 .quota = way.options.quota,
                                                 .ifindex = uplink_};
  tables.frontend_generations[way.ref.slot] = way.ref.generation;
  tables.endpoints[{0, address}] =
      Endpoint{.holder = way.options.shared ? Holder::kShared : Holder::kEgress, .mac = bpftest::kUplinkMac};
  if (!way.options.shared) return;
  tables.shared_first = way.options.first;
  tables.shared_last = way.options.last;
}

/// Ended and made anew, taken away, or given again.
void Configuration::change_way(Random& random) {
  if (ways_.empty()) return;
  bpftest::WayOut& way = any_of(random, ways_);
  const auto network = std::ranges::find(networks_, way.network, &bpftest::Network::id);
  const bool v6 = way.address.family() == Family::kIpv6;
  const bool there = model_.tables.ways.contains({way.network, v6});
  if (there && chance(random, 30)) {
    world_.remove(way);
    model_.tables.ways.erase({way.network, v6});
    model_.tables.frontend_generations[way.ref.slot] = 0;  // of nobody: no record has it
    return;
  }
  if (there) {
    world_.renew(way);
  } else {
    way = world_.way_out(*network, way.address.text(), way.options);
  }
  put_way(way);
}

void Configuration::change(std::uint64_t seed) {
  Random random(seed);
  model_.forget_choices();
  bpftest::Pod& pod = pods_[below(random, pods_.size())];
  const std::uint32_t what = below(random, 14);
  if (what == 0) return replace(pod);
  if (what == 1) return detach_or_attach(pod);
  if (what >= 12) return change_way(random);
  if (!frontends_.empty()) change_frontend(random, frontends_[below(random, frontends_.size())]);
}

/// Another pod takes a pod's place; the services do not know yet.
void Configuration::replace(bpftest::Pod& pod) {
  detach_or_attach(pod);  // a detached pod has no port that could be removed
  if (!model_.tables.ports.contains(pod.ifindex)) detach_or_attach(pod);
  world_.remove(pod);
  pod = world_.replace(pod);
  add_pod(pod);
}

void Configuration::detach_or_attach(const bpftest::Pod& pod) {
  if (!model_.tables.ports.contains(pod.ifindex)) {
    world_.write(pod);
    return add_pod(pod);
  }
  world_.detach(pod);
  model_.tables.ports.erase(pod.ifindex);
  for (const Family family : kFamilies) {
    const bpftest::Address& address = pod.in(family);
    if (!address.none()) model_.tables.endpoints.at({pod.network.id, to_model(address)}).ifindex = 0;
  }
}

void Configuration::change_frontend(Random& random, bpftest::Frontend& frontend) {
  const std::uint32_t what = below(random, 10);
  const std::size_t index = frontend.targets.empty() ? 0 : below(random, frontend.targets.size());
  if (what == 0 && !frontend.targets.empty()) return move_backend(frontend, index);
  if (what < 6 && !frontend.targets.empty()) {
    world_.set_ready(frontend, index, !frontend.targets[index].ready);
  } else {  // made anew: its flows end
    world_.renew(frontend);
    if (!frontend.targets.empty()) world_.set_ready(frontend, index, true);
  }
  add_frontend(frontend);
}

/// As if the record were used anew, for another network's service, before this service's change is seen.
void Configuration::move_backend(const bpftest::Frontend& frontend, std::size_t index) {
  const std::uint32_t at = frontend.backend_base + static_cast<std::uint32_t>(index);
  auto backend = datapath_.element<sluice_backend>("backends", at);
  backend.network ^= 3;
  datapath_.put("backends", at, backend);
  const Family family = frontend.key.address.family();
  model_.tables.frontends
      .at({frontend.key.network, to_model(frontend.key.address), frontend.key.port,
           bpftest::protocol_in(family, frontend.key.protocol)})
      .backends[index]
      .network = backend.network;
}

}  // namespace model
