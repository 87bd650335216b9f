// SPDX-License-Identifier: Apache-2.0
#include "cli/preflight_command.hpp"

#include <bpf/libbpf.h>

#include <algorithm>

#include "cli/records.hpp"
#include "datapath/pod_mtu.hpp"
#include "datapath/preflight.hpp"

namespace sluice::cli {
namespace {

using datapath::Check;

std::string state_name(Check::State state) {
  switch (state) {
    case Check::State::kOk:
      return "ok";
    case Check::State::kWarning:
      return "warning";
    case Check::State::kFailed:
      return "failed";
  }
  return "unknown";
}

Report report_of(const std::vector<Check>& checks) {
  Report report;
  report.columns = {{"STATE"}, {"CHECK"}, {"FOUND"}, {"REMEDY"}};
  report.document["checks"] = Json::array();
  for (const Check& check : checks) {
    const std::string state = state_name(check.state);
    report.document["checks"].push_back(
        {{"name", check.name}, {"state", state}, {"message", check.message}, {"remedy", check.remedy}});
    report.rows.push_back({state, check.name, or_dash(check.message), or_dash(check.remedy)});
  }
  return report;
}

}  // namespace

ExitStatus run_preflight(const PreflightRequest& request, Format format, const Streams& streams) {
  libbpf_set_print(nullptr);  // what does not work is a finding, in the words of the check
  datapath::Options options;
  options.pin_root = request.pin_root;
  options.max_pairs = request.max_flows;
  const std::vector<Check> checks =
      datapath::preflight(options, request.uplinks, datapath::mtu_reserve(request.mtu_reserve));
  print(report_of(checks), format, streams.out);
  const auto failed = std::ranges::count(checks, Check::State::kFailed, &Check::state);
  if (failed == 0) return ExitStatus::kOk;
  return complain(streams, std::to_string(failed) + (failed == 1 ? " check" : " checks") + " failed",
                  ExitStatus::kNotFound);
}

}  // namespace sluice::cli
