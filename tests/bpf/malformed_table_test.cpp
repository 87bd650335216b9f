// SPDX-License-Identifier: Apache-2.0
// The classes of docs/malformed.md: each has the reason that the page gives, by each entry and in each family, and the
// page lists these classes and no others. `SLUICE_WRITE_DOCS=1` writes the page's tables anew.
#include "malformed_table.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace bpftest {
namespace {

class MalformedClasses : public Spoiled, public ::testing::WithParamInterface<std::tuple<Family, From>> {
 protected:
  MalformedClasses() : Spoiled(std::get<Family>(GetParam()), std::get<From>(GetParam())) {}

  void expect_early(const MalformedClass& one) {
    for (const Frame& frame : one.frames(*this)) {
      EXPECT_EQ(datapath.run(SLUICE_ENTRY_UPLINK_XDP, world.uplink(), frame).reason, one.reasons.by_xdp(family))
          << "XDP, " << one.section << ": " << one.what;
    }
  }
  /// The frame, sent as the first of its flow.
  Frame passed(const Frame& frame) {
    const Outcome outcome = run(frame);
    EXPECT_EQ(outcome.reason, SLUICE_REASON_TO_BACKEND);
    return outcome.frame;
  }
  /// What is wrong with a frame's checksums: the differences to the right ones, in one's complement.
  static std::vector<unsigned> errors(const Frame& frame) {
    Frame right = frame;
    right.fix_checksums();
    std::vector<unsigned> differences;
    for (std::size_t at = kIp; at + 1 < frame.size(); at += 2) {
      const unsigned got = frame.get16(at), wanted = right.get16(at);
      if (got != wanted) differences.push_back((got + 0xffff - wanted) % 0xffff);
    }
    return differences;
  }
};

TEST_P(MalformedClasses, HaveTheirReasonsAndMakeNoFlow) {
  for (const MalformedClass& one : malformed_classes()) {
    const sluice_reason reason = one.reasons.of(from, family);
    if (reason == SLUICE_REASON_NONE || one.kept) continue;
    std::vector<Case> cases;
    for (const Frame& frame : one.frames(*this)) cases.push_back({one.section + ": " + one.what, frame, reason});
    ASSERT_FALSE(cases.empty()) << one.what;
    expect(cases);
    if (from == From::kUplink) expect_early(one);
  }
}

TEST_P(MalformedClasses, OfChecksumsComeOutAsWrongAsTheyWere) {
  for (const MalformedClass& one : malformed_classes()) {
    if (!one.kept || one.reasons.of(from, family) == SLUICE_REASON_NONE) continue;
    SCOPED_TRACE(one.what);
    if (from == From::kUplink) expect_early(one);
    for (const Frame& frame : one.frames(*this)) {
      const Frame out = passed(frame);
      const bool none = frame.get16(l4 + 6) == 0 && frame.protocol() == kUdp;
      EXPECT_EQ(errors(frame).empty(), none) << "nothing is wrong with the frame";
      if (none) {
        EXPECT_EQ(out.get16(l4 + 6), 0U);
      }
      EXPECT_EQ(errors(out), errors(frame)) << ::testing::PrintToString(frame);
      EXPECT_NE(out.destination(), frame.destination()) << "it was not translated";
    }
  }
}

std::string name_of_run(const ::testing::TestParamInfo<MalformedClasses::ParamType>& run) {
  return std::string(name_of(std::get<Family>(run.param))) + name_of(std::get<From>(run.param));
}

INSTANTIATE_TEST_SUITE_P(, MalformedClasses,
                         ::testing::Combine(::testing::ValuesIn(kFamilies), ::testing::ValuesIn(kEntries)),
                         name_of_run);

TEST(MalformedPage, ListsTheseClassesAndNoOthers) {
  const std::string path = std::string(DOCUMENTATION_FOLDER) + "/malformed.md", begin = "\n## ";
  std::ifstream file(path);
  std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::size_t tables = page.find(begin);
  ASSERT_NE(tables, std::string::npos) << path;
  if (std::getenv("SLUICE_WRITE_DOCS") != nullptr) {
    std::ofstream(path) << page.substr(0, tables) << malformed_markdown();
    return;
  }
  EXPECT_EQ(page.substr(tables), malformed_markdown())
      << "make it anew with: SLUICE_WRITE_DOCS=1 sluice_bpf_test --gtest_filter='MalformedPage.*'";
}

}  // namespace
}  // namespace bpftest
