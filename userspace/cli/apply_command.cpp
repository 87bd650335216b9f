// SPDX-License-Identifier: Apache-2.0
// `apply` and `delete`: sets of resources as one transaction.
#include <memory>

#include "cli/calls.hpp"
#include "cli/changes.hpp"
#include "cli/kinds.hpp"
#include "cli/manifest_input.hpp"
#include "cli/resource_commands.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct ApplyCommand {
  std::vector<std::string> files;
  ChangeOptions options;
};

ExitStatus complain_about_input(const Streams& streams, const Error& error) {
  // A file that is missing, or is being written, is the command line's mistake, not the daemon's refusal.
  const bool of_file = error.code == ErrorCode::kNotFound || error.code == ErrorCode::kPermission;
  complain_about_call(streams, error);
  return of_file ? exit_status_of_call(error.code) : ExitStatus::kUsage;
}

ExitStatus apply(const ApplyCommand& command, api::Client& client, const Streams& streams) {
  const auto declared = read_input(command.files);
  if (!declared) return complain_about_input(streams, declared.error());
  std::vector<model::Key> keys;
  for (const store::Declared& one : *declared) keys.push_back(model::key_of(one.resource));
  const auto present = read_present(client, keys);
  if (!present) return complain_about_call(streams, present.error());
  std::vector<v1::ResourceEdit> edits;
  for (const store::Declared& one : *declared) edits.push_back(put_edit(wire::to_message(one.resource), *present));
  return apply_edits(client, edits, *present, places_of(*declared), command.options, streams);
}

struct DeleteCommand {
  std::string kind;
  std::vector<std::string> names;
  std::string network;
  std::vector<std::string> files;
  bool ignore_missing = false;
  ChangeOptions options;
};

/// The keys that the command line names, or that the files declare.
Result<std::vector<model::Key>> keys_to_delete(const DeleteCommand& command) {
  std::vector<model::Key> keys;
  if (!command.files.empty()) {
    if (!command.kind.empty()) return fail(ErrorCode::kInvalid, "name resources or give -f, not both");
    const auto declared = read_input(command.files);
    if (!declared) return std::unexpected(declared.error());
    for (const store::Declared& one : *declared) keys.push_back(model::key_of(one.resource));
    return keys;
  }
  if (command.kind.empty()) return fail(ErrorCode::kInvalid, "name what to delete: KIND NAME..., or -f FILE");
  const auto kind = parse_kind(command.kind);
  if (!kind) return std::unexpected(kind.error());
  if (command.names.empty())
    return fail(ErrorCode::kInvalid, "name what to delete: nothing is deleted by its kind alone");
  for (const std::string& name : command.names) {
    auto key = parse_key(*kind, name, command.network);
    if (!key) return std::unexpected(key.error());
    keys.push_back(std::move(*key));
  }
  return keys;
}

ExitStatus remove(const DeleteCommand& command, api::Client& client, const Streams& streams) {
  const auto keys = keys_to_delete(command);
  if (!keys) return complain_about_input(streams, keys.error());
  v1::DeleteRequest request;
  for (const model::Key& key : *keys) *request.add_keys() = wire::to_message(key);
  request.set_cascade(command.options.cascade);
  request.set_dry_run(command.options.dry_run);
  request.set_ignore_missing(command.ignore_missing);
  request.set_wait_milliseconds(command.options.wait_milliseconds());
  const auto response = client.remove(request);
  if (response) return print_outcomes(*response, command.options, streams);
  if (keys->size() > 1) return complain_about_call(streams, response.error());
  return complain_about_call(streams, with_suggestion(client, keys->front(), response.error()));
}

}  // namespace

void add_apply_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<ApplyCommand>();
  CLI::App& app = *root.add_subcommand("apply", "Make and change the resources of manifests: all of them or none");
  add_files_option(app, command->files, "Manifests: files, folders, - for the standard input")->required();
  app.add_flag("--recreate", command->options.recreate,
               "Where a field cannot change, delete the resource and make it anew, in the same transaction");
  add_change_options(app, command->options);
  add_socket_option(app, invocation);
  run_with_client(app, invocation,
                  [command](api::Client& client, const Streams& streams) { return apply(*command, client, streams); });
}

void add_delete_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<DeleteCommand>();
  CLI::App& app = *root.add_subcommand("delete", "Delete resources: all that are named or none");
  app.add_option("kind", command->kind, "network, pod, service, floatingip or node")->type_name("KIND");
  app.add_option("name", command->names, "What to delete; NAME alone is in --network, or in the network default")
      ->type_name("[NETWORK/]NAME");
  add_network_option(app, command->network, "The network of pods and services that are named without it");
  add_files_option(app, command->files, "Delete what these manifests declare");
  app.add_flag("--cascade", command->options.cascade, "With a network, delete its pods and services too");
  app.add_flag("--ignore-missing", command->ignore_missing, "What does not exist is no failure");
  add_change_options(app, command->options);
  add_socket_option(app, invocation);
  run_with_client(app, invocation,
                  [command](api::Client& client, const Streams& streams) { return remove(*command, client, streams); });
}

}  // namespace sluice::cli
