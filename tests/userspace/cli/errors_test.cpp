// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <array>
#include <cstdlib>
#include <string>

#include "pinned_fixture.hpp"

namespace sluice::testing {
namespace {

/// A table of command lines that are wrong, each with what the message must name.
struct Wrong {
  std::vector<std::string> arguments;
  std::string named;
};

TEST(CommandLine, WhatIsWrongIsNamedWithTheRemedy) {
  const std::vector<Wrong> table = {
      {{}, "A subcommand is required"},
      {{"frobnicate"}, "'frobnicate' is no known command or argument"},
      {{"bpf", "frobnicate"}, "'frobnicate' is no known command or argument"},
      {{"bpf"}, "A subcommand is required"},
      {{"bpf", "ports", "extra"}, "extra"},
      {{"bpf", "ports", "--network", "shop"}, "--network: 'shop' is not a network id: write a number from 0"},
      {{"bpf", "ports", "--network", "16777216"}, "to 16777215"},
      {{"bpf", "ports", "--network", "-1"}, "--network"},
      {{"bpf", "ports", "--address", "172.16.0"}, "--address: '172.16.0' is not an IP address"},
      {{"bpf", "ports", "--service", "172.16.0.10:80"}, "--service"},
      {{"bpf", "flows", "--port", "65536"}, "--port: '65536' is not a port: write a number from 0 to 65535"},
      {{"bpf", "flows", "--protocol", "dccp"}, "write tcp, udp, sctp, icmp or icmpv6"},
      {{"bpf", "flows", "--service", "172.16.0.10"}, "write ADDRESS:PORT or ADDRESS:PORT/PROTOCOL"},
      {{"bpf", "flows", "--service", "172.16.0.10:http"}, "write ADDRESS:PORT or ADDRESS:PORT/PROTOCOL"},
      {{"bpf", "flows", "--service", "172.16.0.10:80/"}, "write ADDRESS:PORT or ADDRESS:PORT/PROTOCOL"},
      {{"bpf", "flows", "-o", "yaml"}, "'yaml' is not an output format: write one of json, table, wide"},
      {{"bpf", "counters", "--entry", "pod"}, "write one of from_pod, from_uplink, uplink_xdp"},
      {{"bpf", "counters", "--reason", "SPOOFED"}, "'sluicectl reasons' lists them"},
      {{"bpf", "frontends", "--slot", "4294967296"}, "is not a slot"},
      {{"pod", "attach", "web", "--netns", "/x"}, "'web' does not name a pod: write NETWORK/POD"},
      {{"pod", "attach", "shop/", "--netns", "/x"}, "write NETWORK/POD"},
      {{"pod", "attach", "shop/web/1", "--netns", "/x"}, "write NETWORK/POD"},
      {{"pod", "attach", "shop/web"}, "--netns is required"},
      {{"pod", "detach"}, "pod is required"},
      {{"status", "--uplink", "eth0"}, "--preflight"},
      {{"reasons", "-o", "xml"}, "xml"},
  };
  for (const Wrong& wrong : table) {
    const Outcome outcome = run_sluicectl(wrong.arguments);
    EXPECT_EQ(outcome.status, 2) << wrong.named << ": " << outcome.err;
    EXPECT_EQ(outcome.out, "") << wrong.named;
    EXPECT_TRUE(outcome.err.starts_with("sluicectl: ")) << outcome.err;
    EXPECT_NE(outcome.err.find(wrong.named), std::string::npos) << outcome.err;
  }
}

TEST(CommandLine, ControlCharactersInAMessageAreEscaped) {
  const Outcome outcome = run_sluicectl({"bpf", "ports", "--network", "\x1b[2J"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
  EXPECT_NE(outcome.err.find("\\x1b[2J"), std::string::npos) << outcome.err;
}

TEST(CommandLine, AFullDiskIsAFailureNotASilence) {
  // The shell only opens the file; the arguments are fixed.
  const int status = std::system("'" SLUICECTL_PATH "' reasons > /dev/full 2> /dev/null");
  EXPECT_EQ(WEXITSTATUS(status), 6);
}

TEST(CommandLine, VersionNamesTheAbi) {
  const Outcome outcome = run_sluicectl({"version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "sluicectl " SLUICE_VERSION " (ABI " + std::to_string(SLUICE_ABI_VERSION) + ")\n");
}

class Pins : public PinnedMapsTest {};

constexpr std::array<const char*, 7> kTables = {"ports", "endpoints", "frontends", "backends",
                                                "rings", "flows",     "counters"};

TEST_F(Pins, PreflightFailsForAPinRootOnNoBpfFileSystemAndWarnsOfAMissingUplink) {
  using Names = std::vector<std::string>;
  struct Case {
    std::string pin_root;
    std::string uplink;
    int status;
    Names failed;
  };
  // A device may appear later, and sluiced waits for it.
  for (const Case& expected : {Case{pin_root().string(), "lo", 0, {}}, Case{pin_root().string(), "slcmissing0", 0, {}},
                               Case{"/proc", "lo", 1, {"bpffs"}}}) {
    const Outcome outcome = run_sluicectl(
        {"status", "--preflight", "--uplink", expected.uplink, "--pin-root", expected.pin_root, "-o", "json"});
    const auto json = nlohmann::ordered_json::parse(outcome.out);
    Names failed;
    bool warned = false;
    for (const auto& check : json["checks"]) {
      if (check["state"] == "failed") failed.push_back(check["name"]);
      warned |= check["name"] == "uplink slcmissing0" && check["state"] == "warning";
    }
    EXPECT_EQ(outcome.status, expected.status) << outcome.err;
    EXPECT_EQ(failed, expected.failed);
    EXPECT_EQ(warned, expected.uplink == "slcmissing0") << outcome.out;
  }
}

TEST_F(Pins, WithoutPinsThePathAndTheRemedyAreNamed) {
  for (const char* table : kTables) {
    const Outcome outcome = bpf({table});
    EXPECT_EQ(outcome.status, 5) << table;
    EXPECT_EQ(outcome.err, "sluicectl: no pinned maps in " + maps_folder().string() +
                               "; start sluiced, or name its pin root with --pin-root\n");
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Pins, PinsOfAnotherAbiAreNamed) {
  std::filesystem::create_directories(pin_root() / "abi-9" / "maps");
  const Outcome outcome = bpf({"ports"});
  EXPECT_EQ(outcome.status, 5);
  EXPECT_NE(outcome.err.find("there are pins of abi-9: use the sluicectl of the version that made them"),
            std::string::npos)
      << outcome.err;
}

TEST_F(Pins, AFolderThatIsOnNoBpfFileSystemIsRefused) {
  std::string folder = (std::filesystem::temp_directory_path() / "sluicectl-plain-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  std::filesystem::create_directories(std::filesystem::path(folder) / ("abi-" + std::to_string(SLUICE_ABI_VERSION)) /
                                      "maps");
  const Outcome outcome = run_sluicectl({"bpf", "ports", "--pin-root", folder});
  std::filesystem::remove_all(folder);
  EXPECT_EQ(outcome.status, 5);
  EXPECT_NE(outcome.err.find("is not on a BPF file system"), std::string::npos) << outcome.err;
}

TEST_F(Pins, AMissingMapIsNamed) {
  make_maps();
  std::filesystem::remove(maps_folder() / "flows4");
  const Outcome outcome = bpf({"flows"});
  EXPECT_EQ(outcome.status, 5);
  EXPECT_NE(outcome.err.find("no pinned map " + (maps_folder() / "flows4").string()), std::string::npos) << outcome.err;
  EXPECT_EQ(bpf({"ports"}).status, 0) << "the other tables need it not";
}

TEST_F(Pins, AMapOfAnotherLayoutIsRefusedNotMisread) {
  make_maps();
  make_map("ports", BPF_MAP_TYPE_HASH, 4, sizeof(sluice_port) + 8, 64);
  Outcome outcome = bpf({"ports"});
  EXPECT_EQ(outcome.status, 6);
  EXPECT_NE(outcome.err.find("ports is not as ABI " + std::to_string(SLUICE_ABI_VERSION) +
                             " says: type 1 with keys of 4 and values of 112 bytes instead of type "
                             "1 with keys of 4 and values of 104 bytes"),
            std::string::npos)
      << outcome.err;
  make_map("counters", BPF_MAP_TYPE_ARRAY, 4, sizeof(sluice_counter), 320);
  EXPECT_EQ(bpf({"counters"}).status, 6);
}

TEST_F(Pins, APinnedProgramUnderAMapsNameIsRefused) {
  make_maps();
  const bpf_insn instructions[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  const UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "test", "GPL", instructions, 2, nullptr));
  ASSERT_TRUE(program.valid());
  std::filesystem::remove(maps_folder() / "ports");
  ASSERT_EQ(bpf_obj_pin(program.get(), (maps_folder() / "ports").c_str()), 0);
  const Outcome outcome = bpf({"ports"});
  EXPECT_EQ(outcome.status, 6);
  EXPECT_NE(outcome.err.find("is pinned but is no map"), std::string::npos) << outcome.err;
}

TEST_F(Pins, NobodyIsToldThatPrivilegeIsMissing) {
  make_maps();
  for (const char* table : kTables) {
    const Outcome outcome = bpf({table}, User::kNobody);
    EXPECT_EQ(outcome.status, 4) << table << outcome.err;
    EXPECT_NE(outcome.err.find("no permission"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("run sluicectl as root"), std::string::npos) << outcome.err;
  }
}

TEST_F(Pins, NobodyWhoMaySeeThePinsStillMayNotOpenThem) {
  make_maps();
  std::filesystem::permissions(mount_point(), std::filesystem::perms{0755});
  std::filesystem::permissions(pin_root(), std::filesystem::perms{0755});
  const Outcome outcome = bpf({"ports"}, User::kNobody);
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_NE(outcome.err.find("no permission to open the map"), std::string::npos) << outcome.err;
}

TEST_F(Pins, AFolderThatNobodyMayEnterIsAMatterOfPermissionToo) {
  make_maps();
  std::filesystem::permissions(pin_root(), std::filesystem::perms{0700});
  const Outcome outcome = bpf({"ports"}, User::kNobody);
  EXPECT_EQ(outcome.status, 4) << outcome.err;
  EXPECT_NE(outcome.err.find("no permission to look into"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace sluice::testing
