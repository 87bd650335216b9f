// SPDX-License-Identifier: Apache-2.0
// Random changes of a small world: what holds after each of them, kept, taken back or refused.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <tuple>

#include "world_values.hpp"

namespace sluice::model {
namespace {

/// Edits of few names, few addresses and few ports, so that they meet each other.
class RandomEdits {
 public:
  explicit RandomEdits(unsigned seed) : random_(seed) {}

  std::vector<Edit> next() {
    std::vector<Edit> edits;
    for (std::uint32_t i = pick(2) == 0 ? 1 : pick(6) + 1; i > 0; i--)
      edits.push_back(pick(3) == 0 ? deletion() : creation());
    return edits;
  }
  EditOptions options() { return {.cascade = pick(3) == 0, .recreate = pick(3) == 0}; }
  bool coin() { return pick(2) == 0; }

 private:
  std::uint32_t pick(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }
  std::string numbered(const std::string& word, std::uint32_t count) { return word + std::to_string(pick(count)); }
  std::string network_name() {
    return pick(16) == 0 ? "ghost" : std::array<std::string, 3>{"default", "shop", "tiny"}.at(pick(3));
  }
  Labels labels() { return pick(2) == 0 ? Labels{} : Labels{{"app", numbered("v", 3)}}; }

  Edit deletion() {
    switch (pick(5)) {
      case 0:
        return erase(Kind::kNetwork, network_name());
      case 1:
        return erase(Kind::kFloatingIp, numbered("f", 4));
      case 2:
        return erase(Kind::kNode, numbered("n", 2));
      case 3:
        return erase(Kind::kPod, network_name(), numbered("p", 5));
      default:
        return erase(Kind::kService, network_name(), numbered("s", 4));
    }
  }
  Edit creation() {
    switch (pick(8)) {
      case 0:
        return put(random_network());
      case 1:
        return put(random_floating_ip());
      case 2: {
        Node node;
        node.name = numbered("n", 2);
        node.labels = labels();
        return put(node);
      }
      case 3:
      case 4:
      case 5:
        return put(random_pod());
      default:
        return put(random_service());
    }
  }
  Network random_network() {
    Network made = network(network_name());
    if (made.name == "ghost") made.name = "shop";
    if (made.name == "tiny") made.cidr4 = Cidr4::parse(pick(8) == 0 ? "10.0.0.0/28" : "10.0.0.0/29").value();
    if (pick(8) == 0) made.router4 = Ipv4{made.cidr4.first().value + 2 + pick(3)};
    made.guaranteed_flows = 100 * pick(8);
    made.labels = labels();
    return made;
  }
  FloatingIp random_floating_ip() {
    FloatingIp made = floating_ip(numbered("f", 4), {});
    if (pick(2) == 0) made.address = Ipv4{ip("203.0.113.0").value + pick(4)};
    if (pick(2) == 0) made.pool = pick(6) == 0 ? "moon" : "public";
    made.labels = labels();
    return made;
  }
  std::optional<std::string> static_address(const std::string& network) {
    if (pick(3) != 0) return std::nullopt;
    return (network == "tiny" ? "10.0.0." : "172.16.0.") + std::to_string(pick(9));
  }
  Pod random_pod() {
    const std::string network = network_name();
    Pod made = pod(network, numbered("p", 5), static_address(network));
    made.labels = labels();
    return made;
  }
  Service random_service() {
    const std::string network = network_name();
    Service made = service(network, numbered("s", 4));
    if (const auto address = static_address(network)) made.address4 = ip(*address);
    if (made.address4 && pick(3) == 0) made.address4 = ip("10.96.0.1");
    if (pick(2) == 0) made.selector = {{"app", numbered("v", 3)}};
    made.ports = {port(static_cast<std::uint16_t>(80 + pick(2)), pick(3) == 0 ? Protocol::kUdp : Protocol::kTcp)};
    if (pick(2) == 0) made.floating_ip = numbered("f", 4);
    return made;
  }

  std::mt19937 random_;
};

void expect_no_address_twice(const World& world) {
  const Assignments& given = world.assignments();
  std::set<std::pair<std::string, Ipv4>> private_addresses;
  std::set<std::pair<std::string, Ipv6>> private_addresses6;
  const auto check_all = [&](const auto& resources, const auto& addresses, bool inside) {
    ASSERT_EQ(addresses.size(), resources.size());
    for (const auto& [name, held] : addresses) {
      EXPECT_TRUE(resources.contains(name));
      EXPECT_FALSE(held.none());
      const Network& in = world.state().networks.at(name.network);
      if (held.v4) {
        EXPECT_TRUE(private_addresses.emplace(name.network, *held.v4).second) << held.text() << " twice";
        EXPECT_FALSE(held.v4 == in.cidr4.first() || held.v4 == in.cidr4.last() || held.v4 == in.router());
        EXPECT_TRUE(!inside || in.cidr4.contains(*held.v4));
      }
      if (held.v6) {
        EXPECT_TRUE(private_addresses6.emplace(name.network, *held.v6).second) << held.text() << " twice";
        ASSERT_TRUE(in.cidr6.has_value());
        EXPECT_FALSE(held.v6 == in.cidr6->first() || held.v6 == in.router6());
        EXPECT_TRUE(!inside || in.cidr6->contains(*held.v6));
      }
    }
  };
  check_all(world.state().pods, given.pod_addresses, true);
  check_all(world.state().services, given.service_addresses, false);
  std::set<std::uint32_t> ids;
  std::set<std::uint32_t> slots;
  for (const auto& [name, id] : given.network_ids) EXPECT_TRUE(id != 0 && ids.insert(id).second);
  for (const auto& [name, slot] : given.network_slots) EXPECT_TRUE(slot != 0 && slots.insert(slot).second);
  EXPECT_EQ(ids.size(), world.state().networks.size());
  EXPECT_EQ(slots.size(), world.state().networks.size());
  std::set<IpAddress> floating;
  for (const auto& [name, value] : world.state().floating_ips) {
    EXPECT_FALSE(value.addresses().none());
    EXPECT_TRUE(!value.address || floating.insert(*value.address).second);
    EXPECT_TRUE(!value.address6 || floating.insert(*value.address6).second);
  }
}

void expect_rules(const World& world) {
  expect_no_address_twice(world);
  std::map<std::string, std::set<Name>> users;
  std::set<std::tuple<std::string, Protocol, std::uint16_t>> bound;
  for (const auto& [name, value] : world.state().services) {
    if (!value.floating_ip) continue;
    EXPECT_TRUE(world.state().floating_ips.contains(*value.floating_ip));
    users[*value.floating_ip].insert(name);
    for (const ServicePort& at : value.ports)
      EXPECT_TRUE(bound.emplace(*value.floating_ip, at.protocol, at.port).second) << "two services on one port";
  }
  for (const auto& [name, value] : world.state().floating_ips) EXPECT_EQ(world.users_of(name), users[name]);
  std::uint64_t guaranteed = 0;
  for (const auto& [name, value] : world.state().networks) guaranteed += value.guaranteed_flows;
  EXPECT_LE(guaranteed, world.capacity().flow_pairs);
  EXPECT_LE(world.elements().backends, world.capacity().tables.backends);
  EXPECT_LE(world.elements().service_port_slots, world.capacity().tables.service_port_slots);
}

/// The same as former values, of everything that a World has.
Change all_of(const Picture& world) {
  Change all;
  for (const auto& [name, value] : world.state.networks) {
    all.networks[name] = {value, world.assignments.network_ids.at(name), world.assignments.network_slots.at(name)};
  }
  for (const auto& [name, value] : world.state.pods)
    all.pods[name] = FormerPod{value, world.assignments.pod_addresses.at(name)};
  for (const auto& [name, value] : world.state.services)
    all.services[name] = FormerService{value, world.assignments.service_addresses.at(name)};
  for (const auto& [name, value] : world.state.floating_ips) all.floating_ips[name] = value;
  return all;
}

/// Each former value is what was there, and what differs is named.
template <typename Former>
void expect_former(const Former& change, const Former& before, const Former& after) {
  for (const auto& [name, former] : change) {
    const auto was = before.find(name);
    EXPECT_EQ(former, was == before.end() ? typename Former::mapped_type{} : was->second);
  }
  for (const auto& [name, value] : before) {
    const auto now = after.find(name);
    EXPECT_TRUE((now != after.end() && now->second == value) || change.contains(name)) << "a change is not named";
  }
  for (const auto& [name, value] : after) EXPECT_TRUE(before.contains(name) || change.contains(name));
}

void expect_change(const World::Transaction& transaction, const Picture& before, const Picture& after) {
  const Change was = all_of(before);
  const Change is = all_of(after);
  const Change& change = transaction.change();
  expect_former(change.networks, was.networks, is.networks);
  expect_former(change.pods, was.pods, is.pods);
  expect_former(change.services, was.services, is.services);
  expect_former(change.floating_ips, was.floating_ips, is.floating_ips);
  std::size_t named = change.networks.size() + change.pods.size() + change.services.size() + change.floating_ips.size();
  for (const Key& key : transaction.keys()) named += key.kind == Kind::kNode ? 1U : 0U;
  EXPECT_EQ(transaction.keys().size(), named);
  for (const auto& [name, cursors] : after.network_cursors) {
    const auto former = before.network_cursors.find(name);
    const bool moved = former == before.network_cursors.end() ? cursors != NetworkCursors{} : former->second != cursors;
    EXPECT_TRUE(!moved || transaction.cursor_networks().contains(name)) << "a cursor moved unseen";
  }
  for (const auto& [pool, last] : after.pool_cursors) {
    const auto former = before.pool_cursors.find(pool);
    const bool moved = former == before.pool_cursors.end() || former->second != last;
    EXPECT_TRUE(!moved || transaction.cursor_pools().contains(pool)) << "a pool's cursor moved unseen";
  }
}

std::vector<std::string> messages(const std::vector<Error>& errors) {
  std::vector<std::string> all;
  for (const Error& error : errors) all.push_back(error.message);
  return all;
}

/// Makes the edits in both worlds and expects that they do the same. True if they were made.
bool expect_same(World& world, World& other, const std::vector<Edit>& edits, const EditOptions& options, bool keep) {
  auto made = world.edit(edits, options);
  auto same = other.edit(edits, options);
  EXPECT_EQ(made.has_value(), same.has_value());
  if (!made || !same) {
    EXPECT_EQ(messages(made ? std::vector<Error>{} : made.error()),
              messages(same ? std::vector<Error>{} : same.error()));
    return false;
  }
  EXPECT_EQ(made->keys(), same->keys());
  EXPECT_EQ(picture(world), picture(other));
  EXPECT_EQ(world.elements(), other.elements());
  if (keep) {
    made->keep();
    same->keep();
  }
  return true;
}

class WorldUnderRandomChanges : public testing::TestWithParam<unsigned> {};

TEST_P(WorldUnderRandomChanges, IsWhatItWasOrWhatAStoreWouldGiveBack) {
  const Capacity capacity{
      1'000,
      {{"public", {Cidr4::parse("203.0.113.0/31").value(), Cidr4::parse("203.0.113.3/32").value()}}},
      {.service_port_slots = 10, .backends = 12, .slots_per_backend = 30}};
  World world(capacity);
  RandomEdits random(GetParam());
  int kept = 0;
  int taken_back = 0;
  int refused = 0;
  int without_room = 0;
  for (int step = 0; step < 3'000 && !testing::Test::HasFailure(); step++) {
    const std::vector<Edit> edits = random.next();
    const EditOptions options = random.options();
    const bool keep = random.coin();
    const Picture before = picture(world);
    World copy = world;
    if (auto made = world.edit(edits, options)) {
      expect_rules(world);
      expect_change(*made, before, picture(world));
    } else {
      EXPECT_FALSE(made.error().empty());
      refused++;
      without_room += made.error().front().code == ErrorCode::kExhausted ? 1 : 0;
    }
    EXPECT_EQ(picture(world), before) << "taken back or refused";
    expect_same(world, copy, edits, options, false);  // nothing that one does not see has stayed
    EXPECT_EQ(picture(world), before);
    World stored = rebuilt(world);
    EXPECT_EQ(picture(stored), before);
    EXPECT_EQ(world.elements(), stored.elements());
    const bool made = expect_same(world, stored, edits, options, keep);
    kept += made && keep ? 1 : 0;
    taken_back += made && !keep ? 1 : 0;
    EXPECT_EQ(picture(world) == before, !(made && keep) || picture(stored) == before);
    if (made && keep) expect_rules(world);
  }
  EXPECT_GT(kept, 100);
  EXPECT_GT(taken_back, 100);
  EXPECT_GT(refused, 100);
  EXPECT_GT(without_room, 10);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WorldUnderRandomChanges, testing::Range(1U, 9U));

}  // namespace
}  // namespace sluice::model
