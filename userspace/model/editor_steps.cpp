// SPDX-License-Identifier: Apache-2.0
// Single resources in a transaction: what they hold is taken and given back here.
#include "model/editor.hpp"

namespace sluice::model {
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
    put(network_ids, name, id);
    put(network_slots, name, slot);
    put(books, name, Book{});
  }
  world_.guaranteed_ += network.guaranteed_flows;
  on_undo([amount = network.guaranteed_flows](World& world) { world.guaranteed_ -= amount; });
  put(networks, name, network);
}

void Editor::insert_floating_ip(const FloatingIp& floating_ip) {
  put(floating_ips, floating_ip.name, floating_ip);
  if (floating_ip.address) put(floating_addresses, *floating_ip.address, floating_ip.name);
  if (floating_ip.address6) put(floating_addresses6, *floating_ip.address6, floating_ip.name);
}

void Editor::insert_node(const Node& node) {
  put(nodes, node.name, node);
}

void Editor::hold_addresses(const Key& key, const Addresses& addresses) {
  const std::string& network = key.name.network;
  const Holder holder{key.kind, key.name.name};
  if (addresses.v4) {
    put([network](World& world) -> auto& { return world.books_.at(network).holders; }, addresses.v4->value, holder);
  }
  if (addresses.v6) {
    put([network](World& world) -> auto& { return world.books_.at(network).holders6; }, *addresses.v6, holder);
  }
}

void Editor::release_addresses(const Key& key, const Addresses& addresses) {
  const std::string& network = key.name.network;
  if (addresses.v4) {
    erase([network](World& world) -> auto& { return world.books_.at(network).holders; }, addresses.v4->value);
  }
  if (addresses.v6) {
    erase([network](World& world) -> auto& { return world.books_.at(network).holders6; }, *addresses.v6);
  }
}

void Editor::insert_pod(const Pod& pod, const Addresses& addresses) {
  const std::string network = pod.name.network;
  if (!world_.state_.pods.contains(pod.name)) {
    world_.books_.at(network).pods++;
    on_undo([network](World& world) { world.books_.at(network).pods--; });
    hold_addresses({Kind::kPod, pod.name}, addresses);
    put(pod_addresses, pod.name, addresses);
  }
  put(pods, pod.name, pod);
}

void Editor::insert_service(const Service& service, const Addresses& addresses) {
  const std::string network = service.name.network;
  if (!world_.state_.services.contains(service.name)) {
    world_.books_.at(network).services++;
    on_undo([network](World& world) { world.books_.at(network).services--; });
    hold_addresses({Kind::kService, service.name}, addresses);
    put(service_addresses, service.name, addresses);
  }
  put(services, service.name, service);
  bind(service);
}

void Editor::bind(const Service& service) {
  if (!service.floating_ip) return;
  const std::string& floating_ip = *service.floating_ip;
  add_user(world_, floating_ip, service.name);
  on_undo([floating_ip, name = service.name](World& world) { remove_user(world, floating_ip, name); });
  for (const ServicePort& port : service.ports) {
    put(bindings, World::Binding{floating_ip, port.protocol, port.port}, service.name);
  }
}

// ---- take away

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
  erase(network_ids, name);
  erase(network_slots, name);
  erase(books, name);
  erase(networks, name);
}

void Editor::remove_floating_ip(const std::string& name) {
  note_former({Kind::kFloatingIp, {"", name}});
  const Addresses addresses = world_.state_.floating_ips.at(name).addresses();
  if (addresses.v4) erase(floating_addresses, *addresses.v4);
  if (addresses.v6) erase(floating_addresses6, *addresses.v6);
  erase(floating_ips, name);
}

void Editor::unbind(const Service& service) {
  if (!service.floating_ip) return;
  const std::string floating_ip = *service.floating_ip;
  for (const ServicePort& port : service.ports) {
    const World::Binding binding{floating_ip, port.protocol, port.port};
    const auto found = world_.bindings_.find(binding);
    if (found != world_.bindings_.end() && found->second == service.name) erase(bindings, binding);
  }
  if (!remove_user(world_, floating_ip, service.name)) return;
  on_undo([floating_ip, name = service.name](World& world) { add_user(world, floating_ip, name); });
}

void Editor::add_user(World& world, const std::string& floating_ip, const Name& service) {
  world.users_[floating_ip].insert(service);
}

/// Whether it was one. Leaves no empty set behind.
bool Editor::remove_user(World& world, const std::string& floating_ip, const Name& service) {
  const auto users = world.users_.find(floating_ip);
  if (users == world.users_.end() || users->second.erase(service) == 0) return false;
  if (users->second.empty()) world.users_.erase(users);
  return true;
}

void Editor::remove_in_network(const Key& key) {
  note_former(key);
  const std::string network = key.name.network;
  const bool pod = key.kind == Kind::kPod;
  auto& addresses = pod ? world_.assignments_.pod_addresses : world_.assignments_.service_addresses;
  release_addresses(key, Addresses(addresses.at(key.name)));
  if (pod) {
    world_.books_.at(network).pods--;
    on_undo([network](World& world) { world.books_.at(network).pods++; });
    erase(pod_addresses, key.name);
    erase(pods, key.name);
  } else {
    unbind(Service(world_.state_.services.at(key.name)));
    world_.books_.at(network).services--;
    on_undo([network](World& world) { world.books_.at(network).services++; });
    erase(service_addresses, key.name);
    erase(services, key.name);
  }
}

}  // namespace sluice::model
