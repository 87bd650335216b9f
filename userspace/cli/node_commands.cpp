// SPDX-License-Identifier: Apache-2.0
#include "cli/node_commands.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <ostream>

#include "base/result.hpp"
#include "cli/calls.hpp"
#include "cli/kinds.hpp"
#include "cli/pod_state_commands.hpp"
#include "cli/preflight_command.hpp"
#include "cli/status_report.hpp"
#include "model/resource.hpp"
#include "model/times.hpp"

namespace sluice::cli {
namespace {

struct PodCommand {
  const Invocation* invocation = nullptr;  ///< for the socket, which is parsed after the command is made
  Format format = Format::kTable;
  model::Name pod;
  std::string netns;
  std::string interface = "eth0";
  std::chrono::milliseconds grace{0};
};

Report report_of_attachment(const model::Name& pod, const v1::AttachPodResponse& response) {
  Report report;
  report.columns = {{"POD"}, {"ADDRESS"}, {"ROUTER"}, {"MAC"}, {"MTU", Column::Align::kRight}, {"DEVICE"}};
  report.document = {{"network", pod.network},          {"name", pod.name},
                     {"address", response.address4()},  {"router", response.router4()},
                     {"address6", response.address6()}, {"mac", response.mac()},
                     {"mtu", response.mtu()},           {"device", response.device()}};
  report.rows.push_back({pod.text(), addresses_cell(response.address4(), response.address6()),
                         response.router4().empty() ? "-" : response.router4(), response.mac(),
                         std::to_string(response.mtu()), response.device()});
  return report;
}

ExitStatus attach(const PodCommand& command, const Streams& streams) {
  const auto client = open_client(*command.invocation);
  if (!client) return complain_about_call(streams, client.error());
  v1::AttachPodRequest request;
  request.set_network(command.pod.network);
  request.set_name(command.pod.name);
  request.set_netns(netns_path_for_daemon(command.netns));
  request.set_interface(command.interface);
  const auto response = (*client)->attach_pod(request);
  if (!response) return complain_about_call(streams, response.error());
  print(report_of_attachment(command.pod, *response), command.format, streams.out);
  return ExitStatus::kOk;
}

ExitStatus detach(const PodCommand& command, const Streams& streams) {
  const auto client = open_client(*command.invocation);
  if (!client) return complain_about_call(streams, client.error());
  v1::DetachPodRequest request;
  request.set_network(command.pod.network);
  request.set_name(command.pod.name);
  request.set_grace_milliseconds(command.grace.count());
  const auto response = (*client)->detach_pod(request);
  if (!response) return complain_about_call(streams, response.error());
  if (response->detaches_at() != 0) {
    streams.out << "pod " << command.pod.text() << " is detached when it has no flows left, at the latest at "
                << model::moment_text(response->detaches_at()) << '\n';
  }
  return ExitStatus::kOk;
}

CLI::App& add_pod_command(CLI::App& pod, Invocation& invocation, const std::shared_ptr<PodCommand>& command,
                          const std::string& name, const std::string& help,
                          ExitStatus (*run)(const PodCommand&, const Streams&)) {
  command->invocation = &invocation;
  CLI::App& app = *pod.add_subcommand(name, help);
  add_parsed_option(app, "pod", "The pod", "NETWORK/POD", parse_pod_name, [command](const model::Name& parsed) {
    command->pod = parsed;
  })->required();
  add_socket_option(app, invocation);
  app.callback([command, run, &invocation] {
    invocation.run = [command, run](const Streams& streams) { return run(*command, streams); };
  });
  return app;
}

void add_pod_commands(CLI::App& root, Invocation& invocation) {
  CLI::App& pod = *root.add_subcommand("pod", "Attach, detach and drain pods");
  pod.require_subcommand(1);
  const auto attaching = std::make_shared<PodCommand>();
  CLI::App& app = add_pod_command(pod, invocation, attaching, "attach",
                                  "Give a network namespace an interface in the pod's network", attach);
  app.add_option("--netns", attaching->netns, "Path of the pod's network namespace, like /run/netns/web-1")
      ->type_name("PATH")
      ->required();
  app.add_option("--interface", attaching->interface, "Name of the interface inside the namespace")
      ->type_name("NAME")
      ->capture_default_str();
  add_output_option(app, attaching->format, false);
  const auto detaching = std::make_shared<PodCommand>();
  CLI::App& detach_app = add_pod_command(pod, invocation, detaching, "detach",
                                         "Remove the pod's interface; the pod keeps its address", detach);
  add_grace_option(
      detach_app, "Drain it first; remove the interface when no flow to the pod is left, at the latest after this time",
      [detaching](std::chrono::milliseconds grace) { detaching->grace = grace; });
  add_pod_state_commands(pod, invocation);
}

struct LogLevelCommand {
  std::string level;
};

void add_log_level_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<LogLevelCommand>();
  CLI::App& app = *root.add_subcommand("log-level", "Change what sluiced logs, until its next start");
  app.add_option("level", command->level, "From this level on: debug, info, warn or error")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->required();
  add_socket_option(app, invocation);
  run_with_client(app, invocation, [command](api::Client& client, const Streams& streams) {
    const auto previous = client.set_log_level(command->level);
    if (!previous) return complain_about_call(streams, previous.error());
    streams.out << "log level " << command->level << " (was " << printable(*previous) << ")\n";
    return ExitStatus::kOk;
  });
}

struct StatusCommand {
  const Invocation* invocation = nullptr;
  Format format = Format::kTable;
  PreflightRequest preflight;
  bool wants_preflight = false;
};

ExitStatus show_status(const StatusCommand& command, const Streams& streams) {
  if (command.wants_preflight) return run_preflight(command.preflight, command.format, streams);
  const auto client = open_client(*command.invocation);
  if (!client) return complain_about_call(streams, client.error());
  const auto status = (*client)->status();
  if (!status) return complain_about_call(streams, status.error());
  print_status(*status, command.format, streams.out);
  return ExitStatus::kOk;
}

void add_status_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<StatusCommand>();
  command->invocation = &invocation;
  CLI::App& app = *root.add_subcommand("status", "Show the state of sluiced, its pods and its services");
  add_output_option(app, command->format, false);
  add_socket_option(app, invocation);
  CLI::Option* preflight = app.add_flag("--preflight", command->wants_preflight,
                                        "Check whether this machine can run sluiced, without it; exit status 1 if not");
  app.add_option("--uplink", command->preflight.uplinks, "With --preflight: check this device too (repeatable)")
      ->type_name("DEVICE")
      ->needs(preflight);
  app.add_option("--pin-root", command->preflight.pin_root,
                 "With --preflight: folder on a BPF file system in which sluiced pins its maps")
      ->type_name("PATH")
      ->needs(preflight)
      ->capture_default_str();
  app.add_option("--max-flows", command->preflight.max_flows,
                 "With --preflight: max_flows of the configuration, to compare memory with")
      ->type_name("COUNT")
      ->check(CLI::Range(64U, 1U << 24))
      ->needs(preflight)
      ->capture_default_str();
  app.add_option("--mtu-reserve", command->preflight.mtu_reserve,
                 "With --preflight: mtu_reserve of the configuration, to compare the uplinks' MTU with")
      ->type_name("RESERVE")
      ->check(CLI::IsMember({"none", "tunnel", "encryption"}))
      ->needs(preflight)
      ->capture_default_str();
  app.callback([command, &invocation] {
    invocation.run = [command](const Streams& streams) { return show_status(*command, streams); };
  });
}

}  // namespace

std::string netns_path_for_daemon(const std::string& path) {
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  for (const std::string_view own : {"/proc/self/", "/proc/thread-self/"}) {
    if (absolute.starts_with(own)) return "/proc/" + std::to_string(::getpid()) + "/" + absolute.substr(own.size());
  }
  return absolute;
}

void add_node_commands(CLI::App& root, Invocation& invocation) {
  add_pod_commands(root, invocation);
  add_status_command(root, invocation);
  add_log_level_command(root, invocation);
}

}  // namespace sluice::cli
