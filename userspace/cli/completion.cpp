// SPDX-License-Identifier: Apache-2.0
// The scripts know nothing of the commands: they ask sluicectl, which reads its own parser.
#include "cli/completion.hpp"

#include <chrono>
#include <memory>
#include <ostream>
#include <set>

#include "cli/calls.hpp"
#include "cli/kinds.hpp"
#include "model/names.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

constexpr const char* kBash = R"(# sluicectl completion for bash: source <(sluicectl completion bash)
_sluicectl() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}") candidates
  candidates=$("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null) || return
  mapfile -t COMPREPLY <<< "$candidates"
  [[ -n $candidates ]] || COMPREPLY=()
}
complete -o default -F _sluicectl sluicectl
)";

constexpr const char* kZsh = R"(#compdef sluicectl
# sluicectl completion for zsh: source <(sluicectl completion zsh)
_sluicectl() {
  local -a candidates
  candidates=("${(@f)$(${words[1]} complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=(${candidates:#})
  if (( ${#candidates} )); then compadd -- $candidates; else _files; fi
}
compdef _sluicectl sluicectl
)";

constexpr const char* kFish = R"(# sluicectl completion for fish: sluicectl completion fish | source
function __sluicectl
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  sluicectl complete -- $words 2>/dev/null
end
complete -c sluicectl -a '(__sluicectl)'
)";

/// How long a shell may wait for names of resources.
constexpr std::chrono::milliseconds kPatience{500};

struct Position {
  const CLI::App* command = nullptr;
  std::vector<std::string> positionals;  ///< before the word that is being completed
  const CLI::Option* pending = nullptr;  ///< the option whose value is being completed
};

const CLI::App* subcommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (below->get_name() == name && !below->get_group().empty()) return below;
  }
  return nullptr;
}

const CLI::Option* option_of(const CLI::App& app, const std::string& word) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->check_name(word)) return option;
  }
  return nullptr;
}

/// Where the last word stands in the command line.
Position locate(const CLI::App& root, const std::vector<std::string>& words, std::string& socket) {
  Position position{&root, {}, nullptr};
  for (std::size_t i = 0; i + 1 < words.size(); i++) {
    const std::string& word = words[i];
    if (position.pending != nullptr) {
      if (position.pending->check_name("--socket")) socket = word;
      position.pending = nullptr;
    } else if (word.starts_with('-') && word != "-") {
      const CLI::Option* option = option_of(*position.command, word);
      if (option != nullptr && option->get_items_expected_max() > 0) position.pending = option;
    } else if (const CLI::App* below = subcommand(*position.command, word); below != nullptr) {
      position.command = below;
    } else {
      position.positionals.push_back(word);
    }
  }
  return position;
}

std::set<std::string> names_of(model::Kind kind, const std::string& socket) {
  std::set<std::string> names;
  const auto client = api::Client::open(socket, kPatience);
  if (!client) return names;
  v1::ListRequest request;
  request.set_kind(wire::to_message(kind));
  const auto listed = (*client)->list(request);
  if (!listed) return names;
  // A shell takes the names as they are: only such as it reads as one plain word.
  for (const v1::Resource& resource : listed->resources()) {
    const model::Key key = key_of(resource);
    const bool plain =
        model::is_dns_label(key.name.name) && (!model::is_in_network(kind) || model::is_dns_label(key.name.network));
    if (plain) names.insert(name_text(key));
  }
  return names;
}

/// What the positional that comes next may be.
std::set<std::string> values_of(const Position& position, const std::string& socket) {
  const std::vector<const CLI::Option*> options = position.command->get_options();
  std::vector<const CLI::Option*> positionals;
  for (const CLI::Option* option : options) {
    if (option->get_positional()) positionals.push_back(option);
  }
  if (positionals.empty()) return {};
  const std::size_t at = std::min(position.positionals.size(), positionals.size() - 1);
  const std::string type = positionals[at]->get_type_name();
  if (type == "KIND") {
    std::set<std::string> kinds;
    for (const model::Kind kind : all_kinds()) kinds.insert(plural(kind));
    return kinds;
  }
  if (type == "NETWORK/POD") return names_of(model::Kind::kPod, socket);
  if (type == "NETWORK/SERVICE") return names_of(model::Kind::kService, socket);
  if (type == "NAME") return names_of(model::Kind::kFloatingIp, socket);
  if (type != "[NETWORK/]NAME" || position.positionals.empty()) return {};
  const auto kind = parse_kind(position.positionals.front());
  return kind ? names_of(*kind, socket) : std::set<std::string>{};
}

std::set<std::string> candidates(const CLI::App& root, const std::vector<std::string>& words, std::string socket) {
  const std::string last = words.empty() ? "" : words.back();
  const Position position = locate(root, words, socket);
  if (position.pending != nullptr) {
    return position.pending->get_type_name() == "NETWORK" ? names_of(model::Kind::kNetwork, socket)
                                                          : std::set<std::string>{};
  }
  std::set<std::string> found;
  if (last.starts_with('-')) {
    for (const CLI::Option* option : position.command->get_options()) {
      for (const std::string& name : option->get_lnames()) found.insert("--" + name);
    }
    return found;
  }
  for (const CLI::App* below : position.command->get_subcommands([](const CLI::App*) { return true; })) {
    if (!below->get_group().empty()) found.insert(below->get_name());
  }
  if (found.empty()) found = values_of(position, socket);
  return found;
}

void add_complete_command(CLI::App& root, Invocation& invocation) {
  const auto words = std::make_shared<std::vector<std::string>>();
  CLI::App& app = *root.add_subcommand("complete", "Print what the last word of a command line may become");
  app.group("");                                  // not for people
  app.add_option("words", *words)->expected(-1);  // at least the one that is being written
  app.callback([words, &root, &invocation] {
    invocation.run = [words, &root, &invocation](const Streams& streams) {
      const std::string last = words->empty() ? "" : words->back();
      for (const std::string& candidate : candidates(root, *words, invocation.socket)) {
        if (candidate.starts_with(last)) streams.out << candidate << '\n';
      }
      return ExitStatus::kOk;
    };
  });
}

}  // namespace

void add_completion_command(CLI::App& root, Invocation& invocation) {
  const auto shell = std::make_shared<std::string>();
  CLI::App& app = *root.add_subcommand("completion", "Print a script that lets a shell complete commands and names");
  app.add_option("shell", *shell, "bash, zsh or fish")
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->required();
  app.callback([shell, &invocation] {
    invocation.run = [shell](const Streams& streams) {
      streams.out << (*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish);
      return ExitStatus::kOk;
    };
  });
  add_complete_command(root, invocation);
}

}  // namespace sluice::cli
