// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
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
  std::optional<Summary> ratio = {};  ///< IPv6: to IPv4's row of the same name and size, round by round
};

std::string family_of(const Row& row) {
  return row.measured->family == Family::kIpv6 ? "IPv6" : "IPv4";
}

Summary ratio(const Case& six, const Case& four) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < six.nets.size(); ++round) {
    ratios.push_back(six.nets.at(round) / four.nets.at(round));
  }
  return summarize(std::move(ratios));
}

// By case, then by family, then by number of flows.
std::vector<Row> rows(const Suite& suite) {
  std::vector<Row> found;
  std::vector<std::string> order;
  for (const Group& group : suite.groups()) {
    for (const Case& measured : group.cases) {
      if (std::ranges::find(order, measured.name) == order.end()) order.push_back(measured.name);
      found.push_back({&measured, group.flows, summarize(measured.nets), summarize(group.floors)});
    }
  }
  const auto rank = [&](const Row& row) {
    return std::pair(std::ranges::find(order, row.measured->name) - order.begin(), row.measured->family);
  };
  std::ranges::stable_sort(found, {}, rank);
  for (Row& row : found) {
    if (row.measured->family == Family::kIpv4) continue;
    const auto four = std::ranges::find_if(found, [&](const Row& other) {
      return other.measured->family == Family::kIpv4 && other.measured->name == row.measured->name &&
             other.flows == row.flows;
    });
    if (four != found.end()) row.ratio = ratio(*row.measured, *four->measured);
  }
  return found;
}

std::string verdict(const std::optional<double>& target, const Summary& summary, unsigned rounds) {
  if (!target) return "";
  if (summary.median > *target) return "missed";
  return summary.upper <= *target && rounds >= kClaimRounds ? "reached" : "not proven";
}

std::string verdict(const Row& row, unsigned rounds) {
  if (row.ratio && row.measured->ratio_target) return verdict(row.measured->ratio_target, *row.ratio, rounds);
  return verdict(row.measured->target, row.net, rounds);
}

// What a row may cost: nanoseconds, or a multiple of the other family's.
std::string target_of(const Row& row) {
  if (row.ratio && row.measured->ratio_target) return fmt::format("x{:.1f}", *row.measured->ratio_target);
  return row.measured->target ? fmt::format("{:.0f}", *row.measured->target) : std::string("-");
}

nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(std::round(value * 100) / 100) : nlohmann::json(nullptr);
}

nlohmann::json json_of(const Row& row, unsigned rounds) {
  nlohmann::json entry;
  entry["case"] = row.measured->name;
  entry["family"] = family_of(row);
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
  if (row.ratio)
    entry["to_ipv4"] = {{"median", number(row.ratio->median)}, {"median_upper_95", number(row.ratio->upper)}};
  if (row.ratio && row.measured->ratio_target) {
    entry["to_ipv4"]["target"] = *row.measured->ratio_target;
    entry["to_ipv4"]["verdict"] = verdict(row, rounds);
  }
  return entry;
}

}  // namespace

void print_table(std::ostream& out, const Run& run, const Suite& suite) {
  const Environment& environment = run.environment;
  out << fmt::format("kernel {} {}, {} x {}, CPU {} used, load {:.2f}, {}, {} rounds\n", environment.kernel,
                     environment.machine, environment.cpus, environment.cpu_model, run.cpu, environment.load,
                     environment.date, run.rounds);
  out << fmt::format("{:<38}{:>5}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>8}  {}\n",
                     "ns a packet, net of a trivial program", "", "flows", "median", "min", "max", "<= 95 %", "trivial",
                     "/IPv4", "target", "");
  for (const Row& row : rows(suite)) {
    const auto to_four = row.ratio ? fmt::format("{:.2f}", row.ratio->median) : std::string();
    out << fmt::format("{:<38}{:>5}{:>8}{:>9.1f}{:>9.1f}{:>9.1f}{:>9.1f}{:>9.1f}{:>7}{:>8}  {}\n", row.measured->name,
                       family_of(row), row.flows, row.net.median, row.net.min, row.net.max, row.net.upper,
                       row.floor.median, to_four, target_of(row), verdict(row, run.rounds));
  }
  out << "<= 95 %: the median lies below with 95 % confidence. reached: this bound does not pass the target, in "
      << kClaimRounds << " rounds or more; not proven: only the median does not.\n"
      << "/IPv4: median of the rounds' ratios to the IPv4 row of the same name and size; a target \"x1.3\" is of "
         "that.\n";
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
