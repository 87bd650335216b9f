// SPDX-License-Identifier: Apache-2.0
// `edit`: a resource's manifest in the user's editor, applied if nobody changed the resource meanwhile.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <sstream>

#include "base/fd.hpp"
#include "cli/calls.hpp"
#include "cli/changes.hpp"
#include "cli/kinds.hpp"
#include "cli/resource_commands.hpp"
#include "cli/specification.hpp"
#include "store/manifest.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct EditCommand {
  model::Kind kind = model::Kind::kNetwork;
  std::string name;
  std::string network;
  ChangeOptions options;
};

std::string editor() {
  for (const char* variable : {"VISUAL", "EDITOR"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return value;
  }
  return "vi";
}

/// The text in a file of its own that only the user can read.
Result<std::filesystem::path> write_draft(const std::string& text) {
  std::string path = (std::filesystem::temp_directory_path() / "sluicectl-edit-XXXXXX.yaml").string();
  const UniqueFd file(::mkstemps(path.data(), 5));
  if (!file.valid())
    return fail_errno("make a file for the editor in " + std::filesystem::temp_directory_path().string());
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t part = ::write(file.get(), text.data() + written, text.size() - written);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return fail_errno("write " + path);
    written += static_cast<std::size_t>(part);
  }
  return path;
}

/// Through the shell, because $EDITOR may have arguments ("code --wait").
Status run_editor(const std::filesystem::path& draft) {
  const std::string command = editor() + " \"$1\"";
  const std::string path = draft.string();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("start the editor");
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", command.c_str(), "sh", path.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno("wait for the editor");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(ErrorCode::kSystem, "the editor '" + editor() + "' failed; nothing was changed");
}

std::string read_draft(const std::filesystem::path& draft) {
  std::ifstream file(draft);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The one resource of the text, which must still be the one that is edited.
Result<store::Declared> parse_draft(const std::filesystem::path& draft, const std::string& text,
                                    const model::Key& key) {
  auto declared = store::read_manifests({{draft.string(), text}});
  if (!declared) return std::unexpected(store::summarize(declared.error()));
  if (declared->resources.size() != 1 || model::key_of(declared->resources.front().resource) != key) {
    return fail(ErrorCode::kInvalid, draft.string() + ": must declare " + model::describe(key) +
                                         " and nothing else; make other resources with 'sluicectl apply'");
  }
  return std::move(declared->resources.front());
}

ExitStatus apply_draft(api::Client& client, const EditCommand& command, const model::Key& key, const Present& present,
                       const std::filesystem::path& draft, const Streams& streams) {
  const auto declared = parse_draft(draft, read_draft(draft), key);
  if (!declared) return complain_about_call(streams, declared.error());
  const v1::ResourceEdit edit = put_edit(wire::to_message(declared->resource), present);
  return apply_edits(client, {edit}, present, {{model::describe(key), declared->place}}, command.options, streams);
}

ExitStatus edit(const EditCommand& command, api::Client& client, const Streams& streams) {
  const auto key = parse_key(command.kind, command.name, command.network);
  if (!key) return complain(streams, key.error().message, ExitStatus::kUsage);
  auto resource = client.get(wire::to_message(*key));
  if (!resource) return complain_about_call(streams, with_suggestion(client, *key, resource.error()));
  const std::string text = manifest(*resource);
  const auto draft = write_draft(text);
  if (!draft) return complain_about_call(streams, draft.error());
  std::error_code ignored;
  const Status edited = run_editor(*draft);
  const bool same = read_draft(*draft) == text;
  if (!edited || same) {
    if (same) std::filesystem::remove(*draft, ignored);
    if (edited) streams.out << model::describe(*key) << " unchanged\n";
    if (edited) return ExitStatus::kOk;
    if (!same) complain(streams, "your text is kept in " + draft->string(), ExitStatus::kFailed);
    return complain_about_call(streams, edited.error());
  }
  const ExitStatus status = apply_draft(client, command, *key, {{*key, *resource}}, *draft, streams);
  if (status != ExitStatus::kOk) return complain(streams, "your text is kept in " + draft->string(), status);
  std::filesystem::remove(*draft, ignored);
  return status;
}

}  // namespace

void add_edit_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<EditCommand>();
  CLI::App& app = *root.add_subcommand("edit", "Change a resource in $VISUAL, $EDITOR or vi");
  add_kind(
      app,
      [command](const std::string& text) {
        const auto kind = parse_kind(text);
        if (!kind) throw CLI::ValidationError("kind", kind.error().message);
        command->kind = *kind;
      },
      "network, pod, service, floatingip or node");
  app.add_option("name", command->name, "The resource")->type_name("[NETWORK/]NAME")->required();
  add_network_option(app, command->network, "The network of a pod or service that is named without it");
  app.add_flag("--recreate", command->options.recreate,
               "Where a field cannot change, delete the resource and make it anew, in the same transaction");
  add_change_options(app, command->options);
  add_socket_option(app, invocation);
  run_with_client(app, invocation,
                  [command](api::Client& client, const Streams& streams) { return edit(*command, client, streams); });
}

}  // namespace sluice::cli
