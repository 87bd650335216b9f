// SPDX-License-Identifier: Apache-2.0
// Single resources in a transaction: whether they may be put, and which numbers and addresses they get.
#include <sluice/abi.h>

#include <algorithm>

#include "base/text.hpp"
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

Key key_of_holder(const std::string& network, Kind kind, const std::string& name) {
  return {kind, {network, name}};
}

/// One past the last address.
std::uint64_t end_of(const Cidr4& prefix) {
  return std::uint64_t{prefix.last().value} + 1;
}

std::uint64_t size_of(const Pool& pool) {
  std::uint64_t size = 0;
  for (const Cidr4& prefix : pool.prefixes) size += end_of(prefix) - prefix.first().value;
  return size;
}

/// "all 16 addresses of pool east", of several "all 24 addresses of the pools east (16), west (8)".
std::string all_addresses_of(const std::vector<const Pool*>& pools) {
  std::uint64_t sum = 0;
  for (const Pool* pool : pools) sum += size_of(*pool);
  std::string text = "all " + std::to_string(sum) + " addresses of ";
  if (pools.size() == 1) return text + "pool " + printable(pools.front()->name);
  constexpr std::size_t kShown = 5;
  return text + "the pools " + listed(pools.size(), kShown, [&pools](std::size_t i) {
           return printable(pools[i]->name) + " (" + std::to_string(size_of(*pools[i])) + ")";
         });
}

}  // namespace

std::optional<std::string> reserved(const Network& network, Ipv4 address) {
  if (address == network.cidr4.first()) return "the network address";
  if (address == network.cidr4.last()) return "the broadcast address";
  if (address == network.router()) return "the router";
  return std::nullopt;
}

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
  const std::map<std::uint32_t, World::Holder> by_address(book.holders.begin(), book.holders.end());
  for (const auto& [value, holder] : by_address) {
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

/// From `from` on, before `end`.
std::optional<Ipv4> Editor::lowest_free(std::uint64_t from, std::uint64_t end) const {
  if (from >= end) return std::nullopt;
  const auto& taken = world_.floating_addresses_;
  for (auto next = taken.lower_bound(Ipv4{static_cast<std::uint32_t>(from)}); from < end; from++, next++) {
    if (next == taken.end() || next->first.value != from) return Ipv4{static_cast<std::uint32_t>(from)};
  }
  return std::nullopt;
}

/// On from where the last search ended, prefix by prefix and around the end: an address that was released rests until
/// all others were given.
std::optional<Ipv4> Editor::next_in_pool(const Pool& pool) const {
  const std::size_t count = pool.prefixes.size();
  std::size_t begin = 0;
  std::uint64_t from = count == 0 ? 0 : pool.prefixes.front().first().value;
  if (const auto cursor = world_.pool_cursors_.find(pool.name); cursor != world_.pool_cursors_.end()) {
    const auto in = std::ranges::find_if(pool.prefixes, [&](const Cidr4& p) { return p.contains(cursor->second); });
    if (in != pool.prefixes.end()) {
      begin = static_cast<std::size_t>(in - pool.prefixes.begin());
      from = std::uint64_t{cursor->second.value} + 1;
    }
  }
  for (std::size_t step = 0; step < count; step++) {
    const Cidr4& prefix = pool.prefixes[(begin + step) % count];
    if (const auto free = lowest_free(step == 0 ? from : prefix.first().value, end_of(prefix))) return free;
  }
  return count == 0 ? std::nullopt : lowest_free(pool.prefixes[begin].first().value, from);
}

/// Gives it an address of the pool that it names, or of the first that has one.
bool Editor::allocate(FloatingIp& floating_ip) {
  const Key key{Kind::kFloatingIp, {"", floating_ip.name}};
  const std::string wanted = floating_ip.pool;
  std::vector<const Pool*> pools;
  for (const Pool& pool : world_.capacity_.pools) {
    if (wanted.empty() || pool.name == wanted) pools.push_back(&pool);
  }
  if (pools.empty()) {
    problem(
        ErrorCode::kNotFound, key, wanted.empty() ? "address" : "pool", wanted,
        wanted.empty() ? "is missing, and no pool is configured" : "'" + printable(wanted) + "' is no configured pool",
        "give an address, or add the pool to floating_ip_pools of the daemon's configuration");
    return false;
  }
  for (const Pool* pool : pools) {
    if (full_pools_.contains(pool->name)) continue;
    const auto address = next_in_pool(*pool);
    if (!address) {
      full_pools_.insert(pool->name);
      continue;
    }
    put(pool_cursors, pool->name, *address);
    transaction_->cursor_pools_.insert(pool->name);
    floating_ip.address = *address;
    floating_ip.pool = pool->name;
    return true;
  }
  problem(ErrorCode::kExhausted, key, "pool", wanted, all_addresses_of(pools) + " are in use",
          "release a floating IP that is not used (sluicectl fip list --dangling), or add a prefix to "
          "floating_ip_pools of the daemon's configuration");
  return false;
}

void Editor::put_floating_ip(const FloatingIp& floating_ip) {
  const Key key{Kind::kFloatingIp, {"", floating_ip.name}};
  FloatingIp made = floating_ip;
  if (made.address == Ipv4{}) {
    if (!allocate(made)) return;
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
  if (full_networks_.contains(network.name)) return std::nullopt;
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
  full_networks_.insert(network.name);
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
