// SPDX-License-Identifier: Apache-2.0
#include "api/node_api.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "api/convert.hpp"
#include "api/status_codes.hpp"
#include "model/names.hpp"
#include "wire/convert.hpp"

namespace sluice::api {

grpc::Status NodeApi::answer(grpc::ServerContext* context, const char* call, const std::string& what,
                             const Status& outcome) const {
  audit(peer_, call, what, outcome ? nullptr : &outcome.error());
  return outcome ? grpc::Status::OK : finish(*context, outcome.error());
}

grpc::Status NodeApi::AttachPod(grpc::ServerContext* context, const v1::AttachPodRequest* request,
                                v1::AttachPodResponse* response) {
  const std::string what = model::printable(request->network() + "/" + request->name()) + " netns " +
                           model::escaped(request->netns().substr(0, 256));
  if (auto may = may_write(peer_, "AttachPod"); !may) return answer(context, "AttachPod", what, may);
  auto wanted = from_message(*request);
  if (!wanted) return answer(context, "AttachPod", what, std::unexpected(wanted.error()));
  auto reply = node_.attach(*wanted);
  if (!reply) return answer(context, "AttachPod", what, std::unexpected(reply.error()));
  *response = to_message(*reply);
  return answer(context, "AttachPod", what, {});
}

grpc::Status NodeApi::DetachPod(grpc::ServerContext* context, const v1::DetachPodRequest* request,
                                v1::DetachPodResponse* response) {
  const std::string what = model::printable(request->network() + "/" + request->name());
  if (auto may = may_write(peer_, "DetachPod"); !may) return answer(context, "DetachPod", what, may);
  auto wanted = from_message(*request);
  if (!wanted) return answer(context, "DetachPod", what, std::unexpected(wanted.error()));
  auto reply = node_.detach(*wanted);
  if (!reply) return answer(context, "DetachPod", what, std::unexpected(reply.error()));
  response->set_detaches_at(reply->leaves_at.value_or(0));
  return answer(context, "DetachPod", what, {});
}

grpc::Status NodeApi::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                v1::GetStatusResponse* response) {
  const auto turn = replies_.turn(peer_);
  auto status = node_.status();
  if (!status) return finish(*context, status.error());
  *response = to_message(*status, version_);
  const auto level = spdlog::level::to_string_view(spdlog::get_level());
  response->set_log_level(std::string(level.data(), level.size()));
  return replies_.send(peer_, *context, *response);
}

grpc::Status NodeApi::Describe(grpc::ServerContext* context, const v1::DescribeRequest* request,
                               v1::DescribeResponse* response) {
  auto key = wire::to_model(request->key());
  if (!key) return finish(*context, key.error());
  auto description = node_.describe(*key);
  if (!description) return finish(*context, description.error());
  *response = to_message(*description);
  return grpc::Status::OK;
}

grpc::Status NodeApi::SetLogLevel(grpc::ServerContext* context, const v1::SetLogLevelRequest* request,
                                  v1::SetLogLevelResponse* response) {
  static constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warn", "error"};
  const std::string& level = request->level();
  if (auto may = may_write(peer_, "SetLogLevel"); !may)
    return answer(context, "SetLogLevel", model::printable(level), may);
  if (std::ranges::find(kLevels, level) == kLevels.end()) {
    Error error{ErrorCode::kInvalid,
                "log level: level: " + model::in_quotes(level) + " is unknown; choose debug, info, warn or error"};
    error.details.push_back({"log level", "level", level, "is unknown", "choose debug, info, warn or error"});
    return answer(context, "SetLogLevel", model::printable(level), std::unexpected(std::move(error)));
  }
  const auto before = spdlog::level::to_string_view(spdlog::get_level());
  response->set_previous(std::string(before.data(), before.size()));
  spdlog::set_level(spdlog::level::from_str(level));
  return answer(context, "SetLogLevel", level, {});
}

grpc::Status NodeApi::AdoptStore(grpc::ServerContext* context, const v1::AdoptStoreRequest*,
                                 v1::AdoptStoreResponse* response) {
  if (auto may = may_write(peer_, "AdoptStore"); !may) return answer(context, "AdoptStore", "", may);
  auto former = node_.adopt_store();
  if (!former) return answer(context, "AdoptStore", "", std::unexpected(former.error()));
  response->set_former_reason(*former);
  return answer(context, "AdoptStore", *former, {});
}

}  // namespace sluice::api
