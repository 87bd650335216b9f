// SPDX-License-Identifier: Apache-2.0
#include "cli/specification.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/kinds.hpp"
#include "model/times.hpp"

namespace sluice::cli {
namespace {

template <typename Labels>
void put_labels(Json& json, const char* field, const Labels& labels) {
  std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  for (const auto& [key, value] : sorted) json[field][key] = value;
}

void put_text(Json& json, const char* field, const std::string& text) {
  if (!text.empty()) json[field] = text;
}

Json affinity_json(const v1::Affinity& affinity) {
  Json json = Json::object();
  if (affinity.has_timeout_seconds()) json["timeout"] = affinity.timeout_seconds();
  return json;
}

void put_protocol(Json& json, v1::Protocol protocol) {
  if (protocol == v1::UDP) json["protocol"] = "UDP";
  if (protocol == v1::SCTP) json["protocol"] = "SCTP";
}

void put_families(Json& json, const google::protobuf::RepeatedField<int>& families) {
  for (const int family : families) json["families"].push_back(family == v1::IPV6 ? "IPv6" : "IPv4");
}

void put(Json& json, const v1::Network& network) {
  put_labels(json, "labels", network.labels());
  put_text(json, "cidr4", network.cidr4());
  put_text(json, "router4", network.router4());
  put_families(json, network.families());
  put_text(json, "cidr6", network.cidr6());
  put_text(json, "domain", network.domain());
  if (network.egress() == v1::EGRESS_NONE) json["egress"] = "none";
  const v1::NetworkLimits& limits = network.limits();
  if (limits.has_guaranteed_flows()) json["limits"]["guaranteed_flows"] = limits.guaranteed_flows();
  if (limits.has_max_flows()) json["limits"]["max_flows"] = limits.max_flows();
  if (limits.has_max_half_open_flows()) json["limits"]["max_half_open_flows"] = limits.max_half_open_flows();
}

void put(Json& json, const v1::Pod& pod) {
  put_labels(json, "labels", pod.labels());
  put_families(json, pod.families());
  put_text(json, "address4", pod.address4());
  put_text(json, "address6", pod.address6());
  for (const v1::PodPort& port : pod.ports()) {
    Json one = {{"name", port.name()}, {"port", port.port()}};
    put_protocol(one, port.protocol());
    json["ports"].push_back(std::move(one));
  }
  if (pod.has_weight()) json["weight"] = pod.weight();
  if (pod.state() == v1::DRAINING) json["state"] = "draining";
  if (pod.drain_deadline() != 0) json["drain_deadline"] = model::moment_text(pod.drain_deadline());
}

void put(Json& json, const v1::Service& service) {
  put_labels(json, "labels", service.labels());
  put_labels(json, "selector", service.selector());
  for (const v1::ServicePort& port : service.ports()) {
    Json one = Json::object();
    put_text(one, "name", port.name());
    one["port"] = port.port();
    put_protocol(one, port.protocol());
    if (port.has_target_port()) one["target_port"] = port.target_port();
    if (port.has_target_name()) one["target_port"] = port.target_name();
    json["ports"].push_back(std::move(one));
  }
  put_families(json, service.families());
  put_text(json, "address4", service.address4());
  put_text(json, "address6", service.address6());
  if (const std::string algorithm = algorithm_text(service.algorithm()); algorithm != "hash") {
    json["algorithm"] = algorithm;
  }
  put_text(json, "floating_ip", service.floating_ip());
  if (service.has_affinity()) json["affinity"] = affinity_json(service.affinity());
}

void put(Json& json, const v1::FloatingIP& floating_ip) {
  put_labels(json, "labels", floating_ip.labels());
  put_text(json, "address", floating_ip.address());
  put_text(json, "address6", floating_ip.address6());
  put_text(json, "pool", floating_ip.pool());
}

void put(Json& json, const v1::Node& node) {
  put_labels(json, "labels", node.labels());
  put_text(json, "underlay4", node.underlay4());
  put_text(json, "public_key", node.public_key());
}

Json status(const v1::Resource& resource) {
  switch (resource.kind_case()) {
    case v1::Resource::kNetwork:
      return {{"id", resource.network().id()}, {"slot", resource.network().slot()}};
    case v1::Resource::kPod:
      return {{"address4", resource.pod().status().address4()}, {"address6", resource.pod().status().address6()}};
    case v1::Resource::kService:
      return {{"address4", resource.service().status().address4()},
              {"address6", resource.service().status().address6()}};
    case v1::Resource::kFloatingIp:
      return {{"address", resource.floating_ip().status().address()},
              {"address6", resource.floating_ip().status().address6()},
              {"pool", resource.floating_ip().status().pool()}};
    default:
      return Json::object();
  }
}

/// Whether every reader of YAML takes the text for a text, and for this one, without quotes.
bool is_plain(const std::string& text) {
  constexpr std::array<std::string_view, 9> kWords = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  const auto is_alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (text.empty() || !is_alnum(text.front())) return false;
  if (!std::ranges::all_of(text, [&](char c) { return is_alnum(c) || std::string_view("._/-").contains(c); }))
    return false;
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (std::ranges::find(kWords, lower) != kWords.end()) return false;
  // Numbers, dates and the like; an address or prefix has three dots.
  const bool digits_first = lower.front() >= '0' && lower.front() <= '9';
  return !digits_first || std::ranges::count(lower, '.') == 3;
}

std::string yaml_text(const std::string& text) {
  if (is_plain(text)) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      std::array<char, 5> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", byte);
      quoted += escape.data();
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

std::string yaml_scalar(const Json& value) {
  return value.is_string() ? yaml_text(value.get<std::string>()) : value.dump();
}

std::string yaml_mapping(const Json& mapping, const std::string& indent, const std::string& first_indent) {
  std::string text;
  for (const auto& [key, value] : mapping.items()) {
    text += text.empty() ? first_indent : indent;
    text += yaml_text(key) + ":";
    if (value.is_object()) {
      text += "\n" + yaml_mapping(value, indent + "  ", indent + "  ");
    } else if (value.is_array()) {
      text += "\n";
      for (const Json& item : value) text += yaml_mapping(item, indent + "    ", indent + "  - ");
    } else {
      text += " " + yaml_scalar(value) + "\n";
    }
  }
  return text;
}

}  // namespace

std::string algorithm_text(v1::Algorithm algorithm) {
  switch (algorithm) {
    case v1::SOURCE:
      return "source";
    case v1::RANDOM:
      return "random";
    case v1::ROUND_ROBIN:
      return "round_robin";
    case v1::LEAST_CONNECTIONS:
      return "least_connections";
    default:
      return "hash";
  }
}

Json specification(const v1::Resource& resource) {
  const model::Key key = key_of(resource);
  Json json = {{"kind", std::string(model::name(key.kind))}};
  if (model::is_in_network(key.kind)) json["network"] = key.name.network;
  json["name"] = key.name.name;
  if (resource.has_network()) put(json, resource.network());
  if (resource.has_pod()) put(json, resource.pod());
  if (resource.has_service()) put(json, resource.service());
  if (resource.has_floating_ip()) put(json, resource.floating_ip());
  if (resource.has_node()) put(json, resource.node());
  return json;
}

Json document(const v1::Resource& resource) {
  Json json = specification(resource);
  json["status"] = status(resource);
  json["metadata"] = {{"created_revision", resource.metadata().created_revision()},
                      {"modified_revision", resource.metadata().modified_revision()},
                      {"created_seconds", resource.metadata().created_seconds()}};
  return json;
}

std::string manifest(const v1::Resource& resource) {
  return yaml_mapping(specification(resource), "", "");
}

}  // namespace sluice::cli
