// SPDX-License-Identifier: Apache-2.0
// World: all resources with the ids and addresses that they have, and the rules that hold between them. The one place
// where a change is judged: every writer (API, manifests) goes through a transaction here before anything is stored.
// Values only, no database.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "model/assignments.hpp"
#include "model/change.hpp"
#include "model/problems.hpp"
#include "model/resource.hpp"
#include "model/table_room.hpp"

namespace sluice::model {

/// Public addresses that floating IPs may be allocated from. All addresses of the prefix, the first and last included:
/// they are single addresses, not a subnet. Of each family that has prefixes a floating IP gets one.
struct Pool {
  std::string name;
  std::vector<Cidr4> prefixes;
  std::vector<Cidr6> prefixes6{};
  bool operator==(const Pool&) const = default;
};

/// What the IPv6 prefixes of networks are derived from; one for each store.
using UlaSeed = std::array<std::uint64_t, 2>;
/// The unique local /64 of a network (RFC 4193, 3.2: 40 pseudo-random bits of global id, here together with the subnet
/// id's 16): a keyed function of the name, so that a dry run shows what will be.
Cidr6 ula_prefix(const UlaSeed& seed, std::string_view network);

/// What the node's configuration decides about the rules.
struct Capacity {
  std::uint64_t flow_pairs = UINT64_MAX;  ///< the guarantees of all networks fit into it
  std::vector<Pool> pools{};
  TableSizes tables{};  ///< services fit into them
  /// Nothing: a network that names no IPv6 prefix gets none.
  std::optional<UlaSeed> ula_seed{};
};

struct Edit {
  Key key;
  std::optional<Resource> resource;  ///< nothing: delete it
};

struct EditOptions {
  bool cascade = false;   ///< deleting a network deletes what is in it
  bool recreate = false;  ///< a changed immutable field deletes the resource and makes it anew, in one step
};

/// Where the search for free ids, slots and addresses goes on: next-fit, so that what was freed rests as long as
/// possible.
struct Cursors {
  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  bool operator==(const Cursors&) const = default;
};
struct NetworkCursors {
  std::uint32_t pod = 0;      ///< upward from the bottom; 0: none yet
  std::uint32_t service = 0;  ///< downward from the top
  /// The same in IPv6, counted from the prefix's first address.
  std::uint32_t pod6 = 0;
  std::uint32_t service6 = 0;
  bool operator==(const NetworkCursors&) const = default;
};
/// Of each pool, by its name, the addresses that were given last. Those of a pool that is configured no more are kept:
/// it may come back.
using PoolCursors = std::map<std::string, Addresses>;

class World {
 public:
  explicit World(Capacity capacity = {}) : capacity_(std::move(capacity)) {}

  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] const Assignments& assignments() const { return assignments_; }
  [[nodiscard]] const Capacity& capacity() const { return capacity_; }
  void set_pools(std::vector<Pool> pools) { capacity_.pools = std::move(pools); }
  [[nodiscard]] Cursors cursors() const { return cursors_; }
  [[nodiscard]] NetworkCursors cursors(const std::string& network) const;
  [[nodiscard]] const PoolCursors& pool_cursors() const { return pool_cursors_; }
  [[nodiscard]] std::optional<Resource> find(const Key& key) const;
  /// What all services take of the tables.
  [[nodiscard]] TableElements elements() const;
  /// Services that are bound to the floating IP of that name.
  [[nodiscard]] std::set<Name> users_of(const std::string& floating_ip) const;

  /// What a transaction has changed. Taken back when it goes, unless keep() was called.
  class Transaction {
   public:
    Transaction(Transaction&& other) noexcept
        : world_(std::exchange(other.world_, nullptr)),
          undo_(std::move(other.undo_)),
          change_(std::move(other.change_)),
          room_step_(std::move(other.room_step_)),
          keys_(std::move(other.keys_)),
          cursor_networks_(std::move(other.cursor_networks_)),
          cursor_pools_(std::move(other.cursor_pools_)) {}
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction() { roll_back(); }

    [[nodiscard]] const Change& change() const { return change_; }
    /// Everything that differs now from before; what is no longer there was deleted.
    [[nodiscard]] const std::set<Key>& keys() const { return keys_; }
    /// Networks whose cursors have moved.
    [[nodiscard]] const std::set<std::string>& cursor_networks() const { return cursor_networks_; }
    /// Pools of which an address was given.
    [[nodiscard]] const std::set<std::string>& cursor_pools() const { return cursor_pools_; }
    void keep() {
      undo_.clear();
      room_step_.reset();
    }

   private:
    friend class World;
    friend class Editor;
    explicit Transaction(World& world) : world_(&world) {}
    void roll_back();

    World* world_;
    std::vector<std::function<void(World&)>> undo_;
    Change change_;
    std::optional<TableRoom::Step> room_step_;  ///< nothing: not looked at yet
    std::set<Key> keys_;
    std::set<std::string> cursor_networks_;
    std::set<std::string> cursor_pools_;
  };

  /// Judges and makes all edits (each key at most once) or, with any problem, none. Reports every problem that it
  /// finds, each with its Detail: kInvalid, kNotFound (what is named does not exist), kExists (taken), kPrecondition
  /// (in use, immutable), kExhausted. Edits that change nothing are no problem and are not in keys(). Nobody else may
  /// change the world while the transaction lives.
  std::expected<Transaction, std::vector<Error>> edit(std::vector<Edit> edits, const EditOptions& options = {});

  /// Puts back what a store kept, without choosing anything. kInvalid if it contradicts what is there: the store is
  /// damaged. `addresses`: of pods and services.
  Status restore(const Resource& resource, const Addresses& addresses, std::uint32_t id = 0, std::uint32_t slot = 0);
  void restore(const Cursors& cursors) { cursors_ = cursors; }
  void restore(const std::string& network, const NetworkCursors& cursors);
  void restore_pool(const std::string& pool, const Addresses& last) { pool_cursors_[pool] = last; }

 private:
  friend class Editor;

  struct Holder {
    Kind kind = Kind::kPod;
    std::string name;
    bool operator==(const Holder&) const = default;
  };
  struct Book {  ///< of one network
    NetworkCursors cursors;
    std::unordered_map<std::uint32_t, Holder> holders;  ///< by IPv4 address
    std::map<Ipv6, Holder> holders6;
    std::size_t pods = 0;
    std::size_t services = 0;
  };
  using Binding = std::tuple<std::string, Protocol, std::uint16_t>;  ///< floating IP's name, protocol, port

  [[nodiscard]] std::optional<std::string> contradiction(const Resource& resource, const Addresses& addresses) const;
  [[nodiscard]] std::optional<std::string> clash(const Service& service) const;

  Capacity capacity_;
  State state_;
  Assignments assignments_;
  Cursors cursors_;
  PoolCursors pool_cursors_;
  std::map<std::string, Book> books_;
  std::set<std::uint32_t> ids_;
  std::set<std::uint32_t> slots_;
  std::map<Binding, Name> bindings_;
  std::map<std::string, std::set<Name>> users_;     ///< by floating IP's name; not only of those that exist
  std::map<Ipv4, std::string> floating_addresses_;  ///< to names
  std::map<Ipv6, std::string> floating_addresses6_;
  std::uint64_t guaranteed_ = 0;   ///< flow pairs, of all networks
  std::optional<TableRoom> room_;  ///< of state_; made when it is needed
};

}  // namespace sluice::model
