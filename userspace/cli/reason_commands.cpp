// SPDX-License-Identifier: Apache-2.0
#include "cli/reason_commands.hpp"

#include <memory>
#include <ostream>

#include "cli/records.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kMarkdownHead =
    R"(<!-- Made by `sluicectl reasons -o markdown` from include/sluice/reasons.h; do not edit. -->
# Verdict reasons

Every packet that a program of the datapath sees ends with exactly one of these reasons, counted per entry point:
`sluicectl bpf counters --nonzero --explain` shows the counts.

| class | means |
|---|---|
| FORWARD | delivered, or handed on, by the datapath |
| PASS | not ours: left to the host untouched |
| REPLY | answered by the datapath itself |
| DROP | deliberately dropped |

| number | reason | class | meaning |
|---:|---|---|---|
)";

void print_markdown(std::ostream& out) {
  out << kMarkdownHead;
  for (const Reason& reason : reasons()) {
    out << "| " << reason.number << " | `" << reason.name << "` | " << reason.verdict << " | " << reason.help << " |\n";
  }
}

Report report_of_reasons() {
  Report report;
  report.columns = {{"NUMBER", Column::Align::kRight}, {"REASON"}, {"CLASS"}, {"HELP"}};
  report.document["reasons"] = Json::array();
  for (const Reason& reason : reasons()) {
    report.document["reasons"].push_back(
        {{"number", reason.number}, {"reason", reason.name}, {"class", reason.verdict}, {"help", reason.help}});
    report.rows.push_back({std::to_string(reason.number), std::string(reason.name), std::string(reason.verdict),
                           std::string(reason.help)});
  }
  return report;
}

}  // namespace

void add_reason_commands(CLI::App& root, Invocation& invocation) {
  auto format = std::make_shared<std::string>("table");
  CLI::App& command =
      *root.add_subcommand("reasons", "List the reasons that a packet's way through the datapath can end with");
  command.add_option("-o,--output", *format, "Format: table (default), json or markdown (docs/reasons.md)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json", "markdown"}));
  command.callback([format, &invocation] {
    invocation.run = [format](const Streams& streams) {
      if (*format == "markdown") {
        print_markdown(streams.out);
      } else {
        print(report_of_reasons(), *format == "json" ? Format::kJson : Format::kTable, streams.out);
      }
      return ExitStatus::kOk;
    };
  });
}

}  // namespace sluice::cli
