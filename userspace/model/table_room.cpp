// SPDX-License-Identifier: Apache-2.0
#include "model/table_room.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <set>
#include <string_view>

#include "model/ring_size.hpp"
#include "model/selection.hpp"
#include "model/validate.hpp"

namespace sluice::model {
namespace {

using Region = ServiceRoom::Region;

/// ICMP echo has a frontend and backends of its own.
constexpr std::uint32_t kEchoHolder = 1U << 16;

/// One of the shared tables, as a message names it.
struct Table {
  std::uint64_t TableElements::* elements;
  std::uint64_t TableSizes::* size;
  std::string_view field;  ///< of a service: what asks for it
  std::string_view what;
  std::string_view remedy;
  bool in_regions;  ///< other contents, fewer ones too, need other elements
};
constexpr std::array<Table, 3> kTables = {{
    {&TableElements::service_port_slots, &TableSizes::service_port_slots, "ports", "service port slots",
     "remove services or ports", false},
    {&TableElements::backends, &TableSizes::backends, "selector", "backend elements",
     "remove pods or services, or raise backend_arena of the daemon's configuration", true},
    {&TableElements::ring_blocks, &TableSizes::ring_blocks, "selector", "ring blocks",
     "remove pods or services, or raise ring_arena of the daemon's configuration", true},
}};

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  return hash ^ (value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2));
}

constexpr std::uint32_t kSixHolder = 1U << 17;

std::uint32_t holder_of(const ServicePort& port, bool six) {
  return std::uint32_t{port.port} | static_cast<std::uint32_t>(port.protocol) << 24 | (six ? kSixHolder : 0);
}

bool has(const Addresses& addresses, bool six) {
  return six ? addresses.v6.has_value() : addresses.v4.has_value();
}

/// The size of all in `regions` that are not in `others`.
std::uint64_t size_without(const std::vector<Region>& regions, const std::vector<Region>& others) {
  std::uint64_t size = 0;
  for (const Region& region : regions) {
    if (std::ranges::find(others, region) == others.end()) size += region.size;
  }
  return size;
}

/// What `room` needs that is not in `other` already.
TableElements difference(const ServiceRoom& room, const ServiceRoom& other) {
  const std::uint64_t slots = room.sum.service_port_slots;
  return {.service_port_slots = slots - std::min(slots, other.sum.service_port_slots),
          .backends = size_without(room.backends, other.backends),
          .ring_blocks = size_without(room.rings, other.rings)};
}

/// Of those that may be refused the one that asks for the most of a table; nothing if none asks for any.
const Name* greediest(const TableRoom::Step& step, const Table& table) {
  const Name* greediest = nullptr;
  std::uint64_t most = 0;
  for (const auto& [name, service] : step.services) {
    if (service.added.*table.elements <= most || (table.in_regions && service.fewer_backends)) continue;
    greediest = &name;
    most = service.added.*table.elements;
  }
  return greediest;
}

bool same_backend(const FormerPod& before, const Pod& now, const Addresses& addresses) {
  const Pod& pod = before.pod;
  return pod.labels == now.labels && pod.ports == now.ports && pod.weight == now.weight &&
         has(before.addresses, false) == has(addresses, false) && has(before.addresses, true) == has(addresses, true);
}

}  // namespace

TableRoom::TableRoom(const TableSizes& sizes, const State& state, const Assignments& assignments)
    : sizes_(sizes), index_(state) {
  for (const auto& [name, service] : state.services) set(name, room_of(state, assignments, service));
}

std::vector<const Pod*> TableRoom::selected(const State& state, const Service& service) const {
  std::vector<const Pod*> pods;
  const Index::Names* names = index_.pods(service.name.network, service.selector);
  if (names == nullptr) return pods;
  for (const std::string& name : *names) {
    const Pod& pod = state.pods.at({service.name.network, name});
    if (matches(pod.labels, service.selector)) pods.push_back(&pod);
  }
  return pods;
}

/// As compile/ places them: a port has backends and, if there are many, a ring; a floating IP shares both.
void TableRoom::add_port(const ServicePort& port, bool six, const std::vector<const Pod*>& pods,
                         ServiceRoom& room) const {
  std::vector<RingMember> members;
  Region backends{.holder = holder_of(port, six)};
  for (const Pod* pod : pods) {
    const auto target = target_port(port, *pod);
    if (!target) continue;
    members.push_back({0, pod->weight});
    backends.contents = mixed(mixed(backends.contents, std::hash<std::string>{}(pod->name.name)), *target);
  }
  backends.size = members.size();
  room.add(backends);
  simplify_weights(members);
  Region ring = backends;
  for (const RingMember& member : members) ring.contents = mixed(ring.contents, member.weight);
  // That it may be larger, because it was, is between it and the tables.
  if (const auto size = required_ring_size(members, sizes_.slots_per_backend, 0)) {
    ring.size = ring_blocks(*size);
    room.add_ring(ring);
  } else {
    room.too_large = size.error().message;
  }
}

/// Echo has a frontend of its own, and its own backends, which are those of the first port.
void TableRoom::add_family(const State& state, const Service& service, bool six, const std::vector<const Pod*>& pods,
                           ServiceRoom& room) const {
  for (const ServicePort& port : service.ports) add_port(port, six, pods, room);
  const auto first = std::ranges::find(room.backends, holder_of(service.ports.front(), six), &Region::holder);
  if (first != room.backends.end()) {
    Region echo = *first;
    echo.holder = kEchoHolder | (six ? kSixHolder : 0);
    room.add(echo);
  }
  bool floating = false;
  if (service.floating_ip) {
    const auto found = state.floating_ips.find(*service.floating_ip);
    floating = found != state.floating_ips.end() && has(found->second.addresses(), six);
  }
  room.sum.service_port_slots += service.ports.size() * (floating ? 2 : 1) + 1;
}

ServiceRoom TableRoom::room_of(const State& state, const Assignments& assignments, const Service& service) const {
  ServiceRoom room;
  if (service.ports.empty()) return room;
  const Addresses& addresses = assignments.service_addresses.at(service.name);
  const std::vector<const Pod*> pods = selected(state, service);
  for (const bool six : {false, true}) {
    if (!has(addresses, six)) continue;
    std::vector<const Pod*> backends;
    std::ranges::copy_if(pods, std::back_inserter(backends),
                         [&](const Pod* pod) { return has(assignments.pod_addresses.at(pod->name), six); });
    add_family(state, service, six, backends, room);
  }
  return room;
}

/// Gives what stood there before.
std::optional<ServiceRoom> TableRoom::set(const Name& name, std::optional<ServiceRoom> room) {
  std::optional<ServiceRoom> former;
  if (auto found = services_.extract(name); !found.empty()) former = std::move(found.mapped());
  for (const Table& table : kTables) {
    if (former) sum_.*table.elements -= former->sum.*table.elements;
    if (room) sum_.*table.elements += room->sum.*table.elements;
  }
  if (room) services_.emplace(name, std::move(*room));
  return former;
}

TableRoom::Step TableRoom::take(const State& state, const Assignments& assignments, const Change& change) {
  index_.update(state, change);
  std::set<Name> touched;
  for (const auto& [name, former] : change.services) touched.insert(name);
  for (const auto& [name, former] : change.floating_ips) {
    const std::set<Name>* bound = index_.bound_to(name);
    if (former && bound != nullptr) touched.insert(bound->begin(), bound->end());
  }
  for (const auto& [name, former] : change.pods) {
    const auto now = state.pods.find(name);
    const bool exists = now != state.pods.end();
    if (former && exists && same_backend(*former, now->second, assignments.pod_addresses.at(name))) continue;
    if (former) index_.find_services(state, name.network, former->pod.labels, touched);
    if (exists) index_.find_services(state, name.network, now->second.labels, touched);
  }
  Step step;
  for (const Name& name : touched) {
    ServiceRoom now;
    const auto service = state.services.find(name);
    const bool exists = service != state.services.end();
    if (exists) now = room_of(state, assignments, service->second);
    std::optional<ServiceRoom> former = set(name, exists ? std::optional(now) : std::nullopt);
    const ServiceRoom before = former.value_or(ServiceRoom{});
    const TableElements replaced = difference(before, now);
    step.replaced.backends += replaced.backends;  // a slot is free for others at once
    step.replaced.ring_blocks += replaced.ring_blocks;
    const bool fewer = !exists || now.sum.backends < before.sum.backends;
    step.services.emplace(name, Step::Service{std::move(former), difference(now, before), fewer});
  }
  return step;
}

void TableRoom::take_back(const State& state, const Change& change, Step step) {
  for (auto& [name, service] : step.services) set(name, std::move(service.former));
  index_.take_back(state, change);
}

void TableRoom::judge(const Step& step, Problems& problems) const {
  for (const auto& [name, service] : step.services) {
    if (service.added.backends == 0 || service.fewer_backends) continue;
    const std::string& why = services_.at(name).too_large;
    if (!why.empty()) problems.add(ErrorCode::kExhausted, describe_service(name), "selector", why);
  }
  for (const Table& table : kTables) {
    const std::uint64_t replaced = step.replaced.*table.elements;
    const std::uint64_t needed = sum_.*table.elements + replaced;
    if (needed <= sizes_.*table.size) continue;
    const Name* service = greediest(step, table);
    if (service == nullptr) continue;
    const std::string takes = std::to_string(services_.at(*service).sum.*table.elements);
    std::string text =
        "takes " + takes + ' ' + std::string(table.what) + ", all services together " + std::to_string(needed);
    if (replaced != 0) text += " (" + std::to_string(replaced) + " of them until what replaces them is there)";
    text += ", but the tables have " + std::to_string(sizes_.*table.size) + "; " + std::string(table.remedy);
    problems.add(ErrorCode::kExhausted, describe_service(*service), table.field, text, takes);
  }
}

}  // namespace sluice::model
