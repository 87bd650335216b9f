// SPDX-License-Identifier: Apache-2.0
// Which ids and addresses resources get, across changes and restarts.
#include <set>

#include "repository_test_base.hpp"

namespace sluice::store {
namespace {

class RepositoryAddresses : public RepositoryTest {
 protected:
  std::string pod(const std::string& network, const std::string& name) {
    return assign().pod_addresses.at({network, name}).text();
  }
  std::string service(const std::string& network, const std::string& name) {
    return assign().service_addresses.at({network, name}).text();
  }
  /// What would be chosen if pod a became pod b and the network blog were made.
  model::Assignments propose() {
    model::State wanted;
    add_network(wanted, "blog");
    add_pod(wanted, "shop", "b");
    model::Assignments proposed;
    WriteRequest request;
    request.edits = {delete_edit(pod_key("shop", "a")), put_edit(wanted.pods.begin()->second),
                     put_edit(wanted.networks.begin()->second)};
    request.dry_run = true;
    request.judge = [&proposed](const model::State&, const model::Assignments& assignments) -> Status {
      proposed = assignments;
      return {};
    };
    const auto written = repository_->write(std::move(request));
    EXPECT_TRUE(written) << written.error().message;
    return proposed;
  }
};

TEST_F(RepositoryAddresses, AreProposedByADryRunThatGivesNothing) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  const model::Assignments before = assign();
  const std::uint64_t revision = repository_->revision();
  const model::Assignments proposed = propose();
  EXPECT_FALSE(proposed.pod_addresses.contains({"shop", "a"}));
  EXPECT_TRUE(proposed.pod_addresses.contains({"shop", "b"}));
  EXPECT_EQ(propose(), proposed) << "nothing was taken or freed by asking";
  EXPECT_EQ(repository_->updates(0).value().assignments, before);
  EXPECT_EQ(repository_->revision(), revision);
  reopen();
  EXPECT_EQ(repository_->updates(0).value().assignments, before) << "nor on the disk";
  state_.pods.clear();
  add_pod(state_, "shop", "b");
  add_network(state_, "blog");
  EXPECT_EQ(assign(), proposed);
}

TEST_F(RepositoryAddresses, GivesPodsTheLowestAddressesAndServicesTheHighest) {
  add_network(state_, "shop");
  for (const std::string name : {"a", "b", "c"}) add_pod(state_, "shop", name);
  for (const std::string name : {"x", "y"}) add_service(state_, "shop", name);
  const model::Assignments assigned = assign();
  EXPECT_EQ(assigned.pod_addresses.at({"shop", "a"}).text(), "172.16.0.2");
  EXPECT_EQ(assigned.pod_addresses.at({"shop", "c"}).text(), "172.16.0.4");
  EXPECT_EQ(assigned.service_addresses.at({"shop", "x"}).text(), "172.16.255.254");
  EXPECT_EQ(assigned.service_addresses.at({"shop", "y"}).text(), "172.16.255.253");
  EXPECT_EQ(assigned.network_ids.at("shop"), 1U);
  EXPECT_EQ(assigned.network_slots.at("shop"), 1U);
}

TEST_F(RepositoryAddresses, GivesTwoNetworksTheSameAddressesUnderTwoIds) {
  for (const std::string network : {"blog", "shop"}) {
    add_network(state_, network);
    add_pod(state_, network, "a");
  }
  EXPECT_EQ(pod("shop", "a"), pod("blog", "a"));
  EXPECT_NE(assign().network_ids.at("shop"), assign().network_ids.at("blog"));
  EXPECT_NE(assign().network_slots.at("shop"), assign().network_slots.at("blog"));
}

TEST_F(RepositoryAddresses, KeepsEverythingAcrossARestart) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "m");
  add_service(state_, "shop", "web");
  const model::Assignments before = assign();
  reopen();
  EXPECT_EQ(repository_->updates(0).value().assignments, before);
  EXPECT_EQ(assign(), before);
  add_pod(state_, "shop", "a");  // sorts before m and must not push it away
  EXPECT_EQ(assign().pod_addresses.at({"shop", "m"}), before.pod_addresses.at({"shop", "m"}));
}

TEST_F(RepositoryAddresses, DoesNotReuseAFreedAddressIdOrSlotAtOnceEvenAfterARestart) {
  add_network(state_, "shop");
  add_network(state_, "old");
  add_pod(state_, "shop", "a");
  const model::Assignments before = assign();
  state_.pods.clear();
  state_.networks.erase("old");
  assign();
  reopen();
  add_pod(state_, "shop", "b");
  add_network(state_, "new");
  const model::Assignments after = assign();
  EXPECT_NE(after.pod_addresses.at({"shop", "b"}), before.pod_addresses.at({"shop", "a"}));
  EXPECT_NE(after.network_ids.at("new"), before.network_ids.at("old"));
  EXPECT_NE(after.network_slots.at("new"), before.network_slots.at("old"));
}

TEST_F(RepositoryAddresses, LetsAReleasedAddressOfAPoolRestAlsoOverARestart) {
  capacity_.pools = {{"public", {Cidr4::parse("203.0.113.0/30").value()}}};
  reopen();
  const auto write = [this](WriteRequest::Edit edit) {
    WriteRequest request;
    request.edits = {std::move(edit)};
    const auto written = repository_->write(std::move(request));
    ASSERT_TRUE(written) << written.error().message;
  };
  const model::Key key{model::Kind::kFloatingIp, {"", "vip"}};
  std::vector<std::string> given;
  for (int i = 0; i < 5; i++) {
    model::FloatingIp vip;
    vip.name = "vip";
    vip.pool = "public";
    write(put_edit(vip));
    given.push_back(std::get<model::FloatingIp>(repository_->get(key).value().resource).address.value().text());
    write(delete_edit(key));
    reopen();
  }
  EXPECT_EQ(given,
            (std::vector<std::string>{"203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.0"}));
}

TEST_F(RepositoryAddresses, NeverHandsOutReservedAddressesAndUsesEveryOther) {
  add_network(state_, "tiny", "10.0.0.0/29", "10.0.0.3");
  for (const std::string name : {"a", "b", "c", "d"}) add_pod(state_, "tiny", name);
  add_service(state_, "tiny", "s");
  std::set<std::string> used;
  const model::Assignments assigned = assign();
  for (const auto& [name, address] : assigned.pod_addresses) used.insert(address.text());
  for (const auto& [name, address] : assigned.service_addresses) used.insert(address.text());
  EXPECT_EQ(used, (std::set<std::string>{"10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"}));

  add_pod(state_, "tiny", "e");
  const Error error = refusal();
  EXPECT_EQ(error.code, ErrorCode::kExhausted);
  EXPECT_EQ(error.message,
            "pod tiny/e: address4: no address of 10.0.0.0/29 in network tiny is free; remove pods or services, or use "
            "another network");
  state_.pods.erase({"tiny", "a"});
  EXPECT_EQ(pod("tiny", "e"), assigned.pod_addresses.at({"tiny", "a"}).text());
}

TEST_F(RepositoryAddresses, RefusesAStaticAddressThatALivingResourceHoldsAndNamesBoth) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  add_service(state_, "shop", "s");
  const model::Assignments before = assign();
  add_pod(state_, "shop", "b", "172.16.0.2");
  EXPECT_EQ(refusal().code, ErrorCode::kExists);
  EXPECT_EQ(refusal().message, "pod shop/b: address4: 172.16.0.2 is taken by pod shop/a; choose another address");
  state_.pods.erase({"shop", "b"});
  add_service(state_, "shop", "t", "172.16.0.2");
  EXPECT_EQ(refusal().message, "service shop/t: address4: 172.16.0.2 is taken by pod shop/a; choose another address");
  state_.services.erase({"shop", "t"});
  add_pod(state_, "shop", "b", "172.16.255.254");
  EXPECT_EQ(refusal().message,
            "pod shop/b: address4: 172.16.255.254 is taken by service shop/s; choose another address");
  state_.pods.erase({"shop", "b"});
  EXPECT_EQ(assign(), before) << "a refused state leaves nothing behind";
}

TEST_F(RepositoryAddresses, ServesStaticRequestsBeforeItChoosesFreely) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  add_pod(state_, "shop", "b", "172.16.0.2");
  EXPECT_EQ(pod("shop", "b"), "172.16.0.2");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.3");
}

TEST_F(RepositoryAddresses, SwapsTwoStaticAddressesInOneStep) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a", "172.16.0.8");
  add_pod(state_, "shop", "b", "172.16.0.9");
  assign();
  add_pod(state_, "shop", "a", "172.16.0.9");
  add_pod(state_, "shop", "b", "172.16.0.8");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.9");
  EXPECT_EQ(pod("shop", "b"), "172.16.0.8");
  reopen();
  EXPECT_EQ(pod("shop", "a"), "172.16.0.9");
}

TEST_F(RepositoryAddresses, MovesAnAddressFromARemovedPodToANewOneThatAsksForIt) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a", "172.16.0.8");
  assign();
  state_.pods.clear();
  add_pod(state_, "shop", "b", "172.16.0.8");
  EXPECT_EQ(pod("shop", "b"), "172.16.0.8");
}

TEST_F(RepositoryAddresses, KeepsTheAddressWhenTheStaticRequestGoes) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a", "172.16.7.7");
  assign();
  add_pod(state_, "shop", "a");
  EXPECT_EQ(pod("shop", "a"), "172.16.7.7");
}

TEST_F(RepositoryAddresses, GivesAServiceAnAddressOutsideTheCidrOnRequest) {
  add_network(state_, "shop");
  add_service(state_, "shop", "web", "10.96.0.1");
  EXPECT_EQ(service("shop", "web"), "10.96.0.1");
}

TEST_F(RepositoryAddresses, RefusesACidrThatLeavesAPodOutside) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  assign();
  add_network(state_, "shop", "10.0.0.0/16");
  const Error error = refusal();
  EXPECT_EQ(error.code, ErrorCode::kPrecondition);
  EXPECT_EQ(error.message,
            "network shop: cidr4: 10.0.0.0/16 does not contain 172.16.0.2 of pod shop/a; keep the old CIDR, or remove "
            "the pods first");
  add_network(state_, "shop", "172.16.0.0/12");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.2") << "a larger CIDR with the same addresses is fine";
}

TEST_F(RepositoryAddresses, RefusesARouterOnAnAddressThatAPodHas) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  assign();
  add_network(state_, "shop", "172.16.0.0/16", "172.16.0.2");
  EXPECT_EQ(refusal().message,
            "network shop: router4: the router would be 172.16.0.2, which pod shop/a has; choose another "
            "one");
  add_network(state_, "shop", "172.16.0.0/16", "172.16.0.77");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.2") << "the router may move without touching pods";
}

TEST_F(RepositoryAddresses, RefusesAPodInAnUndeclaredNetwork) {
  add_pod(state_, "ghost", "a");
  EXPECT_EQ(refusal().code, ErrorCode::kNotFound);
}

TEST_F(RepositoryAddresses, RefusesTheFirstNetworkAboveTheLimitAndReusesSlotsWhenTheyAreFreed) {
  for (int i = 0; i < 4095; i++) add_network(state_, "n" + std::to_string(i));
  std::set<std::uint32_t> slots;
  for (const auto& [name, slot] : assign().network_slots) slots.insert(slot);
  EXPECT_EQ(slots.size(), 4095U);
  EXPECT_EQ(*slots.begin(), 1U);
  EXPECT_EQ(*slots.rbegin(), 4095U);
  const model::Assignments before = assign();
  add_network(state_, "one-more");
  EXPECT_EQ(refusal().code, ErrorCode::kExhausted);
  state_.networks.erase("n17");
  EXPECT_EQ(assign().network_slots.at("one-more"), before.network_slots.at("n17"));
  EXPECT_EQ(assign().network_ids.at("one-more"), 4096U) << "an id rests until all others were used";
}

TEST_F(RepositoryAddresses, StayAsTheyAreWhenLittleChangesAmongMany) {
  for (int n = 0; n < 100; n++) {
    const std::string network = "n" + std::to_string(n);
    add_network(state_, network);
    for (int p = 0; p < 50; p++) add_pod(state_, network, "p" + std::to_string(p));
  }
  model::Assignments before = assign();
  ASSERT_EQ(before.pod_addresses.size(), 5000U);
  add_pod(state_, "n50", "new");
  state_.pods.erase({"n51", "p3"});
  const model::Assignments after = assign();
  EXPECT_EQ(after.pod_addresses.at({"n50", "new"}).text(), "172.16.0.52");
  before.pod_addresses.erase({"n51", "p3"});
  before.pod_addresses.emplace(model::Name{"n50", "new"}, ip("172.16.0.52"));
  EXPECT_EQ(after, before);
  reopen();
  EXPECT_EQ(assign(), after);
}

}  // namespace
}  // namespace sluice::store
