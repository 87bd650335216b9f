// SPDX-License-Identifier: Apache-2.0
// get, describe, apply, delete and edit against a server that answers as it is told.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "scripted_server.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPod = R"(kind: Pod
network: shop
name: web-1
labels:
  app: web
  number: "1"
  "on": "true"
ports:
  - name: dns
    port: 53
    protocol: UDP
  - name: http
    port: 8080
weight: 0
state: draining
)";
constexpr const char* kService = R"(kind: Service
network: shop
name: web
selector:
  app: web
ports:
  - name: http
    port: 80
    target_port: http
  - port: 443
    target_port: 8443
address4: 172.16.0.10
algorithm: source
floating_ip: public
)";
constexpr const char* kNetwork = R"(kind: Network
name: shop
labels:
  owner: "alice \"a\" \\ smith"
cidr4: 10.0.0.0/16
egress: none
limits:
  max_flows: 500
)";
constexpr const char* kFloatingIp = "kind: FloatingIP\nname: public\naddress: 203.0.113.10\n";
constexpr const char* kNode = "kind: Node\nname: host-1\nunderlay4: 192.0.2.7\n";

TEST_F(ResourceCommands, WhatGetPrintsAsYamlIsWhatApplyTakes) {
  std::string all;
  for (const char* text : {kNetwork, kPod, kService, kFloatingIp, kNode}) {
    resources_.present.push_back(resource_of(text));
    all += (all.empty() ? "" : "---\n") + std::string(text);
  }
  const Outcome shown = run({"get", "all", "-o", "yaml"});
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_EQ(shown.out, all);
  EXPECT_EQ(run({"apply", "-f", "-"}, shown.out).status, 0);
  ASSERT_EQ(resources_.applied.size(), 1U);
  ASSERT_EQ(resources_.applied[0].edits_size(), 5);
  EXPECT_EQ(resources_.applied[0].edits(1).put().pod().labels().at("number"), "1");
}

TEST_F(ResourceCommands, GetShowsATableOfAKindByAnyOfItsNames) {
  resources_.present = {resource_of(kPod), resource_of(kService), resource_of(kNetwork)};
  for (const std::string kind : {"pods", "pod", "po", "Pod"}) {
    const Outcome outcome = run({"get", kind});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "POD         ADDRESS     STATE     AGE\nshop/web-1  172.16.0.2  draining  -\n");
  }
  EXPECT_EQ(run({"get", "svc", "-o", "wide"}).out,
            "SERVICE   ADDRESS     PORTS                       FLOATING-IP  ALGORITHM  AFFINITY  SELECTOR  LABELS  "
            "REVISION  AGE\n"
            "shop/web  172.16.0.2  80/TCP->http,443/TCP->8443  public       source            -  app=web   -           "
            "   7  -\n");
  EXPECT_EQ(run({"get", "net"}).out,
            "NETWORK  CIDR         CIDR6  DOMAIN    AGE\nshop     10.0.0.0/16  -      internal  -\n");
  EXPECT_NE(run({"get", "net", "-o", "wide"}).out.find("DOMAIN    EGRESS  ID"), std::string::npos);
  EXPECT_NE(run({"get", "net", "-o", "wide"}).out.find("internal  none "), std::string::npos);
  EXPECT_EQ(run({"get", "pods", "-o", "name"}).out, "shop/web-1\n");
}

TEST_F(ResourceCommands, GetNarrowsByNetworkLabelsAndName) {
  resources_.present = {resource_of(kPod), resource_of("kind: Pod\nname: other\n")};
  EXPECT_EQ(run({"get", "pods", "-n", "shop", "-o", "name"}).out, "shop/web-1\n");
  EXPECT_EQ(run({"get", "pods", "-l", "app=web,number=1", "-o", "name"}).out, "shop/web-1\n");
  EXPECT_EQ(resources_.listed.back().labels().at("number"), "1");
  EXPECT_EQ(run({"get", "pods", "-l", "app=db", "-o", "name"}).out, "");
  EXPECT_EQ(run({"get", "pod", "other", "-o", "name"}).out, "default/other\n");
  EXPECT_EQ(run({"get", "pod", "web-1", "-n", "shop", "-o", "name"}).out, "shop/web-1\n");
  const Json json = Json::parse(run({"get", "pod", "shop/web-1", "-o", "json"}).out);
  EXPECT_EQ(json["resources"][0]["status"]["address4"], "172.16.0.2");
  EXPECT_EQ(json["resources"][0]["metadata"]["modified_revision"], 7);
  EXPECT_EQ(json["resources"][0]["ports"][0]["protocol"], "UDP");
}

TEST_F(ResourceCommands, ANetworkIsRefusedWhereWhatIsAskedForIsInNone) {
  resources_.present = {resource_of(kPod), resource_of(kNetwork)};
  for (const auto& [kind, plural] :
       {std::pair{"nodes", "nodes"}, std::pair{"network", "networks"}, std::pair{"fip", "floatingips"}}) {
    for (const std::string command : {"get", "describe", "edit", "delete"}) {
      std::vector<std::string> arguments = {command, kind, "shop", "-n", "shop"};
      const Outcome outcome = run(arguments);
      EXPECT_EQ(outcome.status, 2) << command;
      EXPECT_EQ(outcome.err, "sluicectl: " + std::string(plural) + " are in no network: leave out --network 'shop'\n");
    }
    EXPECT_EQ(run({"get", kind, "-n", "shop"}).status, 2) << kind;
  }
  EXPECT_EQ(run({"watch", "nodes", "-n", "shop"}).status, 2);
  EXPECT_TRUE(resources_.listed.empty() && resources_.deleted.empty() && resources_.watched.empty());
  EXPECT_EQ(run({"get", "all", "-n", "shop", "-o", "name"}).out, "shop/web-1\n") << "all that is in it";
}

TEST_F(ResourceCommands, AMissingNameIsAnExitStatusAndTheNearestIsNamed) {
  resources_.present = {resource_of(kPod)};
  const Outcome outcome = run({"get", "pod", "shop/web-2", "shop/web-1", "-o", "name"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, "shop/web-1\n");
  EXPECT_EQ(outcome.err, "sluicectl: pod shop/web-2 does not exist; did you mean 'shop/web-1'?\n");
}

TEST_F(ResourceCommands, ApplySendsOneSetWithTheRevisionsThatItRead) {
  resources_.present = {resource_of(kPod, 12)};
  const std::string folder = write("set/a.yaml", kPod).substr(0, (this->folder() / "set").string().size());
  (void)write("set/b.yaml", "kind: Service\nnetwork: shop\nname: web\nselector: {app: web}\nports: [{port: 80}]\n");
  const Outcome outcome = run({"apply", "-f", folder, "-", "--recreate"}, kFloatingIp);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "pod shop/web-1 changed\nservice shop/web created\nfloating IP public created\n");
  ASSERT_EQ(resources_.applied.size(), 1U);
  const v1::ApplyRequest& request = resources_.applied[0];
  ASSERT_EQ(request.edits_size(), 3);
  EXPECT_EQ(request.edits(0).expected_revision(), 12U);
  EXPECT_TRUE(request.edits(1).has_expected_revision());
  EXPECT_EQ(request.edits(1).expected_revision(), 0U);
  EXPECT_TRUE(request.recreate());
  EXPECT_FALSE(request.dry_run());
  EXPECT_EQ(request.wait_milliseconds(), 0U);
}

TEST_F(ResourceCommands, ADryRunShowsTheDifference) {
  resources_.present = {resource_of(kPod)};
  std::string changed = kPod;
  changed.replace(changed.find("port: 8080"), 10, "port: 8081");
  const Outcome outcome = run({"apply", "--dry-run", "-f", write("a.yaml", changed)});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "pod shop/web-1 changed (dry run)\n"
            "--- pod shop/web-1 (now)\n+++ pod shop/web-1 (then)\n"
            "@@ -10,6 +10,6 @@\n"
            "     port: 53\n     protocol: UDP\n   - name: http\n-    port: 8080\n+    port: 8081\n weight: 0\n"
            " state: draining\n");
  EXPECT_TRUE(resources_.applied.at(0).dry_run());
}

TEST_F(ResourceCommands, ADifferenceHasColoursOnATerminalOnlyAndNotAgainstTheUsersWill) {
  resources_.present = {resource_of(kPod)};
  const std::string file = write("a.yaml", "kind: Pod\nnetwork: shop\nname: web-1\n");
  const auto on_terminal = [&](const std::string& environment) {
    // script(1) gives the command a terminal, and copies what it prints.
    const std::string copy = (folder() / "typescript").string();
    const std::string command =
        "env " + environment + " '" SLUICECTL_PATH "' --socket " + socket() + " apply --dry-run -f " + file;
    const std::string all =
        "script --quiet --return --command \"" + command + "\" " + copy + " > /dev/null < /dev/null";
    EXPECT_EQ(std::system(all.c_str()), 0);
    std::ifstream stream(copy);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  };
  EXPECT_NE(on_terminal("-u NO_COLOR TERM=xterm").find("\x1b[31m-weight: 0\x1b[0m"), std::string::npos);
  EXPECT_EQ(on_terminal("NO_COLOR=1 TERM=xterm").find("\x1b"), std::string::npos);
  EXPECT_EQ(on_terminal("-u NO_COLOR TERM=dumb").find("\x1b"), std::string::npos);
  EXPECT_EQ(run({"apply", "--dry-run", "-f", file}).out.find('\x1b'), std::string::npos);
}

TEST_F(ResourceCommands, WaitingThatFailsIsAFailure) {
  resources_.answer.set_revision(9);
  v1::Outcome& made = *resources_.answer.add_outcomes();
  made.set_action(v1::Outcome::CREATED);
  made.mutable_key()->set_kind(v1::POD);
  made.mutable_key()->set_network("shop");
  made.mutable_key()->set_name("web-1");
  const std::string file = write("a.yaml", kPod);
  const Outcome late = run({"apply", "--wait", "--timeout", "2", "-f", file});
  EXPECT_EQ(late.status, 6);
  EXPECT_EQ(late.out, "pod shop/web-1 created\n");
  EXPECT_NE(late.err.find("revision 9 is stored, but the datapath does not hold it"), std::string::npos) << late.err;
  EXPECT_EQ(resources_.applied.at(0).wait_milliseconds(), 2000U);
  resources_.answer.set_applied(true);
  EXPECT_EQ(run({"apply", "--wait", "-f", file}).status, 0);
}

TEST_F(ResourceCommands, WhatTheDaemonRefusesIsShownWithFileAndLine) {
  resources_.refusal = Error{
      ErrorCode::kExists,
      "two problems",
      {{"service shop/web", "address4", "172.16.0.10", "172.16.0.10 is taken by pod shop/a", "choose another address"},
       {"network shop", "cidr4", "", "cannot \x1b[2J change", ""},
       {"", "", "", "and 3 more problems", ""}}};
  const std::string file = write("a.yaml", std::string(kPod) + "---\n" + kService);
  const Outcome outcome = run({"apply", "-f", file});
  EXPECT_EQ(outcome.status, 7);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "sluicectl: " + file +
                             ":17: service shop/web: address4: 172.16.0.10 is taken by pod shop/a; choose another "
                             "address\nsluicectl: network shop: cidr4: cannot \\x1b[2J change\n"
                             "sluicectl: and 3 more problems\n");
}

TEST_F(ResourceCommands, AConflictTellsWhatSomebodyElseHasChanged) {
  resources_.present = {resource_of(kPod, 12)};
  resources_.refusal = Error{ErrorCode::kAborted, "pod shop/web-1: is at revision 15, not 12"};
  resources_.on_apply = [this] {
    resources_.present = {resource_of("kind: Pod\nnetwork: shop\nname: web-1\nweight: 3\n", 15)};
  };
  const Outcome outcome = run({"apply", "-f", "-"}, kPod);
  EXPECT_EQ(outcome.status, 7);
  EXPECT_NE(outcome.err.find("pod shop/web-1 was changed by somebody else meanwhile (revision 15)\n"),
            std::string::npos)
      << outcome.err;
  EXPECT_NE(outcome.err.find("  +weight: 3\n"), std::string::npos) << outcome.err;
  resources_.on_apply = [this] { resources_.present.clear(); };
  EXPECT_NE(run({"apply", "-f", "-"}, kPod).err.find("was deleted by somebody else"), std::string::npos);
}

TEST_F(ResourceCommands, BadManifestsAreWrongArgumentsAndNothingIsSent) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"kind: Pod\nname: a\nnmae: b\n", "standard input:3: pod default/a: nmae: unknown field; did you mean 'name'?"},
      {"kind: Empty\n", "kind Empty stands for a whole folder"},
      {"# nothing\n", "the manifests declare nothing"},
      {"kind: Pod\nname: a\n---\nkind: Pod\nname: a\n", "is declared twice"},
      {std::string("kind: Pod\nname: a\0\n", 20), "control character 0 is not allowed"},
      {"kind: Pod\nname: a\nname: b\n", "stands twice"},
      {"a: &a [x]\nb: *a\n", "standard input:1"},
      {std::string(100000, '['), "nested deeper"},
      {std::string(10 << 20, 'x'), "a document has 10485760 bytes"},
  };
  for (const auto& [text, message] : table) {
    const Outcome outcome = run({"apply", "-f", "-"}, text);
    EXPECT_EQ(outcome.status, 2) << message;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err.substr(0, 500);
  }
  EXPECT_EQ(run({"apply", "-f", "/nowhere.yaml"}).status, 1);
  EXPECT_EQ(run({"apply", "-f", "-", "-"}).status, 2);
  EXPECT_TRUE(resources_.applied.empty());
}

TEST_F(ResourceCommands, ASetOfTenMegabytesGoesInOneCall) {
  std::string text;
  for (int i = 0; text.size() < (10U << 20); i++) {
    text += "---\nkind: Pod\nnetwork: shop\nname: pod-" + std::to_string(i) + "\nlabels: {note: '" +
            std::string(60, 'x') + "'}\n";
  }
  const Outcome outcome = run({"apply", "-f", "-"}, text);
  EXPECT_EQ(outcome.status, 0) << outcome.err.substr(0, 500);
  ASSERT_EQ(resources_.applied.size(), 1U);
  EXPECT_GT(resources_.applied[0].edits_size(), 50000);
}

TEST_F(ResourceCommands, DeleteNamesWhatGoes) {
  v1::Outcome& gone = *resources_.answer.add_outcomes();
  gone.set_action(v1::Outcome::DELETED);
  gone.mutable_key()->set_kind(v1::NETWORK);
  gone.mutable_key()->set_name("shop");
  const Outcome outcome = run({"delete", "net", "shop", "blog", "--cascade", "--ignore-missing"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "network shop deleted\n");
  const v1::DeleteRequest& request = resources_.deleted.at(0);
  ASSERT_EQ(request.keys_size(), 2);
  EXPECT_EQ(request.keys(1).name(), "blog");
  EXPECT_TRUE(request.cascade());
  EXPECT_TRUE(request.ignore_missing());
  EXPECT_EQ(run({"delete", "-f", write("a.yaml", kPod)}).status, 0);
  EXPECT_EQ(resources_.deleted.at(1).keys(0).network(), "shop");
  resources_.refusal = Error{ErrorCode::kPrecondition, "network shop: name: has 3 pods; give --cascade"};
  const Outcome refused = run({"delete", "network", "shop"});
  EXPECT_EQ(refused.status, 7);
  EXPECT_EQ(refused.err, "sluicectl: network shop: name: has 3 pods; give --cascade\n");
}

TEST_F(ResourceCommands, DeleteWithoutANameOrWithTwoSourcesIsRefusedHere) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"delete"},
                                             {"delete", "pods"},
                                             {"delete", "pod", "a", "-f", "-"},
                                             {"delete", "pod", "Not_A_Name"},
                                             {"delete", "pod", "shop/a", "-n", "blog"}}) {
    EXPECT_EQ(run(arguments).status, 2) << arguments.back();
  }
  EXPECT_TRUE(resources_.deleted.empty());
}

TEST_F(ResourceCommands, DescribeShowsEventsAndWhyABackendIsNotUsed) {
  *node_.description.mutable_resource() = resource_of(kService);
  v1::BackendStatus& backend = *node_.description.add_backends();
  backend.mutable_pod()->set_network("shop");
  backend.mutable_pod()->set_name("web-1");
  backend.set_port("80/TCP");
  backend.set_address4("172.16.0.2");
  backend.set_target_port(8080);
  backend.set_weight(1);
  backend.set_reason("draining");
  v1::Event& event = *node_.description.add_events();
  event.set_unix_milliseconds(1700000000000);
  event.set_severity("warning");
  event.set_kind("backend_down");
  event.set_text("pod \x1b[31mshop/web-1");
  event.set_count(2);
  const Outcome outcome = run({"describe", "svc", "shop/web"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(node_.asked.name(), "web");
  EXPECT_EQ(outcome.out, std::string(kService) +
                             "\nrevision: 7 (created at 7)\naddress: 172.16.0.2\n"
                             "\nPOD         PORT    TARGET           WEIGHT  READY  WHY-NOT\n"
                             "shop/web-1  80/TCP  172.16.0.2:8080       1  no     draining\n"
                             "\nTIME                  SEVERITY  EVENT         COUNT  TEXT\n"
                             "2023-11-14T22:13:20Z  warning   backend_down      2  pod \\x1b[31mshop/web-1\n");
  const Json json = Json::parse(run({"describe", "svc", "web", "-n", "shop", "-o", "json"}).out);
  EXPECT_EQ(json["backends"][0]["reason"], "draining");
  EXPECT_EQ(json["events"][0]["count"], 2);
}

class EditCommand : public ResourceCommands {
 protected:
  void SetUp() override {
    ResourceCommands::SetUp();
    resources_.present = {resource_of(kPod, 12)};
    ASSERT_EQ(::setenv("TMPDIR", folder().c_str(), 1), 0);
    ::unsetenv("VISUAL");
  }
  void TearDown() override {
    ::unsetenv("TMPDIR");
    ::unsetenv("EDITOR");
    ResourceCommands::TearDown();
  }
  /// The draft that sluicectl has left behind; empty if there is none.
  [[nodiscard]] std::string draft() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder())) {
      if (entry.path().filename().string().starts_with("sluicectl-edit-")) return entry.path().string();
    }
    return "";
  }
};

TEST_F(EditCommand, AppliesTheTextWithTheRevisionThatWasRead) {
  ::setenv("EDITOR", "sed -i 's/port: 8080/port: 9090/'", 1);
  const Outcome outcome = run({"edit", "pod", "shop/web-1"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "pod shop/web-1 changed\n");
  EXPECT_EQ(resources_.applied.at(0).edits(0).expected_revision(), 12U);
  EXPECT_EQ(resources_.applied.at(0).edits(0).put().pod().ports(1).port(), 9090U);
  EXPECT_EQ(draft(), "");
}

TEST_F(EditCommand, SendsNothingForAnUnchangedTextOrAnEditorThatFails) {
  ::setenv("EDITOR", "true", 1);
  EXPECT_EQ(run({"edit", "pod", "shop/web-1"}).out, "pod shop/web-1 unchanged\n");
  ::setenv("EDITOR", "false", 1);
  EXPECT_EQ(run({"edit", "pod", "shop/web-1"}).status, 6);
  EXPECT_TRUE(resources_.applied.empty());
  EXPECT_EQ(draft(), "");
}

TEST_F(EditCommand, KeepsTheTextThatIsRefusedAndSaysWhere) {
  ::setenv("EDITOR", "sed -i 's/^name: .*/name: other/'", 1);
  const Outcome renamed = run({"edit", "pod", "shop/web-1"});
  EXPECT_EQ(renamed.status, 2);
  const std::string kept = draft();
  ASSERT_NE(kept, "");
  EXPECT_NE(renamed.err.find("your text is kept in " + kept), std::string::npos) << renamed.err;
  std::filesystem::remove(kept);
  ::setenv("EDITOR", "sed -i 's/8080/9090/'", 1);
  resources_.refusal = Error{ErrorCode::kPrecondition, "no", {{"pod shop/web-1", "ports", "", "is wrong", "do it"}}};
  const Outcome refused = run({"edit", "pod", "shop/web-1"});
  EXPECT_EQ(refused.status, 7);
  EXPECT_NE(refused.err.find(draft() + ":1: pod shop/web-1: ports: is wrong; do it\n"), std::string::npos)
      << refused.err;
}

}  // namespace
}  // namespace sluice::testing
