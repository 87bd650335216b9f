// SPDX-License-Identifier: Apache-2.0
// watch, fip, drain, log-level, completion, and what a mistyped command line is answered.
#include <nlohmann/json.hpp>

#include "model/times.hpp"
#include "scripted_server.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

v1::WatchEvent event(v1::WatchEvent::Type type, std::uint64_t revision, const std::string& pod) {
  v1::WatchEvent made;
  made.set_type(type);
  made.set_revision(revision);
  *made.mutable_resource() = resource_of("kind: Pod\nnetwork: shop\nname: " + pod + "\n", revision);
  return made;
}

v1::WatchResponse response(std::uint64_t revision, const std::vector<v1::WatchEvent>& events, bool synced = false) {
  v1::WatchResponse made;
  made.set_revision(revision);
  made.set_synced(synced);
  for (const v1::WatchEvent& one : events) *made.add_events() = one;
  return made;
}

const grpc::Status kLost(grpc::StatusCode::UNAVAILABLE, "gone");
const grpc::Status kCompacted(grpc::StatusCode::OUT_OF_RANGE, "compacted");
const grpc::Status kEnd(grpc::StatusCode::PERMISSION_DENIED, "end of the test");

TEST_F(ResourceCommands, WatchShowsWhatIsThereThenEachChangeAndGoesOnWhereItWasCut) {
  resources_.streams = {
      {{response(4, {event(v1::WatchEvent::CREATED, 3, "a")}, true),
        response(5, {event(v1::WatchEvent::CREATED, 5, "b")})},
       kLost},
      {{response(6, {event(v1::WatchEvent::CHANGED, 6, "b")}), response(7, {event(v1::WatchEvent::DELETED, 7, "a")})},
       kEnd}};
  const Outcome outcome = run({"watch", "pods", "-n", "shop"});
  EXPECT_EQ(outcome.status, 4);
  EXPECT_EQ(outcome.out, "3 PRESENT pod shop/a\n5 CREATED pod shop/b\n6 CHANGED pod shop/b\n7 DELETED pod shop/a\n");
  EXPECT_EQ(outcome.err, "sluicectl: the connection was lost; trying again\nsluicectl: end of the test\n");
  ASSERT_EQ(resources_.watched.size(), 2U);
  EXPECT_TRUE(resources_.watched[0].snapshot());
  EXPECT_EQ(resources_.watched[0].network(), "shop");
  EXPECT_EQ(resources_.watched[0].kinds(0), v1::POD);
  EXPECT_FALSE(resources_.watched[1].snapshot());
  EXPECT_EQ(resources_.watched[1].after_revision(), 5U);
}

TEST_F(ResourceCommands, WatchListsAgainAfterACompactionAndShowsOnlyWhatDiffers) {
  resources_.streams = {
      {{response(4, {event(v1::WatchEvent::CREATED, 3, "a"), event(v1::WatchEvent::CREATED, 4, "b")}, true)}, kLost},
      {{}, kCompacted},
      {{response(90, {event(v1::WatchEvent::CREATED, 4, "b"), event(v1::WatchEvent::CREATED, 80, "c")}, true)}, kEnd}};
  const Outcome outcome = run({"watch"});
  EXPECT_EQ(outcome.out, "3 PRESENT pod shop/a\n4 PRESENT pod shop/b\n80 CREATED pod shop/c\n90 DELETED pod shop/a\n");
  EXPECT_NE(outcome.err.find("the changes after revision 4 are gone from the store: listing everything again"),
            std::string::npos)
      << outcome.err;
  EXPECT_TRUE(resources_.watched.at(2).snapshot());
}

v1::WatchResponse of_store(v1::WatchResponse response, std::uint64_t epoch) {
  response.mutable_store()->set_uuid("6f6e6520-73746f-7265-8000-000000000001");
  response.mutable_store()->set_epoch(epoch);
  return response;
}

TEST_F(ResourceCommands, WatchSaysOfWhichStoreItsRevisionIsAndListsAgainWhereThatWasRestored) {
  v1::WatchEvent restored = event(v1::WatchEvent::CREATED, 4, "b");
  restored.mutable_resource()->mutable_pod()->set_weight(7);  // the same revision, but of the store's other past
  resources_.streams = {
      {{of_store(response(4, {event(v1::WatchEvent::CREATED, 3, "a"), event(v1::WatchEvent::CREATED, 4, "b")}, true),
                 1)},
       kLost},
      {{}, Error{ErrorCode::kOutOfRange, "it is in epoch 2", {{"store", "store.epoch", "1", "is in epoch 2", "list"}}}},
      {{of_store(response(5, {event(v1::WatchEvent::CREATED, 3, "a"), restored}, true), 2)}, kLost},
      {{}, kEnd}};
  const Outcome outcome = run({"watch"});
  EXPECT_EQ(outcome.out, "3 PRESENT pod shop/a\n4 PRESENT pod shop/b\n4 CHANGED pod shop/b\n");
  EXPECT_NE(outcome.err.find("the daemon's store was restored, reset or replaced: listing everything again"),
            std::string::npos)
      << outcome.err;
  ASSERT_EQ(resources_.watched.size(), 4U);
  EXPECT_FALSE(resources_.watched[0].has_store());
  EXPECT_EQ(resources_.watched[1].store().epoch(), 1U);
  EXPECT_EQ(resources_.watched[1].after_revision(), 4U);
  EXPECT_TRUE(resources_.watched[2].snapshot());
  EXPECT_EQ(resources_.watched[3].store().epoch(), 2U);
  EXPECT_EQ(resources_.watched[3].after_revision(), 5U);
}

TEST_F(ResourceCommands, WatchShowsATransactionOnceThatALostConnectionHasCutInTwo) {
  resources_.streams = {
      {{response(4, {event(v1::WatchEvent::CREATED, 5, "a")})}, kLost},
      {{response(5, {event(v1::WatchEvent::CREATED, 5, "a"), event(v1::WatchEvent::CREATED, 5, "b")})}, kEnd}};
  const Outcome outcome = run({"watch", "--after", "4", "-o", "json"});
  EXPECT_EQ(resources_.watched.at(0).after_revision(), 4U);
  std::vector<std::string> names;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    EXPECT_EQ(json["type"], "CREATED");
    EXPECT_EQ(json["revision"], 5);
    names.push_back(json["resource"]["name"]);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
}

TEST_F(ResourceCommands, WatchWithoutADaemonEndsAtOnce) {
  EXPECT_EQ(run_sluicectl({"watch", "--socket", (folder() / "missing.sock").string()}).status, 3);
}

v1::Resource service(const std::string& name, int port, const std::string& floating_ip, std::uint64_t revision = 7) {
  return resource_of("kind: Service\nnetwork: shop\nname: " + name +
                         "\nselector: {a: b}\nports: [{port: " + std::to_string(port) + "}]\n" +
                         (floating_ip.empty() ? "" : "floating_ip: " + floating_ip + "\n"),
                     revision);
}

const std::string kPublic = "kind: FloatingIP\nname: public\naddress: 203.0.113.10\n";

TEST_F(ResourceCommands, FipAllocateAsksForAPoolOrAnAddressAndShowsWhatItGot) {
  v1::Outcome& made = *resources_.answer.add_outcomes();
  *made.mutable_after() = resource_of(kPublic);
  const Outcome outcome = run({"fip", "allocate", "public", "--pool", "edge"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "floating IP public 203.0.113.10\n");
  const v1::ResourceEdit& edit = resources_.applied.at(0).edits(0);
  EXPECT_EQ(edit.put().floating_ip().pool(), "edge");
  EXPECT_TRUE(edit.has_expected_revision());
  EXPECT_EQ(edit.expected_revision(), 0U);
  made.set_action(v1::Outcome::CREATED);
  EXPECT_EQ(run({"fip", "allocate", "public", "--wait"}).status, 6) << "the datapath does not hold it";
  resources_.applied.pop_back();
  EXPECT_EQ(run({"fip", "allocate", "public", "--address", "203.0.113.10"}).status, 0);
  EXPECT_EQ(resources_.applied.at(1).edits(0).put().floating_ip().address(), "203.0.113.10");
  EXPECT_EQ(run({"fip", "allocate", "public", "--address", "203.0.113.10", "--pool", "edge"}).status, 2);
  resources_.present = {resource_of(kPublic)};
  resources_.refusal = Error{ErrorCode::kAborted, "exists"};
  const Outcome taken = run({"fip", "allocate", "public"});
  EXPECT_EQ(taken.status, 7);
  EXPECT_EQ(taken.err, "sluicectl: floating IP public exists already, with the address 203.0.113.10\n");
}

TEST_F(ResourceCommands, FipListShowsWhoHasWhichAndWhatDangles) {
  resources_.present = {resource_of(kPublic), resource_of("kind: FloatingIP\nname: spare\naddress: 203.0.113.11\n"),
                        service("web", 80, "public")};
  EXPECT_EQ(run({"fip", "list"}).out,
            "FLOATING-IP  ADDRESS       POOL  SERVICES\npublic       203.0.113.10  -     shop/web\n"
            "spare        203.0.113.11  -     -\n");
  EXPECT_EQ(run({"fip", "list", "--dangling"}).out,
            "FLOATING-IP  ADDRESS       POOL  SERVICES\nspare        203.0.113.11  -     -\n");
}

TEST_F(ResourceCommands, FipAttachTakesItFromWhoHasItInTheSameTransaction) {
  resources_.present = {resource_of(kPublic), service("old", 80, "public", 3), service("dns", 53, "public", 4),
                        service("new", 80, "", 5)};
  EXPECT_EQ(run({"fip", "attach", "public", "shop/new"}).out,
            "service shop/old changed\nservice shop/dns changed\nservice shop/new changed\n");
  ASSERT_EQ(resources_.applied.size(), 1U);
  EXPECT_EQ(resources_.applied[0].edits(0).put().service().floating_ip(), "");
  EXPECT_EQ(resources_.applied[0].edits(0).expected_revision(), 3U);
  EXPECT_EQ(resources_.applied[0].edits(2).put().service().floating_ip(), "public");
  EXPECT_EQ(resources_.applied[0].edits(2).expected_revision(), 5U);
  EXPECT_EQ(run({"fip", "attach", "public", "shop/new", "--share"}).out,
            "service shop/old changed\nservice shop/new changed\n");
  EXPECT_EQ(run({"fip", "attach", "pulbic", "shop/new"}).err,
            "sluicectl: floating IP pulbic does not exist; did you mean 'public'?\n");
}

TEST_F(ResourceCommands, FipDetachAndReleaseLeaveNothingBehind) {
  resources_.present = {resource_of(kPublic), service("web", 80, "public")};
  EXPECT_EQ(run({"fip", "detach", "public"}).out, "service shop/web changed\n");
  EXPECT_EQ(resources_.applied.at(0).edits(0).put().service().floating_ip(), "");
  EXPECT_EQ(run({"fip", "detach", "public", "shop/other"}).status, 1);
  resources_.present = {resource_of(kPublic)};
  EXPECT_EQ(run({"fip", "detach", "public"}).out, "floating IP public unchanged: no service has it\n");
  EXPECT_EQ(run({"fip", "release", "public"}).status, 0);
  EXPECT_EQ(resources_.deleted.at(0).keys(0).kind(), v1::FLOATING_IP);
}

TEST_F(ResourceCommands, DrainChangesTheStateOfTheRevisionThatWasReadAndNothingElse) {
  resources_.present = {resource_of("kind: Pod\nnetwork: shop\nname: web-1\nweight: 3\n", 12)};
  EXPECT_EQ(run({"pod", "drain", "shop/web-1"}).out, "pod shop/web-1 changed\n");
  const v1::ResourceEdit& edit = resources_.applied.at(0).edits(0);
  EXPECT_EQ(edit.put().pod().state(), v1::DRAINING);
  EXPECT_EQ(edit.put().pod().weight(), 3U);
  EXPECT_EQ(edit.expected_revision(), 12U);
  EXPECT_EQ(run({"pod", "undrain", "shop/web-1"}).status, 0);
  EXPECT_EQ(resources_.applied.at(1).edits(0).put().pod().state(), v1::POD_STATE_UNSPECIFIED);
  EXPECT_EQ(run({"pod", "drain", "shop/web-9"}).status, 1);
}

TEST_F(ResourceCommands, DrainWithAGraceSendsADeadlineWhichTheNextDrainReplaces) {
  resources_.present = {resource_of("kind: Pod\nnetwork: shop\nname: web-1\n", 12)};
  const std::int64_t before = model::moment_now();
  EXPECT_EQ(run({"pod", "drain", "shop/web-1", "--grace", "90"}).status, 0);
  const std::int64_t deadline = resources_.applied.at(0).edits(0).put().pod().drain_deadline();
  EXPECT_GE(deadline, before + 90'000);
  EXPECT_LE(deadline, model::moment_now() + 90'000);
  resources_.present = {resource_of(
      "kind: Pod\nnetwork: shop\nname: web-1\nstate: draining\ndrain_deadline: 2026-01-31T12:00:00Z\n", 13)};
  EXPECT_NE(run({"get", "pods"}).out.find(" draining until 2026-01-31T12:00:00Z "), std::string::npos);
  for (const char* command : {"drain", "undrain"}) {
    EXPECT_EQ(run({"pod", command, "shop/web-1"}).status, 0);
    EXPECT_EQ(resources_.applied.back().edits(0).put().pod().drain_deadline(), 0) << command;
  }
  for (const char* grace : {"--grace=-1", "--grace=25h", "--grace=0", "--grace=soon"}) {
    const Outcome refused = run({"pod", "drain", "shop/web-1", grace});
    EXPECT_EQ(refused.status, 2);
    EXPECT_NE(refused.err.find("choose 1ms to 24h"), std::string::npos) << refused.err;
  }
  EXPECT_EQ(resources_.applied.size(), 3U);
}

TEST_F(ResourceCommands, DescribeTellsHowADrainStands) {
  *node_.description.mutable_resource() =
      resource_of("kind: Pod\nnetwork: shop\nname: web-1\nstate: draining\ndrain_deadline: 2026-01-31T12:00:00Z\n");
  node_.description.set_attached(true);
  node_.description.set_flows_left(3);
  node_.description.set_detaches_at(1769860801000);
  EXPECT_NE(run({"describe", "pod", "shop/web-1"})
                .out.find("\ndraining: until 2026-01-31T12:00:00Z\n"
                          "detached: 2026-01-31T12:00:01Z at the latest\n"
                          "flows left: 3\n"),
            std::string::npos);
  node_.description.set_drained(true);
  EXPECT_NE(run({"describe", "pod", "shop/web-1"}).out.find("\ndraining: until 2026-01-31T12:00:00Z (over)\n"),
            std::string::npos);
  const Json json = Json::parse(run({"describe", "pod", "shop/web-1", "-o", "json"}).out);
  EXPECT_EQ(json["flows_left"], 3);
  EXPECT_EQ(json["drained"], true);
  EXPECT_EQ(json["detaches_at"], "2026-01-31T12:00:01Z");
}

TEST_F(ResourceCommands, LogLevelIsSent) {
  EXPECT_EQ(run({"log-level", "debug"}).out, "log level debug (was info)\n");
  EXPECT_EQ(node_.level, "debug");
  EXPECT_EQ(run({"log-level", "loud"}).status, 2);
}

TEST_F(ResourceCommands, CompletionKnowsCommandsKindsOptionsAndNames) {
  resources_.present = {resource_of("kind: Pod\nnetwork: shop\nname: web-1\n"), resource_of("kind: Pod\nname: db\n")};
  EXPECT_EQ(run({"complete", "--", "des"}).out, "describe\n");
  EXPECT_EQ(run({"complete", "--", "get", "p"}).out, "pods\n");
  EXPECT_EQ(run({"complete", "--", "get", "pods", ""}).out, "default/db\nshop/web-1\n");
  EXPECT_EQ(run({"complete", "--", "pod", "drain", "shop/"}).out, "shop/web-1\n");
  EXPECT_EQ(run({"complete", "--", "fip", "al"}).out, "allocate\n");
  EXPECT_EQ(run({"complete", "--", "delete", "--ca"}).out, "--cascade\n");
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const Outcome script = run_sluicectl({"completion", shell});
    EXPECT_EQ(script.status, 0);
    EXPECT_NE(script.out.find("complete -"), std::string::npos) << shell;
  }
  const std::string check = "bash -c 'source <(\"" SLUICECTL_PATH "\" completion bash); COMP_WORDS=(\"" SLUICECTL_PATH
                            "\" comp); COMP_CWORD=1; _sluicectl; test \"${COMPREPLY[*]}\" = completion'";
  EXPECT_EQ(std::system(check.c_str()), 0);
}

TEST_F(ResourceCommands, SpellingMistakesAreAnsweredWithWhatWasMeant) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> table = {
      {{"aply"}, "'aply' is no known command or argument; did you mean 'apply'?"},
      {{"fip", "atach"}, "did you mean 'attach'?"},
      {{"get", "servces"}, "'servces' is no kind of resource; did you mean 'services'?"},
      {{"get", "pods", "--lables", "a=b"}, "did you mean '--labels'?"},
      {{"get", "pods", "-l", "a"}, "'a' is no label: write KEY=VALUE"},
      {{"get", "pods", "-o", "xml"}, "write one of json, name, table, wide, yaml"},
  };
  for (const auto& [arguments, message] : table) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace sluice::testing
