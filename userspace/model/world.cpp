// SPDX-License-Identifier: Apache-2.0
#include "model/world.hpp"

#include <sluice/select.h>

#include "model/editor.hpp"
#include "model/validate.hpp"

namespace sluice::model {
namespace {

template <typename Map, typename Key>
std::optional<Resource> look_up(const Map& map, const Key& key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return Resource(found->second);
}

}  // namespace

Cidr6 ula_prefix(const UlaSeed& seed, std::string_view network) {
  std::uint64_t folded = sluice_mix64(network.size());
  for (const char c : network) folded = sluice_mix64(folded ^ static_cast<unsigned char>(c));
  const std::array<__u64, 2> key = {seed[0], seed[1]};
  const std::array<__u64, 2> words = {folded, 0x554c41};
  constexpr std::uint64_t kUla = 0xfdULL << 56U;
  return {{kUla | sluice_siphash13(key.data(), words.data(), 2) >> 8U, 0}, 64};
}

std::optional<Resource> World::find(const Key& key) const {
  switch (key.kind) {
    case Kind::kNetwork:
      return look_up(state_.networks, key.name.name);
    case Kind::kFloatingIp:
      return look_up(state_.floating_ips, key.name.name);
    case Kind::kNode:
      return look_up(state_.nodes, key.name.name);
    case Kind::kPod:
      return look_up(state_.pods, key.name);
    case Kind::kService:
      return look_up(state_.services, key.name);
  }
  return std::nullopt;
}

NetworkCursors World::cursors(const std::string& network) const {
  const auto found = books_.find(network);
  return found == books_.end() ? NetworkCursors{} : found->second.cursors;
}

void World::restore(const std::string& network, const NetworkCursors& cursors) {
  if (const auto found = books_.find(network); found != books_.end()) found->second.cursors = cursors;
}

std::set<Name> World::users_of(const std::string& floating_ip) const {
  const auto found = users_.find(floating_ip);
  return found == users_.end() ? std::set<Name>{} : found->second;
}

TableElements World::elements() const {
  return room_ ? room_->sum() : TableRoom(capacity_.tables, state_, assignments_).sum();
}

void World::Transaction::roll_back() {
  if (world_ == nullptr) return;
  if (room_step_) world_->room_->take_back(world_->state_, change_, std::move(*room_step_));
  room_step_.reset();
  while (!undo_.empty()) {
    undo_.back()(*world_);
    undo_.pop_back();
  }
}

std::expected<World::Transaction, std::vector<Error>> World::edit(std::vector<Edit> edits, const EditOptions& options) {
  Transaction transaction(*this);
  auto problems = Editor(*this, &transaction).run(std::move(edits), options);
  if (!problems.empty()) return std::unexpected(std::move(problems));  // and the transaction takes all of it back
  return transaction;
}

/// Why the service cannot have its floating IP and ports, if it cannot.
std::optional<std::string> World::clash(const Service& service) const {
  if (!service.floating_ip) return std::nullopt;
  if (!state_.floating_ips.contains(*service.floating_ip)) return "its floating IP does not exist";
  for (const ServicePort& port : service.ports) {
    const auto holder = bindings_.find({*service.floating_ip, port.protocol, port.port});
    if (holder != bindings_.end()) return "port " + std::to_string(port.port) + " of its floating IP is taken";
  }
  return std::nullopt;
}

/// Why the pod or service cannot have these addresses, or a service its floating IP; nothing if it can.
std::optional<std::string> World::contradiction(const Resource& resource, const Addresses& addresses) const {
  const Key key = key_of(resource);
  const auto book = books_.find(key.name.network);
  if (book == books_.end()) return "its network does not exist";
  const Network& network = state_.networks.at(key.name.network);
  const auto* pod = std::get_if<Pod>(&resource);
  const auto* service = std::get_if<Service>(&resource);
  const auto contradicts = [&](const auto& address, const auto& wanted, const auto& prefix, const auto& holders,
                               const auto& place) -> std::optional<std::string> {
    if (wanted && wanted != address) return "it asked for another address than it has";
    if (!address) return std::nullopt;
    if (holders.contains(place(*address))) return "its address " + address->text() + " is taken";
    if (const auto why = reserved(network, *address)) return "its address " + address->text() + " is " + *why;
    if (pod != nullptr && !prefix.contains(*address)) return "its address is outside " + prefix.text();
    return std::nullopt;
  };
  if (addresses.none()) return "it has no address";
  if (addresses.v6 && !network.cidr6) return "it has an IPv6 address, and its network none";
  const auto wrong4 = contradicts(addresses.v4, pod != nullptr ? pod->address4 : service->address4, network.cidr4,
                                  book->second.holders, [](Ipv4 address) { return address.value; });
  if (wrong4) return wrong4;
  const auto wrong6 =
      contradicts(addresses.v6, pod != nullptr ? pod->address6 : service->address6, network.cidr6.value_or(Cidr6{}),
                  book->second.holders6, [](Ipv6 address) { return address; });
  if (wrong6) return wrong6;
  return service != nullptr ? clash(*service) : std::nullopt;
}

Status World::restore(const Resource& resource, const Addresses& addresses, std::uint32_t id, std::uint32_t slot) {
  const Key key = key_of(resource);
  const auto damaged = [&](const std::string& what) {
    return fail(ErrorCode::kInvalid, describe(key) + ": " + what + "; the store is damaged: restore a backup");
  };
  Problems problems;
  check(resource, problems);
  if (!problems.empty()) return damaged(problems.take().front().message);
  if (find(key)) return damaged("is there twice");
  room_.reset();
  Editor editor(*this, nullptr);
  if (const auto* network = std::get_if<Network>(&resource)) {
    const bool good = id != 0 && id <= 0xFFFFFF && slot != 0 && slot < SLUICE_MAX_NETWORK_SLOTS;
    if (!good || ids_.contains(id) || slots_.contains(slot)) return damaged("its id or slot is wrong or taken");
    editor.insert_network(*network, id, slot);
  } else if (const auto* floating_ip = std::get_if<FloatingIp>(&resource)) {
    const bool taken = (floating_ip->address && floating_addresses_.contains(*floating_ip->address)) ||
                       (floating_ip->address6 && floating_addresses6_.contains(*floating_ip->address6));
    if (taken || floating_ip->addresses().none()) return damaged("its address is missing or taken");
    editor.insert_floating_ip(*floating_ip);
  } else if (const auto* node = std::get_if<Node>(&resource)) {
    editor.insert_node(*node);
  } else {
    if (const auto what = contradiction(resource, addresses)) return damaged(*what);
    if (const auto* pod = std::get_if<Pod>(&resource)) editor.insert_pod(*pod, addresses);
    if (const auto* service = std::get_if<Service>(&resource)) editor.insert_service(*service, addresses);
  }
  return {};
}

}  // namespace sluice::model
