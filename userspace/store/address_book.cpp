// SPDX-License-Identifier: Apache-2.0
#include "store/address_book.hpp"

#include <sluice/abi.h>

#include <set>

#include "model/validate.hpp"

namespace sluice::store {
namespace {

constexpr std::uint32_t kLastId = 0xFFFFFF;  // 24 bits, 0 is the public side
constexpr std::uint32_t kLastSlot = SLUICE_MAX_NETWORK_SLOTS - 1;

std::string describe(const std::string& network, const Holder& holder) {
  const model::Name name{network, holder.name};
  return holder.kind == HolderKind::kPod ? model::describe_pod(name) : model::describe_service(name);
}

/// What one network's pods or services ask for, by name.
using Wanted = std::map<std::string_view, std::optional<Ipv4>>;

template <typename Resources>
Wanted wanted_of(const Resources& resources, const std::string& network) {
  Wanted wanted;
  for (auto found = resources.lower_bound(model::Name{network, ""});
       found != resources.end() && found->first.network == network; ++found) {
    wanted.emplace_hint(wanted.end(), found->first.name, found->second.address4);
  }
  return wanted;
}

/// Why nobody can have this address in the network; nothing if somebody can.
std::optional<std::string> reserved(const model::Network& network, Ipv4 address) {
  if (address == network.cidr4.first()) return "the network address";
  if (address == network.cidr4.last()) return "the broadcast address";
  if (address == network.router()) return "the router's address";
  return std::nullopt;
}

/// Plans one network. Reads the old book until the first change, then works on a copy.
class NetworkPlan {
 public:
  NetworkPlan(const model::Network& network, const NetworkBook* old, BookChanges& changes)
      : network_(network), old_(old), changes_(changes) {}

  Status run(const model::State& state, std::uint32_t id, std::uint32_t slot) {
    if (old_ == nullptr) {
      copy_.emplace();
      copy_->id = id;
      copy_->slot = slot;
    }
    const Wanted pods = wanted_of(state.pods, network_.name);
    const Wanted services = wanted_of(state.services, network_.name);
    // Everything is given back first: in one step a pod may take the address that another one leaves.
    free_unwanted(HolderKind::kPod, pods);
    free_unwanted(HolderKind::kService, services);
    if (Status good = check_kept(); !good) return good;
    if (Status good = take_static(HolderKind::kPod, pods); !good) return good;
    if (Status good = take_static(HolderKind::kService, services); !good) return good;
    if (Status good = take_free(HolderKind::kPod, pods); !good) return good;
    if (Status good = take_free(HolderKind::kService, services); !good) return good;
    if (copy_) changes_.changed_networks.emplace(network_.name, std::move(*copy_));
    return {};
  }

 private:
  [[nodiscard]] const NetworkBook& book() const { return copy_ ? *copy_ : *old_; }
  NetworkBook& edit() {
    if (!copy_) copy_ = *old_;
    return *copy_;
  }
  [[nodiscard]] const std::map<std::string, Ipv4>& held(HolderKind kind) const {
    return kind == HolderKind::kPod ? book().pods : book().services;
  }

  void free_unwanted(HolderKind kind, const Wanted& wanted) {
    std::vector<std::pair<std::string, Ipv4>> freed;
    auto want = wanted.begin();
    for (const auto& [name, address] : held(kind)) {  // both sorted by name
      while (want != wanted.end() && want->first < name) ++want;
      const bool stays = want != wanted.end() && want->first == name && want->second.value_or(address) == address;
      if (!stays) freed.emplace_back(name, address);
    }
    for (const auto& [name, address] : freed) {
      changes_.freed.push_back({book().id, address, {kind, name}});
      edit().free({kind, name});
    }
  }

  /// The network's prefix or router may have changed under addresses that are in use.
  Status check_kept() const {
    for (const auto& [name, address] : book().pods) {
      if (network_.cidr4.contains(address)) continue;
      return fail(ErrorCode::kPrecondition, model::describe(network_) + ": cidr4: " + network_.cidr4.text() +
                                                " does not contain " + address.text() + " of " +
                                                describe(network_.name, {HolderKind::kPod, name}) +
                                                "; keep the old CIDR, or remove the pods first");
    }
    for (const Ipv4 address : {network_.router(), network_.cidr4.first(), network_.cidr4.last()}) {
      const auto holder = book().holders.find(address.value);
      if (holder == book().holders.end()) continue;
      return fail(ErrorCode::kExists,
                  model::describe(network_) + ": " + (address == network_.router() ? "router4" : "cidr4") + ": " +
                      reserved(network_, address).value_or("") + " would be " + address.text() + ", which " +
                      describe(network_.name, holder->second) + " has; choose another one");
    }
    return {};
  }

  void take(const Holder& holder, Ipv4 address) {
    edit().take(holder, address);
    changes_.taken.push_back({book().id, address, holder});
  }

  Status take_static(HolderKind kind, const Wanted& wanted) {
    auto have = held(kind).begin();
    std::vector<std::pair<Holder, Ipv4>> missing;
    for (const auto& [name, address] : wanted) {
      while (have != held(kind).end() && have->first < name) ++have;
      if (!address || (have != held(kind).end() && have->first == name)) continue;
      missing.emplace_back(Holder{kind, std::string(name)}, *address);
    }
    for (const auto& [holder, address] : missing) {
      const std::string resource = describe(network_.name, holder);
      const auto other = book().holders.find(address.value);
      if (other != book().holders.end()) {
        return fail(ErrorCode::kExists, resource + ": address4: " + address.text() + " is taken by " +
                                            describe(network_.name, other->second) + "; choose another address");
      }
      if (const auto why = reserved(network_, address)) {
        return fail(ErrorCode::kInvalid, resource + ": address4: " + address.text() + " is " + *why + " of " +
                                             model::describe(network_) + "; choose another address");
      }
      take(holder, address);
    }
    return {};
  }

  Status take_free(HolderKind kind, const Wanted& wanted) {
    auto have = held(kind).begin();
    std::vector<Holder> missing;
    for (const auto& [name, address] : wanted) {
      while (have != held(kind).end() && have->first < name) ++have;
      if (have == held(kind).end() || have->first != name) missing.push_back({kind, std::string(name)});
    }
    for (const Holder& holder : missing) {
      const std::optional<Ipv4> address = next_free(kind);
      if (!address) {
        return fail(ErrorCode::kExhausted, describe(network_.name, holder) + ": address4: no address of " +
                                               network_.cidr4.text() + " in " + model::describe(network_) +
                                               " is free; remove pods or services, or use another network");
      }
      (kind == HolderKind::kPod ? edit().pod_cursor : edit().service_cursor) = address->value;
      take(holder, *address);
    }
    return {};
  }

  /// Pods go up from the bottom, services down from the top, each on from where the last search ended.
  [[nodiscard]] std::optional<Ipv4> next_free(HolderKind kind) const {
    const std::uint32_t lowest = network_.cidr4.first().value + 1;
    const std::uint32_t highest = network_.cidr4.last().value - 1;
    const bool up = kind == HolderKind::kPod;
    const std::uint32_t cursor = up ? book().pod_cursor : book().service_cursor;
    std::uint32_t at = cursor;
    if (at < lowest || at > highest) at = up ? highest : lowest;  // wraps to the first one at once
    for (std::uint32_t tries = highest - lowest + 1; tries > 0; tries--) {
      if (up) {
        at = at == highest ? lowest : at + 1;
      } else {
        at = at == lowest ? highest : at - 1;
      }
      if (at != network_.router().value && !book().holders.contains(at)) return Ipv4{at};
    }
    return std::nullopt;
  }

  const model::Network& network_;
  const NetworkBook* old_;
  BookChanges& changes_;
  std::optional<NetworkBook> copy_;
};

/// The next number after `cursor` in 1..last that is not in use, around the end.
std::optional<std::uint32_t> next_number(std::uint32_t cursor, std::uint32_t last,
                                         const std::set<std::uint32_t>& used) {
  if (used.size() >= last) return std::nullopt;
  std::uint32_t at = cursor;
  do {
    at = at >= last ? 1 : at + 1;
  } while (used.contains(at));
  return at;
}

/// A pod in an undeclared network would silently get nothing.
template <typename Resources>
Status check_networks_exist(const Resources& resources, const model::State& state) {
  for (auto at = resources.begin(); at != resources.end();) {
    if (!state.networks.contains(at->first.network)) {
      return fail(ErrorCode::kNotFound, model::describe(at->second) + ": network: '" + at->first.network +
                                            "' does not exist; declare a Network of that name");
    }
    at = resources.lower_bound(model::Name{at->first.network + '\0', ""});  // the first of the next network
  }
  return {};
}

}  // namespace

void NetworkBook::take(const Holder& holder, Ipv4 address) {
  of(holder.kind)[holder.name] = address;
  holders[address.value] = holder;
}

void NetworkBook::free(const Holder& holder) {
  const auto found = of(holder.kind).find(holder.name);
  if (found == of(holder.kind).end()) return;
  holders.erase(found->second.value);
  of(holder.kind).erase(found);
}

Result<BookChanges> plan(const AddressBook& book, const model::State& state) {
  if (Status good = check_networks_exist(state.pods, state); !good) return std::unexpected(good.error());
  if (Status good = check_networks_exist(state.services, state); !good) return std::unexpected(good.error());
  BookChanges changes;
  changes.id_cursor = book.id_cursor;
  changes.slot_cursor = book.slot_cursor;
  std::set<std::uint32_t> ids;
  std::set<std::uint32_t> slots;
  for (const auto& [name, network] : book.networks) {
    if (!state.networks.contains(name)) {
      changes.removed_networks.push_back(name);
      continue;
    }
    ids.insert(network.id);
    slots.insert(network.slot);
  }
  for (const auto& [name, network] : state.networks) {
    const auto old = book.networks.find(name);
    const bool fresh = old == book.networks.end();
    if (fresh) {
      const auto id = next_number(changes.id_cursor, kLastId, ids);
      const auto slot = next_number(changes.slot_cursor, kLastSlot, slots);
      if (!id || !slot) {
        return fail(ErrorCode::kExhausted, model::describe(network) + ": all " + std::to_string(kLastSlot) +
                                               " networks of a node are in use; remove one");
      }
      ids.insert(changes.id_cursor = *id);
      slots.insert(changes.slot_cursor = *slot);
    }
    NetworkPlan one(network, fresh ? nullptr : &old->second, changes);
    if (Status good = one.run(state, changes.id_cursor, changes.slot_cursor); !good) {
      return std::unexpected(good.error());
    }
  }
  return changes;
}

void apply(BookChanges&& changes, AddressBook& book) {
  for (const std::string& name : changes.removed_networks) book.networks.erase(name);
  for (auto& [name, network] : changes.changed_networks) book.networks.insert_or_assign(name, std::move(network));
  book.id_cursor = changes.id_cursor;
  book.slot_cursor = changes.slot_cursor;
}

model::Assignments assignments(const AddressBook& book) {
  model::Assignments result;
  for (const auto& [name, network] : book.networks) {
    result.network_ids.emplace_hint(result.network_ids.end(), name, network.id);
    result.network_slots.emplace_hint(result.network_slots.end(), name, network.slot);
    for (const auto& [pod, address] : network.pods) {
      result.pod_addresses.emplace_hint(result.pod_addresses.end(), model::Name{name, pod}, address);
    }
    for (const auto& [service, address] : network.services) {
      result.service_addresses.emplace_hint(result.service_addresses.end(), model::Name{name, service}, address);
    }
  }
  return result;
}

}  // namespace sluice::store
