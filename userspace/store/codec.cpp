// SPDX-License-Identifier: Apache-2.0
#include "store/codec.hpp"

#include <array>
#include <utility>

namespace sluice::store {
namespace {

using model::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 5> kKinds{{{Kind::kNetwork, "network"},
                                                                   {Kind::kFloatingIp, "floating-ip"},
                                                                   {Kind::kNode, "node"},
                                                                   {Kind::kPod, "pod"},
                                                                   {Kind::kService, "service"}}};

template <typename Message>
std::string serialized(const Message& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return bytes;
}

std::unexpected<Error> damaged(std::string_view key) {
  return fail(ErrorCode::kInvalid, std::string(key) + ": is damaged; restore a backup");
}

}  // namespace

std::string key_text(const model::Key& key) {
  std::string text(kResources);
  for (const auto& [kind, word] : kKinds) {
    if (kind == key.kind) text += word;
  }
  text += '/';
  if (model::is_in_network(key.kind)) text += key.name.network + '/';
  return text + key.name.name;
}

std::optional<model::Key> parse_key(std::string_view text) {
  if (!text.starts_with(kResources)) return std::nullopt;
  text.remove_prefix(kResources.size());
  for (const auto& [kind, word] : kKinds) {
    if (!text.starts_with(word) || text.size() <= word.size() || text[word.size()] != '/') continue;
    text.remove_prefix(word.size() + 1);
    model::Key key{kind, {}};
    if (model::is_in_network(kind)) {
      const std::size_t slash = text.find('/');
      if (slash == std::string_view::npos) return std::nullopt;
      key.name.network = text.substr(0, slash);
      text.remove_prefix(slash + 1);
    }
    key.name.name = text;
    return key;
  }
  return std::nullopt;
}

std::string encode(const Stored& stored) {
  return serialized(wire::to_message(stored.resource, stored.assigned));
}

Result<Stored> decode(std::string_view value) {
  v1::Resource message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return fail(ErrorCode::kInvalid, "is no resource of sluice.v1");
  }
  auto resource = wire::to_model(message);
  if (!resource) return std::unexpected(resource.error());
  auto assigned = wire::assigned_of(message);
  if (!assigned) return std::unexpected(assigned.error());
  return Stored{std::move(*resource), *assigned};
}

Result<Stored> decode(const KeyValue& pair) {
  auto stored = decode(std::string_view(pair.value));
  if (!stored) {
    return fail(ErrorCode::kInvalid,
                pair.key + ": " + stored.error().message + "; the store is damaged: restore a backup");
  }
  stored->assigned.created = pair.created;
  stored->assigned.modified = pair.modified;
  const auto key = parse_key(pair.key);
  if (!key || *key != model::key_of(stored->resource)) {
    return fail(ErrorCode::kInvalid, pair.key + ": holds " + model::describe(model::key_of(stored->resource)) +
                                         "; the store is damaged: restore a backup");
  }
  return stored;
}

std::string encode(const model::Cursors& cursors) {
  v1::Cursors message;
  message.set_network_id(cursors.id);
  message.set_network_slot(cursors.slot);
  return serialized(message);
}

std::string encode(const model::NetworkCursors& cursors) {
  v1::NetworkCursors message;
  message.set_pod(cursors.pod);
  message.set_service(cursors.service);
  message.set_pod6(cursors.pod6);
  message.set_service6(cursors.service6);
  return serialized(message);
}

std::string encode_pool_cursor(const model::Addresses& last) {
  v1::PoolCursor message;
  if (last.v4) message.set_address4(last.v4->text());
  if (last.v6) message.set_address6(last.v6->text());
  return serialized(message);
}

Result<model::Cursors> decode_cursors(std::string_view value) {
  v1::Cursors message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) return damaged(kCursors);
  return model::Cursors{message.network_id(), message.network_slot()};
}

Result<model::NetworkCursors> decode_network_cursors(const KeyValue& pair) {
  v1::NetworkCursors message;
  if (!message.ParseFromArray(pair.value.data(), static_cast<int>(pair.value.size()))) return damaged(pair.key);
  return model::NetworkCursors{message.pod(), message.service(), message.pod6(), message.service6()};
}

Result<model::Addresses> decode_pool_cursor(const KeyValue& pair) {
  v1::PoolCursor message;
  if (!message.ParseFromArray(pair.value.data(), static_cast<int>(pair.value.size()))) return damaged(pair.key);
  model::Addresses last;
  if (const auto address = Ipv4::parse(message.address4())) last.v4 = *address;
  if (const auto address = Ipv6::parse(message.address6())) last.v6 = *address;
  const bool damaged4 = !message.address4().empty() && !last.v4;
  const bool damaged6 = !message.address6().empty() && !last.v6;
  if (last.none() || damaged4 || damaged6) return damaged(pair.key);
  return last;
}

}  // namespace sluice::store
