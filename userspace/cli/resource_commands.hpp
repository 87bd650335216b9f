// SPDX-License-Identifier: Apache-2.0
// kubectl's grammar over the desired state: each command is one call, or a few, of sluice.v1.ResourceService.
#pragma once

#include "cli/invocation.hpp"

namespace sluice::cli {

void add_get_command(CLI::App& root, Invocation& invocation);
void add_describe_command(CLI::App& root, Invocation& invocation);
void add_apply_command(CLI::App& root, Invocation& invocation);
void add_delete_command(CLI::App& root, Invocation& invocation);
void add_edit_command(CLI::App& root, Invocation& invocation);
void add_watch_command(CLI::App& root, Invocation& invocation);
void add_fip_commands(CLI::App& root, Invocation& invocation);

/// `get`, `describe`, `apply`, `delete`, `edit`, `watch`, `fip ...`.
void add_resource_commands(CLI::App& root, Invocation& invocation);

/// The positional KIND.
CLI::Option* add_kind(CLI::App& command, const std::function<void(const std::string&)>& store, const std::string& help);
/// -n, --network.
void add_network_option(CLI::App& command, std::string& network, const std::string& help);

}  // namespace sluice::cli
