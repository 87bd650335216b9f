// SPDX-License-Identifier: Apache-2.0
#include "api/resource_api.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "api/convert.hpp"
#include "api/status_codes.hpp"
#include "base/text.hpp"
#include "wire/convert.hpp"

namespace sluice::api {
namespace {

constexpr int kMostEdits = 100'000;
constexpr std::size_t kMostShown = 20'000;      // outcomes with their resources: the reply must fit a message
constexpr std::uint32_t kLongestWait = 60'000;  // milliseconds

using Action = store::Outcome::Action;

v1::Resource message_of(const store::Stored& stored) {
  return wire::to_message(stored.resource, stored.assigned);
}

v1::Outcome::Action action_of(Action action) {
  switch (action) {
    case Action::kCreated:
      return v1::Outcome::CREATED;
    case Action::kChanged:
      return v1::Outcome::CHANGED;
    case Action::kUnchanged:
      return v1::Outcome::UNCHANGED;
    case Action::kDeleted:
      return v1::Outcome::DELETED;
  }
  return v1::Outcome::ACTION_UNSPECIFIED;
}

Status check_count(int count) {
  if (count > 0 && count <= kMostEdits) return {};
  return fail(ErrorCode::kInvalid, count == 0 ? "edits: are missing; name at least one resource"
                                              : "edits: " + std::to_string(count) + " in one request; at most " +
                                                    std::to_string(kMostEdits) + " are allowed, so send several");
}

/// Every problem of every edit, so that a user mends all at once.
Result<store::WriteRequest> from_message(const v1::ApplyRequest& message) {
  if (auto good = check_count(message.edits_size()); !good) return std::unexpected(good.error());
  store::WriteRequest request;
  request.options = {.cascade = message.cascade(), .recreate = message.recreate()};
  request.dry_run = message.dry_run();
  request.edits.reserve(static_cast<std::size_t>(message.edits_size()));
  Error problems{ErrorCode::kInvalid, ""};
  for (const v1::ResourceEdit& edit : message.edits()) {
    store::WriteRequest::Edit wanted;
    if (edit.has_expected_revision()) wanted.expected = edit.expected_revision();
    Status good;
    if (edit.what_case() == v1::ResourceEdit::kPut) {
      auto resource = wire::to_model(edit.put());
      if (resource) wanted.edit = {model::key_of(*resource), std::move(*resource)};
      if (!resource) good = std::unexpected(std::move(resource.error()));
    } else if (edit.what_case() == v1::ResourceEdit::kRemove) {
      auto key = wire::to_model(edit.remove());
      if (key) wanted.edit = {std::move(*key), std::nullopt};
      if (!key) good = std::unexpected(std::move(key.error()));
    } else {
      good = fail(ErrorCode::kInvalid, "edits: one says neither what to put nor what to remove");
    }
    if (good) {
      request.edits.push_back(std::move(wanted));
      continue;
    }
    constexpr std::size_t kShown = 20;
    if (problems.details.size() < kShown)
      problems.message += (problems.message.empty() ? "" : "\n") + good.error().message;
    std::ranges::move(good.error().details, std::back_inserter(problems.details));
  }
  if (!problems.message.empty()) return std::unexpected(std::move(problems));
  return request;
}

Result<store::WriteRequest> from_message(const v1::DeleteRequest& message) {
  if (auto good = check_count(message.keys_size()); !good) return std::unexpected(good.error());
  store::WriteRequest request;
  request.options = {.cascade = message.cascade(), .recreate = false};
  request.dry_run = message.dry_run();
  request.ignore_missing = message.ignore_missing();
  for (const v1::ResourceKey& key : message.keys()) {
    auto wanted = wire::to_model(key);
    if (!wanted) return std::unexpected(wanted.error());
    request.edits.push_back({{std::move(*wanted), std::nullopt}, std::nullopt});
  }
  return request;
}

/// The first few resources, for the audit log.
std::string summary(const store::WriteRequest& request) {
  constexpr std::size_t kShown = 10;
  return (request.dry_run ? "dry run: " : "") + listed(request.edits.size(), kShown, [&request](std::size_t i) {
           const model::Edit& edit = request.edits[i].edit;
           return (edit.resource ? "put " : "delete ") + model::describe(edit.key);
         });
}

}  // namespace

grpc::Status ResourceApi::Get(grpc::ServerContext* context, const v1::GetRequest* request, v1::Resource* response) {
  auto key = wire::to_model(request->key());
  if (!key) return finish(*context, key.error());
  auto stored = repository_.get(*key);
  if (!stored) return finish(*context, stored.error());
  *response = message_of(*stored);
  return grpc::Status::OK;
}

grpc::Status ResourceApi::List(grpc::ServerContext* context, const v1::ListRequest* request,
                               v1::ListResponse* response) {
  auto kind = wire::to_model(request->kind());
  if (!kind) return finish(*context, kind.error());
  const model::Labels labels(request->labels().begin(), request->labels().end());
  const auto turn = replies_.turn(peer_);
  const store::Listing listing = repository_.list(*kind, request->network(), labels);
  response->set_revision(listing.revision);
  *response->mutable_store() = to_message(repository_.identity());
  for (const store::Stored& stored : listing.items) *response->add_resources() = message_of(stored);
  return replies_.send(peer_, *context, *response);
}

/// Before the request is looked at: it may be as large as it likes. OK: it may write.
grpc::Status ResourceApi::refuse_readers(grpc::ServerContext* context, const char* call) const {
  const Status may = may_write(peer_, call);
  if (may) return grpc::Status::OK;
  audit(peer_, call, "", &may.error());
  return finish(*context, may.error());
}

grpc::Status ResourceApi::write(grpc::ServerContext* context, const char* call, Result<store::WriteRequest> request,
                                std::uint32_t wait_milliseconds, v1::ApplyResponse* response) {
  if (!request) {
    audit(peer_, call, "", &request.error());
    return finish(*context, request.error());
  }
  const std::string what = summary(*request);
  if (const std::string reason = node_.refuses_changes(); !reason.empty()) {
    const Error error{ErrorCode::kPrecondition, reason};
    audit(peer_, call, what, &error);
    return finish(*context, error);
  }
  const bool dry_run = request->dry_run;
  auto reply = repository_.write(std::move(*request));
  audit(peer_, call, reply ? what + " at revision " + std::to_string(reply->revision) : what,
        reply ? nullptr : &reply.error());
  if (!reply) return finish(*context, reply.error());
  response->set_revision(reply->revision);
  for (const store::Outcome& outcome : reply->outcomes) {
    v1::Outcome* added = response->add_outcomes();
    *added->mutable_key() = wire::to_message(outcome.key);
    added->set_action(action_of(outcome.action));
    if (reply->outcomes.size() > kMostShown) continue;
    if (outcome.before && outcome.action != Action::kUnchanged) *added->mutable_before() = message_of(*outcome.before);
    if (outcome.after) *added->mutable_after() = message_of(*outcome.after);
  }
  if (!dry_run && wait_milliseconds != 0) {
    const auto wait = std::chrono::milliseconds(std::min(wait_milliseconds, kLongestWait));
    response->set_applied(node_.wait_applied(reply->revision, wait));
  }
  return grpc::Status::OK;
}

grpc::Status ResourceApi::Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                                v1::ApplyResponse* response) {
  if (auto refused = refuse_readers(context, "Apply"); !refused.ok()) return refused;
  return write(context, "Apply", from_message(*request), request->wait_milliseconds(), response);
}

grpc::Status ResourceApi::Delete(grpc::ServerContext* context, const v1::DeleteRequest* request,
                                 v1::ApplyResponse* response) {
  if (auto refused = refuse_readers(context, "Delete"); !refused.ok()) return refused;
  return write(context, "Delete", from_message(*request), request->wait_milliseconds(), response);
}

grpc::ServerWriteReactor<v1::WatchResponse>* ResourceApi::Watch(grpc::CallbackServerContext* context,
                                                                const v1::WatchRequest* request) {
  return watches_.open(*context, *request, peer_);
}

}  // namespace sluice::api
