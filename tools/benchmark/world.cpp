// SPDX-License-Identifier: Apache-2.0
#include "world.hpp"

#include <linux/in.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "frame.hpp"

namespace sluice::benchmark {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint32_t kNetwork = 100;
constexpr std::uint16_t kNetworkSlot = 1;
constexpr std::uint32_t kGeneration = 1000;  // of every slot here
constexpr std::uint32_t kMaxPairs = 262144;  // the default of max_pairs
constexpr std::uint32_t kGuaranteed = 512;   // so that most flows are charged to the shared part, the longer way

// Addresses are written in IPv4; the same number in IPv6 is the last word behind one of two prefixes.
constexpr std::array<std::uint32_t, 3> kInside6 = {0xfd736c63, 0x00640000, 0};   // fd73:6c63:64::/64
constexpr std::array<std::uint32_t, 3> kOutside6 = {0x20010db8, 0x00000000, 0};  // 2001:db8::/64
constexpr std::uint8_t kCidrLength6 = 64;
constexpr Ipv4 kCidr{0xac100000};  // 172.16.0.0/16
constexpr std::uint32_t kMask = 0xffff0000;
constexpr std::uint8_t kCidrLength = 16;
constexpr Ipv4 kRouter{0xac100001};
constexpr Ipv4 kClient{0xac100101};    // 172.16.1.1
constexpr Ipv4 kBackend{0xac100201};   // 172.16.2.1 and following
constexpr Ipv4 kService{0xac108000};   // 172.16.128.0 + high part of the flow index
constexpr Ipv4 kFloating{0xcb00710a};  // 203.0.113.10
constexpr Ipv4 kPublic{0xc6120000};    // 198.18.0.0 + high part
constexpr Ipv4 kForeign{0xc0000200};   // 192.0.2.0 + high part
constexpr Ipv4 kEgress{0xcb007114};    // 203.0.113.20

constexpr std::uint16_t kClientPort = 0x8000;  // + low part of the flow index
constexpr std::uint16_t kServicePort = 80;
constexpr std::uint16_t kTargetPort = 0x2000;  // + service, so that each flow has its own reverse tuple
constexpr std::uint16_t kPeerPort = 0x4000;    // + high part
constexpr std::uint32_t kServices = kFlowSpace / kLowSpace;
// Of the egress address. A network may hold a quarter of them, twice what it has flows to one remote: the counts of two
// remotes may be one. The flows' own ports are the first of them; or none of them, so that each new flow looks for one.
constexpr std::uint16_t kEgressPorts = 8 * kLowSpace;
constexpr std::uint16_t kOtherPorts = 0xa000;

constexpr std::uint32_t kClientSequence = 1000;
constexpr std::uint32_t kServerSequence = 2000;

constexpr std::uint32_t kRingSize = 1601;  // a prime >= 100 for each of 16 backends
constexpr std::uint32_t kBlocksOfRing = (kRingSize + SLUICE_RING_BLOCK - 1) / SLUICE_RING_BLOCK;

constexpr Mac kRouterMac{SLUICE_ROUTER_MAC};
constexpr Mac kUplinkMac{{0x02, 0xaa, 0, 0, 0, 1}};
constexpr Mac kGatewayMac{{0x02, 0xbb, 0, 0, 0, 1}};

constexpr std::uint32_t kClientSlot = 1;
constexpr std::uint32_t kBackendSlot = 2;  // and following

Mac pod_mac(std::uint32_t slot) {
  return {{0x02, 0x10, 0, 0, 0, static_cast<std::uint8_t>(slot)}};
}

// Writes in order until one fails.
template <typename... Steps>
Status all(Steps&&... steps) {
  Status status;
  ((status ? status = steps() : status), ...);
  return status;
}

/// Of a pair, by its index.
Result<sluice_flow4_key> reverse_key(Names4, const Tables& tables, std::uint32_t pair) {
  const auto record = tables.get<sluice_pair>("pairs", pair);
  if (!record) return std::unexpected(record.error());
  return record->keys4.reverse;
}
Result<sluice_flow6_key> reverse_key(Names6, const Tables& tables, std::uint32_t pair) {
  const auto keys = tables.get<sluice_pair_keys6>("pair_keys6", pair);
  if (!keys) return std::unexpected(keys.error());
  return keys->reverse;
}

}  // namespace

Result<std::unique_ptr<World>> World::make(const WorldShape& shape, const Devices& devices, const std::string& object,
                                           Engine& engine) {
  auto tables = Tables::load(object, kMaxPairs, shape.family);
  if (!tables) return fail_in("tables for " + std::to_string(shape.flows) + " flows", tables);
  std::unique_ptr<World> world(new World(shape, devices, std::move(*tables)));
  const Status made = all([&] { return world->write_settings(); }, [&] { return world->write_pods(); },
                          [&] { return world->write_frontends(); }, [&] { return world->write_egress(); },
                          [&] { return world->open_flows(engine); }, [&] { return world->check_flows(); });
  if (!made) return fail_in("world with " + std::to_string(shape.flows) + " flows", made);
  return world;
}

std::uint32_t World::request_device() const {
  return shape_.side == Side::kPublic ? devices_.uplink : devices_.client;
}

Status World::write_settings() const {
  sluice_settings settings{};
  settings.secret[0] = 0x0706050403020100;
  settings.secret[1] = 0x0f0e0d0c0b0a0908;
  settings.tcp_half_open = 30 * kSecond;
  settings.tcp_established = 7440 * kSecond;
  settings.tcp_closing = 240 * kSecond;
  settings.tcp_closed = 240 * kSecond;
  settings.tcp_reset = 10 * kSecond;
  settings.udp_new = 30 * kSecond;
  settings.udp_stream = 120 * kSecond;
  settings.icmp = 30 * kSecond;
  settings.sweep_interval = kSecond / 1000;
  settings.delete_grace = kSecond;
  settings.sweep_pairs = 16;
  settings.max_pairs = tables_.max_pairs();
  settings.shared_pairs = tables_.max_pairs() - kGuaranteed;
  settings.refusals_per_second = 100;
  settings.smallest_mtu = 1500;
  const sluice_network_limits limits{kNetwork, kGuaranteed, tables_.max_pairs(), tables_.max_pairs()};
  return all([&] { return tables_.put("settings", std::uint32_t{0}, settings); },
             [&] { return tables_.put("digest_key", std::uint32_t{0}, kDigestKey); },
             [&] { return tables_.put("network_limits", std::uint32_t{kNetworkSlot}, limits); });
}

Address World::address(Ipv4 number) const {
  if (shape_.family == Family::kIpv4) return {Family::kIpv4, {0, 0, 0, number.value}};
  const auto& prefix = (number.value & kMask) == kCidr.value ? kInside6 : kOutside6;
  return {Family::kIpv6, {prefix[0], prefix[1], prefix[2], number.value}};
}

Status World::put_endpoint(std::uint32_t network, const Address& address, std::uint8_t kind, const Mac& mac,
                           const sluice_ref& ref, std::uint32_t ifindex) const {
  return in_family(shape_.family, [&](auto names) {
    using Names = decltype(names);
    typename Names::Endpoint record{};
    record.self.network = network;
    record.self.address = Names::wire(address);
    record.self_end = record.self;
    record.kind = kind;
    record.ref = ref;
    record.ifindex = ifindex;
    std::ranges::copy(mac.bytes, record.mac);
    return tables_.put(Names::kEndpoints, record.self, record);
  });
}

Status World::write_pod(std::uint32_t slot, Ipv4 number, std::uint32_t ifindex) const {
  const Address own = address(number);
  sluice_port port{};
  port.self = port.self_end = ifindex;
  port.network = kNetwork;
  port.endpoint = {slot, kGeneration};
  if (shape_.family == Family::kIpv4) {
    port.address4 = own.wire4();
    port.cidr4 = kCidr.wire();
    port.mask4 = Ipv4{kMask}.wire();
    port.router4 = kRouter.wire();
  } else {
    port.address6 = own.wire6();
    port.cidr6 = Address{Family::kIpv6, {kInside6[0], kInside6[1], 0, 0}}.wire6();
    port.cidr6_length = kCidrLength6;
    port.router6 = address(kRouter).wire6();
  }
  port.network_slot = kNetworkSlot;
  port.kind = SLUICE_PORT_POD;
  port.delivery = SLUICE_DELIVER_PEER;
  std::ranges::copy(pod_mac(slot).bytes, port.mac);
  return all(
      [&] { return tables_.put("endpoint_generations", slot, kGeneration); },
      [&] { return put_endpoint(kNetwork, own, SLUICE_ENDPOINT_POD_PEER, pod_mac(slot), port.endpoint, ifindex); },
      [&] { return put_port(port); });
}

Status World::set_filter_bit(std::uint32_t network, const Address& address) const {
  const std::uint32_t bit =
      in_family(shape_.family, [&](auto names) { return decltype(names)::filter_bit(network, address); });
  const std::uint32_t index = bit / 64;
  const auto word = tables_.get<std::uint64_t>("frontend_filter", index);
  return tables_.put("frontend_filter", index, word.value_or(0) | std::uint64_t{1} << (bit % 64));
}

/// Both maps, as the daemon does (userspace/datapath/port_slots.cpp).
Status World::put_port(const sluice_port& port) const {
  const sluice_port_slot slot{.sequence = 2, .pad = 0, .port = port, .pad2 = {}};
  const std::uint32_t index = port.self % SLUICE_PORT_SLOTS;
  return all([&] { return tables_.put("port_slots", index, slot); },
             [&] { return tables_.put("ports", port.self, port); });
}

Status World::write_pods() const {
  Status status = write_pod(kClientSlot, kClient, devices_.client);
  // The first backend last: all share its device, which then stands for the first one as a sender.
  for (std::uint32_t number = shape_.backends; status && number-- > 0;) {
    status = write_pod(kBackendSlot + number, Ipv4{kBackend.value + number}, devices_.backend);
  }
  sluice_port uplink{};
  uplink.self = uplink.self_end = devices_.uplink;
  uplink.kind = SLUICE_PORT_UPLINK;
  std::ranges::copy(kUplinkMac.bytes, uplink.mac);
  return status ? put_port(uplink) : status;
}

Status World::write_frontend(std::uint32_t index, std::uint32_t network, const Address& address,
                             std::uint16_t target_port) const {
  const sluice_ref ref = {index + 1, kGeneration};
  const std::uint32_t ring_size = shape_.backends > SLUICE_RENDEZVOUS_MAX ? kRingSize : 0;
  const auto put_record = [&](auto names) {
    using Names = decltype(names);
    typename Names::Frontend record{};
    record.self.network = network;
    record.self.address = Names::wire(address);
    record.self.port = to_wire(kServicePort);
    record.self.protocol = IPPROTO_TCP;
    record.self_end = record.self;
    record.backend_network = kNetwork;
    record.ref = ref;
    record.backend_base = index * shape_.backends;
    record.backend_count = shape_.backends;
    record.ready_count = shape_.backends;
    record.ring_size = ring_size;
    record.ring_base = index * kBlocksOfRing;
    record.network_slot = kNetworkSlot;
    if constexpr (std::is_same_v<Names, Names4>) {
      record.router4 = kRouter.wire();
      record.cidr_length = kCidrLength;
    } else {
      record.router6 = this->address(kRouter).wire6();
      record.cidr_length = kCidrLength6;
    }
    return tables_.put(Names::kFrontends, record.self, record);
  };
  return all([&] { return write_backends(index * shape_.backends, target_port); },
             [&] { return ring_size != 0 ? write_ring(index) : Status{}; },
             [&] { return tables_.put("frontend_generations", ref.slot, kGeneration); },
             [&] { return in_family(shape_.family, put_record); });
}

Status World::write_backends(std::uint32_t base, std::uint16_t target_port) const {
  for (std::uint32_t number = 0; number < shape_.backends; ++number) {
    const Address own = address(Ipv4{kBackend.value + number});
    sluice_backend backend{};
    backend.network = kNetwork;
    if (own.family == Family::kIpv4) backend.address4 = own.wire4();
    if (own.family == Family::kIpv6) backend.address6 = own.wire6();
    backend.endpoint = {kBackendSlot + number, kGeneration};
    backend.port = to_wire(target_port);
    backend.state = SLUICE_BACKEND_READY;
    backend.identity = 0x9e3779b1u * (number + 7);
    if (auto put = tables_.put("backends", base + number, backend); !put) return put;
  }
  return {};
}

// Every backend in turn: what a ring holds does not change what it costs to look at.
Status World::write_ring(std::uint32_t index) const {
  for (std::uint32_t number = 0; number < kBlocksOfRing; ++number) {
    sluice_ring_block block{};
    for (std::uint32_t slot = 0; slot < SLUICE_RING_BLOCK; ++slot) {
      block.entries[slot] = static_cast<__u16>((number * SLUICE_RING_BLOCK + slot) % shape_.backends);
    }
    if (auto put = tables_.put("rings", index * kBlocksOfRing + number, block); !put) return put;
  }
  return {};
}

Status World::write_frontends() const {
  const auto add = [&](std::uint32_t index, std::uint32_t network, Ipv4 number, std::uint8_t kind, const Mac& mac,
                       std::uint16_t target_port) {
    const Address own = address(number);
    return all([&] { return put_endpoint(network, own, kind, mac); }, [&] { return set_filter_bit(network, own); },
               [&] { return write_frontend(index, network, own, target_port); });
  };
  for (std::uint32_t index = 0; index < kServices; ++index) {
    const Status put = add(index, kNetwork, Ipv4{kService.value + index}, SLUICE_ENDPOINT_SERVICE, kRouterMac,
                           static_cast<std::uint16_t>(kTargetPort + index));
    if (!put) return put;
  }
  return add(kServices, 0, kFloating, SLUICE_ENDPOINT_FLOATING, kUplinkMac, kTargetPort);
}

Status World::write_egress() const {
  const Address own = address(kEgress);
  const sluice_ref ref = {kServices + 2, kGeneration};
  const std::uint16_t first = shape_.backends > 1 ? kOtherPorts : kClientPort;
  const auto last = static_cast<std::uint16_t>(first + kEgressPorts - 1);
  sluice_egress record{};
  record.self = record.self_end = kNetwork;
  record.address4 = own.family == Family::kIpv4 ? own.wire4() : 0;
  if (own.family == Family::kIpv6) record.address6 = own.wire6();
  record.ref4 = record.ref6 = ref;
  record.first4 = record.first6 = first;
  record.last4 = record.last6 = last;
  record.ifindex = devices_.uplink;
  record.quota = kMaxPairs;
  return all([&] { return put_endpoint(0, own, SLUICE_ENDPOINT_EGRESS, kUplinkMac); },
             [&] { return set_filter_bit(0, own); },
             [&] { return tables_.put("frontend_generations", ref.slot, kGeneration); },
             [&] { return tables_.put("egress", kNetwork, record); });
}

/// The tuple of what comes back to a port of the egress address.
template <typename Names>
typename Names::FlowKey World::held_key(std::uint32_t remote, std::uint32_t port) const {
  typename Names::FlowKey key{};
  key.network_protocol = IPPROTO_TCP << 24;
  key.source = Names::wire(address(Ipv4{kPublic.value + remote}));
  key.destination = Names::wire(address(kEgress));
  key.source_port = to_wire(kServicePort);
  key.destination_port = to_wire(static_cast<std::uint16_t>(kOtherPorts + port));
  return key;
}

Status World::hold_ports(const Flows& flows) {
  if (shape_.side != Side::kEgress) return {};
  const auto former = std::exchange(held_remote_, flows.first % kFlowSpace / kLowSpace);
  return in_family(shape_.family, [&](auto names) -> Status {
    using Names = decltype(names);
    for (std::uint32_t port = 0; port < kEgressPorts; ++port) {
      if (port * 0x9e3779b1U >> 28U >= 7) continue;
      if (former) {
        const auto old = Names::map_key(held_key<Names>(*former, port));
        if (bpf_map_delete_elem(tables_.map(Names::kFlows), &old) != 0) return fail_errno("let a port go");
      }
      typename Names::Flow record{};
      record.self = held_key<Names>(*held_remote_, port);
      if (auto put = tables_.put(Names::kFlows, Names::map_key(record.self), record); !put) return put;
    }
    return {};
  });
}

Traffic World::request(std::uint8_t flags) const {
  TcpFrame frame{kRouterMac,
                 pod_mac(kClientSlot),
                 address(kClient),
                 address(kService),
                 kClientPort,
                 kServicePort,
                 flags,
                 kClientSequence,
                 0};
  Traffic traffic;
  if (shape_.side == Side::kEgress) frame.destination = address(kPublic);
  if (shape_.side == Side::kPublic) {
    frame.destination_mac = kUplinkMac;
    frame.source_mac = kGatewayMac;
    frame.source = address(kPublic);
    frame.destination = address(kFloating);
    traffic.high = Field::kSourceAddress;
  }
  if ((flags & kAck) != 0) {
    frame.sequence = kClientSequence + 1;
    frame.acknowledgement = kServerSequence + 1;
  }
  traffic.frame = build(frame);
  return traffic;
}

Traffic World::reply(std::uint8_t flags) const {
  TcpFrame frame{kRouterMac, pod_mac(kBackendSlot), address(kBackend),  address(kClient), kTargetPort, kClientPort,
                 flags,      kServerSequence,       kClientSequence + 1};
  Traffic traffic;
  traffic.low = Field::kDestinationPort;
  traffic.high = Field::kSourcePort;
  if (shape_.side == Side::kPublic) {
    frame.destination = address(kPublic);
    traffic.high = Field::kDestinationAddress;
  }
  if (shape_.side == Side::kEgress) {
    frame = {kUplinkMac,  kGatewayMac, address(kPublic), address(kEgress),   kServicePort,
             kClientPort, flags,       kServerSequence,  kClientSequence + 1};
    traffic.high = Field::kSourceAddress;
  }
  traffic.frame = build(frame);
  return traffic;
}

// The frame goes to the neighbour's own MAC, so the host's side of the veth sees it as another host's.
Traffic World::pod_to_pod() const {
  Traffic traffic;
  traffic.frame = build({pod_mac(kBackendSlot), pod_mac(kClientSlot), address(kClient), address(kBackend), kClientPort,
                         kPeerPort, kAck, kClientSequence, kServerSequence});
  traffic.high = Field::kDestinationPort;
  traffic.for_this_host = false;
  return traffic;
}

Traffic World::foreign() const {
  Traffic traffic;
  traffic.frame = build({kUplinkMac, kGatewayMac, address(kPublic), address(kForeign), kClientPort, kServicePort, kAck,
                         kClientSequence, 0});
  return traffic;
}

Status World::open_flows(Engine& engine) const {
  const auto from_pod = tables_.program("from_pod");
  const auto from_uplink = tables_.program("from_uplink");
  if (!from_pod) return fail_in("open flows", from_pod);
  if (!from_uplink) return fail_in("open flows", from_uplink);
  const auto& opener = shape_.side == Side::kPublic ? from_uplink : from_pod;
  const auto& answerer = shape_.side == Side::kEgress ? from_uplink : from_pod;
  const Flows every{0, shape_.flows};
  const auto send = [&](int program, const Traffic& traffic, std::uint32_t ifindex) -> Status {
    if (auto selected = engine.select(Hook::kTc, program, traffic, every); !selected) return selected;
    const auto time = engine.run(ifindex, every.count, TC_ACT_REDIRECT);
    return time ? Status{} : fail_in("open flows", time);
  };
  const Status opened = send(*opener, request(kSyn), request_device());
  // With several backends the flows stay half open: only the first backend's device is there to answer.
  if (!opened || shape_.backends > 1) return opened;
  return all([&] { return send(*answerer, reply(kSyn | kAck), reply_device()); },
             [&] { return send(*opener, request(kAck), request_device()); });
}

Status World::check_flows() const {
  std::uint32_t forward = 0;
  std::uint32_t reverse = 0;
  std::uint32_t established = 0;
  const Status counted = in_family(shape_.family, [&](auto names) -> Status {
    using Names = decltype(names);
    auto key = Names::map_key({});
    const int map = tables_.map(Names::kFlows);
    for (int error = bpf_map_get_next_key(map, nullptr, &key); error == 0;
         error = bpf_map_get_next_key(map, &key, &key)) {
      typename Names::Flow flow{};
      if (bpf_map_lookup_elem(map, &key, &flow) != 0) return fail_errno("read a flow record");
      forward += flow.role == SLUICE_FLOW_FORWARD ? 1 : 0;
      reverse += flow.role == SLUICE_FLOW_REVERSE ? 1 : 0;
      established += (flow.state & SLUICE_STATE_ESTABLISHED) != 0 ? 1 : 0;
    }
    return {};
  });
  if (!counted) return counted;
  const std::uint32_t wanted = shape_.backends > 1 ? 0 : shape_.flows;
  if (forward == shape_.flows && reverse == shape_.flows && established == wanted) return {};
  return fail(ErrorCode::kPrecondition, "there are " + std::to_string(forward) + " forward and " +
                                            std::to_string(reverse) + " reverse records, " +
                                            std::to_string(established) + " of them established");
}

template <typename Names>
typename Names::FlowKey World::forward_key(std::uint32_t flow) const {
  const std::uint32_t index = flow % kFlowSpace;
  const std::uint32_t high = index / kLowSpace;
  const auto port = static_cast<std::uint16_t>(kClientPort + index % kLowSpace);
  const bool pod = shape_.side != Side::kPublic;
  const Ipv4 outside{kPublic.value + high};
  const Ipv4 asked = shape_.side == Side::kEgress ? outside : Ipv4{kService.value + high};
  typename Names::FlowKey key{};
  key.network_protocol = (pod ? kNetwork : 0) | IPPROTO_TCP << 24;
  key.source = Names::wire(address(pod ? kClient : outside));
  key.destination = Names::wire(address(pod ? asked : kFloating));
  key.source_port = to_wire(port);
  key.destination_port = to_wire(kServicePort);
  return key;
}

Status World::close_flow(std::uint32_t flow) const {
  const std::string what = "close flow " + std::to_string(flow);
  return in_family(shape_.family, [&](auto names) -> Status {
    using Names = decltype(names);
    const auto key = Names::map_key(forward_key<Names>(flow));
    const auto record = tables_.get<typename Names::Flow>(Names::kFlows, key);
    if (!record) return fail_in(what, record);
    const auto reverse_tuple = reverse_key(names, tables_, record->pair);
    if (!reverse_tuple) return fail_in(what, reverse_tuple);
    const auto reverse = Names::map_key(*reverse_tuple);
    const int map = tables_.map(Names::kFlows);
    if (bpf_map_delete_elem(map, &key) != 0 || bpf_map_delete_elem(map, &reverse) != 0 ||
        bpf_map_update_elem(tables_.map("pairs_free"), nullptr, &record->pair, BPF_ANY) != 0) {
      return fail_errno(what);
    }
    return shape_.side == Side::kEgress ? give_back(record->pair) : Status{};
  });
}

/// What a pair holds of the egress address, as the sweep does.
Status World::give_back(std::uint32_t pair) const {
  const auto record = tables_.get<sluice_pair>("pairs", pair);
  if (!record) return fail_in("give a port back", record);
  const auto lower = [this](const char* map, std::uint32_t index) -> Status {
    const auto count = tables_.get<std::uint32_t>(map, index);
    return count ? tables_.put(map, index, *count - 1) : fail_in("give a port back", count);
  };
  return all([&] { return lower("egress_pairs", record->egress_slot); },
             [&] { return lower("egress_shares", record->egress_share - 1); });
}

Status World::close_oldest(std::uint32_t count) {
  for (std::uint32_t number = 0; number < count; ++number) {
    if (const auto closed = close_flow(oldest_ + number); !closed) return fail_in("make room", closed);
  }
  oldest_ = (oldest_ + count) % kFlowSpace;
  auto usage = tables_.get<sluice_network_usage>("network_usage", std::uint32_t{kNetworkSlot});
  auto totals = tables_.get<sluice_flow_totals>("flow_totals", std::uint32_t{0});
  if (!usage) return fail_in("make room", usage);
  if (!totals) return fail_in("make room", totals);
  usage->pairs -= count;
  totals->shared_used = usage->pairs > kGuaranteed ? usage->pairs - kGuaranteed : 0;
  return all([&] { return tables_.put("network_usage", std::uint32_t{kNetworkSlot}, *usage); },
             [&] { return tables_.put("flow_totals", std::uint32_t{0}, *totals); });
}

}  // namespace sluice::benchmark
