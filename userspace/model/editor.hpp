// SPDX-License-Identifier: Apache-2.0
// One transaction on a World while it is made. Private to this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/world.hpp"

namespace sluice::model {

/// What the address is for the network, if it cannot be anybody's.
std::optional<std::string> reserved(const Network& network, Ipv4 address);
std::optional<std::string> reserved(const Network& network, Ipv6 address);

/// The World's maps change through put() and erase() alone, which note how to take each step back.
class Editor {
 public:
  /// `transaction`: where undoing and changes are noted; nullptr: what is put back from a store, for good.
  Editor(World& world, World::Transaction* transaction) : world_(world), transaction_(transaction) {}

  std::vector<Error> run(std::vector<Edit> edits, const EditOptions& options);

  // For World::restore() too. No rule is looked at.
  void insert_network(const Network& network, std::uint32_t id, std::uint32_t slot);
  void insert_floating_ip(const FloatingIp& floating_ip);
  void insert_node(const Node& node);
  void insert_pod(const Pod& pod, const Addresses& addresses);
  void insert_service(const Service& service, const Addresses& addresses);

 private:
  using Book = World::Book;
  using Holder = World::Holder;

  // editor.cpp: the order of a transaction
  void expand_cascade(std::vector<Edit>& edits);
  void add_default_network(std::vector<Edit>& edits) const;
  void check_each(const std::vector<Edit>& edits);
  void settle_before(Edit& edit, std::vector<Key>& removed);
  void immutable(const Key& key, std::string_view field, const std::string& held, const std::string& wanted,
                 std::vector<Key>& removed);
  void settle_floating_ip(FloatingIp& floating_ip, const FloatingIp& held, std::vector<Key>& removed);
  void note_asked(const std::vector<Edit>& edits);
  void remove(const Key& key);
  void put_all(const std::vector<Edit>& edits);
  void check_after(const std::vector<Key>& removed);
  void check_guarantees(std::uint64_t before);
  void check_room(std::size_t pods_before);

  // editor_steps.cpp: what single resources hold
  void note_former(const Key& key);
  void remove_network(const std::string& name);
  void remove_floating_ip(const std::string& name);
  void remove_in_network(const Key& key);
  void unbind(const Service& service);
  void bind(const Service& service);
  static void add_user(World& world, const std::string& floating_ip, const Name& service);
  static bool remove_user(World& world, const std::string& floating_ip, const Name& service);
  void hold_addresses(const Key& key, const Addresses& addresses);
  void release_addresses(const Key& key, const Addresses& addresses);

  // editor_put.cpp: whether single resources may be put
  void put_network(const Network& network);
  bool check_network_change(const Network& network);
  bool check_network_change6(const Network& network);
  bool choose_prefix6(Network& network);
  void put_floating_ip(const FloatingIp& floating_ip);
  void put_node(const Node& node);
  template <typename Resource>
  void put_in_network(const Resource& resource, bool with_static_address);
  bool network_exists(const Key& key, const std::string& network);
  template <typename Address, typename Prefix, typename Holders, typename Place>
  bool static_address_is_free(const Key& key, std::string_view field, const Network& network, Address address,
                              const Prefix& prefix, const Holders& holders, const Place& place);
  template <typename Resource>
  std::optional<Families> families_of(const Key& key, const Resource& resource, const Network& network);
  template <typename Resource>
  std::optional<Addresses> choose_addresses(const Key& key, const Resource& resource, const Network& network);
  bool floating_ip_exists(const Service& service, const Addresses& addresses);
  std::optional<Ipv4> next_address(Kind kind, const Network& network);
  std::optional<Ipv6> next_address6(Kind kind, const Network& network);
  bool allocate(FloatingIp& floating_ip);
  [[nodiscard]] std::optional<Addresses> next_in_pool(const Pool& pool) const;

  // The maps of a World, as put() and erase() want them.
  static auto& network_ids(World& world) { return world.assignments_.network_ids; }
  static auto& network_slots(World& world) { return world.assignments_.network_slots; }
  static auto& books(World& world) { return world.books_; }
  static auto& networks(World& world) { return world.state_.networks; }
  static auto& floating_ips(World& world) { return world.state_.floating_ips; }
  static auto& floating_addresses(World& world) { return world.floating_addresses_; }
  static auto& floating_addresses6(World& world) { return world.floating_addresses6_; }
  static auto& nodes(World& world) { return world.state_.nodes; }
  static auto& pod_addresses(World& world) { return world.assignments_.pod_addresses; }
  static auto& pods(World& world) { return world.state_.pods; }
  static auto& service_addresses(World& world) { return world.assignments_.service_addresses; }
  static auto& services(World& world) { return world.state_.services; }
  static auto& bindings(World& world) { return world.bindings_; }
  static auto& pool_cursors(World& world) { return world.pool_cursors_; }

  /// Calls undo later, in the opposite order.
  void on_undo(std::function<void(World&)> undo) {
    if (transaction_ != nullptr) transaction_->undo_.push_back(std::move(undo));
  }
  /// Sets map[key]; `map` is a function World& -> the map.
  template <typename Map, typename Key, typename Value>
  void put(const Map& map, const Key& key, Value value);
  template <typename Map, typename Key>
  void erase(const Map& map, const Key& key);

  void problem(ErrorCode code, const Key& key, std::string_view field, std::string_view value, const std::string& text,
               const std::string& remedy);

  World& world_;
  World::Transaction* transaction_;
  EditOptions options_;
  Problems problems_;
  // Nothing is freed any more when addresses are searched: what was in use then is so until the end.
  std::set<std::string> full_networks_;
  std::set<std::string> full_networks6_;
  std::set<std::string> full_pools_;
  // What the edits ask for by address, so that nobody else is given it.
  std::set<std::pair<std::string, Ipv4>> asked_;
  std::set<std::pair<std::string, Ipv6>> asked6_;
};

template <typename Map, typename Key, typename Value>
void Editor::put(const Map& map, const Key& key, Value value) {
  auto& target = map(world_);
  const auto found = target.find(key);
  if (found == target.end()) {
    target.emplace(key, std::move(value));
    on_undo([map, key](World& world) { map(world).erase(key); });
  } else {
    std::swap(found->second, value);
    on_undo([map, key, former = std::move(value)](World& world) { map(world)[key] = former; });
  }
}

template <typename Map, typename Key>
void Editor::erase(const Map& map, const Key& key) {
  auto& target = map(world_);
  const auto found = target.find(key);
  if (found == target.end()) return;
  on_undo([map, key, former = std::move(found->second)](World& world) { map(world).emplace(key, former); });
  target.erase(found);
}

}  // namespace sluice::model
