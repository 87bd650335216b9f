// SPDX-License-Identifier: Apache-2.0
#include "cli/changes.hpp"

#include <algorithm>
#include <ostream>

#include "cli/calls.hpp"
#include "cli/kinds.hpp"
#include "cli/specification.hpp"
#include "model/names.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

/// One List is cheaper than so many Gets.
constexpr std::size_t kMostGets = 4;

Status read_some(api::Client& client, const std::vector<model::Key>& keys, Present& present) {
  for (const model::Key& key : keys) {
    auto found = client.get(wire::to_message(key));
    if (found) {
      present.emplace(key, std::move(*found));
    } else if (found.error().code != ErrorCode::kNotFound) {
      return std::unexpected(found.error());
    }
  }
  return {};
}

Status read_many(api::Client& client, model::Kind kind, const std::vector<model::Key>& keys, Present& present) {
  const std::string& network = keys.front().name.network;
  const bool one_network =
      std::ranges::all_of(keys, [&](const model::Key& key) { return key.name.network == network; });
  auto listed = list(client, kind, one_network ? network : "");
  if (!listed) return std::unexpected(listed.error());
  for (v1::Resource& resource : *listed) {
    const model::Key key = key_of(resource);
    present.emplace(key, std::move(resource));
  }
  return {};
}

/// Lines of a text from the daemon, without what could steer the terminal.
void print_lines(const std::string& text, const Streams& streams) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    streams.err << "  " << printable(rest.substr(0, end)) << '\n';
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
}

std::uint64_t revision_of(const Present& present, const model::Key& key) {
  const auto found = present.find(key);
  return found == present.end() ? 0 : found->second.metadata().modified_revision();
}

/// What somebody else has done to the resources since they were read.
void print_conflicts(api::Client& client, const std::vector<v1::ResourceEdit>& edits, const Present& before,
                     const Streams& streams) {
  std::vector<model::Key> keys;
  keys.reserve(edits.size());
  for (const v1::ResourceEdit& edit : edits) keys.push_back(key_of(edit.put()));
  const auto now = read_present(client, keys);
  if (!now) return;  // the refusal itself has been told
  for (const model::Key& key : keys) {
    const std::uint64_t was = revision_of(before, key);
    const std::uint64_t is = revision_of(*now, key);
    if (was == is) continue;
    const std::string verb = was == 0 ? " was made" : is == 0 ? " was deleted" : " was changed";
    complain(streams,
             model::describe(key) + verb + " by somebody else meanwhile" +
                 (is == 0 ? "" : " (revision " + std::to_string(is) + ")"),
             ExitStatus::kRefused);
    if (was != 0 && is != 0) {
      print_lines(unified_diff(manifest(before.at(key)), manifest(now->at(key)), name_text(key)), streams);
    }
  }
}

ExitStatus complain_with_places(const Streams& streams, const Error& error,
                                const std::map<std::string, store::Place>& places) {
  if (error.details.empty()) return complain_about_call(streams, error);
  const ExitStatus status = exit_status_of_call(error.code);
  for (const Detail& detail : error.details) {
    const auto place = places.find(detail.resource);
    std::string text = place == places.end() ? "" : place->second.text() + ": ";
    for (const std::string& part : {detail.resource, detail.field}) text += part.empty() ? "" : part + ": ";
    complain(streams, text + detail.problem + (detail.remedy.empty() ? "" : "; " + detail.remedy), status);
  }
  return status;
}

std::string verb_of(v1::Outcome::Action action) {
  switch (action) {
    case v1::Outcome::CREATED:
      return "created";
    case v1::Outcome::CHANGED:
      return "changed";
    case v1::Outcome::UNCHANGED:
      return "unchanged";
    case v1::Outcome::DELETED:
      return "deleted";
    default:
      return "unknown outcome";
  }
}

}  // namespace

Result<std::vector<v1::Resource>> list(api::Client& client, model::Kind kind, const std::string& network,
                                       const model::Labels& labels) {
  v1::ListRequest request;
  request.set_kind(wire::to_message(kind));
  if (model::is_in_network(kind)) request.set_network(network);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  auto response = client.list(request);
  if (!response) return std::unexpected(response.error());
  return std::vector<v1::Resource>(response->resources().begin(), response->resources().end());
}

Result<Present> read_present(api::Client& client, const std::vector<model::Key>& keys) {
  Present present;
  for (const model::Kind kind : all_kinds()) {
    std::vector<model::Key> of_kind;
    std::ranges::copy_if(keys, std::back_inserter(of_kind), [&](const model::Key& key) { return key.kind == kind; });
    if (of_kind.empty()) continue;
    const Status read =
        of_kind.size() <= kMostGets ? read_some(client, of_kind, present) : read_many(client, kind, of_kind, present);
    if (!read) return std::unexpected(read.error());
  }
  return present;
}

Error with_suggestion(api::Client& client, const model::Key& key, Error error) {
  if (error.code != ErrorCode::kNotFound) return error;
  error.message = model::describe(key) + " does not exist";
  const auto listed = list(client, key.kind);
  if (!listed) return error;
  std::vector<std::string> names;
  for (const v1::Resource& resource : *listed) names.push_back(printable(name_text(key_of(resource))));
  error.message += did_you_mean(name_text(key), names);
  return error;
}

void add_change_options(CLI::App& command, ChangeOptions& options) {
  command.add_flag("--dry-run", options.dry_run, "Judge and show what would change, as a diff; change nothing");
  CLI::Option* wait =
      command.add_flag("--wait", options.wait, "Return only after the datapath of this node holds the change");
  command.add_option("--timeout", options.timeout_seconds, "With --wait: seconds after which waiting is a failure")
      ->type_name("SECONDS")
      ->check(CLI::Range(1U, 60U))
      ->needs(wait)
      ->capture_default_str();
}

v1::ResourceEdit put_edit(const v1::Resource& resource, const Present& present) {
  v1::ResourceEdit edit;
  *edit.mutable_put() = resource;
  edit.mutable_put()->clear_metadata();
  edit.set_expected_revision(revision_of(present, key_of(resource)));
  return edit;
}

ExitStatus check_applied(const v1::ApplyResponse& response, const ChangeOptions& options, const Streams& streams) {
  const bool changed = std::ranges::any_of(
      response.outcomes(), [](const v1::Outcome& outcome) { return outcome.action() != v1::Outcome::UNCHANGED; });
  if (!options.wait || options.dry_run || !changed || response.applied()) return ExitStatus::kOk;
  return complain(streams,
                  "revision " + std::to_string(response.revision()) +
                      " is stored, but the datapath does not hold it after " + std::to_string(options.timeout_seconds) +
                      " seconds; 'sluicectl status' tells why",
                  ExitStatus::kFailed);
}

ExitStatus print_outcomes(const v1::ApplyResponse& response, const ChangeOptions& options, const Streams& streams) {
  for (const v1::Outcome& outcome : response.outcomes()) {
    const auto key = wire::to_model(outcome.key());
    const std::string name = key ? model::describe(*key) : model::printable(outcome.key().name());
    streams.out << name << ' ' << verb_of(outcome.action()) << (options.dry_run ? " (dry run)" : "") << '\n';
    if (!options.dry_run || outcome.action() == v1::Outcome::UNCHANGED) continue;
    const std::string before = outcome.has_before() ? manifest(outcome.before()) : "";
    const std::string after =
        outcome.has_after() && outcome.action() != v1::Outcome::DELETED ? manifest(outcome.after()) : "";
    const std::string diff = unified_diff(before, after, name);
    streams.out << (streams.colour ? coloured_diff(diff) : diff);
  }
  return check_applied(response, options, streams);
}

ExitStatus apply_edits(api::Client& client, const std::vector<v1::ResourceEdit>& edits, const Present& present,
                       const std::map<std::string, store::Place>& places, const ChangeOptions& options,
                       const Streams& streams) {
  v1::ApplyRequest request;
  for (const v1::ResourceEdit& edit : edits) *request.add_edits() = edit;
  request.set_dry_run(options.dry_run);
  request.set_cascade(options.cascade);
  request.set_recreate(options.recreate);
  request.set_wait_milliseconds(options.wait_milliseconds());
  const auto response = client.apply(request);
  if (response) return print_outcomes(*response, options, streams);
  const ExitStatus status = complain_with_places(streams, response.error(), places);
  if (response.error().code == ErrorCode::kAborted) print_conflicts(client, edits, present, streams);
  return status;
}

}  // namespace sluice::cli
