// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf counters`.
#include "cli/inspect.hpp"
#include "cli/records.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

/// Nothing runs at these entry points yet, so they are shown only if they count after all.
bool is_reserved(std::uint32_t entry) {
  return entry == SLUICE_ENTRY_FROM_HOST || entry == SLUICE_ENTRY_FROM_OVERLAY;
}

/// The reason of a counter, or a placeholder where this build's list ends (it only ever grows).
Reason reason_of(std::uint32_t number, std::string& unknown_name) {
  if (number < reasons().size()) return reasons()[number];
  unknown_name = "unknown(" + std::to_string(number) + ")";
  return {number, unknown_name, "UNKNOWN", "a reason that this sluicectl does not know"};
}

void add_counter(Report& report, std::string_view entry, const Reason& reason, const sluice_counter& counter) {
  report.document["counters"].push_back({
      {"entry", entry},
      {"reason", reason.name},
      {"class", reason.verdict},
      {"packets", counter.packets},
      {"bytes", counter.bytes},
      {"help", reason.help},
  });
  report.rows.push_back({std::string(entry), std::string(reason.name), std::string(reason.verdict),
                         std::to_string(counter.packets), std::to_string(counter.bytes), std::string(reason.help)});
  report.matched++;
}

}  // namespace

Result<Report> inspect_counters(const PinnedMaps& maps, const Filters& filters) {
  const Result<std::vector<sluice_counter>> counters = maps.read_counters("counters");
  if (!counters) return std::unexpected(counters.error());

  Report report{document_of(maps),
                {{"ENTRY"},
                 {"REASON"},
                 {"CLASS"},
                 {"PACKETS", Align::kRight},
                 {"BYTES", Align::kRight},
                 {"HELP", Align::kLeft, true}},
                {},
                0,
                {}};
  report.document["counters"] = Json::array();
  for (std::uint32_t index = 0; index < counters->size(); index++) {
    const std::uint32_t entry = index / SLUICE_COUNTER_STRIDE;
    const std::uint32_t number = index % SLUICE_COUNTER_STRIDE;
    const sluice_counter& counter = (*counters)[index];
    const bool counts = counter.packets != 0 || counter.bytes != 0;
    if (entry >= SLUICE_ENTRY_COUNT || (filters.entry && *filters.entry != entry)) continue;
    if (filters.reason && *filters.reason != number) continue;
    const bool hidden = number >= SLUICE_REASON_COUNT || (is_reserved(entry) && !filters.entry) || filters.nonzero;
    if (hidden && !counts) continue;
    std::string unknown_name;
    add_counter(report, entry_names()[entry], reason_of(number, unknown_name), counter);
  }
  return report;
}

}  // namespace sluice::cli
