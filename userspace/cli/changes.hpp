// SPDX-License-Identifier: Apache-2.0
// A set of changes as one transaction: what was there before, what came of it, and who else was faster.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/client.hpp"
#include "cli/invocation.hpp"
#include "model/resource.hpp"
#include "store/fields.hpp"

namespace sluice::cli {

/// What exists, by key; what does not exist is not in it.
using Present = std::map<model::Key, v1::Resource>;

Result<Present> read_present(api::Client& client, const std::vector<model::Key>& keys);
/// All resources of a kind; of pods and services those of `network`, empty: of all.
Result<std::vector<v1::Resource>> list(api::Client& client, model::Kind kind, const std::string& network = {},
                                       const model::Labels& labels = {});
/// kNotFound names the nearest name that exists.
Error with_suggestion(api::Client& client, const model::Key& key, Error error);

struct ChangeOptions {
  bool dry_run = false;
  bool cascade = false;
  bool recreate = false;
  bool wait = false;
  unsigned timeout_seconds = 30;
  [[nodiscard]] std::uint32_t wait_milliseconds() const { return wait ? timeout_seconds * 1000 : 0; }
};
/// --dry-run, --wait and --timeout.
void add_change_options(CLI::App& command, ChangeOptions& options);

/// An edit that only holds if the resource is still as in `present`.
v1::ResourceEdit put_edit(const v1::Resource& resource, const Present& present);

/// Applies the edits and prints a line for each outcome. A refusal is told with the places of the resources that it
/// names, and a conflict with what somebody else has changed.
ExitStatus apply_edits(api::Client& client, const std::vector<v1::ResourceEdit>& edits, const Present& present,
                       const std::map<std::string, store::Place>& places, const ChangeOptions& options,
                       const Streams& streams);

/// Prints "service shop/web created" for each outcome, and with dry_run what would change.
ExitStatus print_outcomes(const v1::ApplyResponse& response, const ChangeOptions& options, const Streams& streams);

/// kFailed with a message if the caller wanted to wait for the datapath and it does not hold the change.
ExitStatus check_applied(const v1::ApplyResponse& response, const ChangeOptions& options, const Streams& streams);

}  // namespace sluice::cli
