// SPDX-License-Identifier: Apache-2.0
#include "cli/bpf_commands.hpp"

#include <bpf/libbpf.h>

#include <functional>
#include <memory>
#include <ostream>

#include "cli/calls.hpp"
#include "cli/inspect.hpp"

namespace sluice::cli {
namespace {

/// One `bpf` command: its options, and the function that makes the report.
struct BpfCommand {
  std::string pin_root = "/sys/fs/bpf/sluice";
  Format format = Format::kTable;
  bool explain = false;
  Filters filters;
  std::function<Result<Report>(const PinnedMaps&, const Filters&)> inspect;

  [[nodiscard]] ExitStatus run(const Streams& streams) const {
    libbpf_set_print(nullptr);  // our messages say it with the path and the remedy
    const Result<PinnedMaps> maps = PinnedMaps::open(pin_root);
    if (!maps) return complain(streams, maps.error().message, exit_status_of(maps.error().code));
    const Result<Report> report = inspect(*maps, filters);
    if (!report) return complain(streams, report.error().message, exit_status_of(report.error().code));
    print(*report, explain && format == Format::kTable ? Format::kWide : format, streams.out);
    if (report->matched == 0 && filters.names_something()) {
      return complain(streams, "nothing matches the filters", ExitStatus::kNotFound);
    }
    ExitStatus status = ExitStatus::kOk;
    for (const std::string& doubt : report->doubts) status = complain(streams, doubt, ExitStatus::kFailed);
    for (const std::string& problem : report->problems) status = complain(streams, problem, ExitStatus::kNotFound);
    return status;
  }
};

using Shared = std::shared_ptr<BpfCommand>;

void add_network(CLI::App& app, const Shared& command, const std::string& help) {
  add_parsed_option(app, "--network", help, "ID", parse_network,
                    [command](std::uint32_t network) { command->filters.network = network; });
}

void add_address(CLI::App& app, const Shared& command, const std::string& help) {
  add_parsed_option(app, "--address", help, "ADDRESS", parse_ip,
                    [command](const IpAddress& address) { command->filters.address = address; });
}

void add_port(CLI::App& app, const Shared& command, const std::string& help) {
  add_parsed_option(app, "--port", help, "PORT", parse_port,
                    [command](std::uint16_t port) { command->filters.port = port; });
}

void add_protocol(CLI::App& app, const Shared& command) {
  add_parsed_option(app, "--protocol", "Only this protocol: tcp, udp, sctp, icmp or icmpv6", "PROTOCOL", parse_protocol,
                    [command](std::uint8_t protocol) { command->filters.protocol = protocol; });
}

void add_slot(CLI::App& app, const Shared& command, const std::string& help) {
  add_parsed_option(app, "--slot", help, "SLOT", parse_slot,
                    [command](std::uint32_t slot) { command->filters.slot = slot; });
}

void add_device(CLI::App& app, const Shared& command) {
  app.add_option("--device", command->filters.device, "Only the device of this name, in this network namespace")
      ->type_name("NAME");
}

void add_service(CLI::App& app, const Shared& command, const std::string& help) {
  add_parsed_option(app, "--service", help, "ADDRESS:PORT[/PROTOCOL]", parse_service,
                    [command](const ServiceFilter& service) { command->filters.service = service; });
}

struct Added {
  CLI::App& app;
  Shared command;
};

Added add_command(CLI::App& bpf, Invocation& invocation, const std::string& name, const std::string& help,
                  std::function<Result<Report>(const PinnedMaps&, const Filters&)> inspect) {
  auto command = std::make_shared<BpfCommand>();
  command->inspect = std::move(inspect);
  CLI::App& app = *bpf.add_subcommand(name, help);
  add_output_option(app, command->format, true);
  app.add_option("--pin-root", command->pin_root, "Folder on a BPF file system in which sluiced pins its maps")
      ->type_name("PATH")
      ->capture_default_str();
  app.callback(
      [command, &invocation] { invocation.run = [command](const Streams& streams) { return command->run(streams); }; });
  return {app, command};
}

void add_pod_tables(CLI::App& bpf, Invocation& invocation) {
  const Added ports =
      add_command(bpf, invocation, "ports", "Who sends through each device: pods and uplinks", inspect_ports);
  add_network(ports.app, ports.command, "Only this network");
  add_address(ports.app, ports.command, "Only the pod with this address");
  add_slot(ports.app, ports.command, "Only the pod with this slot");
  add_device(ports.app, ports.command);

  const Added endpoints =
      add_command(bpf, invocation, "endpoints",
                  "Every address that somebody has: pods, routers, services, floating IPs, egress", inspect_endpoints);
  add_network(endpoints.app, endpoints.command, "Only this network; 0 has the floating IPs and egress addresses");
  add_address(endpoints.app, endpoints.command, "Only this address");
  add_slot(endpoints.app, endpoints.command, "Only the pod with this slot");
  add_device(endpoints.app, endpoints.command);
}

void add_egress_tables(CLI::App& bpf, Invocation& invocation) {
  const Added egress = add_command(bpf, invocation, "egress",
                                   "How networks reach the public side: address, ports, device", inspect_egress);
  add_network(egress.app, egress.command, "Only this network");
  add_address(egress.app, egress.command, "Only ways by this address");

  const Added denied =
      add_command(bpf, invocation, "denied", "Prefixes that no pod reaches on the public side", inspect_denied);
  add_address(denied.app, denied.command, "Only the prefix that begins with this address");
}

void add_frontend_filters(const Added& added) {
  add_network(added.app, added.command, "Only service ports of this network, or with backends in it");
  add_address(added.app, added.command, "Only this service address or floating IP");
  add_port(added.app, added.command, "Only this port");
  add_protocol(added.app, added.command);
  add_slot(added.app, added.command, "Only the service port with this slot");
  add_service(added.app, added.command, "Only this service port or floating IP port");
}

/// The daemon is asked where the maps do not tell.
Result<PodWeights> weights_of_daemon(const Invocation& invocation) {
  const auto client = open_client(invocation);
  if (!client) return std::unexpected(client.error());
  return read_weights(**client);
}

void add_service_tables(CLI::App& bpf, Invocation& invocation) {
  add_frontend_filters(
      add_command(bpf, invocation, "frontends", "Service ports and floating IP ports", inspect_frontends));

  const Added backends =
      add_command(bpf, invocation, "backends", "Backends and the service ports that use them", inspect_backends);
  add_network(backends.app, backends.command, "Only backends in this network");
  add_address(backends.app, backends.command, "Only the backend pod with this address");
  add_port(backends.app, backends.command, "Only this target port");
  add_slot(backends.app, backends.command, "Only the pod with this slot");
  add_service(backends.app, backends.command, "Only backends of this service port or floating IP port");

  const Added rings =
      add_command(bpf, invocation, "rings", "Maglev rings: each backend's share of the slots of its service port",
                  [&invocation](const PinnedMaps& maps, const Filters& filters) {
                    return inspect_rings(maps, filters, [&invocation] { return weights_of_daemon(invocation); });
                  });
  add_frontend_filters(rings);
  rings.app.add_flag("--slots", rings.command->filters.slots, "Show every slot with its backend");
  rings.app.add_flag(
      "--verify", rings.command->filters.verify,
      "Build each ring anew from backends, weights and secret and compare; exit status 1 if one differs");
  add_socket_option(rings.app, invocation);
}

void add_packet_tables(CLI::App& bpf, Invocation& invocation) {
  const Added flows =
      add_command(bpf, invocation, "flows", "Flow pairs: both directions of each connection", inspect_flows);
  add_network(flows.app, flows.command, "Only pairs with a direction in this network; 0 is the public side");
  add_address(flows.app, flows.command, "Only pairs with this source or destination in either direction");
  add_port(flows.app, flows.command, "Only pairs with this source or destination port in either direction");
  add_protocol(flows.app, flows.command);
  add_slot(flows.app, flows.command, "Only pairs with the pod of this slot at either end");
  add_service(flows.app, flows.command, "Only pairs that this service port or floating IP port made");
  flows.app.add_flag("--ended", flows.command->filters.ended,
                     "Only pairs whose pod or service port is gone: no packet matches them any more");

  const Added counters =
      add_command(bpf, invocation, "counters", "Packets and bytes by entry point and reason, summed over the CPUs",
                  inspect_counters);
  add_parsed_option(counters.app, "--entry", "Only this entry point: from_pod, from_uplink, uplink_xdp, ...", "NAME",
                    parse_entry, [command = counters.command](std::uint32_t entry) { command->filters.entry = entry; });
  add_parsed_option(counters.app, "--reason", "Only this reason, as 'sluicectl reasons' lists them", "NAME",
                    parse_reason,
                    [command = counters.command](std::uint32_t reason) { command->filters.reason = reason; });
  counters.app.add_flag("--nonzero", counters.command->filters.nonzero, "Only counters that are not zero");
  counters.app.add_flag("--explain", counters.command->explain, "Show what each reason means (the same as -o wide)");
}

}  // namespace

void add_bpf_commands(CLI::App& root, Invocation& invocation) {
  CLI::App& bpf = *root.add_subcommand("bpf", "Show the datapath's maps; reads the pins, works without the daemon");
  bpf.require_subcommand(1);
  add_pod_tables(bpf, invocation);
  add_egress_tables(bpf, invocation);
  add_service_tables(bpf, invocation);
  add_packet_tables(bpf, invocation);
}

}  // namespace sluice::cli
