// SPDX-License-Identifier: Apache-2.0
#include "attach_report.hpp"

#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "statistics.hpp"

namespace sluice::benchmark {
namespace {

/// What the first issue of the project asks for.
constexpr double kTargetMedian = 10;
constexpr double kTargetHigh = 30;
constexpr double kTargetCold = 40;

void row(std::ostream& out, const std::string& name, const std::vector<double>& values) {
  out << std::left << std::setw(46) << name << std::right << std::setw(6) << values.size();
  for (const double percent : {50.0, 99.0, 100.0}) out << std::setw(9) << percentile(values, percent);
  out << '\n';
}

void verdict(std::ostream& out, const std::string& name, double value, double target) {
  out << name << ' ' << value << " ms, target " << target << " ms: " << (value <= target ? "reached" : "missed")
      << '\n';
}

nlohmann::json summary(const std::vector<double>& values) {
  return {{"median", percentile(values, 50)},
          {"p99", percentile(values, 99)},
          {"max", percentile(values, 100)},
          {"values", values}};
}

}  // namespace

void print_table(std::ostream& out, const AttachFigures& figures) {
  out << figures.environment << ", " << figures.services << " services, " << figures.pods << " pods declared\n";
  out << std::fixed << std::setprecision(2);
  out << std::left << std::setw(46) << "milliseconds" << std::right << std::setw(6) << "pods" << std::setw(9)
      << "median" << std::setw(9) << "p99" << std::setw(9) << "max" << '\n';
  row(out, "call to first served byte, warm", figures.byte);
  if (!figures.byte_of_pod.empty()) row(out, "  asked by the pod's address", figures.byte_of_pod);
  if (!figures.byte_of_service.empty()) row(out, "  asked by its service's address", figures.byte_of_service);
  row(out, "  of it the call", figures.call);
  row(out, "    of it tables and maps", figures.reconcile);
  row(out, "call to first served byte, cold", figures.cold);
  row(out, "floor: a plain veth pair, no daemon", figures.floor);
  out << "warm, median: " << percentile(figures.byte, 50) / percentile(figures.floor, 50) << " times the floor\n";
  verdict(out, "warm, median", percentile(figures.byte, 50), kTargetMedian);
  verdict(out, "warm, p99", percentile(figures.byte, 99), kTargetHigh);
  verdict(out, "cold, worst", percentile(figures.cold, 100), kTargetCold);
}

void print_json(std::ostream& out, const AttachFigures& figures) {
  const nlohmann::json report = {
      {"environment", json_of(figures.environment)},
      {"services", figures.services},
      {"pods", figures.pods},
      {"unit", "ms"},
      {"warm", summary(figures.byte)},
      {"call", summary(figures.call)},
      {"reconcile", summary(figures.reconcile)},
      {"cold", summary(figures.cold)},
      {"floor", summary(figures.floor)},
      {"ratio_to_floor", percentile(figures.byte, 50) / percentile(figures.floor, 50)},
      {"targets", {{"warm_median", kTargetMedian}, {"warm_p99", kTargetHigh}, {"cold", kTargetCold}}}};
  out << report.dump(2) << '\n';
}

}  // namespace sluice::benchmark
