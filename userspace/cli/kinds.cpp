// SPDX-License-Identifier: Apache-2.0
#include "cli/kinds.hpp"

#include <algorithm>
#include <array>

#include "model/names.hpp"
#include "model/validate.hpp"
#include "store/fields.hpp"

namespace sluice::cli {
namespace {

using model::in_quotes;
using model::Kind;

struct KindWord {
  std::string_view word;
  Kind kind;
};

constexpr std::array<KindWord, 17> kWords = {{
    {"networks", Kind::kNetwork},
    {"network", Kind::kNetwork},
    {"net", Kind::kNetwork},
    {"pods", Kind::kPod},
    {"pod", Kind::kPod},
    {"po", Kind::kPod},
    {"services", Kind::kService},
    {"service", Kind::kService},
    {"svc", Kind::kService},
    {"floatingips", Kind::kFloatingIp},
    {"floatingip", Kind::kFloatingIp},
    {"fip", Kind::kFloatingIp},
    {"fips", Kind::kFloatingIp},
    {"floating_ip", Kind::kFloatingIp},
    {"nodes", Kind::kNode},
    {"node", Kind::kNode},
    {"no", Kind::kNode},
}};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

/// A name that the daemon could not have is a wrong argument, and never part of a message to it.
Status check_label(std::string_view what, const std::string& text) {
  if (model::is_dns_label(text)) return {};
  return fail(ErrorCode::kInvalid, in_quotes(text) + " is not the name of a " + std::string(what) + ": " +
                                       std::string(model::kDnsLabelRule));
}

Result<model::Name> parse_name(std::string_view what, std::string_view text, std::string_view example) {
  const std::size_t slash = text.find('/');
  const bool good = slash != std::string_view::npos && slash != 0 && slash + 1 != text.size() &&
                    text.find('/', slash + 1) == std::string_view::npos;
  if (!good) {
    return fail(ErrorCode::kInvalid,
                "'" + std::string(text) + "' does not name a " + std::string(what) + ": write " + std::string(example));
  }
  return model::Name{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

}  // namespace

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> kinds = {Kind::kNetwork, Kind::kPod, Kind::kService, Kind::kFloatingIp, Kind::kNode};
  return kinds;
}

std::string plural(Kind kind) {
  return std::string(std::ranges::find(kWords, kind, &KindWord::kind)->word);
}

std::vector<std::string_view> kind_words() {
  std::vector<std::string_view> words;
  for (const KindWord& word : kWords) words.push_back(word.word);
  return words;
}

Result<Kind> parse_kind(std::string_view text) {
  const auto found = std::ranges::find(kWords, lower(text), &KindWord::word);
  if (found != kWords.end()) return found->kind;
  std::string message = in_quotes(text) + " is no kind of resource";
  if (const auto best = store::nearest(text, kind_words())) {
    message += "; did you mean '" + std::string(*best) + "'?";
  } else {
    message += "; kinds are networks (net), pods (po), services (svc), floatingips (fip) and nodes (no)";
  }
  return fail(ErrorCode::kInvalid, message);
}

Result<model::Name> parse_pod_name(std::string_view text) {
  return parse_name("pod", text, "NETWORK/POD, like shop/web-1");
}

Result<model::Name> parse_service_name(std::string_view text) {
  return parse_name("service", text, "NETWORK/SERVICE, like shop/web");
}

Status check_network_option(Kind kind, const std::string& network) {
  if (network.empty() || model::is_in_network(kind)) return {};
  return fail(ErrorCode::kInvalid, plural(kind) + " are in no network: leave out --network " + in_quotes(network));
}

Result<model::Key> parse_key(Kind kind, std::string_view text, const std::string& network) {
  if (const Status good = check_network_option(kind, network); !good) return std::unexpected(good.error());
  model::Key key{kind, {"", std::string(text)}};
  if (model::is_in_network(kind)) {
    key.name.network = network.empty() ? std::string(model::kDefaultNetwork) : network;
    if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
      key.name = {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
    }
    if (!network.empty() && key.name.network != network) {
      return fail(ErrorCode::kInvalid,
                  in_quotes(text) + " is not in the network " + in_quotes(network) + " of --network");
    }
    if (const Status good = check_label("network", key.name.network); !good) return std::unexpected(good.error());
  }
  if (const Status good = check_label(lower(model::name(kind)), key.name.name); !good) {
    return std::unexpected(good.error());
  }
  return key;
}

Result<model::Labels> parse_labels(std::string_view text) {
  model::Labels labels;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    if (equals == std::string_view::npos || !model::is_label_key(key)) {
      return fail(ErrorCode::kInvalid, in_quotes(part) + " is no label: write KEY=VALUE, several parted by ','");
    }
    const std::string value(part.substr(equals + 1));
    if (!labels.emplace(key, value).second) {
      return fail(ErrorCode::kInvalid, "the label " + in_quotes(key) + " stands twice");
    }
    if (comma == std::string_view::npos) return labels;
    text.remove_prefix(comma + 1);
  }
}

model::Key key_of(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kNetwork:
      return {Kind::kNetwork, {"", resource.network().name()}};
    case v1::Resource::kPod:
      return {Kind::kPod, {resource.pod().network(), resource.pod().name()}};
    case v1::Resource::kService:
      return {Kind::kService, {resource.service().network(), resource.service().name()}};
    case v1::Resource::kFloatingIp:
      return {Kind::kFloatingIp, {"", resource.floating_ip().name()}};
    default:
      return {Kind::kNode, {"", resource.node().name()}};
  }
}

std::string name_text(const model::Key& key) {
  return model::is_in_network(key.kind) ? key.name.text() : key.name.name;
}

std::string did_you_mean(std::string_view text, const std::vector<std::string>& candidates) {
  const std::vector<std::string_view> views(candidates.begin(), candidates.end());
  const auto best = store::nearest(text, views);
  return best ? "; did you mean '" + std::string(*best) + "'?" : "";
}

}  // namespace sluice::cli
