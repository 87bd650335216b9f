// SPDX-License-Identifier: Apache-2.0
// What docs/ says about sluicectl is compared with what sluicectl says about itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "subprocess.hpp"

namespace sluice::testing {
namespace {

std::string read_document(const std::string& name) {
  std::ifstream file(std::string(DOCUMENTATION_FOLDER) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

std::set<std::string> options_of(const std::string& text) {
  std::set<std::string> options;
  const std::regex option("--[a-z][a-z-]+");
  for (auto found = std::sregex_iterator(text.begin(), text.end(), option); found != std::sregex_iterator(); ++found) {
    options.insert(found->str());
  }
  return options;
}

TEST(Documentation, ListOfReasonsIsUpToDate) {
  const Outcome outcome = run_sluicectl({"reasons", "-o", "markdown"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, read_document("reasons.md"))
      << "make it anew with: sluicectl reasons -o markdown > docs/reasons.md";
}

TEST(Documentation, DescribesEveryOptionAndNoOther) {
  const std::set<std::string> known = options_of(run_sluicectl({"--help-all"}).out);
  EXPECT_GT(known.size(), 15U);
  std::string page = read_document("man/sluicectl.8");
  page = std::regex_replace(page, std::regex(R"(\\-)"), "-");
  EXPECT_EQ(options_of(page), known) << "docs/man/sluicectl.8";
  EXPECT_EQ(options_of(read_document("sluicectl.md")), known) << "docs/sluicectl.md";
}

TEST(Documentation, QuotesTheHelpOfEveryCommandWordForWord) {
  const std::string document = read_document("sluicectl.md");
  for (const std::string command :
       {"bpf ports",   "bpf endpoints", "bpf egress",   "bpf denied",  "bpf frontends", "bpf backends",
        "bpf rings",   "bpf flows",     "bpf counters", "pod attach",  "pod detach",    "pod drain",
        "pod undrain", "status",        "reasons",      "log-level",   "completion",    "apply",
        "get",         "describe",      "edit",         "delete",      "watch",         "fip allocate",
        "fip list",    "fip attach",    "fip detach",   "fip release", "store backup",  "store restore",
        "store reset", "store inspect", "store adopt"}) {
    std::vector<std::string> arguments;
    std::stringstream words(command);
    for (std::string word; words >> word;) arguments.push_back(word);
    arguments.emplace_back("--help");
    const Outcome help = run_sluicectl(arguments);
    EXPECT_EQ(help.status, 0);
    const std::string usage = help.out.substr(std::min(help.out.find("Usage:"), help.out.size()));
    ASSERT_FALSE(usage.empty()) << command;
    EXPECT_NE(document.find(usage.substr(0, usage.find_last_not_of('\n') + 1) + "\n```\n"), std::string::npos)
        << "docs/sluicectl.md lacks, or differs from:\n"
        << usage;
  }
}

TEST(Documentation, ListsTheExitStatusesOfTheHelp) {
  const std::string help = run_sluicectl({"--help"}).out;
  const std::string statuses = help.substr(help.find("Exit status:\n"));
  EXPECT_NE(read_document("sluicectl.md").find(statuses), std::string::npos) << statuses;
  EXPECT_NE(read_document("man/sluicectl.8").find("privilege is missing"), std::string::npos);
}

}  // namespace
}  // namespace sluice::testing
