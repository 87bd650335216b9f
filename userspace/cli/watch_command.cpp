// SPDX-License-Identifier: Apache-2.0
// `watch`: a line for each change. A lost connection is made again and the changes go on where they ended; where the
// daemon has forgotten them, or has another store by now, everything is listed again and compared with what was seen.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <thread>

#include "cli/calls.hpp"
#include "cli/kinds.hpp"
#include "cli/resource_commands.hpp"
#include "cli/specification.hpp"
#include "model/names.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

struct WatchCommand {
  std::vector<model::Kind> kinds;
  std::string network;
  std::optional<std::uint64_t> after;
  Format format = Format::kTable;
};

class Watcher {
 public:
  Watcher(const WatchCommand& command, const Streams& streams)
      : command_(command), streams_(streams), snapshot_(!command.after), revision_(command.after.value_or(0)) {}

  ExitStatus run(api::Client& client) {
    while (true) {
      seen_.clear();
      const Status ended = client.watch(request(), [&](const v1::WatchResponse& response) { return take(response); });
      if (!streams_.out) return ExitStatus::kFailed;  // the application tells it
      if (!ended && ended.error().code == ErrorCode::kOutOfRange) {
        if (snapshot_) return complain_about_call(streams_, ended.error());
        complain(streams_, why_listed_again(ended.error()) + ": listing everything again", ExitStatus::kOk);
        snapshot_ = true;
        continue;
      }
      const bool lost = ended || ended.error().code == ErrorCode::kUnavailable;
      if (!lost || !begun_) return ended ? ExitStatus::kOk : complain_about_call(streams_, ended.error());
      if (tells_) complain(streams_, "the connection was lost; trying again", ExitStatus::kOk);
      tells_ = false;
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  static constexpr std::chrono::milliseconds kPause{200};

  [[nodiscard]] v1::WatchRequest request() const {
    v1::WatchRequest request;
    request.set_snapshot(snapshot_);
    request.set_after_revision(snapshot_ ? 0 : revision_);
    if (!snapshot_ && store_) *request.mutable_store() = *store_;
    for (const model::Kind kind : command_.kinds) request.add_kinds(wire::to_message(kind));
    request.set_network(command_.network);
    return request;
  }

  [[nodiscard]] std::string why_listed_again(const Error& error) const {
    const bool another =
        std::ranges::any_of(error.details, [](const Detail& detail) { return detail.resource == "store"; });
    if (another) return "the daemon's store was restored, reset or replaced";
    return "the changes after revision " + std::to_string(revision_) + " are gone from the store";
  }

  bool take(const v1::WatchResponse& response) {
    begun_ = tells_ = true;
    if (response.has_store()) store_ = response.store();
    for (const v1::WatchEvent& event : response.events()) {
      if (snapshot_) {
        take_present(event);
      } else {
        take_change(event);
      }
    }
    if (response.synced()) end_snapshot(response.revision());
    if (!snapshot_) revision_ = std::max(revision_, response.revision());
    streams_.out.flush();
    return static_cast<bool>(streams_.out);
  }

  /// The key that the event names; of one that names none, its resource's.
  static model::Key key_of_event(const v1::WatchEvent& event) {
    const auto named = wire::to_model(event.key());
    return named ? *named : key_of(event.resource());
  }

  /// Of a listing: only what differs from what was shown before is news.
  void take_present(const v1::WatchEvent& event) {
    const model::Key key = key_of_event(event);
    seen_.insert(key);
    const std::uint64_t modified = event.resource().metadata().modified_revision();
    const auto known = known_.find(key);
    // In another store, or after a restored backup, the same revision may have made something else.
    if (known != known_.end() && known->second.revision == modified &&
        google::protobuf::util::MessageDifferencer::Equals(known->second.resource, event.resource())) {
      return;
    }
    show(known == known_.end() ? (listed_ ? "CREATED" : "PRESENT") : "CHANGED", event.revision(), key,
         event.resource());
    known_[key] = {modified, event.resource()};
  }

  void end_snapshot(std::uint64_t revision) {
    for (auto known = known_.begin(); known != known_.end();) {
      if (seen_.contains(known->first)) {
        known++;
        continue;
      }
      show("DELETED", revision, known->first, known->second.resource);
      known = known_.erase(known);
    }
    snapshot_ = false;
    listed_ = true;
    revision_ = revision;
  }

  void take_change(const v1::WatchEvent& event) {
    const model::Key key = key_of_event(event);
    const std::uint64_t modified = event.resource().metadata().modified_revision();
    const auto known = known_.find(key);
    const bool deleted = event.type() == v1::WatchEvent::DELETED;
    // A transaction that a lost connection cut in two comes whole once more.
    if (!deleted && known != known_.end() && known->second.revision == modified) return;
    switch (event.type()) {
      case v1::WatchEvent::DELETED:
        known_.erase(key);
        return show("DELETED", event.revision(), key, event.resource());
      case v1::WatchEvent::CREATED:
        known_[key] = {modified, event.resource()};
        return show("CREATED", event.revision(), key, event.resource());
      default:
        known_[key] = {modified, event.resource()};
        return show("CHANGED", event.revision(), key, event.resource());
    }
  }

  void show(const std::string& type, std::uint64_t revision, const model::Key& key, const v1::Resource& resource) {
    if (command_.format == Format::kJson) {
      const Json json = {{"type", type}, {"revision", revision}, {"resource", document(resource)}};
      streams_.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
      return;
    }
    streams_.out << revision << ' ' << type << ' ' << model::describe(key) << '\n';
  }

  struct Known {
    std::uint64_t revision = 0;
    v1::Resource resource;
  };

  const WatchCommand& command_;
  const Streams& streams_;
  bool snapshot_;
  std::uint64_t revision_;
  std::optional<v1::StoreIdentity> store_;  ///< that revision_ is of
  bool listed_ = false;                     ///< one listing is complete: what comes with another is news
  bool begun_ = false;                      ///< the daemon has answered once
  bool tells_ = false;                      ///< of the next loss; once for each
  std::map<model::Key, Known> known_;
  std::set<model::Key> seen_;  ///< in the listing that is being read
};

}  // namespace

void add_watch_command(CLI::App& root, Invocation& invocation) {
  const auto command = std::make_shared<WatchCommand>();
  CLI::App& app = *root.add_subcommand("watch", "Show everything as it is, then each change, until it is ended");
  app.add_option_function<std::vector<std::string>>(
         "kind",
         [command](const std::vector<std::string>& words) {
           for (const std::string& word : words) {
             const auto kind = parse_kind(word);
             if (!kind) throw CLI::ValidationError("kind", kind.error().message);
             command->kinds.push_back(*kind);
           }
         },
         "Only these kinds: networks, pods, services, floatingips, nodes")
      ->type_name("KIND");
  add_network_option(app, command->network, "Only this network, its pods and its services");
  app.add_option("--after", command->after, "Only changes after this revision, without what is there already")
      ->type_name("REVISION");
  add_output_option(app, command->format, {{"table", Format::kTable}, {"json", Format::kJson}},
                    "Format: table (default; a line for each change) or json (an object on a line for each)");
  add_socket_option(app, invocation);
  run_with_client(app, invocation, [command](api::Client& client, const Streams& streams) {
    for (const model::Kind kind : command->kinds) {
      if (kind == model::Kind::kNetwork) continue;  // --network is one of them
      const Status good = check_network_option(kind, command->network);
      if (!good) return complain(streams, good.error().message, ExitStatus::kUsage);
    }
    return Watcher(*command, streams).run(client);
  });
}

}  // namespace sluice::cli
