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

/// 2^63 stands for more.
std::uint64_t size_of(const Pool& pool) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 63U;
  std::uint64_t size = 0;
  for (const Cidr4& prefix : pool.prefixes) size += std::uint64_t{1} << (32U - prefix.length);
  for (const Cidr6& prefix : pool.prefixes6) {
    const std::uint64_t more = prefix.length <= 65 ? kMost : std::uint64_t{1} << (128U - prefix.length);
    size = std::min(kMost, size + more);
  }
  return size;
}

Ipv4 successor(Ipv4 address) {
  return Ipv4{address.value + 1};
}
Ipv6 successor(Ipv6 address) {
  return address.plus(1);
}

/// The lowest address from `from` to `last`, both included, that nobody has.
template <typename Address>
std::optional<Address> lowest_free(const std::map<Address, std::string>& taken, Address from, Address last) {
  auto next = taken.lower_bound(from);
  while (from <= last) {
    if (next == taken.end() || next->first != from) return from;
    if (from == last) break;
    from = successor(from);
    ++next;
  }
  return std::nullopt;
}

/// On from where the last search ended, prefix by prefix and around the end: an address that was released rests until
/// all others were given.
template <typename Cidr, typename Address>
std::optional<Address> next_free(const std::vector<Cidr>& prefixes, const std::optional<Address>& cursor,
                                 const std::map<Address, std::string>& taken) {
  if (prefixes.empty()) return std::nullopt;
  std::size_t begin = 0;
  std::optional<Address> from = prefixes.front().first();
  if (cursor) {
    const auto in = std::ranges::find_if(prefixes, [&](const Cidr& prefix) { return prefix.contains(*cursor); });
    if (in != prefixes.end()) {
      begin = static_cast<std::size_t>(in - prefixes.begin());
      from = *cursor == in->last() ? std::nullopt : std::optional(successor(*cursor));
    }
  }
  for (std::size_t step = 0; step < prefixes.size(); step++) {
    const Cidr& prefix = prefixes[(begin + step) % prefixes.size()];
    const std::optional<Address> start = step == 0 ? from : prefix.first();
    if (!start) continue;
    if (const auto free = lowest_free(taken, *start, prefix.last())) return free;
  }
  return lowest_free(taken, prefixes[begin].first(), from ? *from : prefixes[begin].last());
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

std::optional<std::string> reserved(const Network& network, Ipv6 address) {
  if (!network.cidr6) return std::nullopt;
  if (address == network.cidr6->first()) return "the subnet-router anycast address";
  if (address == network.router6()) return "the router";
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

bool Editor::check_network_change6(const Network& network) {
  const Key key{Kind::kNetwork, {"", network.name}};
  const Network& before = world_.state_.networks.at(network.name);
  const Book& book = world_.books_.at(network.name);
  if (before.cidr6 == network.cidr6 || book.holders6.empty()) return true;
  const std::string wanted = network.cidr6 ? network.cidr6->text() : "none";
  if (!options_.recreate) {
    problem(ErrorCode::kPrecondition, key, network.cidr6 ? "cidr6" : "families", wanted,
            "the IPv6 prefix is " + before.cidr6->text() + " and cannot become " + wanted + " while " +
                std::to_string(book.holders6.size()) + " pods and services have addresses of it",
            "delete them first, or make another network");
    return false;
  }
  for (const auto& [address, holder] : book.holders6) {
    const bool inside = network.cidr6 && (holder.kind == Kind::kService || network.cidr6->contains(address));
    if (inside && !reserved(network, address)) continue;
    problem(ErrorCode::kPrecondition, key, "cidr6", wanted,
            wanted + " has no room for " + address.text() + " of " +
                describe(key_of_holder(network.name, holder.kind, holder.name)),
            "keep the old prefix, or remove it first");
    return false;
  }
  return true;
}

/// A new network gets a prefix of its own; one that is there already only if it asks for IPv6 in so many words.
bool Editor::choose_prefix6(Network& network) {
  const bool asks = network.families == Families::kDual || network.families == Families::kIpv6;
  const bool fresh = !world_.state_.networks.contains(network.name) && network.families == Families::kAll;
  if (network.cidr6 || (!asks && !fresh)) return true;
  if (world_.capacity_.ula_seed) {
    network.cidr6 = ula_prefix(*world_.capacity_.ula_seed, network.name);
  } else if (asks) {
    problem(ErrorCode::kPrecondition, {Kind::kNetwork, {"", network.name}}, "families", name(network.families),
            "IPv6 is asked for, and no prefix is given", "give cidr6, or take IPv6 out of families");
    return false;
  }
  return true;
}

void Editor::put_network(const Network& wanted) {
  Network network = wanted;
  const Key key{Kind::kNetwork, {"", network.name}};
  note_former(key);
  if (!choose_prefix6(network)) return;
  if (world_.state_.networks.contains(network.name)) {
    if (!check_network_change(network) || !check_network_change6(network)) return;
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

/// An address of each family that the pool has; nothing if one of them is used up.
std::optional<Addresses> Editor::next_in_pool(const Pool& pool) const {
  const auto cursor = world_.pool_cursors_.find(pool.name);
  const Addresses none;
  const Addresses& last = cursor == world_.pool_cursors_.end() ? none : cursor->second;
  Addresses given(next_free(pool.prefixes, last.v4, world_.floating_addresses_),
                  next_free(pool.prefixes6, last.v6, world_.floating_addresses6_));
  if (given.v4.has_value() == pool.prefixes.empty() || given.v6.has_value() == pool.prefixes6.empty()) {
    return std::nullopt;
  }
  return given;
}

/// Gives it addresses of the pool that it names, or of the first that has some.
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
    const auto addresses = next_in_pool(*pool);
    if (!addresses) {
      full_pools_.insert(pool->name);
      continue;
    }
    put(pool_cursors, pool->name, *addresses);
    transaction_->cursor_pools_.insert(pool->name);
    floating_ip.address = addresses->v4;
    floating_ip.address6 = addresses->v6;
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
  if (made.addresses().none()) {
    if (!allocate(made)) return;
  } else if (!world_.state_.floating_ips.contains(made.name)) {
    made.pool.clear();
  }
  const auto is_free = [&](std::string_view field, const auto& address, const auto& taken) {
    if (!address) return true;
    const auto holder = taken.find(*address);
    if (holder == taken.end() || holder->second == made.name) return true;
    problem(ErrorCode::kExists, key, field, address->text(),
            address->text() + " is taken by floating IP " + printable(holder->second), "choose another address");
    return false;
  };
  if (!is_free("address", made.address, world_.floating_addresses_) ||
      !is_free("address6", made.address6, world_.floating_addresses6_)) {
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
  problem(ErrorCode::kNotFound, key, "network", network, in_quotes(network) + " does not exist",
          "declare a Network of that name");
  return false;
}

/// `place`: under which `holders` has the address. A service may stand outside of the prefix.
template <typename Address, typename Prefix, typename Holders, typename Place>
bool Editor::static_address_is_free(const Key& key, std::string_view field, const Network& network, Address address,
                                    const Prefix& prefix, const Holders& holders, const Place& place) {
  const std::string of_network = " of network " + printable(network.name);
  if (key.kind == Kind::kPod && !prefix.contains(address)) {
    problem(ErrorCode::kInvalid, key, field, address.text(),
            address.text() + " is outside " + prefix.text() + of_network, "choose an address inside it");
    return false;
  }
  if (const auto why = reserved(network, address)) {
    problem(ErrorCode::kInvalid, key, field, address.text(),
            address.text() + " is " + *why + of_network + " and reserved", "choose another address");
    return false;
  }
  if (const auto holder = holders.find(place); holder != holders.end()) {
    problem(ErrorCode::kExists, key, field, address.text(),
            address.text() + " is taken by " +
                describe(key_of_holder(network.name, holder->second.kind, holder->second.name)),
            "choose another address");
    return false;
  }
  return true;
}

bool Editor::floating_ip_exists(const Service& service, const Addresses& addresses) {
  const Key key{Kind::kService, service.name};
  if (!service.floating_ip) return true;
  const auto found = world_.state_.floating_ips.find(*service.floating_ip);
  if (found == world_.state_.floating_ips.end()) {
    problem(ErrorCode::kNotFound, key, "floating_ip", *service.floating_ip,
            in_quotes(*service.floating_ip) + " does not exist", "declare a FloatingIP of that name");
    return false;
  }
  const Addresses floating = found->second.addresses();
  if (floating.of_families(addresses).none()) {
    const std::string_view has = floating.v4 ? "IPv4" : "IPv6";
    problem(ErrorCode::kInvalid, key, "floating_ip", *service.floating_ip,
            in_quotes(*service.floating_ip) + " has an " + std::string(has) + " address alone, the service " +
                (addresses.v4 ? "IPv4" : "IPv6"),
            "choose a floating IP of the service's family");
    return false;
  }
  bool free = true;
  for (const ServicePort& port : service.ports) {
    const auto holder = world_.bindings_.find({*service.floating_ip, port.protocol, port.port});
    if (holder == world_.bindings_.end() || holder->second == service.name) continue;
    const std::string number = std::to_string(port.port) + "/" + std::string(name(port.protocol));
    problem(ErrorCode::kExists, key, "ports", number,
            number + " on floating IP " + floating.text() + " is taken by " + describe_service(holder->second),
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
    if (at == network.router().value || book.holders.contains(at) || asked_.contains({network.name, Ipv4{at}}))
      continue;
    on_undo([name = network.name, before = book.cursors](World& world) { world.books_.at(name).cursors = before; });
    cursor = at;
    transaction_->cursor_networks_.insert(network.name);
    return Ipv4{at};
  }
  full_networks_.insert(network.name);
  return std::nullopt;
}

/// The same in the lowest 2^32 addresses of the prefix: more than there can be pods, and the numbers stay short.
std::optional<Ipv6> Editor::next_address6(Kind kind, const Network& network) {
  if (full_networks6_.contains(network.name)) return std::nullopt;
  Book& book = world_.books_.at(network.name);
  const unsigned bits = 128U - network.cidr6->length;
  constexpr std::uint32_t kLowest = 2;  // behind the anycast address and the router
  const std::uint32_t highest = bits >= 32 ? 0xFFFFFFFE : (1U << bits) - 1;
  const bool up = kind == Kind::kPod;
  std::uint32_t& cursor = up ? book.cursors.pod6 : book.cursors.service6;
  std::uint32_t at = cursor;
  if (at < kLowest || at > highest) at = up ? highest : kLowest;
  const std::uint64_t tries = std::min(std::uint64_t{highest - kLowest} + 1, book.holders6.size() + asked6_.size() + 2);
  for (std::uint64_t count = tries; count > 0; count--) {
    if (up) {
      at = at == highest ? kLowest : at + 1;
    } else {
      at = at == kLowest ? highest : at - 1;
    }
    const Ipv6 address = network.cidr6->first().plus(at);
    if (book.holders6.contains(address) || asked6_.contains({network.name, address})) continue;
    on_undo([name = network.name, before = book.cursors](World& world) { world.books_.at(name).cursors = before; });
    cursor = at;
    transaction_->cursor_networks_.insert(network.name);
    return address;
  }
  full_networks6_.insert(network.name);
  return std::nullopt;
}

/// kIpv4, kIpv6 or kDual; nothing, with a problem, if the network has not what is asked for.
template <typename Resource>
std::optional<Families> Editor::families_of(const Key& key, const Resource& resource, const Network& network) {
  const bool network4 = has_ipv4(network.families);
  const bool network6 = network.cidr6.has_value() && has_ipv6(network.families);
  const auto missing = [&](std::string_view family, std::string_view field, const std::string& value) {
    problem(ErrorCode::kPrecondition, key, field, value,
            "network " + printable(network.name) + " has no " + std::string(family),
            "leave it out, or add " + std::string(family) + " to the network's families");
    return std::nullopt;
  };
  const bool asks = resource.families != Families::kAll;
  if (!network4 && ((asks && has_ipv4(resource.families)) || resource.address4)) {
    return missing("IPv4", resource.address4 ? "address4" : "families",
                   resource.address4 ? resource.address4->text() : std::string(name(resource.families)));
  }
  if (!network6 && ((asks && has_ipv6(resource.families)) || resource.address6)) {
    return missing("IPv6", resource.address6 ? "address6" : "families",
                   resource.address6 ? resource.address6->text() : std::string(name(resource.families)));
  }
  if (asks) return resource.families;
  return network4 && network6 ? Families::kDual : network4 ? Families::kIpv4 : Families::kIpv6;
}

template <typename Resource>
std::optional<Addresses> Editor::choose_addresses(const Key& key, const Resource& resource, const Network& network) {
  const auto families = families_of(key, resource, network);
  if (!families) return std::nullopt;
  Addresses chosen(resource.address4, resource.address6);
  const Book& book = world_.books_.at(network.name);
  if (chosen.v4 &&
      !static_address_is_free(key, "address4", network, *chosen.v4, network.cidr4, book.holders, chosen.v4->value)) {
    return std::nullopt;
  }
  if (chosen.v6 &&
      !static_address_is_free(key, "address6", network, *chosen.v6, *network.cidr6, book.holders6, *chosen.v6)) {
    return std::nullopt;
  }
  const auto exhausted = [&](std::string_view field, const std::string& prefix) {
    problem(ErrorCode::kExhausted, key, field, "",
            "no address of " + prefix + " in network " + printable(network.name) + " is free",
            "remove pods or services, or use another network");
    return std::nullopt;
  };
  if (!chosen.v4 && has_ipv4(*families)) {
    chosen.v4 = next_address(key.kind, network);
    if (!chosen.v4) return exhausted("address4", network.cidr4.text());
  }
  if (!chosen.v6 && has_ipv6(*families)) {
    chosen.v6 = next_address6(key.kind, network);
    if (!chosen.v6) return exhausted("address6", network.cidr6->text());
  }
  return chosen;
}

/// `with_static_address`: whether this is the pass for those that ask for an address, or hold one already.
template <typename Resource>
void Editor::put_in_network(const Resource& resource, bool with_static_address) {
  constexpr bool kIsPod = std::is_same_v<Resource, Pod>;
  const Key key{kIsPod ? Kind::kPod : Kind::kService, resource.name};
  const auto& addresses = kIsPod ? world_.assignments_.pod_addresses : world_.assignments_.service_addresses;
  const auto held = addresses.find(resource.name);
  const bool has_address = held != addresses.end() || resource.address4 || resource.address6;
  if (has_address != with_static_address || !network_exists(key, resource.name.network)) return;
  const Network& network = world_.state_.networks.at(resource.name.network);
  const std::optional<Addresses> chosen =
      held != addresses.end() ? std::optional(held->second) : choose_addresses(key, resource, network);
  if (!chosen) return;
  if constexpr (!kIsPod) {
    if (!floating_ip_exists(resource, *chosen)) return;
  }
  note_former(key);
  if constexpr (kIsPod) {
    insert_pod(resource, *chosen);
  } else {
    insert_service(resource, *chosen);
  }
}

template void Editor::put_in_network(const Pod&, bool);
template void Editor::put_in_network(const Service&, bool);

}  // namespace sluice::model
