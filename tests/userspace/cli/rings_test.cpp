// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include "api/sluice.grpc.pb.h"
#include "compile/hashing.hpp"
#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint32_t kSize = 251;
constexpr std::uint32_t kRingBase = 3;
constexpr std::uint32_t kBackendBase = 10;
constexpr std::uint32_t kBackends = 9;
constexpr compile::Secret kSecret = {0x1122334455667788, 0x99aabbccddeeff00};

class Rings : public PinnedMapsTest {
 protected:
  void SetUp() override {
    PinnedMapsTest::SetUp();
    if (HasFatalFailure()) return;
    make_maps();
    sluice_settings settings{};
    settings.secret[0] = kSecret[0];
    settings.secret[1] = kSecret[1];
    put("settings", std::uint32_t{0}, settings);
    std::vector<compile::RingMember> members;
    for (std::uint32_t i = 0; i < kBackends; i++) {
      members.push_back({1000 + i, 1});
      put_backend(i);
    }
    ring_ = compile::build_ring(members, kSize, kSecret);
    put_ring();
    frontend_.self = {7, wire_address("172.16.0.10"), wire_port(80), 6, 0};
    frontend_.backend_network = 7;
    frontend_.backend_base = kBackendBase;
    frontend_.backend_count = kBackends;
    frontend_.ready_count = kBackends - 1;
    frontend_.ring_base = kRingBase;
    frontend_.ring_size = kSize;
    frontend_.fingerprint = compile::fingerprint(members, kSize, kSecret);
    put_self("frontends4", frontend_);
  }

  void put_backend(std::uint32_t i) {
    sluice_backend backend{};
    backend.network = 7;
    backend.address4 = wire_address("172.16.1." + std::to_string(i));
    backend.port = wire_port(8080);
    backend.state = i == 8 ? SLUICE_BACKEND_DOWN : SLUICE_BACKEND_READY;
    backend.identity = 1000 + i;
    put("backends", kBackendBase + i, backend);
  }

  void put_ring() {
    const std::vector<sluice_ring_block> blocks = compile::pack_ring(ring_);
    for (std::uint32_t i = 0; i < blocks.size(); i++) put("rings", kRingBase + i, blocks[i]);
  }

  /// Makes the ring that the backends have with these weights.
  void weigh(const std::vector<std::uint32_t>& weights) {
    std::vector<compile::RingMember> members;
    for (std::uint32_t i = 0; i < kBackends; i++) members.push_back({1000 + i, weights[i]});
    compile::simplify_weights(members);
    constexpr std::uint32_t kWeighedSize = 1021;
    ring_ = compile::build_ring(members, kWeighedSize, kSecret);
    put_ring();
    frontend_.ring_size = kWeighedSize;
    frontend_.fingerprint = compile::fingerprint(members, kWeighedSize, kSecret);
    put_self("frontends4", frontend_);
  }

  std::vector<std::uint16_t> ring_;
  sluice_frontend4 frontend_{};
};

/// So close to each other that 1,021 slots cannot tell them apart.
const std::vector<std::uint32_t> kSecretive = {211, 223, 227, 229, 233, 239, 241, 251, 256};

/// A daemon that knows the pods behind the backends.
class Pods final : public v1::ResourceService::Service {
 public:
  Pods(std::vector<std::uint32_t> of, const std::string& socket) : weights(std::move(of)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    if (request->kind() == v1::NETWORK) {
      v1::Network* network = response->add_resources()->mutable_network();
      network->set_name("shop");
      network->set_id(7);
    } else {
      for (std::uint32_t i = 0; i < weights.size(); i++) {
        v1::Pod* pod = response->add_resources()->mutable_pod();
        pod->set_network("shop");
        pod->set_weight(weights[i]);
        pod->mutable_status()->set_address4("172.16.1." + std::to_string(i));
      }
    }
    return grpc::Status::OK;
  }

  std::vector<std::uint32_t> weights;

 private:
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(Rings, SharesOfTheBackendsAddUpToTheRing) {
  const Json rings = bpf_json({"rings"})["rings"];
  ASSERT_EQ(rings.size(), 1U);
  EXPECT_EQ(rings[0]["address"], "172.16.0.10");
  EXPECT_EQ(rings[0]["port"], 80);
  EXPECT_EQ(rings[0]["ring_size"], kSize);
  EXPECT_EQ(rings[0]["ring_base"], kRingBase);
  EXPECT_EQ(rings[0]["invalid_slots"], 0);
  EXPECT_FALSE(rings[0].contains("slots"));
  ASSERT_EQ(rings[0]["backends"].size(), kBackends);
  for (std::uint32_t i = 0; i < kBackends; i++) {
    EXPECT_EQ(rings[0]["backends"][i]["slots"], std::ranges::count(ring_, i)) << i;
  }
  EXPECT_EQ(rings[0]["backends"][8], Json({{"index", 8},
                                           {"address", "172.16.1.8"},
                                           {"port", 8080},
                                           {"state", "down"},
                                           {"slots", std::ranges::count(ring_, 8)}}));
}

TEST_F(Rings, TheTableHasOneRowABackendWithItsShare) {
  const Outcome outcome = bpf({"rings"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const std::string first_lines =
      "NETWORK  ADDRESS:PORT    PROTOCOL  RING-SIZE  RING-BASE  INDEX  BACKEND          STATE  SLOTS   SHARE\n"
      "      7  172.16.0.10:80  TCP             251          3      0  172.16.1.0:8080  ready     28  11.16%\n";
  EXPECT_EQ(outcome.out.substr(0, first_lines.size()), first_lines);
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), kBackends + 1);
}

TEST_F(Rings, EverySlotCanBeShown) {
  const Json ring = bpf_json({"rings", "--slots", "--service", "172.16.0.10:80"})["rings"][0];
  EXPECT_EQ(ring["slots"], Json(ring_));
  const Outcome outcome = bpf({"rings", "--slots"});
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), kSize + 1);
  const std::string backend = std::to_string(ring_[0]);
  EXPECT_NE(outcome.out.find("NETWORK  ADDRESS:PORT    PROTOCOL  SLOT  INDEX  BACKEND          STATE\n"
                             "      7  172.16.0.10:80  TCP          0      " +
                             backend + "  172.16.1." + backend + ":8080"),
            std::string::npos)
      << outcome.out.substr(0, 400);
}

TEST_F(Rings, VerifyAcceptsARingThatItsInputsMake) {
  const Outcome outcome = bpf({"rings", "--verify", "-o", "json"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], true);
}

TEST_F(Rings, VerifyFindsTheWeightsOfARingInItsSlots) {
  for (const std::vector<std::uint32_t>& weights :
       std::vector<std::vector<std::uint32_t>>{{1, 2, 1, 1, 1, 1, 1, 1, 1}, {5, 0, 3, 3, 3, 7, 1, 2, 10}}) {
    weigh(weights);
    const Outcome outcome = bpf({"rings", "--verify", "-o", "json"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], true);
    const std::uint16_t right = ring_[7];
    ring_[7] = static_cast<std::uint16_t>((right + 1) % kBackends);
    put_ring();
    const Outcome wrong = bpf({"rings", "--verify"});
    EXPECT_EQ(wrong.status, 1);
    EXPECT_NE(wrong.err.find("1 of 1021 slots differ; the first is slot 7"), std::string::npos) << wrong.err;
  }
}

TEST_F(Rings, VerifyAsksTheDaemonForWeightsThatTheSlotsDoNotTell) {
  weigh(kSecretive);
  const std::string socket = (std::filesystem::temp_directory_path() / "sluicectl-rings-test.sock").string();
  const Outcome alone = bpf({"rings", "--verify", "-o", "json", "--socket", socket});
  EXPECT_EQ(alone.status, 6) << "neither right nor wrong";
  EXPECT_NE(alone.err.find("172.16.0.10:80/TCP: cannot be judged: weights unknown: "), std::string::npos) << alone.err;
  EXPECT_NE(alone.err.find(socket), std::string::npos) << alone.err;
  const Json unknown = Json::parse(alone.out)["rings"][0];
  EXPECT_TRUE(unknown["verified"].is_null());
  EXPECT_FALSE(unknown.contains("difference"));

  Pods pods(kSecretive, socket);
  const Outcome outcome = bpf({"rings", "--verify", "-o", "json", "--socket", socket});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], true);
  ring_[7] = static_cast<std::uint16_t>((ring_[7] + 1) % kBackends);
  put_ring();
  EXPECT_EQ(bpf({"rings", "--verify", "--socket", socket}).status, 1);
  pods.weights.back() = 1;
  const Outcome stale = bpf({"rings", "--verify", "--socket", socket});
  EXPECT_EQ(stale.status, 6);
  EXPECT_NE(stale.err.find("the pods' do not make its fingerprint"), std::string::npos) << stale.err;
}

TEST_F(Rings, VerifyFindsOneWrongSlot) {
  const std::uint16_t right = ring_[100];
  ring_[100] = static_cast<std::uint16_t>((right + 1) % kBackends);
  put_ring();
  const Outcome outcome = bpf({"rings", "--verify", "-o", "json"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.err,
            "sluicectl: ring of network 7 172.16.0.10:80/TCP: 1 of 251 slots differ; the first is slot 100: " +
                ("backend " + std::to_string(ring_[100])) + ", its inputs make backend " + std::to_string(right) +
                "\n");
  EXPECT_EQ(Json::parse(outcome.out)["rings"][0]["verified"], false);
  EXPECT_EQ(bpf({"rings"}).status, 0) << "without --verify nothing is compared";
}

TEST_F(Rings, VerifyFindsAFingerprintOfOtherInputs) {
  frontend_.fingerprint ^= 1;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--verify"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("fingerprint is 0x"), std::string::npos) << outcome.err;
}

TEST_F(Rings, SlotsThatNameNoBackendAreShownAsInvalid) {
  ring_[0] = 500;
  put_ring();
  EXPECT_EQ(bpf_json({"rings"})["rings"][0]["invalid_slots"], 1);
  EXPECT_NE(bpf({"rings"}).out.find("invalid      1   0.40%"), std::string::npos);
}

TEST_F(Rings, ARecordThatPointsOutsideTheArenasIsReportedNotRead) {
  frontend_.ring_base = 0xFFFFFFF0;
  frontend_.backend_base = 60;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--verify"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("its record points outside the arenas"), std::string::npos) << outcome.err;
}

TEST_F(Rings, AServicePortWithoutARingIsSaidToNeedNone) {
  frontend_.ring_size = 0;
  put_self("frontends4", frontend_);
  const Outcome outcome = bpf({"rings", "--service", "172.16.0.10:80"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("have no ring: up to 8 backends"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace sluice::testing
