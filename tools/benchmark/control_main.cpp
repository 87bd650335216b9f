// SPDX-License-Identifier: Apache-2.0
// sluice_control_benchmark: from a call that changes a resource to the maps that hold it. Called by tools/bench
// control.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attach_daemon.hpp"
#include "base/fd.hpp"
#include "environment.hpp"
#include "exit_status.hpp"
#include "statistics.hpp"
#include "timing.hpp"

namespace sluice::benchmark {
namespace {

constexpr std::uint32_t kWait = 60'000;  // milliseconds
constexpr double kTargetMedian = 2;      // of issue 3: "API call to maps switched"
constexpr double kTargetHigh = 10;
constexpr double kTargetSet = 5000;

struct Options {
  std::string daemon;
  bool json = false;
  unsigned services = 1000;
  unsigned changes = 300;
  unsigned big = 10'000;
};

struct Figures {
  Environment environment;
  std::vector<double> applied;  ///< milliseconds: the call, answered when the maps hold the change
  std::vector<double> stored;   ///< the call, answered when the change is durable
  std::vector<double> disk;     ///< one fdatasync of 4 KiB in the same folder, in turn with the calls
  double set = 0;               ///< milliseconds: the large set, until the maps hold it
  std::size_t set_resources = 0;
};

v1::Service service(const std::string& network, unsigned number, unsigned target) {
  v1::Service service;
  service.set_network(network);
  service.set_name("s" + std::to_string(number));
  (*service.mutable_selector())["app"] = "a" + std::to_string(number);
  v1::ServicePort* port = service.add_ports();
  port->set_port(80);
  port->set_target_port(target);
  return service;
}

/// A network with `services` services of `pods` pods each, as one set.
v1::ApplyRequest world(const std::string& network, unsigned services, unsigned pods) {
  v1::ApplyRequest request;
  request.set_wait_milliseconds(kWait);
  request.add_edits()->mutable_put()->mutable_network()->set_name(network);
  for (unsigned i = 0; i < services; i++) {
    *request.add_edits()->mutable_put()->mutable_service() = service(network, i, 8080);
    for (unsigned j = 0; j < pods; j++) {
      v1::Pod* pod = request.add_edits()->mutable_put()->mutable_pod();
      pod->set_network(network);
      pod->set_name(pod_name(i, j));
      (*pod->mutable_labels())["app"] = "a" + std::to_string(i);
    }
  }
  return request;
}

Result<double> timed(api::Client& client, const v1::ApplyRequest& request) {
  const auto begin = Clock::now();
  auto reply = client.apply(request);
  const double time = milliseconds(Clock::now() - begin);
  if (!reply) return std::unexpected(reply.error());
  if (request.wait_milliseconds() != 0 && !reply->applied())
    return fail(ErrorCode::kUnavailable, "the maps do not hold the change after a minute");
  return time;
}

Result<double> sync_once(const std::filesystem::path& folder) {
  const std::string file = folder / "disk";
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const std::string page(4096, 'x');
  const auto begin = Clock::now();
  if (!fd.valid() || ::write(fd.get(), page.data(), page.size()) < 0 || ::fdatasync(fd.get()) != 0)
    return fail_errno("write " + file);
  return milliseconds(Clock::now() - begin);
}

/// Every change moves a service to another target port: its backends get another place, and the frontend is switched.
Status measure_changes(const Options& options, Daemon& daemon, api::Client& client, Figures& figures) {
  if (auto made = timed(client, world("bench", options.services, 3)); !made) return std::unexpected(made.error());
  for (unsigned i = 0; i < options.changes; i++) {
    for (const bool wait : {true, false}) {
      v1::ApplyRequest change;
      *change.add_edits()->mutable_put()->mutable_service() =
          service("bench", i % options.services, (wait ? 9000 : 20000) + i);
      change.set_wait_milliseconds(wait ? kWait : 0);
      auto time = timed(client, change);
      if (!time) return std::unexpected(time.error());
      (wait ? figures.applied : figures.stored).push_back(*time);
    }
    auto disk = sync_once(daemon.folder());
    if (!disk) return std::unexpected(disk.error());
    figures.disk.push_back(*disk);
  }
  return {};
}

Status measure(const Options& options, Figures& figures) {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace");
  auto daemon = Daemon::make_empty(options.daemon);
  if (!daemon) return std::unexpected(daemon.error());
  if (auto started = (*daemon)->start(); !started) return started;
  auto client = (*daemon)->client();
  if (!client) return std::unexpected(client.error());
  if (auto done = measure_changes(options, **daemon, **client, figures); !done) return done;
  const v1::ApplyRequest big = world("big", options.big, 5);
  figures.set_resources = static_cast<std::size_t>(big.edits_size());
  auto time = timed(**client, big);
  if (!time) return std::unexpected(time.error());
  figures.set = *time;
  client->reset();
  return (*daemon)->stop();
}

void row(const std::string& name, const std::vector<double>& values) {
  std::cout << std::left << std::setw(52) << name << std::right << std::setw(6) << values.size();
  for (const double percent : {50.0, 99.0, 100.0}) std::cout << std::setw(9) << percentile(values, percent);
  std::cout << '\n';
}

void verdict(const std::string& name, double value, double target) {
  std::cout << name << ' ' << value << " ms, target " << target << " ms: " << (value <= target ? "reached" : "missed")
            << '\n';
}

void print(const Options& options, const Figures& figures) {
  if (options.json) {
    const auto list = [](const std::vector<double>& values) {
      return nlohmann::json{{"median", percentile(values, 50)}, {"p99", percentile(values, 99)}, {"values", values}};
    };
    std::cout << nlohmann::json{{"environment", json_of(figures.environment)},
                                {"unit", "ms"},
                                {"services", options.services},
                                {"applied", list(figures.applied)},
                                {"stored", list(figures.stored)},
                                {"fdatasync", list(figures.disk)},
                                {"set", {{"resources", figures.set_resources}, {"time", figures.set}}}}
                     .dump(2)
              << '\n';
    return;
  }
  std::cout << figures.environment << ", " << options.services << " services of 3 pods\n"
            << std::fixed << std::setprecision(2) << std::left << std::setw(52) << "milliseconds" << std::right
            << std::setw(6) << "calls" << std::setw(9) << "median" << std::setw(9) << "p99" << std::setw(9) << "max"
            << '\n';
  row("call to maps that hold the change (durable too)", figures.applied);
  row("call to durable change alone", figures.stored);
  row("floor: one fdatasync of 4 KiB", figures.disk);
  verdict("call to maps, median", percentile(figures.applied, 50), kTargetMedian);
  verdict("call to maps, p99", percentile(figures.applied, 99), kTargetHigh);
  verdict("a set of " + std::to_string(figures.set_resources) + " resources to maps", figures.set, kTargetSet);
}

Status run(const Options& options) {
  Figures figures;
  figures.environment = read_environment();
  if (auto done = measure(options, figures); !done) return done;
  print(options, figures);
  return {};
}

}  // namespace
}  // namespace sluice::benchmark

int main(int argc, char** argv) {
  using namespace sluice::benchmark;
  Options options;
  CLI::App app("Writes to a daemon of its own by the API and waits until its maps hold what was written.");
  app.add_option("--daemon", options.daemon, "the sluiced to measure")->required()->check(CLI::ExistingFile);
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--services", options.services, "services in the network that is changed")
      ->check(CLI::Range(1, 15000));
  app.add_option("--changes", options.changes, "changes, one after the other")->check(CLI::Range(10, 10000));
  app.add_option("--big", options.big, "services of the large set, with five pods each")->check(CLI::Range(1, 10000));
  CLI11_PARSE(app, argc, argv);
  return exit_status("sluice_control_benchmark", run(options));
}
