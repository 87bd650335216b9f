// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "statistics.hpp"

namespace sluice::benchmark {

namespace {

// A figure is claimed from this many interleaved rounds on.
constexpr unsigned kClaimRounds = 15;

struct Row {
  const Case* measured;
  std::uint32_t flows;
  Summary net;
  Summary floor;
};

// By case, then by number of flows.
std::vector<Row> rows(const Suite& suite) {
  std::vector<Row> found;
  std::vector<std::string> order;
  for (const Group& group : suite.groups()) {
    for (const Case& measured : group.cases) {
      if (std::ranges::find(order, measured.name) == order.end()) order.push_back(measured.name);
      found.push_back({&measured, group.flows, summarize(measured.nets), summarize(group.floors)});
    }
  }
  const auto rank = [&](const Row& row) { return std::ranges::find(order, row.measured->name) - order.begin(); };
  std::ranges::stable_sort(found, {}, rank);
  return found;
}

std::string verdict(const Row& row, unsigned rounds) {
  if (!row.measured->target) return "";
  if (row.net.median > *row.measured->target) return "missed";
  return row.net.upper <= *row.measured->target && rounds >= kClaimRounds ? "reached" : "not proven";
}

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(std::round(value * 100) / 100) : nlohmann::json(nullptr);
}

nlohmann::json json_of(const Row& row, unsigned rounds) {
  nlohmann::json entry;
  entry["case"] = row.measured->name;
  entry["flows"] = row.flows;
  entry["net_ns"] = {{"median", number(row.net.median)},
                     {"min", number(row.net.min)},
                     {"max", number(row.net.max)},
                     {"median_upper_95", number(row.net.upper)}};
  entry["trivial_ns"] = {{"median", number(row.floor.median)}, {"min", number(row.floor.min)}};
  entry["rounds"] = nlohmann::json::array();
  for (double net : row.measured->nets) entry["rounds"].push_back(number(net));
  if (row.measured->target) {
    entry["target_ns"] = *row.measured->target;
    entry["verdict"] = verdict(row, rounds);
  }
  return entry;
}

}  // namespace

void print_table(std::ostream& out, const Run& run, const Suite& suite) {
  const Environment& environment = run.environment;
  out << fmt::format("kernel {} {}, {} x {}, CPU {} used, load {:.2f}, {}, {} rounds\n", environment.kernel,
                     environment.machine, environment.cpus, environment.cpu_model, run.cpu, environment.load,
                     environment.date, run.rounds);
  out << fmt::format("{:<38}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}  {}\n", "ns a packet, net of a trivial program",
                     "flows", "median", "min", "max", "<= 95 %", "trivial", "target", "");
  for (const Row& row : rows(suite)) {
    const auto target = row.measured->target ? fmt::format("{:.0f}", *row.measured->target) : std::string("-");
    out << fmt::format("{:<38}{:>8}{:>9.1f}{:>9.1f}{:>9.1f}{:>9.1f}{:>9.1f}{:>8}  {}\n", row.measured->name, row.flows,
                       row.net.median, row.net.min, row.net.max, row.net.upper, row.floor.median, target,
                       verdict(row, run.rounds));
  }
  out << "<= 95 %: the median lies below with 95 % confidence. reached: this bound does not pass the target, in "
      << kClaimRounds << " rounds or more; not proven: only the median does not.\n";
}

void print_json(std::ostream& out, const Run& run, const Suite& suite) {
  nlohmann::json document;
  document["environment"] = json_of(run.environment);
  document["environment"]["cpu_used"] = run.cpu;
  document["environment"]["rounds"] = run.rounds;
  document["results"] = nlohmann::json::array();
  for (const Row& row : rows(suite)) document["results"].push_back(json_of(row, run.rounds));
  out << document.dump(2) << '\n';
}

}  // namespace sluice::benchmark
