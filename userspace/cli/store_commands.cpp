// SPDX-License-Identifier: Apache-2.0
#include "cli/store_commands.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>

#include "base/text.hpp"
#include "cli/calls.hpp"
#include "cli/report.hpp"
#include "store/store_files.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kNextSteps =
    "Now start sluiced. It writes no map until you agree: see 'sluicectl status', then 'sluicectl store adopt'.\n";

struct StoreCommand {
  std::filesystem::path state_dir = "/var/lib/sluice";
  std::filesystem::path file;
  bool overwrite = false;
  bool sure = false;
  Format format = Format::kTable;
};
using Shared = std::shared_ptr<StoreCommand>;

std::string summary(const store::StoreInfo& info) {
  return "revision " + std::to_string(info.revision) + ", " + std::to_string(info.keys) + " keys, epoch " +
         std::to_string(info.identity.epoch) + ", " + uuid_text(info.identity.uuid);
}

ExitStatus backup(const StoreCommand& command, const Streams& streams) {
  const auto info = store::backup_store(command.state_dir, command.file, command.overwrite);
  if (!info) {
    const ExitStatus status = complain_about_call(streams, info.error());
    // The library does not know the name of our option.
    return info.error().code == ErrorCode::kExists ? complain(streams, "--force overwrites it", status) : status;
  }
  streams.out << "backup " << printable(command.file.string()) << ": " << summary(*info) << '\n';
  return ExitStatus::kOk;
}

/// Nothing was asked for that cannot be undone by hand; but all pods' network hangs on it.
ExitStatus ask_for_consent(const Streams& streams, const std::string& what) {
  return complain(streams, what + " Repeat the command with --yes to do it.", ExitStatus::kUsage);
}

ExitStatus tell_replaced(const std::string& what, const Result<store::ReplacedStore>& replaced,
                         const Streams& streams) {
  if (!replaced) return complain_about_call(streams, replaced.error());
  streams.out << what << ": " << summary(replaced->now) << '\n';
  if (!replaced->kept.empty()) streams.out << "The former store is kept as " << replaced->kept.string() << '\n';
  streams.out << kNextSteps;
  return ExitStatus::kOk;
}

ExitStatus restore(const StoreCommand& command, const Streams& streams) {
  const std::string place = (command.state_dir / "store.db").string();
  if (!command.sure) {
    return ask_for_consent(streams, "this replaces the store " + place + " by " + command.file.string() + ".");
  }
  return tell_replaced("restored", store::restore_store(command.file, command.state_dir), streams);
}

ExitStatus reset(const StoreCommand& command, const Streams& streams) {
  if (!command.sure) {
    const std::string place = (command.state_dir / "store.db").string();
    return ask_for_consent(streams, "this replaces the store " + place +
                                        " by an empty one: every network, pod, service and floating IP goes.");
  }
  return tell_replaced("reset", store::reset_store(command.state_dir), streams);
}

ExitStatus inspect(const StoreCommand& command, const Streams& streams) {
  const auto info = store::inspect_store(command.state_dir);
  if (!info) return complain_about_call(streams, info.error());
  if (command.format == Format::kJson) {
    Report report;
    report.document = {{"state_dir", command.state_dir.string()},
                       {"uuid", uuid_text(info->identity.uuid)},
                       {"epoch", info->identity.epoch},
                       {"revision", info->revision},
                       {"compacted", info->compacted},
                       {"keys", info->keys},
                       {"schema", info->schema},
                       {"bytes", info->bytes}};
    print(report, command.format, streams.out);
    return ExitStatus::kOk;
  }
  streams.out << "uuid:      " << uuid_text(info->identity.uuid) << '\n'
              << "epoch:     " << info->identity.epoch << '\n'
              << "revision:  " << info->revision << '\n'
              << "compacted: " << info->compacted << '\n'
              << "keys:      " << info->keys << '\n'
              << "schema:    " << info->schema << '\n'
              << "bytes:     " << info->bytes << '\n';
  return ExitStatus::kOk;
}

ExitStatus adopt(api::Client& client, const Streams& streams) {
  const auto former = client.adopt_store();
  if (!former) return complain_about_call(streams, former.error());
  if (former->empty()) {
    streams.out << "nothing to adopt: the maps are this store's already\n";
  } else {
    streams.out << "adopted; before, no map was written because " << printable(*former) << '\n';
  }
  return ExitStatus::kOk;
}

/// A command on the files of the state folder.
CLI::App& add_file_command(CLI::App& group, Invocation& invocation, const Shared& command, const std::string& name,
                           const std::string& help, ExitStatus (*run)(const StoreCommand&, const Streams&)) {
  CLI::App& app = *group.add_subcommand(name, help);
  app.add_option("--state-dir", command->state_dir, "Folder of the store: state_dir of sluiced's configuration")
      ->type_name("PATH")
      ->capture_default_str();
  app.callback([command, run, &invocation] {
    invocation.run = [command, run](const Streams& streams) { return run(*command, streams); };
  });
  return app;
}

void add_consent(CLI::App& app, const Shared& command) {
  app.add_flag("--yes", command->sure, "Do it; without this, only say what would happen");
}

}  // namespace

void add_store_commands(CLI::App& root, Invocation& invocation) {
  CLI::App& group = *root.add_subcommand("store", "Back up, restore, reset, inspect and adopt the store");
  group.require_subcommand(1);

  const auto saved = std::make_shared<StoreCommand>();
  CLI::App& saving = add_file_command(group, invocation, saved, "backup",
                                      "Copy the store into a file, at one moment; sluiced may be running", backup);
  saving.add_option("file", saved->file, "Where to")->type_name("FILE")->required();
  saving.add_flag("--force", saved->overwrite, "Replace the file if it is there");

  const auto restored = std::make_shared<StoreCommand>();
  CLI::App& restoring = add_file_command(group, invocation, restored, "restore",
                                         "Put a backup in the place of the store; sluiced must be stopped", restore);
  restoring.add_option("file", restored->file, "The backup")->type_name("FILE")->required();
  add_consent(restoring, restored);

  const auto emptied = std::make_shared<StoreCommand>();
  add_consent(add_file_command(group, invocation, emptied, "reset",
                               "Put an empty store in the place of the store; sluiced must be stopped", reset),
              emptied);

  const auto inspected = std::make_shared<StoreCommand>();
  CLI::App& inspecting = add_file_command(group, invocation, inspected, "inspect",
                                          "Show what the store says of itself; sluiced may be running", inspect);
  add_output_option(inspecting, inspected->format, false);

  CLI::App& adopting = *group.add_subcommand(
      "adopt", "Let sluiced write the maps although another store, or a later state of this one, has made them");
  add_socket_option(adopting, invocation);
  run_with_client(adopting, invocation, adopt);
}

}  // namespace sluice::cli
