// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

#include <algorithm>
#include <iterator>

#include "harness/devices.hpp"
#include "harness/packets.hpp"

namespace model {

using bpftest::Address;
using bpftest::Frame;
using bpftest::ip;
using bpftest::Link;

namespace {

Ref to_ref(const sluice_ref& ref) {
  return {ref.slot, ref.generation};
}

std::uint32_t mask_of(unsigned length) {
  return length == 0 ? 0 : ~0U << (32 - length);
}

constexpr std::uint16_t kServicePorts[] = {80, 81, 53};
constexpr std::uint16_t kClientPorts[] = {40000, 40001, 40002, 40003};
constexpr std::uint8_t kProtocols[] = {6, 17, 1};

}  // namespace

Traffic::Traffic(Random& random, bpftest::Datapath& datapath, Model& model)
    : random_(random), datapath_(datapath), model_(model), world_(datapath) {
  sluice_settings settings = datapath.settings();
  settings.refusals_per_second = chance(random, 80) ? 1'000'000'000 : 0;
  settings.shared_pairs = 4 + below(random, datapath.pairs());
  datapath.set_settings(settings);
  model_.tables.refusals_allowed = settings.refusals_per_second != 0;
  model_.tables.shared_pairs = settings.shared_pairs;
  model_.tables.max_pairs = datapath.pairs();
  model_.tables.ports[world_.uplink()] = Port{.uplink = true, .mac = bpftest::kUplinkMac};
  clients_ = {ip("203.0.113.9"), ip("198.51.100.7"), ip("8.8.8.8")};
  addresses_ = {ip("192.0.2.1"),   ip("192.0.2.2"),      ip("192.0.2.3"),       ip("172.16.0.1"), ip("9.9.9.9"),
                ip("172.16.0.99"), ip("172.16.255.255"), ip("255.255.255.255"), ip("224.0.0.1"),  ip("10.0.0.1")};
  for (std::uint32_t i = 0; i < 2 + below(random, 2); ++i) add_network();
}

void Traffic::add_pod(const bpftest::Pod& pod) {
  const bpftest::Network& network = pod.network;
  model_.tables.endpoint_generations[pod.ref.slot] = pod.ref.generation;
  model_.tables.endpoints[{network.id, pod.address.v4()}] =
      Endpoint{.holder = Holder::kPod, .pod = to_ref(pod.ref), .mac = pod.mac};
  model_.tables.ports[pod.ifindex] = Port{.network = network.id,
                                          .slot = network.slot,
                                          .pod = to_ref(pod.ref),
                                          .address = pod.address.v4(),
                                          .cidr = network.v4.prefix.v4(),
                                          .mask = mask_of(network.v4.length),
                                          .mac = pod.mac};
}

void Traffic::add_frontend(const bpftest::Frontend& frontend, bool sticky) {
  Frontend made{.ref = to_ref(frontend.ref),
                .backend_network = frontend.backend_network,
                .slot = frontend.network_slot,
                .router = frontend.router.v4(),
                .mask = mask_of(frontend.cidr_length),
                .sticky = sticky};
  for (const bpftest::Target& target : frontend.targets) {
    made.backends.push_back(
        {frontend.backend_network, target.pod.address.v4(), target.port, to_ref(target.pod.ref), target.ready});
  }
  const auto& [network, address, port, protocol] = frontend.key;
  model_.tables.frontend_generations[frontend.ref.slot] = frontend.ref.generation;
  model_.tables.frontends[{network, address.v4(), port, protocol}] = made;
}

void Traffic::add_service(const bpftest::Network& network, const std::string& address, std::uint16_t port,
                          std::uint8_t protocol, bool floating) {
  std::vector<bpftest::Target> targets;
  const std::uint16_t target_port = protocol == 1 ? 0 : static_cast<std::uint16_t>(8080 + below(random_, 2));
  for (const bpftest::Pod& pod : pods_) {
    if (pod.network.id == network.id && chance(random_, 60)) targets.push_back({pod, target_port, chance(random_, 85)});
  }
  bpftest::FrontendOptions options;
  options.algorithm = static_cast<std::uint8_t>(below(random_, 3));
  if (!targets.empty() && chance(random_, 30)) options.ring_size = 127;
  const bpftest::Frontend made = floating ? world_.floating(address, port, protocol, network, targets, options)
                                          : world_.service(network, address, port, protocol, targets, options);
  frontends_.push_back(made);
  add_frontend(made, options.algorithm != SLUICE_ALGORITHM_RANDOM);
  const Mac mac = floating ? bpftest::kUplinkMac : bpftest::kRouterMac;
  model_.tables.endpoints[{floating ? 0 : network.id, made.key.address.v4()}] =
      Endpoint{.holder = floating ? Holder::kFloating : Holder::kService, .mac = mac};
  if (floating) model_.tables.filtered.insert(made.key.address.v4());
  addresses_.push_back(made.key.address);
}

void Traffic::add_network() {
  const auto slot = static_cast<std::uint16_t>(networks_.size() + 1);
  const bpftest::Network network = world_.network(100U + slot, slot);
  networks_.push_back(network);
  const Limits limits{
      .guaranteed = below(random_, 6), .most = 3 + below(random_, 30), .half_open = 1 + below(random_, 9)};
  world_.limits(network, limits.guaranteed, limits.most, limits.half_open);
  model_.tables.limits[slot] = limits;
  model_.tables.endpoints[{network.id, network.router.v4()}] =
      Endpoint{.holder = Holder::kRouter, .mac = bpftest::kRouterMac};
  for (unsigned i = 0; i < 4; ++i) {
    pods_.push_back(world_.pod(network, "172.16.0." + std::to_string(10 + i)));
    add_pod(pods_.back());
    addresses_.push_back(pods_.back().address);
  }
  for (const char* address : {"172.16.1.1", "172.16.1.2", "10.96.0.1"}) {
    for (std::uint8_t protocol : kProtocols) {
      const std::uint16_t port = protocol == 1 ? 0 : kServicePorts[below(random_, 3)];
      if (chance(random_, 70)) add_service(network, address, port, protocol, false);
    }
  }
  for (std::uint8_t protocol : kProtocols) {
    const std::string address = "192.0.2." + std::to_string(slot);
    const std::uint16_t port = protocol == 1 ? 0 : kServicePorts[below(random_, 3)];
    if (chance(random_, 80)) add_service(network, address, port, protocol, true);
  }
}

void Traffic::change() {
  model_.forget_choices();
  const std::uint32_t what = below(random_, 12);
  if (what == 0) {  // another pod takes a pod's place; the services do not know yet
    bpftest::Pod& pod = pods_[below(random_, static_cast<std::uint32_t>(pods_.size()))];
    world_.remove(pod);
    pod = world_.replace(pod);
    add_pod(pod);
    return;
  }
  if (frontends_.empty()) return;
  bpftest::Frontend& frontend = frontends_[below(random_, static_cast<std::uint32_t>(frontends_.size()))];
  if (what < 7 && !frontend.targets.empty()) {
    const std::size_t index = below(random_, static_cast<std::uint32_t>(frontend.targets.size()));
    world_.set_ready(frontend, index, !frontend.targets[index].ready);
  } else {  // made anew: its flows end
    world_.renew(frontend);
  }
  add_frontend(frontend, frontend.options.algorithm != SLUICE_ALGORITHM_RANDOM);
}

Frame Traffic::opening(const Link& link, const Address& source, const Address& destination) {
  const std::uint16_t client_port = kClientPorts[below(random_, std::size(kClientPorts))];
  const bpftest::Tuple tuple{source, client_port, destination, kServicePorts[below(random_, 3)]};
  const bpftest::Bytes payload(below(random_, 64), static_cast<std::uint8_t>(random_()));
  switch (below(random_, 10)) {
    case 0:
      return bpftest::echo_request(link, source, destination, static_cast<std::uint16_t>(below(random_, 4)));
    case 1:
      return bpftest::icmp(link, source, destination, static_cast<std::uint8_t>(below(random_, 20)),
                           static_cast<std::uint8_t>(below(random_, 3)), bpftest::Bytes(4 + payload.size()));
    case 2:
      return bpftest::ip_packet(link, source, destination, static_cast<std::uint8_t>(random_()),
                           bpftest::Bytes(40, static_cast<std::uint8_t>(random_())));
    case 3:
    case 4:
      return bpftest::udp(link, tuple, payload);
    case 5:
      return bpftest::tcp(link, tuple, below(random_, 256), {.payload = payload});
    default:
      return bpftest::tcp(link, tuple, bpftest::kSyn, {.payload = payload});
  }
}

Packet Traffic::from_pod() {
  const bpftest::Pod& pod = any(pods_);
  const Address destination = any(addresses_);
  Packet packet{.ifindex = pod.ifindex};
  const Mac next_hop = chance(random_, 70) ? bpftest::kRouterMac : any(pods_).mac;
  if (chance(random_, 10)) {
    packet.frame = bpftest::arp({pod.mac, bpftest::kBroadcastMac}, static_cast<std::uint16_t>(1 + below(random_, 2)),
                                pod.mac, chance(random_, 80) ? pod.address : Address::of4(0), {}, destination);
  } else {
    packet.frame = opening({pod.mac, next_hop}, pod.address, destination);
  }
  return packet;
}

Packet Traffic::from_internet() {
  Packet packet{.entry = chance(random_, 15) ? SLUICE_ENTRY_UPLINK_XDP : SLUICE_ENTRY_FROM_UPLINK,
                .ifindex = world_.uplink()};
  const Address destination =
      chance(random_, 80) ? ip("192.0.2." + std::to_string(1 + below(random_, 3))) : any(addresses_);
  if (chance(random_, 5)) {
    packet.frame = bpftest::arp({bpftest::kGatewayMac, bpftest::kBroadcastMac}, 1, bpftest::kGatewayMac, any(clients_),
                                {}, destination);
  } else {
    packet.frame = opening({bpftest::kGatewayMac, bpftest::kUplinkMac}, any(clients_), destination);
  }
  return packet;
}

Packet Traffic::of_flow() {
  const auto chosen = std::next(model_.flows.begin(), below(random_, static_cast<std::uint32_t>(model_.flows.size())));
  const auto& [tuple, flow] = *chosen;
  Packet packet;
  Link link{bpftest::kGatewayMac, bpftest::kUplinkMac};
  packet.ifindex = world_.uplink();
  packet.entry = SLUICE_ENTRY_FROM_UPLINK;
  if (tuple.network != 0) {
    const auto pod = std::ranges::find_if(pods_, [&](const bpftest::Pod& candidate) {
      return candidate.network.id == tuple.network && candidate.address.v4() == tuple.source;
    });
    if (pod == pods_.end()) return from_pod();
    link = pod->to_router();
    packet.ifindex = pod->ifindex;
    packet.entry = SLUICE_ENTRY_FROM_POD;
  }
  const bpftest::Tuple ends{Address::of4(tuple.source), tuple.source_port, Address::of4(tuple.destination),
                            tuple.destination_port};
  constexpr unsigned kFlags[] = {
      bpftest::kAck, bpftest::kAck, bpftest::kSyn | bpftest::kAck, bpftest::kFin | bpftest::kAck,
      bpftest::kRst, bpftest::kSyn};
  const std::uint32_t acknowledgement =
      flow.acknowledged + (chance(random_, 80) ? below(random_, 1000) : below(random_, ~0U));
  // Mostly what the other side has acknowledged, sometimes just beside the window, sometimes a blind guess.
  const std::uint32_t expected = model_.flows.at(flow.other).acknowledged;
  const std::uint32_t sequence = chance(random_, 70)   ? expected + below(random_, 1000) - 2
                                 : chance(random_, 50) ? expected + (1U << 24) - 3 + below(random_, 5)
                                                       : below(random_, ~0U);
  if (tuple.protocol == 6) {
    packet.frame = bpftest::tcp(link, ends, kFlags[below(random_, std::size(kFlags))],
                                {.sequence = sequence,
                                 .acknowledgement = acknowledgement,
                                 .payload = bpftest::Bytes(below(random_, 100), 0x5a)});
  } else if (tuple.protocol == 17) {
    packet.frame = bpftest::udp(link, ends, bpftest::Bytes(below(random_, 100), 0xa5));
    if (chance(random_, 20)) packet.frame.set16(bpftest::kL4 + 6, 0);
  } else if (flow.forward) {
    packet.frame = bpftest::echo_request(link, ends.source, ends.destination, ends.source_port);
  } else {
    packet.frame = bpftest::echo_reply(link, ends.source, ends.destination, ends.destination_port);
  }
  return packet;
}

void Traffic::mutate(Frame& frame) {
  for (std::uint32_t i = 0; i <= below(random_, 3); ++i) {
    // BPF_PROG_TEST_RUN itself refuses IPv4 frames without a whole header.
    const auto size = static_cast<std::uint32_t>(frame.size());
    switch (below(random_, 5)) {
      case 0:
        frame.set8(below(random_, size), static_cast<unsigned>(random_() & 255));
        break;
      case 1:
        frame.set8(bpftest::kIp + below(random_, 28), static_cast<unsigned>(random_() & 255));
        break;
      case 2:
        frame.resize(std::max<std::size_t>(bpftest::kL4, size - below(random_, 30)));
        break;
      case 3:
        frame.resize(size + below(random_, 40));
        break;
      default:
        frame.set8(below(random_, 34), frame.get8(below(random_, 34)) ^ (1U << below(random_, 8)));
        break;
    }
    if (frame.size() < 42) frame.resize(42);
  }
  if (chance(random_, 50) && frame.get8(bpftest::kIp) == 0x45) frame.fix_checksums();
}

Packet Traffic::next() {
  const std::uint32_t what = below(random_, 100);
  Packet packet = what < 45 && !model_.flows.empty() ? of_flow() : what < 75 ? from_pod() : from_internet();
  if (chance(random_, 15)) mutate(packet.frame);
  return packet;
}

}  // namespace model
