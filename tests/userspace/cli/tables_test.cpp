// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

using Json = nlohmann::ordered_json;

/// Two tenants with the same addresses, one service and its floating IP.
class Tables : public PinnedMapsTest {
 protected:
  void SetUp() override {
    PinnedMapsTest::SetUp();
    if (HasFatalFailure()) return;
    make_maps();
    put_generations();
    put_pods();
    put_service();
  }

  void put_generations() {
    put("endpoint_generations", std::uint32_t{1}, std::uint32_t{101});
    put("endpoint_pairs", std::uint32_t{1}, std::uint32_t{3});
    put("endpoint_generations", std::uint32_t{2}, std::uint32_t{102});
    put("endpoint_generations", std::uint32_t{3}, std::uint32_t{203});
    put("frontend_generations", std::uint32_t{1}, std::uint32_t{301});
    put("frontend_generations", std::uint32_t{2}, std::uint32_t{302});
  }

  void put_port(std::uint32_t ifindex, std::uint32_t network, std::uint16_t network_slot, sluice_ref pod,
                std::string_view address, std::uint8_t last_mac_byte) {
    sluice_port port{};
    port.self = ifindex;
    port.network = network;
    port.endpoint = pod;
    port.address4 = wire_address(address);
    port.cidr4 = wire_address("172.16.0.0");
    port.mask4 = wire_address("255.255.0.0");
    port.router4 = wire_address("172.16.0.1");
    port.network_slot = network_slot;
    port.kind = SLUICE_PORT_POD;
    port.delivery = SLUICE_DELIVER_PEER;
    port.mac[0] = 2;
    port.mac[5] = last_mac_byte;
    put_self("ports", port);
  }

  void put_pods() {
    put_port(900001, 7, 1, {1, 101}, "172.16.0.2", 0x0a);
    put_port(900002, 8, 2, {2, 102}, "172.16.0.2", 0x0b);
    put_port(900003, 8, 2, {3, 103}, "172.16.0.3", 0x0c);  // slot 3 is at generation 203 by now
    sluice_port uplink{};
    uplink.self = 1;  // "lo" in every network namespace
    uplink.kind = SLUICE_PORT_UPLINK;
    uplink.delivery = SLUICE_DELIVER_UPLINK;
    uplink.mac[5] = 1;
    put_self("ports", uplink);

    put_endpoint(7, "172.16.0.2", SLUICE_ENDPOINT_POD_PEER, {1, 101}, 900001);
    put_endpoint(7, "172.16.0.10", SLUICE_ENDPOINT_SERVICE, {0, 0}, 0);
    put_endpoint(8, "172.16.0.3", SLUICE_ENDPOINT_POD_DEVICE, {3, 103}, 1);
    put_endpoint(8, "172.16.0.1", SLUICE_ENDPOINT_ROUTER, {0, 0}, 0);
    put_endpoint(0, "203.0.113.10", SLUICE_ENDPOINT_FLOATING, {0, 0}, 0);
  }

  void put_endpoint(std::uint32_t network, std::string_view address, std::uint8_t kind, sluice_ref ref,
                    std::uint32_t ifindex) {
    sluice_endpoint4 endpoint{};
    endpoint.self = {network, wire_address(address)};
    endpoint.ref = ref;
    endpoint.ifindex = ifindex;
    endpoint.mac[0] = 2;
    endpoint.kind = kind;
    put_self("endpoints4", endpoint);
  }

  void put_frontend(std::uint32_t network, std::string_view address, std::uint16_t port, std::uint8_t protocol,
                    sluice_ref ref) {
    sluice_frontend4 frontend{};
    frontend.self = {network, wire_address(address), wire_port(port), protocol, 0};
    frontend.backend_network = 7;
    frontend.ref = ref;
    frontend.backend_base = 4;
    frontend.backend_count = 2;
    frontend.ready_count = 1;
    frontend.router4 = wire_address("172.16.0.1");
    frontend.network_slot = 1;
    frontend.algorithm = SLUICE_ALGORITHM_SOURCE;
    frontend.owner = 0xabc;
    put_self("frontends4", frontend);
  }

  void put_backend(std::uint32_t index, std::string_view address, sluice_ref pod, std::uint8_t state) {
    sluice_backend backend{};
    backend.network = 7;
    backend.address4 = wire_address(address);
    backend.endpoint = pod;
    backend.port = wire_port(8080);
    backend.state = state;
    backend.identity = 0xbeef;
    put("backends", index, backend);
  }

  void put_service() {
    put_frontend(7, "172.16.0.10", 80, 6, {1, 301});
    put_frontend(0, "203.0.113.10", 443, 6, {2, 300});  // slot 2 is at generation 302 by now
    put_backend(4, "172.16.0.2", {1, 101}, SLUICE_BACKEND_READY);
    put_backend(5, "172.16.0.9", {9, 109}, SLUICE_BACKEND_DOWN);
    put_backend(20, "172.16.0.4", {2, 102}, SLUICE_BACKEND_READY);  // no frontend uses it
  }
};

TEST_F(Tables, PortsAreShownWithTheirPodsAndTheValidityOfTheirGeneration) {
  const Outcome outcome = bpf({"ports"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(
      outcome.out,
      "IFINDEX  DEVICE  KIND    NETWORK  ADDRESS     CIDR           ROUTER      MAC                POD    VALID\n"
      "      1  lo      uplink        0  -           -              -           00:00:00:00:00:01  -      current\n"
      " 900001  -       pod           7  172.16.0.2  172.16.0.0/16  172.16.0.1  02:00:00:00:00:0a  1/101  current\n"
      " 900002  -       pod           8  172.16.0.2  172.16.0.0/16  172.16.0.1  02:00:00:00:00:0b  2/102  current\n"
      " 900003  -       pod           8  172.16.0.3  172.16.0.0/16  172.16.0.1  02:00:00:00:00:0c  3/103  ended\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Tables, PortsAsJsonKeepTheirShape) {
  const Json expected = {{"abi_version", SLUICE_ABI_VERSION},
                         {"pin_root", pin_root().string()},
                         {"ports",
                          {{{"ifindex", 900003},
                            {"device", ""},
                            {"kind", "pod"},
                            {"network", 8},
                            {"network_slot", 2},
                            {"address", "172.16.0.3"},
                            {"cidr", "172.16.0.0/16"},
                            {"router", "172.16.0.1"},
                            {"address6", nullptr},
                            {"cidr6", nullptr},
                            {"router6", nullptr},
                            {"mac", "02:00:00:00:00:0c"},
                            {"pod", {{"slot", 3}, {"generation", 103}}},
                            {"current", false},
                            {"delivery", "peer"}}}}};
  EXPECT_EQ(bpf_json({"ports", "--slot", "3"}).dump(2), expected.dump(2));
  const Json uplink = bpf_json({"ports", "--device", "lo"})["ports"][0];
  EXPECT_EQ(uplink["kind"], "uplink");
  EXPECT_TRUE(uplink["address"].is_null());
}

TEST_F(Tables, PortsOfOneNetworkLeaveTheSameAddressOfAnotherOut) {
  const Json ports = bpf_json({"ports", "--network", "8", "--address", "172.16.0.2"})["ports"];
  ASSERT_EQ(ports.size(), 1U);
  EXPECT_EQ(ports[0]["ifindex"], 900002);
  EXPECT_EQ(bpf_json({"ports", "--address", "172.16.0.2"})["ports"].size(), 2U);
}

TEST_F(Tables, EndpointsAreSortedByNetworkAndAddressAsNumbers) {
  const Outcome outcome = bpf({"endpoints"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "NETWORK  ADDRESS       KIND        MAC                IFINDEX  DEVICE  POD    VALID\n"
            "      0  203.0.113.10  floating    02:00:00:00:00:00        -  -       -      current\n"
            "      7  172.16.0.2    pod_peer    02:00:00:00:00:00   900001  -       1/101  current\n"
            "      7  172.16.0.10   service     02:00:00:00:00:00        -  -       -      current\n"
            "      8  172.16.0.1    router      02:00:00:00:00:00        -  -       -      current\n"
            "      8  172.16.0.3    pod_device  02:00:00:00:00:00        1  lo      3/103  ended\n");
  const Json expected = {{{"network", 0},
                          {"address", "203.0.113.10"},
                          {"kind", "floating"},
                          {"mac", "02:00:00:00:00:00"},
                          {"ifindex", nullptr},
                          {"device", ""},
                          {"pod", {{"slot", 0}, {"generation", 0}}},
                          {"current", true}}};
  EXPECT_EQ(bpf_json({"endpoints", "--network", "0"})["endpoints"].dump(2), expected.dump(2));
}

TEST_F(Tables, EgressHasARowForEachFamilyOfANetwork) {
  sluice_egress way{};
  way.self = 7;
  way.address4 = wire_address("192.0.2.1");
  way.address6.words[0] = htonl(0x20010db8);
  way.address6.words[3] = htonl(1);
  way.ref4 = {1, 301};
  way.ref6 = {2, 299};  // slot 2 is at generation 302 by now
  way.first4 = 16384;
  way.last4 = 29999;
  way.first6 = 1024;
  way.last6 = 65535;
  way.ifindex = 900009;
  way.quota = 4096;
  put("egress", std::uint32_t{7}, way);
  EXPECT_EQ(bpf({"egress"}).out,
            "NETWORK  ADDRESS      PORTS        IFINDEX  DEVICE  FLOWS-PER-POD  WAY    VALID\n"
            "      7  192.0.2.1    16384-29999   900009  -                4096  1/301  current\n"
            "      7  2001:db8::1  1024-65535    900009  -                4096  2/299  ended\n");
  const Json json = bpf_json({"egress", "--address", "2001:db8::1"})["egress"];
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["last_port"], 65535);
  EXPECT_EQ(json[0]["current"], false);
  EXPECT_EQ(bpf({"egress", "--network", "8"}).status, 1);
}

TEST_F(Tables, DeniedPrefixesAreSortedByFamilyAndAddress) {
  put("egress_denied4", sluice_prefix4{32, wire_address("192.0.2.1")}, std::uint32_t{1});
  put("egress_denied4", sluice_prefix4{8, wire_address("10.0.0.0")}, std::uint32_t{1});
  put("egress_denied6", sluice_prefix6{48, {0x20, 0x01, 0x0d, 0xb8, 0, 1}}, std::uint32_t{1});
  EXPECT_EQ(bpf_json({"denied"})["denied"], Json::parse(R"(["10.0.0.0/8", "192.0.2.1/32", "2001:db8:1::/48"])"));
}

TEST_F(Tables, FrontendsShowServicePortsAndFloatingIpPortsInOneTable) {
  const Outcome outcome = bpf({"frontends"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(
      outcome.out,
      "NETWORK  ADDRESS:PORT      PROTOCOL  BACKEND-NETWORK  FRONTEND  VALID    ALGORITHM  BACKENDS  READY  BASE  "
      "RING-SIZE  RING-BASE\n"
      "      0  203.0.113.10:443  TCP                     7  2/300     ended    source            2      1     4  "
      "        -          -\n"
      "      7  172.16.0.10:80    TCP                     7  1/301     current  source            2      1     4  "
      "        -          -\n");
}

TEST_F(Tables, FrontendsAsJsonKeepTheirShape) {
  const Json expected = {{{"network", 7},
                          {"address", "172.16.0.10"},
                          {"port", 80},
                          {"protocol", "TCP"},
                          {"backend_network", 7},
                          {"frontend", {{"slot", 1}, {"generation", 301}}},
                          {"current", true},
                          {"algorithm", "source"},
                          {"affinity", 0},
                          {"backend_count", 2},
                          {"ready_count", 1},
                          {"backend_base", 4},
                          {"ring_size", 0},
                          {"ring_base", 0},
                          {"router", "172.16.0.1"},
                          {"network_slot", 1},
                          {"owner", "0x00000abc"},
                          {"fingerprint", "0x0000000000000000"}}};
  for (const std::vector<std::string>& filter :
       std::vector<std::vector<std::string>>{{"--service", "172.16.0.10:80"},
                                             {"--service", "172.16.0.10:80/TCP"},
                                             {"--address", "172.16.0.10"},
                                             {"--port", "80"},
                                             {"--slot", "1"}}) {
    std::vector<std::string> arguments = {"frontends"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    EXPECT_EQ(bpf_json(arguments)["frontends"].dump(2), expected.dump(2)) << filter[0] << " " << filter[1];
  }
  EXPECT_EQ(bpf_json({"frontends", "--network", "7"})["frontends"].size(), 2U) << "the floating IP's backends are in 7";
  EXPECT_EQ(bpf_json({"frontends", "--protocol", "tcp"})["frontends"].size(), 2U);
}

TEST_F(Tables, BackendsShowWhichFrontendsUseThemAndWhichAreLeftOver) {
  const Outcome outcome = bpf({"backends"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "INDEX  NETWORK  ADDRESS:PORT     STATE  WEIGHT  LIVE  POD    VALID    FRONTENDS\n"
            "    4        7  172.16.0.2:8080  ready       1     3  1/101  current  "
            "0:203.0.113.10:443/TCP,7:172.16.0.10:80/TCP\n"
            "    5        7  172.16.0.9:8080  down        1     0  9/109  ended    "
            "0:203.0.113.10:443/TCP,7:172.16.0.10:80/TCP\n"
            "   20        7  172.16.0.4:8080  ready       1     0  2/102  current  -\n");
  const Json expected = {{{"index", 5},
                          {"network", 7},
                          {"address", "172.16.0.9"},
                          {"port", 8080},
                          {"state", "down"},
                          {"weight", 1},
                          {"live", 0},
                          {"pod", {{"slot", 9}, {"generation", 109}}},
                          {"current", false},
                          {"identity", "0x0000beef"},
                          {"frontends",
                           {{{"network", 0}, {"address", "203.0.113.10"}, {"port", 443}, {"protocol", "TCP"}},
                            {{"network", 7}, {"address", "172.16.0.10"}, {"port", 80}, {"protocol", "TCP"}}}}}};
  EXPECT_EQ(bpf_json({"backends", "--slot", "9"})["backends"].dump(2), expected.dump(2));
  EXPECT_EQ(bpf_json({"backends", "--service", "172.16.0.10:80"})["backends"].size(), 2U);
}

TEST_F(Tables, WideTablesHaveMoreColumns) {
  const Outcome outcome = bpf({"frontends", "-o", "wide", "--slot", "1"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_NE(outcome.out.find("ROUTER      NETWORK-SLOT  OWNER       FINGERPRINT\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("172.16.0.1             1  0x00000abc  0x0000000000000000\n"), std::string::npos);
}

TEST_F(Tables, AFilterThatMatchesNothingIsAnExitStatusAndStillValidJson) {
  const Outcome table = bpf({"ports", "--network", "99"});
  EXPECT_EQ(table.status, 1);
  EXPECT_EQ(table.err, "sluicectl: nothing matches the filters\n");
  const Outcome json = bpf({"ports", "--network", "99", "-o", "json"});
  EXPECT_EQ(json.status, 1);
  EXPECT_EQ(Json::parse(json.out)["ports"], Json::array());
}

TEST_F(Tables, EmptyMapsWithoutAFilterAreNoFailure) {
  make_maps();  // anew, without records
  for (const char* table : {"ports", "endpoints", "frontends", "backends", "rings", "flows"}) {
    const Outcome outcome = bpf({table, "-o", "json"});
    EXPECT_EQ(outcome.status, 0) << table << outcome.err;
    EXPECT_EQ(Json::parse(outcome.out)[table], Json::array()) << table;
  }
}

}  // namespace
}  // namespace sluice::testing
