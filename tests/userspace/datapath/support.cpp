// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "datapath/pins.hpp"

namespace sluice::datapath::testing {
namespace {

class OwnGround final : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "run as root: " << std::strerror(errno);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr), 0) << std::strerror(errno);
  }
};

const auto* const kGround = ::testing::AddGlobalTestEnvironment(new OwnGround);

}  // namespace

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

DatapathTest::DatapathTest() : root_("/sys/fs/bpf/test") {}

DatapathTest::~DatapathTest() {
  // Of whatever store: tests of the node have one each.
  const auto links = list_links();
  EXPECT_TRUE(links) << text(links);
  for (const LinkInfo& link : links.value_or(std::vector<LinkInfo>{})) {
    if (link.name.starts_with(kMark.prefix)) shell("ip link del " + link.name);
  }
  if (std::filesystem::exists(root_)) {
    const Status purged = Datapath::purge(root_);
    EXPECT_TRUE(purged) << text(purged);
  }
}

Options DatapathTest::options() const {
  Options options;
  options.pin_root = root_;
  options.max_pairs = 1024;
  options.backend_arena = 4096;
  options.ring_arena = 1024;
  options.owner_uuid = {1, 2, 3};
  return options;
}

std::unique_ptr<Datapath> DatapathTest::load(const Options& options) {
  auto loaded = Datapath::load(options);
  if (loaded) return std::move(*loaded);
  ADD_FAILURE() << text(loaded);
  std::abort();  // nothing after this means anything
}

void PodDevicesTest::SetUp() {
  datapath_ = load();
  auto devices = PodDevices::open(*datapath_, kMark);
  ASSERT_TRUE(devices) << text(devices);
  devices_ = std::move(*devices);
}

void UplinkTest::SetUp() {
  ASSERT_EQ(shell("ip link add name uplink0 type veth peer name wire0 && ip link set uplink0 up"), "");
}

void UplinkTest::TearDown() {
  shell("ip link del uplink0");
}

UniqueFd new_namespace() {
  UniqueFd netns;
  std::thread([&netns] {
    if (unshare(CLONE_NEWNET) == 0) netns.reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  EXPECT_TRUE(netns.valid()) << std::strerror(errno);
  return netns;
}

PodDevice pod_device(std::uint32_t number) {
  PodDevice device;
  device.mac = Mac{{2, 0, 0, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                    static_cast<std::uint8_t>(number)}};
  device.address = Ipv4{0xac100000 + number};
  device.cidr = Cidr4{Ipv4{0xac100000}, 16};
  device.router = Ipv4{0xac100001};
  device.mtu = 1450;
  return device;
}

std::string shell(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return "popen failed";
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), size);
  pclose(pipe);
  return output;
}

std::string shell_in(const UniqueFd& netns, const std::string& command) {
  std::string output;
  const Status ran = run_in_netns(netns, [&]() -> Status {
    output = shell(command);
    return {};
  });
  return ran ? output : text(ran);
}

std::uint32_t ifindex_of(const std::string& device) {
  return static_cast<std::uint32_t>(if_nametoindex(device.c_str()));
}

Status send_frames(const UniqueFd& netns, const std::string& device, unsigned count) {
  return run_in_netns(netns, [&]() -> Status {
    const UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return fail_errno("open a packet socket");
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(ifindex_of(device));
    to.sll_halen = ETH_ALEN;
    std::array<unsigned char, 64> frame{};
    std::fill_n(frame.begin(), ETH_ALEN, 0xff);
    frame[6] = 2;
    frame[12] = 0x88;  // an Ethertype for experiments, which nothing answers
    frame[13] = 0xb5;
    for (unsigned i = 0; i < count; i++) {
      if (sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)) < 0) {
        return fail_errno("send a frame");
      }
      if (i % 64 == 63) std::this_thread::yield();
    }
    return {};
  });
}

std::uint64_t counted(const std::filesystem::path& pins, sluice_entry entry) {
  auto map = open_pin(pins / "maps" / "counters");
  if (!map) return 0;
  std::vector<sluice_counter> cpus(static_cast<std::size_t>(sysconf(_SC_NPROCESSORS_CONF)) + 64);
  std::uint64_t packets = 0;
  for (std::uint32_t reason = 0; reason < SLUICE_COUNTER_STRIDE; reason++) {
    const std::uint32_t index = entry * SLUICE_COUNTER_STRIDE + reason;
    if (bpf_map_lookup_elem(map->get(), &index, cpus.data()) != 0) return 0;
    for (const sluice_counter& counter : cpus) packets += counter.packets;
    std::fill(cpus.begin(), cpus.end(), sluice_counter{});
  }
  return packets;
}

UniqueFd foreign_program(bool xdp) {
  const std::array<bpf_insn, 2> instructions{{
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = xdp ? XDP_PASS : 0},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  return UniqueFd(bpf_prog_load(xdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS, "somebody_elses", "GPL",
                                instructions.data(), instructions.size(), nullptr));
}

std::uint32_t program_id(int program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  EXPECT_EQ(bpf_obj_get_info_by_fd(program, &info, &size), 0);
  return info.id;
}

std::uint32_t pinned_id(const std::filesystem::path& pin, bool map) {
  auto fd = open_pin(pin);
  EXPECT_TRUE(fd) << text(fd);
  if (!fd) return 0;
  if (!map) return program_id(fd->get());
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  EXPECT_EQ(bpf_obj_get_info_by_fd(fd->get(), &info, &size), 0);
  return info.id;
}

}  // namespace sluice::datapath::testing
