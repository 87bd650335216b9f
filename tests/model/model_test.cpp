// SPDX-License-Identifier: Apache-2.0
// Random configurations x random packets: verdict, every byte and the whole flow table of the shipped programs must
// be the model's. The environment changes how much and what (tools/fuzz sets it):
//   SLUICE_MODEL_PACKETS, SLUICE_MODEL_SEED
//   SLUICE_MODEL_SAVE    folder for a recording of what differs, made smaller; default: the working folder; empty: none
//   SLUICE_MODEL_REPLAY  a recording to be run in place of random traffic
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "recording.hpp"

namespace model {
namespace {

constexpr std::uint64_t kDefaultPackets = 1'000'000;
constexpr std::uint64_t kEventsOfOneSession = 4000;
constexpr std::uint64_t kComparePeriod = 500;

/// Reasons that no single packet on one processor, in a kernel that does not fail, can have.
constexpr sluice_reason kUnreachable[] = {
    SLUICE_REASON_NONE,             // a defect, if it is ever counted
    SLUICE_REASON_FLOW_CONTENDED,   // two processors at one flow: tests/bpf/race_test.cpp
    SLUICE_REASON_REWRITE_FAILED,   // the kernel refuses to change a packet
    SLUICE_REASON_DELIVERY_FAILED,  // the kernel refuses a redirect
};

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Lets random things happen until the worlds differ; the difference.
std::string run(Session& session, Recording& recording) {
  for (std::uint64_t i = 1; i <= kEventsOfOneSession; ++i) {
    recording.events.push_back(session.draw());
    std::string difference = session.apply(recording.events.back());
    if (difference.empty() && i % kComparePeriod == 0) difference = session.compare_tables();
    if (!difference.empty()) return difference;
    if (::testing::Test::HasFailure()) return "see above";
  }
  return "";
}

/// Where the recording stands that was made of what differed.
std::string save(const Recording& recording, const std::string& difference) {
  const char* folder = std::getenv("SLUICE_MODEL_SAVE");
  if (folder != nullptr && *folder == 0) return "nothing";
  const Recording small = minimised(recording, [](const Recording& shorter) { return !replay(shorter).empty(); });
  const std::string path =
      (folder == nullptr ? std::string(".") : std::string(folder)) + "/difference-" + std::to_string(recording.seed);
  std::ofstream file(path);
  std::istringstream lines(difference);
  for (std::string line; std::getline(lines, line);) file << "# " << line << "\n";
  file << to_text(small);
  return path + (file.flush().good() ? "" : " (which could not be written)");
}

void add(Coverage& sum, const Coverage& more, std::uint64_t& packets) {
  for (std::size_t entry = 0; entry < sum.size(); ++entry) {
    for (std::size_t reason = 0; reason < SLUICE_REASON_COUNT; ++reason) {
      sum[entry][reason] += more[entry][reason];
      packets += more[entry][reason];
    }
  }
}

void print(const Coverage& coverage) {
  std::cout << std::setw(20) << "reason" << std::setw(12) << "from_pod" << std::setw(12) << "from_uplink"
            << std::setw(12) << "uplink_xdp" << "\n";
  for (std::size_t reason = 1; reason < SLUICE_REASON_COUNT; ++reason) {
    std::cout << std::setw(20) << bpftest::reason_name(static_cast<sluice_reason>(reason));
    for (std::size_t entry = 0; entry <= SLUICE_ENTRY_UPLINK_XDP; ++entry) {
      std::cout << std::setw(12) << coverage[entry][reason];
    }
    std::cout << "\n";
  }
}

void expect_every_reason(const Coverage& coverage) {
  for (std::size_t reason = 0; reason < SLUICE_REASON_COUNT; ++reason) {
    std::uint64_t seen = 0;
    for (const auto& of_entry : coverage) seen += of_entry[reason];
    const bool reachable = std::ranges::find(kUnreachable, reason) == std::end(kUnreachable);
    const std::string name = bpftest::reason_name(static_cast<sluice_reason>(reason));
    if (reachable) {
      EXPECT_GT(seen, 0U) << "no packet had the reason " << name;
    }
  }
}

TEST(Model, AgreesWithTheProgramsOnRandomTraffic) {
  if (const char* path = std::getenv("SLUICE_MODEL_REPLAY")) {
    std::ifstream file(path);
    ASSERT_TRUE(file) << "SLUICE_MODEL_REPLAY=" << path << " cannot be read";
    EXPECT_EQ(replay(from_text({std::istreambuf_iterator<char>(file), {}})), "");
    return;
  }
  const std::uint64_t seed = setting("SLUICE_MODEL_SEED", std::random_device{}());
  const std::uint64_t packets = setting("SLUICE_MODEL_PACKETS", kDefaultPackets);
  std::cout << "SLUICE_MODEL_SEED=" << seed << " SLUICE_MODEL_PACKETS=" << packets << std::endl;
  Random random(seed);
  Coverage coverage{};
  for (std::uint64_t sent = 0; sent < packets;) {
    Recording recording{.seed = random()};
    std::string difference;
    {
      Session session(recording.seed);
      difference = run(session, recording);
      add(coverage, session.coverage(), sent);
    }
    if (difference.empty()) continue;
    FAIL() << difference << "\nsaved as " << save(recording, difference) << "\nfound within " << sent << " packets";
  }
  print(coverage);
  if (packets >= kDefaultPackets) expect_every_reason(coverage);
}

TEST(Recording, ComesBackFromItsTextAsItWas) {
  const Recording recording{
      .seed = 7,
      .events = {
          {.change = 9},
          {.packet = {.entry = SLUICE_ENTRY_FROM_UPLINK, .ifindex = 3, .frame = bpftest::Frame({0x00, 0xff, 0x12})}}}};
  const std::string text = "session 7\nchange 9\npacket 1 3 00ff12\n";
  EXPECT_EQ(to_text(recording), text);
  EXPECT_EQ(to_text(from_text("# a comment\n" + text)), text);
  EXPECT_THROW(from_text("parcel 1 3 00\n"), std::runtime_error);
  EXPECT_THROW(from_text("packet 1\n"), std::runtime_error);
}

TEST(Recording, IsMinimisedToWhatMakesTheDifference) {
  Recording recording;
  for (std::uint64_t i = 1; i <= 40; ++i) recording.events.push_back({.change = i});
  recording.events.push_back({.packet = {.frame = bpftest::Frame(bpftest::Bytes(200))}});
  const Recording small = minimised(recording, [](const Recording& shorter) {
    bool change = false, packet = false;
    for (const Event& event : shorter.events) {
      change = change || event.change == 17;
      packet = packet || event.packet.frame.size() >= 100;
    }
    return change && packet;
  });
  ASSERT_EQ(small.events.size(), 2U);
  EXPECT_EQ(small.events[0].change, 17U);
  EXPECT_EQ(small.events[1].packet.frame.size(), 100U);
}

}  // namespace
}  // namespace model
