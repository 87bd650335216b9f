// SPDX-License-Identifier: Apache-2.0
// What stays and what is renewed from one state to the next: slots, generations, regions, rings.
#include <gtest/gtest.h>

#include <set>

#include "compile/slots.hpp"
#include "world.hpp"

namespace sluice::compile {
namespace {

World shop(int pods = 3) {
  World world;
  world.network("shop", 7);
  for (int i = 0; i < pods; i++) {
    const std::string name = "web-" + std::to_string(i);
    world.pod("shop", name, "172.16.1." + std::to_string(i), {{"app", "web"}});
    world.attach("shop", name, 100 + static_cast<std::uint32_t>(i));
  }
  world.floating_ip("public", "203.0.113.10");
  world.service("shop", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)}).floating_ip = "public";
  return world;
}

bool holds(const ArrayTable<std::uint32_t>& generations, const sluice_ref& ref) {
  const auto found = generations.find(ref.slot);
  return found != generations.end() && found->second == ref.generation;
}

sluice_ref pod_ref(const Tables& tables, const std::string& address) {
  return endpoint(tables, 7, address)->ref;
}
const sluice_frontend4& web(const Tables& tables) {
  return *frontend(tables, 7, "172.16.0.100", 80);
}
const sluice_frontend4& bound(const Tables& tables) {
  return *frontend(tables, 0, "203.0.113.10", 80);
}

TEST(CompileKeeps, EverythingWhenNothingChanges) {
  for (const int pods : {1, 3, 20}) {
    const World world = shop(pods);
    const Tables first = world.tables();
    EXPECT_TRUE(equal(first, world.tables(first)));
    EXPECT_TRUE(equal(first, world.tables())) << "and it depends on the input alone";
  }
}

TEST(CompileKeeps, SlotsOfTheOthersWhenOnePodGoes) {
  World world = shop();
  const Tables before = world.tables();
  world.state.pods.erase({"shop", "web-1"});
  world.attachments.erase({"shop", "web-1"});
  const Tables after = world.tables(before);
  EXPECT_EQ(pod_ref(before, "172.16.1.0"), pod_ref(after, "172.16.1.0"));
  EXPECT_EQ(pod_ref(before, "172.16.1.2"), pod_ref(after, "172.16.1.2"));
  EXPECT_EQ(endpoint(after, 7, "172.16.1.1"), nullptr);
  EXPECT_FALSE(after.ports.contains(101));
  const sluice_ref gone = pod_ref(before, "172.16.1.1");
  EXPECT_FALSE(holds(after.endpoint_generations, gone)) << "one write ends all its flows";
  EXPECT_TRUE(after.endpoint_generations.at(gone.slot) & kFreedSlot);
  EXPECT_TRUE(equal(after, world.tables(after)));
}

TEST(CompileKeeps, ThePodsRefWhileItIsDrainedAndRelabelled) {
  World world = shop();
  const Tables before = world.tables();
  world.state.pods[{"shop", "web-1"}].draining = true;
  world.state.pods[{"shop", "web-1"}].labels = {{"app", "other"}};
  const Tables after = world.tables(before);
  EXPECT_EQ(pod_ref(before, "172.16.1.1"), pod_ref(after, "172.16.1.1"));
  EXPECT_EQ(web(before).ref, web(after).ref) << "flows stay when a selector's result changes";
  EXPECT_EQ(web(after).backend_count, 2U);
}

TEST(CompileKeeps, ThePodsRefWhileItsAttachmentIsAboutToEnd) {
  World world = shop();
  const Tables before = world.tables();
  world.attachments.at({"shop", "web-1"}).leaves_at = 1;
  world.attachments.at({"shop", "web-1"}).drained_at = 1;
  const Tables after = world.tables(before);
  EXPECT_EQ(pod_ref(before, "172.16.1.1"), pod_ref(after, "172.16.1.1"));
  EXPECT_EQ(web(after).ready_count + 1, web(before).ready_count) << "it takes no new flows";
}

TEST(CompileRenews, APodWhoseFlowsAreToEndAndNothingElse) {
  World world = shop();
  const Tables before = world.tables();
  Input input = world.input();
  input.ending = {{"shop", "web-1"}};
  const Tables after = compile(input, before).value();
  const sluice_ref gone = pod_ref(before, "172.16.1.1");
  EXPECT_NE(pod_ref(after, "172.16.1.1"), gone);
  EXPECT_FALSE(holds(after.endpoint_generations, gone)) << "one write ends all its flows";
  EXPECT_TRUE(holds(after.endpoint_generations, pod_ref(after, "172.16.1.1")));
  EXPECT_EQ(endpoint(after, 7, "172.16.1.1")->ifindex, endpoint(before, 7, "172.16.1.1")->ifindex);
  EXPECT_EQ(pod_ref(after, "172.16.1.0"), pod_ref(before, "172.16.1.0"));
  EXPECT_EQ(web(after).ref, web(before).ref);
  EXPECT_TRUE(equal(after, world.tables(after))) << "and once only";
}

TEST(CompileRenews, APodThatIsDetachedAttachedAndAttachedElsewhere) {
  World world = shop();
  std::vector<Tables> history{world.tables()};
  const auto step = [&] { history.push_back(world.tables(history.back())); };
  world.attachments.erase({"shop", "web-1"});
  step();
  world.attach("shop", "web-1", 500);
  step();
  world.attach("shop", "web-1", 501);
  step();
  world.attach("shop", "web-1", 501, true);
  step();
  for (std::size_t i = 1; i < history.size(); i++) {
    const sluice_ref old = pod_ref(history[i - 1], "172.16.1.1");
    EXPECT_NE(old.generation, pod_ref(history[i], "172.16.1.1").generation) << i;
    EXPECT_FALSE(holds(history[i].endpoint_generations, old)) << i;
    EXPECT_EQ(pod_ref(history[i], "172.16.1.0"), pod_ref(history[0], "172.16.1.0")) << i;
    EXPECT_EQ(web(history[i]).backend_base, web(history[0]).backend_base) << "in place: only state and ref change";
    EXPECT_EQ(backend(history[i], web(history[i]), "172.16.1.1").endpoint, pod_ref(history[i], "172.16.1.1"));
  }
  EXPECT_EQ(web(history[1]).ready_count, 2U);
  EXPECT_EQ(web(history[2]).ready_count, 3U);
}

TEST(CompileRenews, AnAddressThatGoesToAnotherPod) {
  World world = shop();
  const Tables before = world.tables();
  world.state.pods.erase({"shop", "web-1"});
  world.attachments.erase({"shop", "web-1"});
  world.pod("shop", "successor", "172.16.1.1", {{"app", "web"}});
  for (const bool attached : {false, true}) {
    if (attached) world.attach("shop", "successor", 600);
    const Tables after = world.tables(before);
    EXPECT_FALSE(holds(after.endpoint_generations, pod_ref(before, "172.16.1.1"))) << attached;
    EXPECT_TRUE(holds(after.endpoint_generations, pod_ref(after, "172.16.1.1"))) << attached;
    EXPECT_NE(web(before).backend_base, web(after).backend_base) << "another configured set, another region";
  }
}

TEST(CompileRenews, APodThatMovesToAnotherAddress) {
  World world = shop();
  const Tables before = world.tables();
  world.assignments.pod_addresses[{"shop", "web-1"}] = Ipv4::parse("172.16.1.77").value();
  const Tables after = world.tables(before);
  EXPECT_FALSE(holds(after.endpoint_generations, pod_ref(before, "172.16.1.1")));
  EXPECT_EQ(after.ports.at(101).endpoint, pod_ref(after, "172.16.1.77"));
  EXPECT_NE(web(before).backend_base, web(after).backend_base);
}

TEST(CompileRenews, AFrontendWhoseAddressGoesToAnotherService) {
  World world = shop();
  const Tables before = world.tables();
  model::Service other = world.state.services.at({"shop", "web"});
  world.state.services.clear();
  other.name.name = "other";
  world.state.services[other.name] = other;
  world.assignments.service_addresses = {{other.name, Ipv4::parse("172.16.0.100").value()}};
  const Tables after = world.tables(before);
  EXPECT_FALSE(holds(after.frontend_generations, web(before).ref));
  EXPECT_FALSE(holds(after.frontend_generations, bound(before).ref));
  EXPECT_TRUE(holds(after.frontend_generations, web(after).ref));
  EXPECT_TRUE(equal(after, world.tables(after)));
}

TEST(CompileRenews, AFloatingIpThatMovesToAnotherNetworkOnly) {
  World world = shop();
  world.network("blog", 8);
  world.pod("blog", "web-0", "172.16.1.0", {{"app", "web"}});
  model::Service& same = world.service("blog", "web", "172.16.0.100", {{"app", "web"}}, {tcp(80, 8080)});
  const Tables before = world.tables();
  world.state.services[{"shop", "web"}].floating_ip.reset();
  same.floating_ip = "public";
  const Tables after = world.tables(before);
  EXPECT_EQ(web(before).ref, web(after).ref) << "the service's own flows go on";
  EXPECT_FALSE(holds(after.frontend_generations, bound(before).ref)) << "those of the binding end";
  EXPECT_EQ(bound(after).backend_network, 8U);
}

TEST(CompileKeeps, TheRingOnReadinessAndMovesItOnAChangedSet) {
  World world = shop(20);
  const Tables before = world.tables();
  world.attachments.erase({"shop", "web-3"});
  const Tables down = world.tables(before);
  EXPECT_EQ(web(before).ring_base, web(down).ring_base);
  EXPECT_EQ(web(before).fingerprint, web(down).fingerprint);
  EXPECT_EQ(web(down).ready_count, 19U);
  world.state.pods.erase({"shop", "web-3"});
  const Tables gone = world.tables(down);
  EXPECT_NE(web(down).ring_base, web(gone).ring_base) << "the old region is read until the switch";
  EXPECT_NE(web(down).backend_base, web(gone).backend_base);
  EXPECT_EQ(gone.rings.size(), before.rings.size()) << "what is orphaned does not stay";
  EXPECT_EQ(gone.backends.size(), before.backends.size() - 2) << "one for the port, one for ping";
}

TEST(CompileKeeps, ABiggerRingUntilItIsFourTimesTooBig) {
  World world = shop(21);
  Tables tables = world.tables();
  EXPECT_EQ(web(tables).ring_size, 4093U);
  for (int i = 20; i > 11; i--) {
    world.state.pods.erase({"shop", "web-" + std::to_string(i)});
    tables = world.tables(tables);
    EXPECT_EQ(web(tables).ring_size, 4093U) << i;
  }
  world.state.pods.erase({"shop", "web-11"});
  world.state.pods.erase({"shop", "web-10"});
  tables = world.tables(tables);
  EXPECT_EQ(web(tables).ring_size, 1021U);
}

TEST(CompileKeeps, RegionsApartInAnyHistory) {
  // An arena with room for one old and one new set and nothing else: every change must find the other half free.
  World world = shop(10);
  world.state.services[{"shop", "web"}].floating_ip.reset();
  world.limits.backend_arena = 42;
  world.limits.ring_arena = 64;
  Tables tables = world.tables();
  for (int i = 0; i < 20; i++) {
    world.state.pods.erase({"shop", i % 2 == 0 ? "web-9" : "extra"});
    world.pod("shop", i % 2 == 0 ? "extra" : "web-9", "172.16.1.9", {{"app", "web"}});
    const Tables next = world.tables(tables);
    ASSERT_NE(web(next).backend_base, web(tables).backend_base);
    ASSERT_NE(web(next).ring_base, web(tables).ring_base);
    tables = next;
  }
}

TEST(CompileKeeps, GenerationsGrowingWhenTheNewestHolderGoes) {
  World world = shop(1);
  Tables tables = world.tables();
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 50; i++) {
    world.attach("shop", "web-0", 200 + static_cast<std::uint32_t>(i % 2));
    tables = world.tables(tables);
    EXPECT_TRUE(seen.insert(pod_ref(tables, "172.16.1.0").generation).second) << "a generation came twice";
    world.state.pods.clear();
    world.attachments.clear();
    tables = world.tables(tables);
    world.pod("shop", "web-0", "172.16.1.0", {{"app", "web"}});
  }
  EXPECT_LE(tables.endpoint_generations.size(), 2U) << "slots are used again";
}

TEST(CompileKeeps, WorkingWhenEverySlotIsInUse) {
  World world = shop(3);
  world.limits.max_endpoint_slots = 4;
  world.limits.max_frontend_slots = 4;
  const Tables before = world.tables();
  world.attach("shop", "web-1", 300);
  const Tables after = world.tables(before);
  EXPECT_EQ(pod_ref(after, "172.16.1.1").slot, pod_ref(before, "172.16.1.1").slot) << "its own slot, renewed";
  EXPECT_NE(pod_ref(after, "172.16.1.1").generation, pod_ref(before, "172.16.1.1").generation);
}

TEST(CompileEnds, TheFlowsOfAFormerHolderWhenThePlanStoppedBeforeItDid) {
  World world = shop();
  const Tables before = world.tables();
  model::Service other = world.state.services.at({"shop", "web"});
  world.state.services.clear();
  other.name.name = "other";
  world.state.services[other.name] = other;
  world.assignments.service_addresses = {{other.name, Ipv4::parse("172.16.0.100").value()}};
  world.attach("shop", "web-1", 900);
  const sluice_ref old_pod = pod_ref(before, "172.16.1.1");
  const sluice_ref old_service = web(before).ref;
  const auto writes = single_writes(diff(before, world.tables(before)));
  for (std::size_t stop = 0; stop <= writes.size(); stop++) {
    Tables actual = before;
    for (std::size_t i = 0; i < stop; i++) apply(writes[i], actual);
    const Tables wanted = world.tables(actual);
    EXPECT_FALSE(holds(wanted.endpoint_generations, old_pod)) << "stopped after " << stop << " writes";
    EXPECT_FALSE(holds(wanted.frontend_generations, old_service)) << "stopped after " << stop << " writes";
    EXPECT_TRUE(equal(wanted, world.tables(wanted)));
  }
}

}  // namespace
}  // namespace sluice::compile
