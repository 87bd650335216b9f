// SPDX-License-Identifier: Apache-2.0
#include "cli/application.hpp"

#include <sluice/abi.h>

#include <map>
#include <ostream>

#include "cli/bpf_commands.hpp"
#include "cli/calls.hpp"
#include "cli/completion.hpp"
#include "cli/kinds.hpp"
#include "cli/node_commands.hpp"
#include "cli/reason_commands.hpp"
#include "cli/resource_commands.hpp"
#include "cli/store_commands.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kFooter = R"(Exit status:
  0  success
  1  not found, nothing matches a filter, a check failed, or a comparison differs
  2  the command line is wrong
  3  sluiced does not answer on its socket
  4  privilege is missing
  5  the pinned maps are not where they were looked for
  6  any other failure
  7  sluiced refused: exists already, in use, changed by somebody else, or a limit is reached)";

void add_version_command(CLI::App& root, Invocation& invocation) {
  root.add_subcommand("version", "Show the version of sluicectl and of the map layout (ABI) that it reads")
      ->callback([&invocation] {
        invocation.run = [](const Streams& streams) {
          streams.out << "sluicectl " << SLUICE_VERSION << " (ABI " << SLUICE_ABI_VERSION << ")\n";
          return ExitStatus::kOk;
        };
      });
}

/// The help of a command and of all below it; `path` is what stands before its name.
void print_all_help(const CLI::App& command, const std::string& path, std::ostream& out) {
  out << command.help(path);
  const std::string own_path = path.empty() ? command.get_name() : path + " " + command.get_name();
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    if (below->get_group().empty()) continue;  // not for people
    out << '\n';
    print_all_help(*below, own_path, out);
  }
}

/// The innermost command that was recognized.
const CLI::App& deepest(const CLI::App& root) {
  const CLI::App* command = &root;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().back();
  return *command;
}

/// The names that could have been meant: options for a word with a dash, commands otherwise.
std::vector<std::string> alternatives(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names;
  if (word.starts_with('-')) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
  }
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    if (!below->get_group().empty()) names.push_back(below->get_name());
  }
  return names;
}

/// CLI11 says that a command is required where a wrong one was given.
std::string message_of(const CLI::ParseError& error, const CLI::App& root) {
  const std::vector<std::string> unknown = root.remaining(true);
  const bool misleading = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr ||
                          dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  if (!misleading || unknown.empty()) return error.what();
  const std::string word = unknown.front().substr(0, unknown.front().find('='));
  return "'" + unknown.front() + "' is no known command or argument" +
         did_you_mean(word, alternatives(deepest(root), word));
}

}  // namespace

ExitStatus complain(const Streams& streams, std::string_view message, ExitStatus status) {
  streams.err << "sluicectl: " << printable(message) << '\n';
  return status;
}

void add_output_option(CLI::App& command, Format& format, bool has_wide) {
  std::map<std::string, Format> formats = {{"table", Format::kTable}, {"json", Format::kJson}};
  if (has_wide) formats.emplace("wide", Format::kWide);
  add_output_option(command, format, formats,
                    has_wide ? "Format: table (default), wide (a table with more columns) or json"
                             : "Format: table (default) or json");
}

void add_output_option(CLI::App& command, Format& format, const std::map<std::string, Format>& formats,
                       const std::string& help) {
  add_parsed_option(
      command, "-o,--output", help, "FORMAT",
      [formats](const std::string& text) -> Result<Format> {
        const auto found = formats.find(text);
        if (found != formats.end()) return found->second;
        std::string list;
        for (const auto& [name, ignored] : formats) list += (list.empty() ? "" : ", ") + name;
        return fail(ErrorCode::kInvalid, "'" + text + "' is not an output format: write one of " + list);
      },
      [&format](Format chosen) { format = chosen; });
}

ExitStatus run_application(int argc, const char* const* argv, const Streams& streams) {
  Invocation invocation;
  CLI::App root("Declares Sluice networks, pods, services and floating IPs, shows the node's state and its datapath.",
                "sluicectl");
  root.require_subcommand(1);
  add_socket_option(root, invocation);
  add_resource_commands(root, invocation);
  add_node_commands(root, invocation);
  add_store_commands(root, invocation);
  add_bpf_commands(root, invocation);
  add_reason_commands(root, invocation);
  add_version_command(root, invocation);
  add_completion_command(root, invocation);
  // After the commands, which would inherit both.
  root.set_help_all_flag("--help-all", "Print the help of every command and exit");
  root.footer(kFooter);
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    streams.out << root.help();
    return ExitStatus::kOk;
  } catch (const CLI::CallForAllHelp&) {
    print_all_help(root, "", streams.out);
    return ExitStatus::kOk;
  } catch (const CLI::ParseError& error) {
    return complain(streams, message_of(error, root) + "; see 'sluicectl --help'", ExitStatus::kUsage);
  }
  const ExitStatus status = invocation.run(streams);
  streams.out.flush();
  if (!streams.out) return complain(streams, "cannot write the output", ExitStatus::kFailed);
  return status;
}

}  // namespace sluice::cli
