// SPDX-License-Identifier: Apache-2.0
#include "cli/pod_state_commands.hpp"

#include <memory>

#include "cli/calls.hpp"
#include "cli/changes.hpp"
#include "cli/kinds.hpp"
#include "model/times.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct PodStateCommand {
  model::Name pod;
  v1::PodState state = v1::POD_STATE_UNSPECIFIED;
  std::chrono::milliseconds grace{0};  ///< 0: no deadline
  ChangeOptions options;
};

ExitStatus set_state(const PodStateCommand& command, api::Client& client, const Streams& streams) {
  const model::Key key{model::Kind::kPod, command.pod};
  const auto pod = client.get(wire::to_message(key));
  if (!pod) return complain_about_call(streams, with_suggestion(client, key, pod.error()));
  v1::Resource wanted = *pod;
  wanted.mutable_pod()->set_state(command.state);
  wanted.mutable_pod()->set_drain_deadline(command.grace.count() == 0 ? 0
                                                                      : model::moment_now() + command.grace.count());
  const Present present = {{key, *pod}};
  return apply_edits(client, {put_edit(wanted, present)}, present, {}, command.options, streams);
}

void add_command(CLI::App& pod, Invocation& invocation, const std::string& name, const std::string& help,
                 v1::PodState state) {
  const auto command = std::make_shared<PodStateCommand>();
  command->state = state;
  CLI::App& app = *pod.add_subcommand(name, help);
  add_parsed_option(app, "pod", "The pod", "NETWORK/POD", parse_pod_name, [command](const model::Name& parsed) {
    command->pod = parsed;
  })->required();
  if (state == v1::DRAINING) {
    add_grace_option(app, "End the flows that are left after this time; without it they go on to their end",
                     [command](std::chrono::milliseconds grace) { command->grace = grace; });
  }
  add_change_options(app, command->options);
  add_socket_option(app, invocation);
  run_with_client(app, invocation, [command](api::Client& client, const Streams& streams) {
    return set_state(*command, client, streams);
  });
}

}  // namespace

void add_grace_option(CLI::App& command, const std::string& help,
                      const std::function<void(std::chrono::milliseconds)>& store) {
  add_parsed_option(command, "--grace", help, "DURATION", model::parse_grace, store);
}

void add_pod_state_commands(CLI::App& pod, Invocation& invocation) {
  add_command(pod, invocation, "drain", "Send the pod no new flows; old ones go on, with --grace until a deadline",
              v1::DRAINING);
  add_command(pod, invocation, "undrain", "Send the pod new flows again", v1::POD_STATE_UNSPECIFIED);
}

}  // namespace sluice::cli
