// SPDX-License-Identifier: Apache-2.0
// How a command line names resources: kinds with their plurals and short names, and [NETWORK/]NAME.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/resource.hpp"
#include "wire/resources.pb.h"

namespace sluice::cli {

/// Kinds in the order in which they are shown.
const std::vector<model::Kind>& all_kinds();
/// "networks", "pods", "services", "floatingips", "nodes".
std::string plural(model::Kind kind);
/// Every word that names a kind, for completion.
std::vector<std::string_view> kind_words();

/// "pod", "Pods", "po", ...; the message of a refusal names the nearest.
Result<model::Kind> parse_kind(std::string_view text);
/// NETWORK/NAME alone.
Result<model::Name> parse_pod_name(std::string_view text);
Result<model::Name> parse_service_name(std::string_view text);
/// kInvalid if the kind is outside of networks and a network is given all the same.
Status check_network_option(model::Kind kind, const std::string& network);
/// NETWORK/NAME, or NAME in `network` (empty: the network `default`); NAME alone for kinds outside of networks.
Result<model::Key> parse_key(model::Kind kind, std::string_view text, const std::string& network);
/// "key=value,..."
Result<model::Labels> parse_labels(std::string_view text);

/// The key of what the message holds.
model::Key key_of(const v1::Resource& resource);
/// What commands take as a name: "shop/web" or "shop".
std::string name_text(const model::Key& key);

/// "; did you mean 'x'?" or nothing.
std::string did_you_mean(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace sluice::cli
