// SPDX-License-Identifier: Apache-2.0
#include "store/allocations.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "model/validate.hpp"
#include "states.hpp"
#include "temporary_folder.hpp"

namespace sluice::store {
namespace {

class AllocationsTest : public testing::Test {
 protected:
  AllocationsTest() { reopen(); }

  void reopen() {
    allocations_.reset();
    auto opened = Allocations::open(folder_ / "state");
    ASSERT_TRUE(opened) << opened.error().message;
    allocations_ = std::move(*opened);
  }
  model::Assignments assign() {
    auto assigned = allocations_->assign(state_);
    if (assigned) return *assigned;
    ADD_FAILURE() << assigned.error().message;
    return {};
  }
  Error refusal() {
    auto assigned = allocations_->assign(state_);
    if (!assigned) return assigned.error();
    ADD_FAILURE() << "was not refused";
    return {};
  }
  std::string pod(const std::string& network, const std::string& name) {
    return assign().pod_addresses.at({network, name}).text();
  }
  std::string service(const std::string& network, const std::string& name) {
    return assign().service_addresses.at({network, name}).text();
  }

  TemporaryFolder folder_;
  std::unique_ptr<Allocations> allocations_;
  model::State state_;
};

TEST_F(AllocationsTest, ProposesWhatItWouldGiveAndGivesNothing) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  const model::Assignments before = assign();
  const model::State old = state_;
  state_.pods.clear();
  add_pod(state_, "shop", "b");
  add_network(state_, "blog");
  const auto proposed = allocations_->propose(state_);
  ASSERT_TRUE(proposed) << proposed.error().message;
  EXPECT_FALSE(proposed->pod_addresses.contains({"shop", "a"}));
  EXPECT_EQ(*allocations_->propose(state_), *proposed) << "nothing was taken or freed by asking";
  EXPECT_EQ(*allocations_->propose(old), before);
  reopen();
  EXPECT_EQ(*allocations_->propose(old), before) << "nor on the disk";
  EXPECT_EQ(assign(), *proposed);
}

TEST_F(AllocationsTest, GivesPodsTheLowestAddressesAndServicesTheHighest) {
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

TEST_F(AllocationsTest, GivesTwoNetworksTheSameAddressesUnderTwoIds) {
  for (const std::string network : {"blog", "shop"}) {
    add_network(state_, network);
    add_pod(state_, network, "a");
  }
  EXPECT_EQ(pod("shop", "a"), pod("blog", "a"));
  EXPECT_NE(assign().network_ids.at("shop"), assign().network_ids.at("blog"));
  EXPECT_NE(assign().network_slots.at("shop"), assign().network_slots.at("blog"));
}

TEST_F(AllocationsTest, KeepsEverythingAcrossARestart) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "m");
  add_service(state_, "shop", "web");
  const model::Assignments before = assign();
  const auto secret = allocations_->secret();
  const auto uuid = allocations_->uuid();
  reopen();
  EXPECT_EQ(assign(), before);
  EXPECT_EQ(allocations_->secret(), secret);
  EXPECT_EQ(allocations_->uuid(), uuid);
  EXPECT_NE(secret, (std::array<std::uint64_t, 2>{}));
  add_pod(state_, "shop", "a");  // sorts before m and must not push it away
  EXPECT_EQ(assign().pod_addresses.at({"shop", "m"}), before.pod_addresses.at({"shop", "m"}));
}

TEST_F(AllocationsTest, DoesNotReuseAFreedAddressIdOrSlotAtOnceEvenAfterARestart) {
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

TEST_F(AllocationsTest, NeverHandsOutReservedAddressesAndUsesEveryOther) {
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

TEST_F(AllocationsTest, RefusesAStaticAddressThatALivingResourceHoldsAndNamesBoth) {
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

TEST_F(AllocationsTest, ServesStaticRequestsBeforeItChoosesFreely) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  add_pod(state_, "shop", "b", "172.16.0.2");
  EXPECT_EQ(pod("shop", "b"), "172.16.0.2");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.3");
}

TEST_F(AllocationsTest, SwapsTwoStaticAddressesInOneStep) {
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

TEST_F(AllocationsTest, MovesAnAddressFromARemovedPodToANewOneThatAsksForIt) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a", "172.16.0.8");
  assign();
  state_.pods.clear();
  add_pod(state_, "shop", "b", "172.16.0.8");
  EXPECT_EQ(pod("shop", "b"), "172.16.0.8");
}

TEST_F(AllocationsTest, KeepsTheAddressWhenTheStaticRequestGoes) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a", "172.16.7.7");
  assign();
  add_pod(state_, "shop", "a");
  EXPECT_EQ(pod("shop", "a"), "172.16.7.7");
}

TEST_F(AllocationsTest, GivesAServiceAnAddressOutsideTheCidrOnRequest) {
  add_network(state_, "shop");
  add_service(state_, "shop", "web", "10.96.0.1");
  EXPECT_EQ(service("shop", "web"), "10.96.0.1");
}

TEST_F(AllocationsTest, RefusesACidrThatLeavesAPodOutside) {
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

TEST_F(AllocationsTest, RefusesARouterOnAnAddressThatAPodHas) {
  add_network(state_, "shop");
  add_pod(state_, "shop", "a");
  assign();
  add_network(state_, "shop", "172.16.0.0/16", "172.16.0.2");
  EXPECT_EQ(refusal().message,
            "network shop: router4: the router's address would be 172.16.0.2, which pod shop/a has; choose another "
            "one");
  add_network(state_, "shop", "172.16.0.0/16", "172.16.0.77");
  EXPECT_EQ(pod("shop", "a"), "172.16.0.2") << "the router may move without touching pods";
}

TEST_F(AllocationsTest, RefusesAPodInAnUndeclaredNetwork) {
  add_pod(state_, "ghost", "a");
  EXPECT_EQ(refusal().code, ErrorCode::kNotFound);
}

TEST_F(AllocationsTest, RefusesTheFirstNetworkAboveTheLimitAndReusesSlotsWhenTheyAreFreed) {
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

TEST_F(AllocationsTest, AssignsALittleChangeAmongAHundredThousandPodsWithinASecond) {
  for (int n = 0; n < 1000; n++) {
    const std::string network = "n" + std::to_string(n);
    add_network(state_, network);
    for (int p = 0; p < 100; p++) add_pod(state_, network, "p" + std::to_string(p));
  }
  const model::Assignments before = assign();
  ASSERT_EQ(before.pod_addresses.size(), 100000U);
  add_pod(state_, "n500", "new");
  state_.pods.erase({"n501", "p3"});
  const auto start = std::chrono::steady_clock::now();
  const model::Assignments after = assign();
  const auto took = std::chrono::steady_clock::now() - start;
  RecordProperty("milliseconds", static_cast<int>(took / std::chrono::milliseconds(1)));
  EXPECT_LT(took, std::chrono::seconds(1));
  EXPECT_EQ(after.pod_addresses.size(), 100000U);
  reopen();
  EXPECT_EQ(assign(), after);
}

TEST_F(AllocationsTest, KeepsAttachments) {
  StoredAttachment stored;
  stored.pod = {"shop", "a"};
  stored.attachment = {7, 0xFFFFFFFFFFFFFFF1, "slc1a", Mac::parse("06:01:ac:10:00:02").value(), true};
  stored.boot_id = "5b1f";
  ASSERT_TRUE(allocations_->put_attachment(stored));
  stored.attachment.ifindex = 8;
  ASSERT_TRUE(allocations_->put_attachment(stored)) << "a new attachment replaces the old one";
  StoredAttachment other = stored;
  other.pod = {"shop", "b"};
  ASSERT_TRUE(allocations_->put_attachment(other));
  reopen();
  EXPECT_EQ(allocations_->attachments().value(), (std::vector<StoredAttachment>{stored, other}));
  ASSERT_TRUE(allocations_->remove_attachment({"shop", "a"}));
  ASSERT_TRUE(allocations_->remove_attachment({"shop", "a"})) << "twice is fine";
  EXPECT_EQ(allocations_->attachments().value(), std::vector<StoredAttachment>{other});
}

}  // namespace
}  // namespace sluice::store
