// SPDX-License-Identifier: Apache-2.0
#include "scripted_server.hpp"

#include <stdlib.h>

#include <algorithm>
#include <fstream>

#include "store/manifest.hpp"
#include "wire/convert.hpp"

namespace sluice::testing {
namespace {

model::Key key_of(const v1::Resource& resource) {
  return model::key_of(wire::to_model(resource).value());
}

std::map<std::string, std::string> labels_of(const v1::Resource& resource) {
  return std::visit([](const auto& value) { return value.labels; }, wire::to_model(resource).value());
}

}  // namespace

grpc::Status ScriptedResources::Get(grpc::ServerContext* context, const v1::GetRequest* request,
                                    v1::Resource* response) {
  const model::Key key = wire::to_model(request->key()).value();
  const auto found = std::ranges::find(present, key, key_of);
  if (found == present.end()) {
    return api::finish(*context, Error{ErrorCode::kNotFound, model::describe(key) + ": name: does not exist"});
  }
  *response = *found;
  return grpc::Status::OK;
}

grpc::Status ScriptedResources::List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) {
  listed.push_back(*request);
  for (const v1::Resource& resource : present) {
    const model::Key key = key_of(resource);
    const auto labels = labels_of(resource);
    const bool has_labels = std::ranges::all_of(request->labels(), [&](const auto& label) {
      const auto found = labels.find(label.first);
      return found != labels.end() && found->second == label.second;
    });
    const bool in_network = request->network().empty() || key.name.network == request->network();
    if (wire::to_message(key.kind) == request->kind() && in_network && has_labels) {
      *response->add_resources() = resource;
    }
  }
  return grpc::Status::OK;
}

grpc::Status ScriptedResources::Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                                      v1::ApplyResponse* response) {
  applied.push_back(*request);
  on_apply();
  if (refusal) return api::finish(*context, *refusal);
  *response = answer;
  for (const v1::ResourceEdit& edit : request->edits()) {
    if (answer.outcomes_size() != 0) break;
    v1::Outcome& outcome = *response->add_outcomes();
    const model::Key key = key_of(edit.put());
    *outcome.mutable_key() = wire::to_message(key);
    const auto before = std::ranges::find(present, key, key_of);
    outcome.set_action(before == present.end() ? v1::Outcome::CREATED : v1::Outcome::CHANGED);
    if (before != present.end()) *outcome.mutable_before() = *before;
    *outcome.mutable_after() = edit.put();
  }
  return grpc::Status::OK;
}

grpc::Status ScriptedResources::Delete(grpc::ServerContext* context, const v1::DeleteRequest* request,
                                       v1::ApplyResponse* response) {
  deleted.push_back(*request);
  if (refusal) return api::finish(*context, *refusal);
  *response = answer;
  return grpc::Status::OK;
}

grpc::Status ScriptedResources::Watch(grpc::ServerContext* context, const v1::WatchRequest* request,
                                      grpc::ServerWriter<v1::WatchResponse>* writer) {
  watched.push_back(*request);
  if (watched.size() > streams.size()) return {grpc::StatusCode::INTERNAL, "the script has ended"};
  const Stream& stream = streams[watched.size() - 1];
  for (const v1::WatchResponse& response : stream.responses) writer->Write(response);
  if (const Error* error = std::get_if<Error>(&stream.end)) return api::finish(*context, *error);
  return std::get<grpc::Status>(stream.end);
}

v1::Resource resource_of(const std::string& manifest, std::uint64_t revision) {
  const auto declared = store::read_manifests({{"test.yaml", manifest}});
  if (!declared || declared->resources.size() != 1) {
    ADD_FAILURE() << (declared ? "not one resource" : store::summarize(declared.error()).message);
    return {};
  }
  wire::Assigned assigned;
  assigned.addresses = Ipv4{0xAC100002};
  assigned.network_id = 5;
  assigned.network_slot = 1;
  assigned.created = revision;
  assigned.modified = revision;
  return wire::to_message(declared->resources.front().resource, assigned);
}

void ResourceCommands::SetUp() {
  std::string folder = (std::filesystem::temp_directory_path() / "sluicectl-api-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  folder_ = folder;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket(), grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(&resources_);
  builder.RegisterService(&node_);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
}

void ResourceCommands::TearDown() {
  if (server_) server_->Shutdown();
  std::filesystem::remove_all(folder_);
}

Outcome ResourceCommands::run(std::vector<std::string> arguments, const std::string& input) const {
  arguments.insert(arguments.begin(), {"--socket", socket()});
  return run_sluicectl(arguments, User::kRoot, input);
}

std::string ResourceCommands::write(const std::string& name, const std::string& text) const {
  std::filesystem::create_directories((folder_ / name).parent_path());
  std::ofstream(folder_ / name) << text;
  return (folder_ / name).string();
}

}  // namespace sluice::testing
