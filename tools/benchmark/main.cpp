// SPDX-License-Identifier: Apache-2.0
// sluice_benchmark: what a packet costs in the shipped programs. Called by tools/bench datapath.
#include <bpf/libbpf.h>
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <string>

#include "cases.hpp"
#include "devices.hpp"
#include "environment.hpp"
#include "exit_status.hpp"
#include "report.hpp"

namespace sluice::benchmark {

namespace {

struct Options {
  bool json = false;
  unsigned rounds = 15;
  unsigned cpu = 0;
  Choice choice;
};

// One CPU for all rounds: what is in its caches is part of what is measured.
Status use_cpu(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) return fail_errno("stay on CPU " + std::to_string(cpu));
  return {};
}

Status measure(const Options& options) {
  Run run{read_environment(), options.rounds, options.cpu};
  if (auto pinned = use_cpu(options.cpu); !pinned) return pinned;
  const auto devices = make_devices();
  if (!devices) return fail_in("benchmark", devices);
  auto engine = Engine::open();
  if (!engine) return fail_in("benchmark", engine);
  auto suite = Suite::make(*devices, options.choice, *engine);
  if (!suite) return fail_in("benchmark", suite);
  for (unsigned round = 0; round < options.rounds; ++round) {
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\rround " << round + 1 << " of " << options.rounds << std::flush;
    if (auto measured = suite->measure_round(*engine); !measured) return measured;
  }
  if (isatty(STDERR_FILENO) != 0) std::cerr << '\n';
  (options.json ? print_json : print_table)(std::cout, run, *suite);
  return {};
}

}  // namespace

}  // namespace sluice::benchmark

int main(int argc, char** argv) {
  using namespace sluice::benchmark;
  Options options;
  options.cpu = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
  CLI::App app("Measures the packet programs against a trivial program, in interleaved rounds.");
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--rounds", options.rounds, "rounds; a figure is claimed from 15 on")->check(CLI::Range(1, 10000));
  app.add_option("--cpu", options.cpu, "the CPU to run on; the last one if not given");
  app.add_option("--object", options.choice.object, "measure this object file instead of the shipped object")
      ->check(CLI::ExistingFile);
  app.add_option("--case", options.choice.name, "only cases with this in their name");
  app.add_option("--flows", options.choice.flows, "only with this many flows: 1, 1024, 65536 or 131072");
  app.add_option("--family", options.choice.family, "only this family: 4 or 6; both if not given")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Family>{{"4", Family::kIpv4}, {"6", Family::kIpv6}}));
  CLI11_PARSE(app, argc, argv);
  return exit_status("sluice_benchmark", measure(options));
}
