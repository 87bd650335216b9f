// SPDX-License-Identifier: Apache-2.0
// The order of a transaction: judge each resource by itself, take away, put, then judge the whole.
#include "model/editor.hpp"

#include <algorithm>
#include <functional>

#include "base/text.hpp"
#include "model/names.hpp"
#include "model/validate.hpp"

namespace sluice::model {

void Editor::problem(ErrorCode code, const Key& key, std::string_view field, std::string_view value,
                     const std::string& text, const std::string& remedy) {
  problems_.add(code, describe(key), field, text + "; " + remedy, value);
}

/// Deleting a network by cascade is deleting what is in it.
void Editor::expand_cascade(std::vector<Edit>& edits) {
  if (!options_.cascade) return;
  std::set<Key> named;
  for (const Edit& edit : edits) named.insert(edit.key);
  std::vector<Edit> more;
  const auto add_all = [&](const auto& resources, Kind kind, const std::string& network) {
    for (auto it = resources.lower_bound(Name{network, ""}); it != resources.end() && it->first.network == network;
         ++it) {
      const Key key{kind, it->first};
      if (!named.contains(key)) more.push_back({key, std::nullopt});
    }
  };
  for (const Edit& edit : edits) {
    if (edit.resource || edit.key.kind != Kind::kNetwork) continue;
    add_all(world_.state_.pods, Kind::kPod, edit.key.name.name);
    add_all(world_.state_.services, Kind::kService, edit.key.name.name);
  }
  edits.insert(edits.end(), more.begin(), more.end());
}

/// The network `default` is made on first use.
void Editor::add_default_network(std::vector<Edit>& edits) const {
  const std::string name(kDefaultNetwork);
  if (world_.state_.networks.contains(name)) return;
  bool used = false;
  for (const Edit& edit : edits) {
    if (edit.key == Key{Kind::kNetwork, {"", name}}) return;
    used = used || (edit.resource && edit.key.name.network == name);
  }
  if (!used) return;
  Network network;
  network.name = name;
  edits.push_back({{Kind::kNetwork, {"", name}}, Resource(std::move(network))});
}

void Editor::check_each(const std::vector<Edit>& edits) {
  std::set<Key> seen;
  for (const Edit& edit : edits) {
    if (problems_.full()) return;
    if (!seen.insert(edit.key).second) {
      problem(ErrorCode::kInvalid, edit.key, "name", edit.key.name.text(), "stands twice in one change",
              "name each resource once");
    }
    if (edit.resource) {
      const Key named = key_of(*edit.resource);
      if (named != edit.key) {
        problem(ErrorCode::kInvalid, edit.key, "name", named.name.text(), "holds " + describe(named),
                "give each resource under its own name");
      }
      check(*edit.resource, problems_);
    } else if (!world_.find(edit.key)) {
      problem(ErrorCode::kNotFound, edit.key, "name", edit.key.name.text(), "does not exist",
              "see what there is: sluicectl get");
    }
  }
}

/// What a put must know of the resource as it is: kept addresses, and what makes it a new one.
void Editor::settle_before(Edit& edit, std::vector<Key>& removed) {
  if (!edit.resource) {
    removed.push_back(edit.key);
    return;
  }
  const std::optional<Resource> before = world_.find(edit.key);
  if (!before) return;
  const auto settle_addresses = [&](const auto& resource, const Addresses& held) {
    const auto has = [](const auto& address) { return address ? address->text() : std::string("none"); };
    const auto wanted = resource.families;
    if (resource.address4 && resource.address4 != held.v4) {
      immutable(edit.key, "address4", has(held.v4), resource.address4->text(), removed);
    } else if (resource.address6 && resource.address6 != held.v6) {
      immutable(edit.key, "address6", has(held.v6), resource.address6->text(), removed);
    } else if (wanted != Families::kAll &&
               (has_ipv4(wanted) != held.v4.has_value() || has_ipv6(wanted) != held.v6.has_value())) {
      const Families now = !held.v6 ? Families::kIpv4 : !held.v4 ? Families::kIpv6 : Families::kDual;
      immutable(edit.key, "families", std::string(name(now)), std::string(name(wanted)), removed);
    }
  };
  if (auto* floating_ip = std::get_if<FloatingIp>(&*edit.resource)) {
    settle_floating_ip(*floating_ip, std::get<FloatingIp>(*before), removed);
  } else if (auto* network = std::get_if<Network>(&*edit.resource)) {
    if (!network->cidr6 && has_ipv6(network->families)) network->cidr6 = std::get<Network>(*before).cidr6;
  } else if (const auto* pod = std::get_if<Pod>(&*edit.resource)) {
    settle_addresses(*pod, world_.assignments_.pod_addresses.at(pod->name));
  } else if (const auto* service = std::get_if<Service>(&*edit.resource)) {
    settle_addresses(*service, world_.assignments_.service_addresses.at(service->name));
  }
}

/// A field that a resource has for life is asked to be another one.
void Editor::immutable(const Key& key, std::string_view field, const std::string& held, const std::string& wanted,
                       std::vector<Key>& removed) {
  if (options_.recreate) {
    removed.push_back(key);
    return;
  }
  problem(ErrorCode::kPrecondition, key, field, wanted, "is " + held + " for life and cannot become " + wanted,
          "delete the resource and make it anew, or leave the field out");
}

/// An address of the other family may be added; what is left out stays.
void Editor::settle_floating_ip(FloatingIp& floating_ip, const FloatingIp& held, std::vector<Key>& removed) {
  const Key key{Kind::kFloatingIp, {"", floating_ip.name}};
  const auto differs = [](const auto& wanted, const auto& has) { return wanted && has && *wanted != *has; };
  if (differs(floating_ip.address, held.address)) {
    return immutable(key, "address", held.address->text(), floating_ip.address->text(), removed);
  }
  if (differs(floating_ip.address6, held.address6)) {
    return immutable(key, "address6", held.address6->text(), floating_ip.address6->text(), removed);
  }
  if (floating_ip.addresses().none() && !floating_ip.pool.empty() && floating_ip.pool != held.pool) {
    if (options_.recreate) {
      removed.push_back(key);
      return;
    }
    problem(ErrorCode::kPrecondition, key, "pool", floating_ip.pool,
            "cannot change: the address is " + held.addresses().text(), "release the floating IP and allocate another");
  }
  if (!floating_ip.address) floating_ip.address = held.address;
  if (!floating_ip.address6) floating_ip.address6 = held.address6;
  floating_ip.pool = held.pool;
}

void Editor::note_asked(const std::vector<Edit>& edits) {
  const auto note = [this](const auto& resource) {
    if (resource.address4) asked_.emplace(resource.name.network, *resource.address4);
    if (resource.address6) asked6_.emplace(resource.name.network, *resource.address6);
  };
  for (const Edit& edit : edits) {
    if (!edit.resource) continue;
    if (const auto* pod = std::get_if<Pod>(&*edit.resource)) note(*pod);
    if (const auto* service = std::get_if<Service>(&*edit.resource)) note(*service);
  }
}

void Editor::remove(const Key& key) {
  switch (key.kind) {
    case Kind::kNetwork:
      return remove_network(key.name.name);
    case Kind::kFloatingIp:
      return remove_floating_ip(key.name.name);
    case Kind::kNode:
      note_former(key);
      return erase(nodes, key.name.name);
    case Kind::kPod:
    case Kind::kService:
      return remove_in_network(key);
  }
}

/// What others refer to before them. Chosen addresses before given ones, so that none is given away that somebody asks
/// for; all floating IPs before any service, because one with an address may be bound to one without.
void Editor::put_all(const std::vector<Edit>& edits) {
  const auto each = [&edits]<typename Wanted>(std::in_place_type_t<Wanted>, const auto& use) {
    for (const Edit& edit : edits) {
      if (!edit.resource) continue;
      if (const auto* resource = std::get_if<Wanted>(&*edit.resource)) use(*resource);
    }
  };
  each(std::in_place_type<Network>, [this](const Network& network) { put_network(network); });
  each(std::in_place_type<Node>, [this](const Node& node) { put_node(node); });
  for (const bool chosen : {true, false}) {
    each(std::in_place_type<FloatingIp>, [&](const FloatingIp& floating_ip) {
      if (!floating_ip.addresses().none() == chosen) put_floating_ip(floating_ip);
    });
  }
  note_asked(edits);
  for (const bool chosen : {true, false}) {
    each(std::in_place_type<Pod>, [&](const Pod& pod) { put_in_network(pod, chosen); });
    each(std::in_place_type<Service>, [&](const Service& service) { put_in_network(service, chosen); });
  }
}

/// A store may hold more than a table that was made smaller has room for: what does not add to that is still allowed.
void Editor::check_guarantees(std::uint64_t before) {
  const std::uint64_t capacity = world_.capacity_.flow_pairs;
  if (world_.guaranteed_ <= capacity || world_.guaranteed_ <= before) return;
  const auto excess = excess_of_guarantees(world_.state_.networks, capacity);
  if (!excess) return;
  problems_.add(ErrorCode::kExhausted, "networks", "limits.guaranteed_flows", *excess,
                std::to_string(world_.guaranteed_));
}

/// What only the whole shows.
void Editor::check_after(const std::vector<Key>& removed) {
  for (const Key& key : removed) {
    if (key.kind != Kind::kFloatingIp || world_.state_.floating_ips.contains(key.name.name)) continue;
    const auto users = world_.users_.find(key.name.name);
    if (users == world_.users_.end() || users->second.empty()) continue;
    problem(ErrorCode::kPrecondition, key, "name", key.name.name,
            "is in use by " + listed(users->second.size(), 1,
                                     [&users](std::size_t) { return describe_service(*users->second.begin()); }),
            "take floating_ip out of the service first");
  }
  const auto too_many = [&](const std::string& resource, std::string_view what, std::size_t count, std::size_t limit) {
    if (count <= limit) return;
    problems_.add(ErrorCode::kExhausted, resource, what,
                  std::to_string(count) + " are declared; at most " + std::to_string(limit) + " are allowed",
                  std::to_string(count));
  };
  too_many("state", "networks", world_.state_.networks.size(), kMaxNetworks);
  too_many("state", "floating IPs", world_.state_.floating_ips.size(), kMaxFloatingIps);
  std::set<std::string> touched;
  for (const Key& key : transaction_->keys_) touched.insert(key.name.network);
  for (const std::string& name : touched) {
    const auto book = world_.books_.find(name);
    if (book == world_.books_.end()) continue;
    too_many("network " + printable(name), "pods", book->second.pods, kMaxPodsPerNetwork);
    too_many("network " + printable(name), "services", book->second.services, kMaxServicesPerNetwork);
  }
}

/// Whether the tables have room for what is added; only of a state that is good otherwise.
void Editor::check_room(std::size_t pods_before) {
  if (!problems_.empty()) return;
  const std::size_t pods = world_.state_.pods.size();
  if (pods > kMaxPods && pods > pods_before) {
    problems_.add(ErrorCode::kExhausted, "state", "pods",
                  std::to_string(pods) + " are declared, in all networks; a node has room for " +
                      std::to_string(kMaxPods) + "; remove pods",
                  std::to_string(pods));
  }
  transaction_->room_step_ = world_.room_->take(world_.state_, world_.assignments_, transaction_->change_);
  world_.room_->judge(*transaction_->room_step_, problems_);
}

std::vector<Error> Editor::run(std::vector<Edit> edits, const EditOptions& options) {
  options_ = options;
  expand_cascade(edits);
  add_default_network(edits);
  check_each(edits);
  if (!problems_.empty()) return problems_.take();
  if (!world_.room_) world_.room_.emplace(world_.capacity_.tables, world_.state_, world_.assignments_);
  const std::uint64_t guaranteed = world_.guaranteed_;
  const std::size_t pods = world_.state_.pods.size();
  std::vector<Key> removed;
  for (Edit& edit : edits) settle_before(edit, removed);
  if (!problems_.empty()) return problems_.take();
  std::erase_if(edits, [&](const Edit& edit) {
    const auto before = edit.resource ? world_.find(edit.key) : std::nullopt;
    return before && *before == *edit.resource;
  });
  std::ranges::sort(removed, std::greater<>{});  // what is in a network before the network
  for (const Key& key : removed) remove(key);
  for (const Edit& edit : edits) {  // a port may go from one service to another in one change
    if (!edit.resource || edit.key.kind != Kind::kService) continue;
    const auto before = world_.state_.services.find(edit.key.name);
    if (before == world_.state_.services.end()) continue;
    note_former(edit.key);
    unbind(Service(before->second));
  }
  put_all(edits);
  check_after(removed);
  check_guarantees(guaranteed);
  check_room(pods);
  return problems_.take();
}

}  // namespace sluice::model
