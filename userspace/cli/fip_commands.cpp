// SPDX-License-Identifier: Apache-2.0
// `fip ...`: the life of a floating IP. Which services have it stands in the services, so attach and detach edit those.
#include <algorithm>
#include <memory>
#include <ostream>

#include "cli/calls.hpp"
#include "cli/changes.hpp"
#include "cli/kinds.hpp"
#include "cli/records.hpp"
#include "cli/resource_commands.hpp"
#include "cli/resource_report.hpp"
#include "cli/specification.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct FipCommand {
  std::string name;
  std::string pool;
  std::optional<IpAddress> address;
  std::optional<model::Name> service;
  bool dangling = false;
  bool share = false;
  Format format = Format::kTable;
  ChangeOptions options;

  [[nodiscard]] model::Key key() const { return {model::Kind::kFloatingIp, {"", name}}; }
};

using Run = ExitStatus (*)(const FipCommand&, api::Client&, const Streams&);

std::string addresses_of(const v1::Resource& resource) {
  const v1::FloatingIPStatus& status = resource.floating_ip().status();
  return addresses_cell(printable(status.address()), printable(status.address6()));
}

ExitStatus allocate(const FipCommand& command, api::Client& client, const Streams& streams) {
  v1::Resource wanted;
  wanted.mutable_floating_ip()->set_name(command.name);
  wanted.mutable_floating_ip()->set_pool(command.pool);
  if (command.address && std::holds_alternative<Ipv4>(*command.address)) {
    wanted.mutable_floating_ip()->set_address(text_of(*command.address));
  } else if (command.address) {
    wanted.mutable_floating_ip()->set_address6(text_of(*command.address));
  }
  v1::ApplyRequest request;
  *request.add_edits() = put_edit(wanted, {});
  request.set_dry_run(command.options.dry_run);
  request.set_wait_milliseconds(command.options.wait_milliseconds());
  const auto response = client.apply(request);
  if (response) {
    for (const v1::Outcome& outcome : response->outcomes()) {
      if (!outcome.after().has_floating_ip()) continue;
      streams.out << model::describe(command.key()) << ' ' << addresses_of(outcome.after())
                  << (command.options.dry_run ? " (dry run)\n" : "\n");
    }
    return check_applied(*response, command.options, streams);
  }
  if (response.error().code != ErrorCode::kAborted) return complain_about_call(streams, response.error());
  const auto held = client.get(wire::to_message(command.key()));
  if (!held) return complain_about_call(streams, response.error());
  return complain(streams, model::describe(command.key()) + " exists already, with the address " + addresses_of(*held),
                  ExitStatus::kRefused);
}

std::vector<std::string> users_of(const std::string& name, const std::vector<v1::Resource>& services) {
  std::vector<std::string> users;
  for (const v1::Resource& service : services) {
    if (service.service().floating_ip() == name) users.push_back(name_text(key_of(service)));
  }
  return users;
}

ExitStatus show_list(const FipCommand& command, api::Client& client, const Streams& streams) {
  const auto floating_ips = list(client, model::Kind::kFloatingIp);
  if (!floating_ips) return complain_about_call(streams, floating_ips.error());
  const auto services = list(client, model::Kind::kService);
  if (!services) return complain_about_call(streams, services.error());
  Report report;
  report.columns = {{"FLOATING-IP"}, {"ADDRESS"}, {"POOL"}, {"SERVICES"}};
  report.document["floating_ips"] = Json::array();
  for (const v1::Resource& resource : *floating_ips) {
    const v1::FloatingIP& floating_ip = resource.floating_ip();
    const std::vector<std::string> users = users_of(floating_ip.name(), *services);
    if (command.dangling && !users.empty()) continue;
    std::string text;
    for (const std::string& user : users) text += (text.empty() ? "" : ",") + user;
    report.rows.push_back(
        {floating_ip.name(), addresses_of(resource), or_dash(floating_ip.status().pool()), or_dash(text)});
    report.document["floating_ips"].push_back({{"name", floating_ip.name()},
                                               {"address", floating_ip.status().address()},
                                               {"address6", floating_ip.status().address6()},
                                               {"pool", floating_ip.status().pool()},
                                               {"services", users}});
  }
  print(report, command.format, streams.out);
  return ExitStatus::kOk;
}

bool shares_a_port(const v1::Service& one, const v1::Service& other) {
  const auto number = [](const v1::ServicePort& port) {
    const bool unsaid = port.protocol() == v1::PROTOCOL_UNSPECIFIED;
    return std::pair(unsaid ? v1::TCP : port.protocol(), port.port());
  };
  return std::ranges::any_of(one.ports(), [&](const v1::ServicePort& port) {
    return std::ranges::any_of(other.ports(),
                               [&](const v1::ServicePort& that) { return number(port) == number(that); });
  });
}

/// One transaction takes the floating IP from the services that have it and gives it to the one that is named.
ExitStatus attach(const FipCommand& command, api::Client& client, const Streams& streams) {
  const model::Key target{model::Kind::kService, *command.service};
  const auto service = client.get(wire::to_message(target));
  if (!service) return complain_about_call(streams, with_suggestion(client, target, service.error()));
  if (const auto held = client.get(wire::to_message(command.key())); !held) {
    return complain_about_call(streams, with_suggestion(client, command.key(), held.error()));
  }
  const auto services = list(client, model::Kind::kService);
  if (!services) return complain_about_call(streams, services.error());
  Present present = {{target, *service}};
  std::vector<v1::ResourceEdit> edits;
  for (const v1::Resource& other : *services) {
    if (other.service().floating_ip() != command.name || key_of(other) == target) continue;
    if (command.share && !shares_a_port(other.service(), service->service())) continue;
    present.emplace(key_of(other), other);
    v1::Resource without = other;
    without.mutable_service()->clear_floating_ip();
    edits.push_back(put_edit(without, present));
  }
  v1::Resource with = *service;
  with.mutable_service()->set_floating_ip(command.name);
  edits.push_back(put_edit(with, present));
  return apply_edits(client, edits, present, {}, command.options, streams);
}

ExitStatus detach(const FipCommand& command, api::Client& client, const Streams& streams) {
  if (const auto held = client.get(wire::to_message(command.key())); !held) {
    return complain_about_call(streams, with_suggestion(client, command.key(), held.error()));
  }
  const auto services = list(client, model::Kind::kService);
  if (!services) return complain_about_call(streams, services.error());
  Present present;
  std::vector<v1::ResourceEdit> edits;
  for (const v1::Resource& service : *services) {
    const model::Key key = key_of(service);
    if (service.service().floating_ip() != command.name || (command.service && key.name != *command.service)) continue;
    present.emplace(key, service);
    v1::Resource without = service;
    without.mutable_service()->clear_floating_ip();
    edits.push_back(put_edit(without, present));
  }
  if (!edits.empty()) return apply_edits(client, edits, present, {}, command.options, streams);
  if (!command.service) {
    streams.out << model::describe(command.key()) << " unchanged: no service has it\n";
    return ExitStatus::kOk;
  }
  return complain(streams, "service " + command.service->text() + " does not have " + model::describe(command.key()),
                  ExitStatus::kNotFound);
}

ExitStatus release(const FipCommand& command, api::Client& client, const Streams& streams) {
  v1::DeleteRequest request;
  *request.add_keys() = wire::to_message(command.key());
  request.set_dry_run(command.options.dry_run);
  request.set_wait_milliseconds(command.options.wait_milliseconds());
  const auto response = client.remove(request);
  if (!response) return complain_about_call(streams, with_suggestion(client, command.key(), response.error()));
  return print_outcomes(*response, command.options, streams);
}

struct Added {
  CLI::App& app;
  std::shared_ptr<FipCommand> command;
};

Added add_command(CLI::App& fip, Invocation& invocation, const std::string& name, const std::string& help, Run run) {
  const auto command = std::make_shared<FipCommand>();
  CLI::App& app = *fip.add_subcommand(name, help);
  add_socket_option(app, invocation);
  run_with_client(app, invocation, [command, run](api::Client& client, const Streams& streams) {
    return run(*command, client, streams);
  });
  return {app, command};
}

Added add_named_command(CLI::App& fip, Invocation& invocation, const std::string& name, const std::string& help,
                        Run run) {
  const Added added = add_command(fip, invocation, name, help, run);
  add_parsed_option(
      added.app, "name", "The floating IP", "NAME",
      [](const std::string& text) { return parse_key(model::Kind::kFloatingIp, text, ""); },
      [command = added.command](const model::Key& key) { command->name = key.name.name; })
      ->required();
  add_change_options(added.app, added.command->options);
  return added;
}

CLI::Option* add_service(const Added& added, const std::string& help) {
  return add_parsed_option(added.app, "service", help, "NETWORK/SERVICE", parse_service_name,
                           [command = added.command](const model::Name& service) { command->service = service; });
}

}  // namespace

void add_fip_commands(CLI::App& root, Invocation& invocation) {
  CLI::App& fip = *root.add_subcommand("fip", "Floating IPs: allocate, attach to services, release");
  fip.require_subcommand(1);
  const Added allocating = add_named_command(fip, invocation, "allocate", "Make a floating IP", allocate);
  CLI::Option* pool = allocating.app
                          .add_option("--pool", allocating.command->pool,
                                      "Pool of the daemon's configuration to get an address from; default "
                                      "the first that has one")
                          ->type_name("POOL");
  add_parsed_option(allocating.app, "--address", "This address (IPv4 or IPv6), of no pool", "ADDRESS", parse_ip,
                    [command = allocating.command](const IpAddress& address) { command->address = address; })
      ->excludes(pool);
  const Added listing =
      add_command(fip, invocation, "list", "Show floating IPs and the services that have them", show_list);
  listing.app.add_flag("--dangling", listing.command->dangling, "Only those that no service has");
  add_output_option(listing.app, listing.command->format, false);
  const Added attaching =
      add_named_command(fip, invocation, "attach",
                        "Give a service the floating IP, taken from who has it in the same transaction", attach);
  add_service(attaching, "The service that gets it")->required();
  attaching.app.add_flag("--share", attaching.command->share,
                         "Take it only from services that bind one of the same ports");
  const Added detaching = add_named_command(fip, invocation, "detach",
                                            "Take the floating IP from its services; it stays allocated", detach);
  add_service(detaching, "Only from this service");
  add_named_command(fip, invocation, "release", "Give the address back; refused while a service has it", release);
}

}  // namespace sluice::cli
