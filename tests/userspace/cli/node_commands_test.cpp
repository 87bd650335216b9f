// SPDX-License-Identifier: Apache-2.0
// pod attach, pod detach and status against a server that answers as it is told: what is sent, what is shown, and
// the exit status of every refusal. tests/e2e runs the same commands against sluiced.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/sluice.grpc.pb.h"
#include "base/fd.hpp"
#include "subprocess.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

class ScriptedNode final : public v1::NodeService::Service {
 public:
  grpc::Status AttachPod(grpc::ServerContext*, const v1::AttachPodRequest* request,
                         v1::AttachPodResponse* response) override {
    attached = *request;
    response->set_address4("172.16.0.2/16");
    response->set_router4("172.16.0.1");
    response->set_mac("02:00:00:00:00:02");
    response->set_mtu(1500);
    response->set_device("slc1");
    return answer;
  }
  grpc::Status DetachPod(grpc::ServerContext*, const v1::DetachPodRequest* request,
                         v1::DetachPodResponse* response) override {
    detached = *request;
    if (request->grace_milliseconds() != 0) response->set_detaches_at(1769860800000);
    return answer;
  }
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse* response) override {
    *response = status;
    return answer;
  }

  grpc::Status answer = grpc::Status::OK;
  v1::GetStatusResponse status;
  v1::AttachPodRequest attached;
  v1::DetachPodRequest detached;
};

class NodeCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = (std::filesystem::temp_directory_path() / "sluicectl-node-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket(), grpc::InsecureServerCredentials());
    builder.RegisterService(&node_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }
  void TearDown() override {
    if (server_) server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string socket() const { return (folder_ / "sluice.sock").string(); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] Outcome run(std::vector<std::string> arguments, User user = User::kRoot) const {
    arguments.insert(arguments.end(), {"--socket", socket()});
    return run_sluicectl(arguments, user);
  }

  ScriptedNode node_;

 private:
  std::filesystem::path folder_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(NodeCommands, AttachSendsThePodAndShowsWhatItGot) {
  const Outcome outcome = run({"pod", "attach", "shop/web-1", "--netns", "/run/netns/web-1", "--interface", "net0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "POD         ADDRESS        ROUTER      MAC                 MTU  DEVICE\n"
            "shop/web-1  172.16.0.2/16  172.16.0.1  02:00:00:00:00:02  1500  slc1\n");
  EXPECT_EQ(node_.attached.network(), "shop");
  EXPECT_EQ(node_.attached.name(), "web-1");
  EXPECT_EQ(node_.attached.netns(), "/run/netns/web-1");
  EXPECT_EQ(node_.attached.interface(), "net0");
}

TEST_F(NodeCommands, AttachAsJsonKeepsItsShape) {
  const Outcome outcome = run({"pod", "attach", "shop/web-1", "--netns", "/run/netns/web-1", "-o", "json"});
  const Json expected = {{"network", "shop"},
                         {"name", "web-1"},
                         {"address", "172.16.0.2/16"},
                         {"router", "172.16.0.1"},
                         {"address6", ""},
                         {"mac", "02:00:00:00:00:02"},
                         {"mtu", 1500},
                         {"device", "slc1"}};
  EXPECT_EQ(outcome.out, expected.dump(2) + "\n");
  EXPECT_EQ(node_.attached.interface(), "eth0");
}

TEST_F(NodeCommands, ANamespaceOfTheCallerIsNotTheDaemons) {
  EXPECT_EQ(run({"pod", "attach", "shop/web-1", "--netns", "/proc/self/ns/net"}).status, 0);
  const std::string sent = node_.attached.netns();
  EXPECT_TRUE(sent.starts_with("/proc/") && sent.ends_with("/ns/net")) << sent;
  EXPECT_EQ(sent.find("self"), std::string::npos) << sent;
  EXPECT_EQ(run({"pod", "attach", "shop/web-1", "--netns", "netns/web"}).status, 0);
  EXPECT_EQ(node_.attached.netns(), (std::filesystem::current_path() / "netns/web").string());
}

TEST_F(NodeCommands, DetachNamesThePodAndPrintsNothing) {
  const Outcome outcome = run({"pod", "detach", "shop/web-1"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(node_.detached.network(), "shop");
  EXPECT_EQ(node_.detached.name(), "web-1");
  EXPECT_EQ(node_.detached.grace_milliseconds(), 0);
}

TEST_F(NodeCommands, DetachWithAGraceTellsUntilWhen) {
  const Outcome outcome = run({"pod", "detach", "shop/web-1", "--grace", "90s"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "pod shop/web-1 is detached when it has no flows left, at the latest at 2026-01-31T12:00:00Z\n");
  EXPECT_EQ(node_.detached.grace_milliseconds(), 90'000);
  EXPECT_EQ(run({"pod", "detach", "shop/web-1", "--grace", "25h"}).status, 2);
}

TEST_F(NodeCommands, StatusTellsWhichPodsDrainAndUntilWhen) {
  const auto line = [this] {
    const std::string out = run({"status"}).out;
    const std::size_t at = out.find("shop/web-1");
    return out.substr(at, out.find('\n', at) - at);
  };
  v1::NodePodStatus& pod = *node_.status.add_pods();
  pod.set_network("shop");
  pod.set_name("web-1");
  EXPECT_EQ(line(), "shop/web-1  -        no        running  -");
  pod.set_draining(true);
  EXPECT_EQ(line(), "shop/web-1  -        no        draining  -");
  pod.set_drain_deadline(1769860800000);
  EXPECT_EQ(line(), "shop/web-1  -        no        draining until 2026-01-31T12:00:00Z  -");
  pod.set_drained(true);
  EXPECT_EQ(line(), "shop/web-1  -        no        drained  -");
  pod.set_detaches_at(1769860801000);
  EXPECT_EQ(line(), "shop/web-1  -        no        detaching until 2026-01-31T12:00:01Z  -");
  const Json json = Json::parse(run({"status", "-o", "json"}).out)["pods"][0];
  EXPECT_EQ(json["state"], "detaching");
  EXPECT_EQ(json["drain_deadline"], "2026-01-31T12:00:00Z");
  EXPECT_EQ(json["detaches_at"], "2026-01-31T12:00:01Z");
}

TEST_F(NodeCommands, TheSocketIsTakenBeforeTheCommandToo) {
  EXPECT_EQ(run_sluicectl({"--socket", socket(), "pod", "detach", "shop/web-1"}).status, 0);
}

TEST_F(NodeCommands, EveryRefusalHasItsExitStatusAndKeepsItsMessage) {
  const std::vector<std::pair<grpc::StatusCode, int>> table = {
      {grpc::StatusCode::NOT_FOUND, 1},           {grpc::StatusCode::INVALID_ARGUMENT, 2},
      {grpc::StatusCode::UNAVAILABLE, 3},         {grpc::StatusCode::DEADLINE_EXCEEDED, 3},
      {grpc::StatusCode::PERMISSION_DENIED, 4},   {grpc::StatusCode::INTERNAL, 6},
      {grpc::StatusCode::UNIMPLEMENTED, 6},       {grpc::StatusCode::ALREADY_EXISTS, 7},
      {grpc::StatusCode::FAILED_PRECONDITION, 7}, {grpc::StatusCode::RESOURCE_EXHAUSTED, 7},
  };
  for (const auto& [code, status] : table) {
    node_.answer = grpc::Status(code, "pod shop/web-1: why\x1b[31m not");
    for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
             {"pod", "attach", "shop/web-1", "--netns", "/run/netns/x"}, {"pod", "detach", "shop/web-1"}, {"status"}}) {
      const Outcome outcome = run(command);
      EXPECT_EQ(outcome.status, status) << code << outcome.err;
      EXPECT_EQ(outcome.out, "");
      EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
      if (status == 3) continue;
      EXPECT_EQ(outcome.err, "sluicectl: pod shop/web-1: why\\x1b[31m not\n");
    }
  }
}

TEST_F(NodeCommands, StatusShowsSummaryUplinksPodsAndServices) {
  node_.status.set_version("0.1.0");
  node_.status.set_revision(12);
  node_.status.set_last_error("demo.yaml:3: bad\nline");
  node_.status.set_writes(345);
  node_.status.set_write_failures(1);
  node_.status.set_reconciles(6);
  node_.status.set_drifts(2);
  node_.status.set_last_reconcile_microseconds(789);
  node_.status.set_tcx(true);
  node_.status.set_log_level("info");
  node_.status.set_pod_mtu(1430);
  node_.status.mutable_store()->set_uuid("c0ffee");
  node_.status.mutable_store()->set_epoch(3);
  node_.status.mutable_store()->set_revision(14);
  node_.status.mutable_store()->set_compacted(4);
  node_.status.mutable_store()->set_refuses_writes("the store is of another node");
  node_.status.add_warnings("uplink eth9: no such device");
  node_.status.add_uplinks()->set_device("eth9");
  v1::UplinkStatus& uplink = *node_.status.add_uplinks();
  uplink.set_device("eth0");
  uplink.set_ifindex(2);
  uplink.set_mtu(1500);
  v1::NodePodStatus& pod = *node_.status.add_pods();
  pod.set_network("shop");
  pod.set_name("web-1");
  pod.set_address4("172.16.0.2");
  pod.set_attached(true);
  pod.set_device("slc1");
  v1::NodeServiceStatus& service = *node_.status.add_services();
  service.set_network("shop");
  service.set_name("web");
  service.set_address4("172.16.0.10");
  service.set_backends(3);
  service.set_ready(2);

  const Outcome table = run({"status"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_EQ(table.out,
            "version:         0.1.0\n"
            "revision:        12\n"
            "synced:          no\n"
            "last error:      demo.yaml:3: bad\\x0aline\n"
            "map writes:      345 (1 failed)\n"
            "reconciliations: 6 (last 789 us, 2 found foreign changes)\n"
            "attachment:      tcx\n"
            "log level:       info\n"
            "pod MTU:         1430\n"
            "store:           revision 14, epoch 3, c0ffee\n"
            "refuses writes:  the store is of another node\n"
            "warning:         uplink eth9: no such device\n"
            "\n"
            "UPLINK  IFINDEX   MTU\n"
            "eth9    missing     -\n"
            "eth0          2  1500\n"
            "\n"
            "POD         ADDRESS     ATTACHED  STATE    DEVICE\n"
            "shop/web-1  172.16.0.2  yes       running  slc1\n"
            "\n"
            "SERVICE   ADDRESS      FLOATING-IP  BACKENDS  READY\n"
            "shop/web  172.16.0.10  -                   3      2\n");
  const Json json = Json::parse(run({"status", "-o", "json"}).out);
  const Json expected = {{"version", "0.1.0"},
                         {"revision", 12},
                         {"synced", false},
                         {"last_error", "demo.yaml:3: bad\nline"},
                         {"writes", 345},
                         {"write_failures", 1},
                         {"reconciles", 6},
                         {"drifts", 2},
                         {"last_reconcile_microseconds", 789},
                         {"tcx", true},
                         {"log_level", "info"},
                         {"pod_mtu", 1430},
                         {"egress", nullptr},
                         {"store",
                          {{"uuid", "c0ffee"},
                           {"epoch", 3},
                           {"revision", 14},
                           {"compacted", 4},
                           {"manifests", ""},
                           {"refuses_writes", "the store is of another node"}}},
                         {"warnings", {"uplink eth9: no such device"}},
                         {"uplinks",
                          {{{"device", "eth9"}, {"ifindex", nullptr}, {"mtu", nullptr}},
                           {{"device", "eth0"}, {"ifindex", 2}, {"mtu", 1500}}}},
                         {"pods",
                          {{{"network", "shop"},
                            {"name", "web-1"},
                            {"address", "172.16.0.2"},
                            {"address6", ""},
                            {"attached", true},
                            {"device", "slc1"},
                            {"state", "running"},
                            {"drain_deadline", nullptr},
                            {"detaches_at", nullptr}}}},
                         {"services",
                          {{{"network", "shop"},
                            {"name", "web"},
                            {"address", "172.16.0.10"},
                            {"address6", ""},
                            {"floating_ip", ""},
                            {"backends", 3},
                            {"ready", 2}}}}};
  EXPECT_EQ(json.dump(2), expected.dump(2));
}

TEST_F(NodeCommands, StatusShowsByWhatPodsLeave) {
  v1::EgressStatus& egress = *node_.status.mutable_egress();
  egress.set_device("eth0");
  egress.set_flows_per_pod(4096);
  const auto line = [&] {
    const std::string out = run({"status"}).out;
    const std::size_t at = out.find("egress: ");
    return at == std::string::npos ? "" : out.substr(at, out.find('\n', at) - at);
  };
  EXPECT_EQ(line(), "egress:          eth0, no pod leaves");
  EXPECT_EQ(Json::parse(run({"status", "-o", "json"}).out)["egress"].dump(),
            R"({"device":"eth0","ifindex":null,"address4":null,"address6":null,"flows_per_pod":4096})");
  egress.set_ifindex(2);
  egress.mutable_address4()->set_address("192.0.2.7");
  egress.mutable_address4()->set_shared(true);
  egress.mutable_address4()->set_first_port(16384);
  egress.mutable_address4()->set_last_port(29999);
  egress.mutable_address6()->set_address("2001:db8::5");
  egress.mutable_address6()->set_first_port(1024);
  egress.mutable_address6()->set_last_port(65535);
  EXPECT_EQ(line(),
            "egress:          eth0, 192.0.2.7 ports 16384-29999 (the node's own), 2001:db8::5 ports 1024-65535");
  const Json json = Json::parse(run({"status", "-o", "json"}).out)["egress"];
  EXPECT_EQ(json["ifindex"], 2);
  EXPECT_EQ(json["address4"].dump(), R"({"address":"192.0.2.7","shared":true,"first_port":16384,"last_port":29999})");
  EXPECT_EQ(json["address6"]["shared"], false);
}

TEST_F(NodeCommands, WithoutASocketTheDaemonIsUnreachable) {
  const std::string missing = (folder() / "missing.sock").string();
  const Outcome outcome = run_sluicectl({"status", "--socket", missing});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_NE(outcome.err.find(missing), std::string::npos) << outcome.err;
}

TEST_F(NodeCommands, ASocketThatNobodyListensOnIsUnreachable) {
  const std::string stale = (folder() / "stale.sock").string();
  {
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    stale.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_EQ(run_sluicectl({"status", "--socket", stale}).status, 3);
}

TEST_F(NodeCommands, NobodyIsToldThatTheSocketIsNotForThem) {
  std::filesystem::permissions(folder(), std::filesystem::perms{0755});
  std::filesystem::permissions(socket(), std::filesystem::perms{0600});
  const Outcome outcome = run({"status"}, User::kNobody);
  EXPECT_EQ(outcome.status, 4);
  EXPECT_EQ(outcome.err, "sluicectl: no permission to use the socket " + socket() + "; run sluicectl as root\n");
}

TEST_F(NodeCommands, ASocketPathThatIsTooLongIsAWrongArgument) {
  EXPECT_EQ(run_sluicectl({"status", "--socket", "/" + std::string(200, 'x')}).status, 2);
}

}  // namespace
}  // namespace sluice::testing
