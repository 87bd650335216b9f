// SPDX-License-Identifier: Apache-2.0
// `get` and `describe`.
#include <chrono>
#include <memory>
#include <ostream>

#include "cli/calls.hpp"
#include "cli/changes.hpp"
#include "cli/kinds.hpp"
#include "cli/resource_commands.hpp"
#include "cli/resource_report.hpp"
#include "cli/specification.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct GetCommand {
  std::vector<model::Kind> kinds;
  std::vector<std::string> names;
  std::string network;
  model::Labels labels;
  Format format = Format::kTable;
};

using Resources = std::vector<v1::Resource>;

void print_resources(const GetCommand& command, const std::vector<Resources>& by_kind, const Streams& streams) {
  Report report;
  report.document["resources"] = Json::array();
  bool first = true;
  for (std::size_t i = 0; i < by_kind.size(); i++) {
    const model::Kind kind = command.kinds[i];
    for (const v1::Resource& resource : by_kind[i]) {
      if (command.format == Format::kName) streams.out << printable(name_text(key_of(resource))) << '\n';
      if (command.format == Format::kYaml) streams.out << (first ? "" : "---\n") << manifest(resource);
      if (command.format == Format::kJson) report.document["resources"].push_back(document(resource));
      first = false;
    }
    const bool table = command.format == Format::kTable || command.format == Format::kWide;
    if (!table || (by_kind.size() > 1 && by_kind[i].empty())) continue;
    if (i > 0) streams.out << '\n';
    print(resource_table(kind, by_kind[i], std::chrono::system_clock::now()), command.format, streams.out);
  }
  if (command.format == Format::kJson) print(report, Format::kJson, streams.out);
}

ExitStatus get_named(const GetCommand& command, api::Client& client, const Streams& streams) {
  Resources found;
  ExitStatus status = ExitStatus::kOk;
  for (const std::string& name : command.names) {
    const auto key = parse_key(command.kinds.front(), name, command.network);
    if (!key) return complain(streams, key.error().message, ExitStatus::kUsage);
    auto resource = client.get(wire::to_message(*key));
    if (resource) {
      found.push_back(std::move(*resource));
      continue;
    }
    status = complain_about_call(streams, with_suggestion(client, *key, resource.error()));
    if (status != ExitStatus::kNotFound) return status;
  }
  if (!found.empty() || command.format == Format::kJson) print_resources(command, {found}, streams);
  return status;
}

ExitStatus get(const GetCommand& command, api::Client& client, const Streams& streams) {
  if (!command.names.empty()) {
    const bool one_kind = command.kinds.size() == 1 && command.labels.empty();
    if (one_kind) return get_named(command, client, streams);
    return complain(streams, "names stand with one kind and without --labels", ExitStatus::kUsage);
  }
  GetCommand narrowed = command;
  if (command.kinds.size() == 1) {
    const Status good = check_network_option(command.kinds.front(), command.network);
    if (!good) return complain(streams, good.error().message, ExitStatus::kUsage);
  } else if (!command.network.empty()) {  // all of a network is what is in it
    std::erase_if(narrowed.kinds, [](model::Kind kind) { return !model::is_in_network(kind); });
  }
  std::vector<Resources> by_kind;
  for (const model::Kind kind : narrowed.kinds) {
    auto listed = list(client, kind, command.network, command.labels);
    if (!listed) return complain_about_call(streams, listed.error());
    by_kind.push_back(std::move(*listed));
  }
  print_resources(narrowed, by_kind, streams);
  return ExitStatus::kOk;
}

struct DescribeCommand {
  model::Kind kind = model::Kind::kNetwork;
  std::string name;
  std::string network;
  Format format = Format::kTable;
};

ExitStatus describe(const DescribeCommand& command, api::Client& client, const Streams& streams) {
  const auto key = parse_key(command.kind, command.name, command.network);
  if (!key) return complain(streams, key.error().message, ExitStatus::kUsage);
  const auto description = client.describe(wire::to_message(*key));
  if (!description) return complain_about_call(streams, with_suggestion(client, *key, description.error()));
  print_description(*description, command.format, streams.out);
  return ExitStatus::kOk;
}

}  // namespace

void add_get_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<GetCommand>();
  CLI::App& app =
      *root.add_subcommand("get", "Show resources: all of a kind, those with labels, or those that are named");
  add_kind(
      app,
      [command](const std::string& text) {
        if (text == "all") {
          command->kinds = all_kinds();
          return;
        }
        const auto kind = parse_kind(text);
        if (!kind) throw CLI::ValidationError("kind", kind.error().message);
        command->kinds = {*kind};
      },
      "networks (net), pods (po), services (svc), floatingips (fip), nodes (no), or all");
  app.add_option("name", command->names, "Only these; NAME alone is in --network, or in the network default")
      ->type_name("[NETWORK/]NAME");
  add_network_option(app, command->network, "Only pods and services of this network");
  add_parsed_option(app, "-l,--labels", "Only resources with all of these labels", "KEY=VALUE,...", parse_labels,
                    [command](const model::Labels& labels) { command->labels = labels; });
  add_output_option(app, command->format,
                    {{"table", Format::kTable},
                     {"wide", Format::kWide},
                     {"json", Format::kJson},
                     {"yaml", Format::kYaml},
                     {"name", Format::kName}},
                    "Format: table (default), wide (a table with more columns), json, yaml (a manifest) or name");
  add_socket_option(app, invocation);
  run_with_client(app, invocation,
                  [command](api::Client& client, const Streams& streams) { return get(*command, client, streams); });
}

void add_describe_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<DescribeCommand>();
  CLI::App& app = *root.add_subcommand(
      "describe", "Show all that the node knows of a resource: events, backends, and why one is not used");
  add_kind(
      app,
      [command](const std::string& text) {
        const auto kind = parse_kind(text);
        if (!kind) throw CLI::ValidationError("kind", kind.error().message);
        command->kind = *kind;
      },
      "network, pod, service, floatingip or node")
      ->required();
  app.add_option("name", command->name, "The resource")->type_name("[NETWORK/]NAME")->required();
  add_network_option(app, command->network, "The network of a pod or service that is named without it");
  add_output_option(app, command->format, false);
  add_socket_option(app, invocation);
  run_with_client(app, invocation, [command](api::Client& client, const Streams& streams) {
    return describe(*command, client, streams);
  });
}

CLI::Option* add_kind(CLI::App& command, const std::function<void(const std::string&)>& store,
                      const std::string& help) {
  return command.add_option_function<std::string>("kind", store, help)->type_name("KIND")->required();
}

void add_network_option(CLI::App& command, std::string& network, const std::string& help) {
  command.add_option("-n,--network", network, help)->type_name("NETWORK");
}

void add_resource_commands(CLI::App& root, Invocation& invocation) {
  add_apply_command(root, invocation);
  add_get_command(root, invocation);
  add_describe_command(root, invocation);
  add_edit_command(root, invocation);
  add_delete_command(root, invocation);
  add_watch_command(root, invocation);
  add_fip_commands(root, invocation);
}

}  // namespace sluice::cli
