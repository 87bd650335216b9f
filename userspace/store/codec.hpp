// SPDX-License-Identifier: Apache-2.0
// Resources as keys and values of KeyValues: "r/KIND/[NETWORK/]NAME" holds a sluice.v1.Resource, "i/..." what the
// search for free numbers remembers. docs/store.md lists them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/resource.hpp"
#include "model/world.hpp"
#include "store/key_values.hpp"
#include "wire/convert.hpp"

namespace sluice::store {

/// A resource as it is kept.
struct Stored {
  model::Resource resource;
  wire::Assigned assigned;
  bool operator==(const Stored&) const = default;
};

inline constexpr std::string_view kResources = "r/";
inline constexpr std::string_view kCursors = "i/cursors";
inline constexpr std::string_view kNetworkCursors = "i/network/";
inline constexpr std::string_view kPoolCursors = "i/pool/";

std::string key_text(const model::Key& key);
/// Nothing if it is the key of no resource.
std::optional<model::Key> parse_key(std::string_view text);

std::string encode(const Stored& stored);
/// The value of a resource's key; the revisions come from `pair`. kInvalid if it is damaged.
Result<Stored> decode(const KeyValue& pair);
Result<Stored> decode(std::string_view value);

std::string encode(const model::Cursors& cursors);
std::string encode(const model::NetworkCursors& cursors);
std::string encode_pool_cursor(const model::Addresses& last);
Result<model::Cursors> decode_cursors(std::string_view value);
Result<model::NetworkCursors> decode_network_cursors(const KeyValue& pair);
Result<model::Addresses> decode_pool_cursor(const KeyValue& pair);

}  // namespace sluice::store
