// SPDX-License-Identifier: Apache-2.0
// kill -9 at random moments of a stream of sets. SLUICE_STORE_KILLS sets how many (default 120).
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <set>

#include "base/fd.hpp"
#include "repository_test_base.hpp"

namespace sluice::store {
namespace {

constexpr unsigned kPods = 10;  // alive at a time

std::string pod_name(std::uint64_t step) {
  return "pod-" + std::to_string(step);
}

/// One pod comes and one goes; a floating IP moves from one service to the other; all carry the step.
WriteRequest set_of(std::uint64_t step) {
  WriteRequest request;
  request.ignore_missing = true;
  const model::Labels labels = {{"step", std::to_string(step)}};
  model::State made;
  add_network(made, "shop", "10.0.0.0/27");
  add_pod(made, "shop", pod_name(step));
  add_service(made, "shop", "one");
  add_service(made, "shop", "two");
  for (auto& [name, service] : made.services) service.labels = labels;
  made.services.at({"shop", step % 2 == 0 ? "one" : "two"}).floating_ip = "public";
  made.networks.at("shop").labels = labels;
  request.edits = {put_edit(made.networks.at("shop")), put_edit(made.pods.begin()->second),
                   put_edit(model::FloatingIp{"public", {}, labels, "public"})};
  for (const auto& [name, service] : made.services) request.edits.push_back(put_edit(service));
  if (step > kPods) request.edits.push_back(delete_edit(pod_key("shop", pod_name(step - kPods))));
  return request;
}

/// What was acknowledged last.
struct Acknowledged {
  std::uint64_t step = 0;
  std::uint64_t revision = 0;
  std::uint32_t address = 0;
};

Result<std::unique_ptr<Repository>> open(const std::filesystem::path& folder) {
  auto key_values = SqliteKeyValues::open(folder);
  if (!key_values) return std::unexpected(key_values.error());
  const model::Capacity capacity{UINT64_MAX, {{"public", {Cidr4::parse("203.0.113.0/30").value()}}}};
  return Repository::open(std::move(*key_values), capacity);
}

[[noreturn]] void write_for_ever(const std::filesystem::path& folder, std::uint64_t step, int pipe) {
  auto repository = open(folder);
  if (!repository) _exit(2);
  for (;; step++) {
    const auto reply = (*repository)->write(set_of(step));
    if (!reply) _exit(3);
    const Acknowledged said{step, reply->revision, reply->outcomes[1].after->assigned.addresses.v4->value};
    if (::write(pipe, &said, sizeof(said)) != sizeof(said)) _exit(4);
  }
}

class RepositoryCrash : public testing::Test {
 protected:
  /// Kills a writer after `sets` more and some time; what it acknowledged goes into addresses_ and newest_.
  void run_and_kill(std::uint64_t sets, std::uint64_t microseconds) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(folder_.path(), newest_.step + 1, writer.get());
    writer.reset();
    for (; sets > 0 && take(reader); sets--) {
    }
    usleep(static_cast<useconds_t>(microseconds));  // the moment is what is random here
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself with " << WEXITSTATUS(status);
    while (take(reader)) {
    }
  }
  bool take(const UniqueFd& reader) {
    Acknowledged said;
    if (::read(reader.get(), &said, sizeof(said)) != sizeof(said)) return false;
    addresses_[pod_name(said.step)] = Ipv4{said.address};
    newest_ = said;
    return true;
  }
  void check() {
    const auto repository = open(folder_.path());
    ASSERT_TRUE(repository) << repository.error().message;
    const Update whole = (*repository)->updates(0).value();
    ASSERT_GE(whole.revision, newest_.revision) << "an acknowledged set is lost";
    ASSERT_LE(whole.revision, newest_.revision + 1) << "one set at most was on its way";
    if (whole.revision == 0) return;
    const std::uint64_t step = newest_.step + whole.revision - newest_.revision;
    const model::Labels labels = {{"step", std::to_string(step)}};
    EXPECT_EQ(whole.state.networks.at("shop").labels, labels) << "half a set";
    EXPECT_EQ(whole.state.floating_ips.at("public").labels, labels);
    ASSERT_EQ(whole.state.services.size(), 2U);
    for (const auto& [name, service] : whole.state.services) {
      EXPECT_EQ(service.labels, labels);
      EXPECT_EQ(service.floating_ip.has_value(), name.name == (step % 2 == 0 ? "one" : "two"));
    }
    check_addresses(whole, step);
    newest_.step = step;
    newest_.revision = whole.revision;
  }
  void check_addresses(const Update& whole, std::uint64_t step) {
    EXPECT_EQ(whole.state.pods.size(), std::min<std::uint64_t>(step, kPods));
    std::set<Ipv4> given;
    for (const auto& [name, address] : whole.assignments.service_addresses)
      EXPECT_TRUE(given.insert(*address.v4).second);
    for (const auto& [name, address] : whole.assignments.pod_addresses) {
      EXPECT_TRUE(given.insert(*address.v4).second) << address.text() << " was handed out twice";
      const auto said = addresses_.emplace(name.name, *address.v4).first;
      EXPECT_EQ(said->second, address) << name.text() << " has another address than was acknowledged";
    }
    EXPECT_TRUE(whole.state.pods.contains({"shop", pod_name(step)}));
  }

  TemporaryFolder folder_;
  Acknowledged newest_;
  std::map<std::string, Ipv4> addresses_;  ///< of each pod there ever was
};

TEST_F(RepositoryCrash, LosesNoAcknowledgedSetAndGivesNoAddressTwiceThroughKills) {
  const char* wanted = std::getenv("SLUICE_STORE_KILLS");
  const int kills = wanted == nullptr ? 120 : std::atoi(wanted);
  ASSERT_GT(kills, 0);
  std::mt19937 random(20261121);
  for (int i = 0; i < kills; i++) {
    run_and_kill(random() % 15, random() % 3000);
    if (!HasFatalFailure()) check();
    if (HasFailure()) FAIL() << "at kill " << i;
  }
  EXPECT_GT(newest_.step, static_cast<std::uint64_t>(kills)) << "the writers got to write";
}

}  // namespace
}  // namespace sluice::store
