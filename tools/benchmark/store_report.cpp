// SPDX-License-Identifier: Apache-2.0
#include "store_report.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <iomanip>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>

#include "base/fd.hpp"
#include "statistics.hpp"
#include "timing.hpp"

namespace sluice::benchmark {
namespace {

/// What the control plane is to reach.
constexpr double kTargetLoad = 1000;    // ms
constexpr double kTargetSingle = 1000;  // objects a second
constexpr double kTargetSets = 10'000;  // objects a second

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double a_second(double objects, const std::vector<double>& times) {
  return objects / total(times) * 1000;
}

void row(std::ostream& out, const std::string& name, const std::vector<double>& values) {
  out << std::left << std::setw(46) << name << std::right << std::setw(7) << values.size();
  for (const double percent : {50.0, 99.0, 100.0}) out << std::setw(10) << percentile(values, percent);
  out << '\n';
}

nlohmann::json summary(const std::vector<double>& values) {
  return {{"count", values.size()},
          {"median", percentile(values, 50)},
          {"p99", percentile(values, 99)},
          {"max", percentile(values, 100)}};
}

const char* verdict(bool reached) {
  return reached ? "reached" : "missed";
}

}  // namespace

Status measure_disk(const std::filesystem::path& folder, StoreFigures& figures) {
  constexpr int kSyncs = 200;
  const UniqueFd file(open((folder / "sync").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno((folder / "sync").string());
  const std::string page(4096, 's');
  for (int i = 0; i < kSyncs; i++) {
    const auto begin = Clock::now();
    if (write(file.get(), page.data(), page.size()) != static_cast<ssize_t>(page.size())) return fail_errno("write");
    if (fdatasync(file.get()) != 0) return fail_errno("fdatasync");
    figures.sync_milliseconds.push_back(milliseconds(Clock::now() - begin));
  }
  return {};
}

void print_table(std::ostream& out, const StoreFigures& figures) {
  out << figures.environment << ", disk below " << figures.folder << '\n';
  out << std::fixed << std::setprecision(2);
  out << std::left << std::setw(46) << "milliseconds" << std::right << std::setw(7) << "times" << std::setw(10)
      << "median" << std::setw(10) << "p99" << std::setw(10) << "max" << '\n';
  row(out, "the disk alone: append 4 KiB and sync", figures.sync_milliseconds);
  row(out, "a set of " + std::to_string(figures.set) + " objects, durable", figures.set_milliseconds);
  row(out, "a single write, durable", figures.write_milliseconds);
  row(out, "open with " + std::to_string(figures.objects) + " objects", figures.load_milliseconds);
  row(out, "  of it read and check the file", figures.check_milliseconds);
  out << "store.db: " << static_cast<double>(figures.file_bytes) / 1e6 << " MB\n";
  const double sets = a_second(figures.written_in_sets, figures.set_milliseconds);
  const double single = a_second(static_cast<double>(figures.write_milliseconds.size()), figures.write_milliseconds);
  const double disk = a_second(static_cast<double>(figures.sync_milliseconds.size()), figures.sync_milliseconds);
  const double load = percentile(figures.load_milliseconds, 50);
  out << std::setprecision(0) << "in sets " << sets << " objects/s, target " << kTargetSets << ": "
      << verdict(sets >= kTargetSets) << '\n';
  // One writer that waits for each write cannot be faster than the disk syncs.
  out << "one by one " << single << " objects/s, target " << kTargetSingle << ": " << verdict(single >= kTargetSingle)
      << " (this disk syncs " << disk << " times a second)\n";
  out << "open, median " << load << " ms, target " << kTargetLoad << " ms: " << verdict(load <= kTargetLoad) << '\n';
}

void print_json(std::ostream& out, const StoreFigures& figures) {
  const nlohmann::json report = {
      {"environment", json_of(figures.environment)},
      {"folder", figures.folder},
      {"objects", figures.objects},
      {"set", figures.set},
      {"file_bytes", figures.file_bytes},
      {"unit", "ms"},
      {"sync", summary(figures.sync_milliseconds)},
      {"set_write", summary(figures.set_milliseconds)},
      {"single_write", summary(figures.write_milliseconds)},
      {"open", summary(figures.load_milliseconds)},
      {"open_check", summary(figures.check_milliseconds)},
      {"objects_per_second",
       {{"in_sets", a_second(figures.written_in_sets, figures.set_milliseconds)},
        {"one_by_one", a_second(static_cast<double>(figures.write_milliseconds.size()), figures.write_milliseconds)}}},
      {"syncs_per_second", a_second(static_cast<double>(figures.sync_milliseconds.size()), figures.sync_milliseconds)},
      {"targets", {{"open", kTargetLoad}, {"in_sets", kTargetSets}, {"one_by_one", kTargetSingle}}}};
  out << report.dump(2) << '\n';
}

}  // namespace sluice::benchmark
