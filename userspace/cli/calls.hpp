// SPDX-License-Identifier: Apache-2.0
// How commands call sluiced, and how they tell what it refused.
#pragma once

#include <functional>
#include <memory>

#include "api/client.hpp"
#include "cli/invocation.hpp"

namespace sluice::cli {

/// `--socket`: the daemon's socket. Taken before and after the command's name.
void add_socket_option(CLI::App& command, Invocation& invocation);

/// A client of the daemon on the invocation's socket; kPermission if the caller may not use it.
Result<std::unique_ptr<api::Client>> open_client(const Invocation& invocation);

/// The status for an answer of the daemon, where kPrecondition is its refusal.
ExitStatus exit_status_of_call(ErrorCode code);

/// Prints every problem that the error tells, a line each.
ExitStatus complain_about_call(const Streams& streams, const Error& error);

/// Makes `run`, which gets a client, what the command line asks for.
void run_with_client(CLI::App& command, Invocation& invocation,
                     std::function<ExitStatus(api::Client&, const Streams&)> run);

}  // namespace sluice::cli
