// SPDX-License-Identifier: Apache-2.0
// Single resources in a transaction: what they hold is taken and given back here.
#include <sluice/abi.h>

#include <algorithm>

#include "model/editor.hpp"
#include "model/names.hpp"
#include "model/validate.hpp"

namespace sluice::model {
namespace {

constexpr std::uint32_t kLastId = 0xFFFFFF;
constexpr std::uint32_t kLastSlot = SLUICE_MAX_NETWORK_SLOTS - 1;

/// The next number after `cursor` in 1..last that is not in use, around the end; nothing if all are.
std::optional<std::uint32_t> next_number(std::uint32_t cursor, std::uint32_t last,
                                         const std::set<std::uint32_t>& used) {
  if (used.size() >= last) return std::nullopt;
  std::uint32_t at = cursor;
  do {
    at = at >= last ? 1 : at + 1;
  } while (used.contains(at));
  return at;
}

/// What the address is for the network, if it cannot be anybody's.
std::optional<std::string> reserved(const Network& network, Ipv4 address) {
  if (address == network.cidr4.first()) return "the network address";
  if (address == network.cidr4.last()) return "the broadcast address";
  if (address == network.router()) return "the router";
  return std::nullopt;
}

Key key_of_holder(const std::string& network, Kind kind, const std::string& name) {
  return {kind, {network, name}};
}

}  // namespace

// The maps of a World, as put() and erase() want them.
#define SLUICE_MAP(member) [](World& world) -> auto& { return world.member; }

void Editor::note_former(const Key& key) {
  if (transaction_ == nullptr) return;
  if (!transaction_->keys_.insert(key).second) return;
  Change& change = transaction_->change_;
  const State& state = world_.state_;
  const Assignments& assignments = world_.assignments_;
  const Name& name = key.name;
  switch (key.kind) {
    case Kind::kNetwork: {
      auto& former = change.networks[name.name];
      if (const auto found = state.networks.find(name.name); found != state.networks.end()) {
        former = FormerNetwork{found->second, assignments.network_ids.at(name.name),
                               assignments.network_slots.at(name.name)};
      }
      break;
    }
    case Kind::kFloatingIp: {
      auto& former = change.floating_ips[name.name];
      if (const auto found = state.floating_ips.find(name.name); found != state.floating_ips.end())
        former = found->second;
      break;
    }
    case Kind::kNode:
      break;  // no table comes from a node yet
    case Kind::kPod: {
      auto& former = change.pods[name];
      if (const auto found = state.pods.find(name); found != state.pods.end())
        former = FormerPod{found->second, assignments.pod_addresses.at(name)};
      break;
    }
    case Kind::kService: {
      auto& former = change.services[name];
      if (const auto found = state.services.find(name); found != state.services.end())
        former = FormerService{found->second, assignments.service_addresses.at(name)};
      break;
    }
  }
}

// ---- insert: no rule is looked at
// ------------------------------------------------------------------------------------

void Editor::insert_network(const Network& network, std::uint32_t id, std::uint32_t slot) {
  const std::string& name = network.name;
  if (const auto before = world_.state_.networks.find(name); before != world_.state_.networks.end()) {
    world_.guaranteed_ -= before->second.guaranteed_flows;
    on_undo([amount = before->second.guaranteed_flows](World& world) { world.guaranteed_ += amount; });
  } else {
    world_.ids_.insert(id);
    world_.slots_.insert(slot);
    on_undo([id, slot](World& world) {
      world.ids_.erase(id);
      world.slots_.erase(slot);
    });
    put(SLUICE_MAP(assignments_.network_ids), name, id);
    put(SLUICE_MAP(assignments_.network_slots), name, slot);
    put(SLUICE_MAP(books_), name, Book{});
  }
  world_.guaranteed_ += network.guaranteed_flows;
  on_undo([amount = network.guaranteed_flows](World& world) { world.guaranteed_ -= amount; });
  put(SLUICE_MAP(state_.networks), name, network);
}

void Editor::insert_floating_ip(const FloatingIp& floating_ip) {
  put(SLUICE_MAP(state_.floating_ips), floating_ip.name, floating_ip);
  put(SLUICE_MAP(floating_addresses_), floating_ip.address, floating_ip.name);
}

void Editor::insert_node(const Node& node) {
  put(SLUICE_MAP(state_.nodes), node.name, node);
}

void Editor::insert_pod(const Pod& pod, Ipv4 address) {
  const std::string network = pod.name.network;
  if (!world_.state_.pods.contains(pod.name)) {
    world_.books_.at(network).pods++;
    on_undo([network](World& world) { world.books_.at(network).pods--; });
    put([network](World& world) -> auto& { return world.books_.at(network).holders; }, address.value,
        Holder{Kind::kPod, pod.name.name});
    put(SLUICE_MAP(assignments_.pod_addresses), pod.name, address);
  }
  put(SLUICE_MAP(state_.pods), pod.name, pod);
}

void Editor::insert_service(const Service& service, Ipv4 address) {
  const std::string network = service.name.network;
  if (!world_.state_.services.contains(service.name)) {
    world_.books_.at(network).services++;
    on_undo([network](World& world) { world.books_.at(network).services--; });
    put([network](World& world) -> auto& { return world.books_.at(network).holders; }, address.value,
        Holder{Kind::kService, service.name.name});
    put(SLUICE_MAP(assignments_.service_addresses), service.name, address);
  }
  put(SLUICE_MAP(state_.services), service.name, service);
  if (!service.floating_ip) return;
  const std::string& floating_ip = *service.floating_ip;
  if (world_.users_[floating_ip].insert(service.name).second) {
    on_undo([floating_ip, name = service.name](World& world) { world.users_[floating_ip].erase(name); });
  }
  for (const ServicePort& port : service.ports) {
    put(SLUICE_MAP(bindings_), World::Binding{floating_ip, port.protocol, port.port}, service.name);
  }
}

// ---- take away
// -------------------------------------------------------------------------------------------------------

void Editor::remove_network(const std::string& name) {
  const Key key{Kind::kNetwork, {"", name}};
  const Book& book = world_.books_.at(name);
  if (book.pods + book.services != 0) {
    problem(ErrorCode::kPrecondition, key, "name", name,
            "has " + std::to_string(book.pods) + " pods and " + std::to_string(book.services) + " services",
            "delete them first, or ask for it: sluicectl delete network " + name + " --cascade");
    return;
  }
  note_former(key);
  const std::uint32_t id = world_.assignments_.network_ids.at(name);
  const std::uint32_t slot = world_.assignments_.network_slots.at(name);
  world_.ids_.erase(id);
  world_.slots_.erase(slot);
  const std::uint32_t amount = world_.state_.networks.at(name).guaranteed_flows;
  world_.guaranteed_ -= amount;
  on_undo([id, slot, amount](World& world) {
    world.ids_.insert(id);
    world.slots_.insert(slot);
    world.guaranteed_ += amount;
  });
  erase(SLUICE_MAP(assignments_.network_ids), name);
  erase(SLUICE_MAP(assignments_.network_slots), name);
  erase(SLUICE_MAP(books_), name);
  erase(SLUICE_MAP(state_.networks), name);
}

void Editor::remove_floating_ip(const std::string& name) {
  note_former({Kind::kFloatingIp, {"", name}});
  const Ipv4 address = world_.state_.floating_ips.at(name).address;
  erase(SLUICE_MAP(floating_addresses_), address);
  erase(SLUICE_MAP(state_.floating_ips), name);
}

void Editor::unbind(const Service& service) {
  if (!service.floating_ip) return;
  const std::string floating_ip = *service.floating_ip;
  for (const ServicePort& port : service.ports) {
    const World::Binding binding{floating_ip, port.protocol, port.port};
    const auto found = world_.bindings_.find(binding);
    if (found != world_.bindings_.end() && found->second == service.name) erase(SLUICE_MAP(bindings_), binding);
  }
  if (world_.users_[floating_ip].erase(service.name) != 0) {
    on_undo([floating_ip, name = service.name](World& world) { world.users_[floating_ip].insert(name); });
  }
}

void Editor::remove_in_network(const Key& key) {
  note_former(key);
  const std::string network = key.name.network;
  const bool pod = key.kind == Kind::kPod;
  auto& addresses = pod ? world_.assignments_.pod_addresses : world_.assignments_.service_addresses;
  const Ipv4 address = addresses.at(key.name);
  erase([network](World& world) -> auto& { return world.books_.at(network).holders; }, address.value);
  if (pod) {
    world_.books_.at(network).pods--;
    on_undo([network](World& world) { world.books_.at(network).pods++; });
    erase(SLUICE_MAP(assignments_.pod_addresses), key.name);
    erase(SLUICE_MAP(state_.pods), key.name);
  } else {
    unbind(Service(world_.state_.services.at(key.name)));
    world_.books_.at(network).services--;
    on_undo([network](World& world) { world.books_.at(network).services++; });
    erase(SLUICE_MAP(assignments_.service_addresses), key.name);
    erase(SLUICE_MAP(state_.services), key.name);
  }
}

// ---- put
// -------------------------------------------------------------------------------------------------------------

/// The network's prefix or router may change under addresses that are in use.
bool Editor::check_network_change(const Network& network) {
  const Key key{Kind::kNetwork, {"", network.name}};
  const Network& before = world_.state_.networks.at(network.name);
  const Book& book = world_.books_.at(network.name);
  if (before.cidr4 == network.cidr4 && before.router() == network.router()) return true;
  if (book.pods + book.services != 0 && !options_.recreate) {
    const bool cidr = before.cidr4 != network.cidr4;
    problem(ErrorCode::kPrecondition, key, cidr ? "cidr4" : "router4",
            cidr ? network.cidr4.text() : network.router().text(),
            "is " + (cidr ? before.cidr4.text() : before.router().text()) +
                " and cannot change while the network has " + std::to_string(book.pods) + " pods and " +
                std::to_string(book.services) + " services",
            "delete them first, or make another network");
    return false;
  }
  for (const auto& [value, holder] : book.holders) {
    const Ipv4 address{value};
    if (const auto why = reserved(network, address)) {
      problem(ErrorCode::kExists, key, address == network.router() ? "router4" : "cidr4", address.text(),
              *why + " would be " + address.text() + ", which " +
                  describe(key_of_holder(network.name, holder.kind, holder.name)) + " has",
              "choose another one");
      return false;
    }
    if (holder.kind == Kind::kService || network.cidr4.contains(address)) continue;
    problem(ErrorCode::kPrecondition, key, "cidr4", network.cidr4.text(),
            network.cidr4.text() + " does not contain " + address.text() + " of " +
                describe(key_of_holder(network.name, holder.kind, holder.name)),
            "keep the old CIDR, or remove the pods first");
    return false;
  }
  return true;
}

void Editor::put_network(const Network& network) {
  const Key key{Kind::kNetwork, {"", network.name}};
  note_former(key);
  if (world_.state_.networks.contains(network.name)) {
    if (!check_network_change(network)) return;
    insert_network(network, 0, 0);
    return;
  }
  const auto id = next_number(world_.cursors_.id, kLastId, world_.ids_);
  const auto slot = next_number(world_.cursors_.slot, kLastSlot, world_.slots_);
  if (!id || !slot) {
    problem(ErrorCode::kExhausted, key, "name", network.name,
            "all " + std::to_string(kLastSlot) + " networks of a node are in use", "remove one");
    return;
  }
  on_undo([before = world_.cursors_](World& world) { world.cursors_ = before; });
  world_.cursors_ = {*id, *slot};
  insert_network(network, *id, *slot);
}

std::optional<Ipv4> Editor::next_pool_address(const FloatingIp& floating_ip, std::string& pool) {
  for (const Pool& candidate : world_.capacity_.pools) {
    if (!floating_ip.pool.empty() && candidate.name != floating_ip.pool) continue;
    for (const Cidr4& prefix : candidate.prefixes) {
      std::uint32_t at = prefix.first().value;
      while (true) {
        if (!world_.floating_addresses_.contains(Ipv4{at})) {
          pool = candidate.name;
          return Ipv4{at};
        }
        if (at == prefix.last().value) break;
        at++;
      }
    }
  }
  return std::nullopt;
}

void Editor::put_floating_ip(const FloatingIp& floating_ip) {
  const Key key{Kind::kFloatingIp, {"", floating_ip.name}};
  FloatingIp made = floating_ip;
  if (made.address == Ipv4{}) {
    const bool known = made.pool.empty() || std::ranges::any_of(world_.capacity_.pools, [&](const Pool& pool) {
                         return pool.name == made.pool;
                       });
    if (!known || world_.capacity_.pools.empty()) {
      problem(ErrorCode::kNotFound, key, made.pool.empty() ? "address" : "pool", made.pool,
              made.pool.empty() ? "is missing, and no pool is configured"
                                : "'" + printable(made.pool) + "' is no configured pool",
              "give an address, or add the pool to floating_ip_pools of the daemon's configuration");
      return;
    }
    const auto address = next_pool_address(floating_ip, made.pool);
    if (!address) {
      problem(ErrorCode::kExhausted, key, "pool", floating_ip.pool, "no address of the pool is free",
              "release a floating IP that is not used (sluicectl fip list --dangling), or enlarge the pool");
      return;
    }
    made.address = *address;
  } else if (!world_.state_.floating_ips.contains(made.name)) {
    made.pool.clear();
  }
  const auto holder = world_.floating_addresses_.find(made.address);
  if (holder != world_.floating_addresses_.end() && holder->second != made.name) {
    problem(ErrorCode::kExists, key, "address", made.address.text(),
            made.address.text() + " is taken by floating IP " + printable(holder->second), "choose another address");
    return;
  }
  note_former(key);
  insert_floating_ip(made);
}

void Editor::put_node(const Node& node) {
  note_former({Kind::kNode, {"", node.name}});
  insert_node(node);
}

bool Editor::network_exists(const Key& key, const std::string& network) {
  if (world_.state_.networks.contains(network)) return true;
  problem(ErrorCode::kNotFound, key, "network", network, quoted(network) + " does not exist",
          "declare a Network of that name");
  return false;
}

bool Editor::static_address_is_free(const Key& key, const Network& network, Ipv4 address) {
  const std::string place = " of network " + printable(network.name);
  if (key.kind == Kind::kPod && !network.cidr4.contains(address)) {
    problem(ErrorCode::kInvalid, key, "address4", address.text(),
            address.text() + " is outside " + network.cidr4.text() + place, "choose an address inside it");
    return false;
  }
  if (const auto why = reserved(network, address)) {
    problem(ErrorCode::kInvalid, key, "address4", address.text(),
            address.text() + " is " + *why + place + " and reserved", "choose another address");
    return false;
  }
  const auto& holders = world_.books_.at(network.name).holders;
  if (const auto holder = holders.find(address.value); holder != holders.end()) {
    problem(ErrorCode::kExists, key, "address4", address.text(),
            address.text() + " is taken by " +
                describe(key_of_holder(network.name, holder->second.kind, holder->second.name)),
            "choose another address");
    return false;
  }
  return true;
}

bool Editor::floating_ip_exists(const Service& service) {
  const Key key{Kind::kService, service.name};
  if (!service.floating_ip) return true;
  const auto found = world_.state_.floating_ips.find(*service.floating_ip);
  if (found == world_.state_.floating_ips.end()) {
    problem(ErrorCode::kNotFound, key, "floating_ip", *service.floating_ip,
            quoted(*service.floating_ip) + " does not exist", "declare a FloatingIP of that name");
    return false;
  }
  bool free = true;
  for (const ServicePort& port : service.ports) {
    const auto holder = world_.bindings_.find({*service.floating_ip, port.protocol, port.port});
    if (holder == world_.bindings_.end() || holder->second == service.name) continue;
    const std::string number = std::to_string(port.port) + "/" + std::string(name(port.protocol));
    problem(
        ErrorCode::kExists, key, "ports", number,
        number + " on floating IP " + found->second.address.text() + " is taken by " + describe_service(holder->second),
        "choose another port or floating IP");
    free = false;
  }
  return free;
}

/// Pods go up from the bottom, services down from the top, each on from where the last search ended.
std::optional<Ipv4> Editor::next_address(Kind kind, const Network& network) {
  Book& book = world_.books_.at(network.name);
  const std::uint32_t lowest = network.cidr4.first().value + 1;
  const std::uint32_t highest = network.cidr4.last().value - 1;
  const bool up = kind == Kind::kPod;
  std::uint32_t& cursor = up ? book.cursors.pod : book.cursors.service;
  std::uint32_t at = cursor;
  if (at < lowest || at > highest) at = up ? highest : lowest;  // wraps to the first one at once
  for (std::uint32_t tries = highest - lowest + 1; tries > 0; tries--) {
    if (up) {
      at = at == highest ? lowest : at + 1;
    } else {
      at = at == lowest ? highest : at - 1;
    }
    if (at == network.router().value || book.holders.contains(at)) continue;
    on_undo([name = network.name, before = book.cursors](World& world) { world.books_.at(name).cursors = before; });
    cursor = at;
    transaction_->cursor_networks_.insert(network.name);
    return Ipv4{at};
  }
  return std::nullopt;
}

/// `with_static_address`: whether this is the pass for those that ask for an address, or hold one already.
template <typename Resource>
void Editor::put_in_network(const Resource& resource, bool with_static_address) {
  constexpr bool kIsPod = std::is_same_v<Resource, Pod>;
  const Key key{kIsPod ? Kind::kPod : Kind::kService, resource.name};
  const auto& addresses = kIsPod ? world_.assignments_.pod_addresses : world_.assignments_.service_addresses;
  const auto held = addresses.find(resource.name);
  const bool has_address = held != addresses.end() || resource.address4.has_value();
  if (has_address != with_static_address || !network_exists(key, resource.name.network)) return;
  const Network& network = world_.state_.networks.at(resource.name.network);
  std::optional<Ipv4> address = resource.address4;
  if (held != addresses.end()) {
    address = held->second;
  } else if (address && !static_address_is_free(key, network, *address)) {
    return;
  }
  if constexpr (!kIsPod) {
    if (!floating_ip_exists(resource)) return;
  }
  if (!address) address = next_address(key.kind, network);
  if (!address) {
    problem(ErrorCode::kExhausted, key, "address4", "",
            "no address of " + network.cidr4.text() + " in network " + printable(network.name) + " is free",
            "remove pods or services, or use another network");
    return;
  }
  note_former(key);
  if constexpr (kIsPod) {
    insert_pod(resource, *address);
  } else {
    insert_service(resource, *address);
  }
}

template void Editor::put_in_network(const Pod&, bool);
template void Editor::put_in_network(const Service&, bool);

}  // namespace sluice::model
