// SPDX-License-Identifier: Apache-2.0
#include "store/manifest.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "model/names.hpp"
#include "model/validate.hpp"

namespace sluice::store {
namespace {

using model::Name;
using model::printable;
using model::quoted;

constexpr std::array<std::string_view, 2> kProtocols = {"TCP", "UDP"};
constexpr std::array<std::string_view, 3> kAlgorithms = {"hash", "source", "random"};
constexpr std::array<std::string_view, 3> kLaterAlgorithms = {"round_robin", "round-robin", "least_connections"};
constexpr std::array<std::string_view, 2> kPodStates = {"running", "draining"};

/// Reads documents one after the other into a Manifest.
class Reader {
 public:
  void read(const ManifestFile& file) {
    const auto problem = read_yaml(file.text, [&](YamlNode&& document) {
      read_document(file.path, document);
      return !report_.full();
    });
    if (problem) report_.add(ErrorCode::kInvalid, Place{file.path, problem->line}, problem->message);
  }

  std::expected<Manifest, std::vector<Error>> finish();

 private:
  void read_document(const std::string& file, const YamlNode& document);
  void read_empty(const Fields& fields, Context& context);
  void read_network(const Fields& fields, Context& context);
  void read_pod(const Fields& fields, Context& context);
  void read_service(const Fields& fields, Context& context);
  void read_floating_ip(const Fields& fields, Context& context);

  std::optional<std::string> read_name(const Fields& fields) const;
  std::optional<Name> read_name_in_network(const Fields& fields) const;
  void read_limits(const Fields& fields, const Context& context, model::Network& network) const;
  void read_pod_ports(const Fields& fields, const Context& context, model::Pod& pod) const;
  void read_service_ports(const Fields& fields, const Context& context, model::Service& service) const;
  void read_target(const Fields& port_fields, model::ServicePort& port) const;
  static model::Protocol read_protocol(const Fields& port_fields);

  /// Files the resource, or reports that another document has its name.
  template <typename Resources, typename Key, typename Resource>
  void put(Resources& resources, const Key& key, Resource resource, const Context& context, std::size_t line) {
    const auto [place, fresh] = manifest_.places.try_emplace(context.resource, Place{context.file, line});
    if (!fresh) {
      context.problem(ErrorCode::kExists, line, "name",
                      "is declared twice, first at " + place->second.text() + "; remove one or rename it");
      return;
    }
    resources.emplace(key, std::move(resource));
  }

  Manifest manifest_;
  Report report_;
  std::size_t line_ = 0;  ///< of the document that is being read
  std::optional<Place> empty_;
};

void Reader::read_document(const std::string& file, const YamlNode& document) {
  using Read = void (Reader::*)(const Fields&, Context&);
  struct Kind {
    std::string_view name;
    Read read;
    FieldNames fields;
  };
  static const std::array<Kind, 5> kinds = {{
      {"Network",
       &Reader::read_network,
       {{"kind", "name", "labels", "cidr4", "router4", "domain", "limits"}, {"cidr6", "router6", "encryption", "mtu"}}},
      {"Pod",
       &Reader::read_pod,
       {{"kind", "name", "network", "labels", "address4", "ports", "state"}, {"address6", "node"}}},
      {"Service",
       &Reader::read_service,
       {{"kind", "name", "network", "labels", "selector", "ports", "address4", "algorithm", "floating_ip"},
        {"address6", "affinity", "health_check", "weights"}}},
      {"FloatingIP", &Reader::read_floating_ip, {{"kind", "name", "address"}, {}}},
      {"Empty", &Reader::read_empty, {{"kind"}, {}}},
  }};
  static constexpr std::array<std::string_view, 4> kNames = {"Network", "Pod", "Service", "FloatingIP"};

  line_ = document.line;
  Context context{file, "document", &report_};
  if (document.kind != YamlNode::Kind::kMap) {
    report_.add(
        ErrorCode::kInvalid, Place{file, document.line},
        "a document is " + std::string(describe(document.kind)) + ", must be a mapping that begins with 'kind: ...'");
    return;
  }
  const Fields fields(document, context);
  const std::optional<std::string> wanted = fields.text("kind", true);
  if (!wanted) return;
  if (*wanted == "Node") {
    fields.problem("kind", "'Node' is not supported yet; remove the document", ErrorCode::kUnsupported);
    return;
  }
  const auto kind = std::ranges::find(kinds, *wanted, &Kind::name);
  if (kind == kinds.end()) {
    fields.problem("kind", quoted(*wanted) + " is unknown" + suggestion(*wanted, kNames));
    return;
  }
  context.resource = *wanted;
  (this->*kind->read)(fields, context);
  fields.check(kind->fields);
}

void Reader::read_empty(const Fields&, Context& context) {
  empty_ = Place{context.file, line_};
}

/// A bad name still names the resource in the messages about its other fields.
std::optional<std::string> Reader::read_name(const Fields& fields) const {
  std::optional<std::string> name = fields.text("name", true);
  if (!name || model::is_dns_label(*name)) return name;
  fields.problem("name", quoted(*name) + " is not a DNS label; " + std::string(model::kDnsLabelRule));
  return std::nullopt;
}

std::optional<Name> Reader::read_name_in_network(const Fields& fields) const {
  std::optional<std::string> name = read_name(fields);
  std::optional<std::string> network = std::string(model::kDefaultNetwork);
  if (fields.has("network")) network = fields.text("network");
  if (network && !model::is_dns_label(*network)) {
    fields.problem("network", quoted(*network) + " is not a DNS label; " + std::string(model::kDnsLabelRule));
    network.reset();
  }
  if (!name || !network) return std::nullopt;
  return Name{*network, *name};
}

void Reader::read_limits(const Fields& fields, const Context& context, model::Network& network) const {
  const YamlNode* node = fields.map("limits");
  if (node == nullptr) return;
  const Fields limits(*node, context, "limits.");
  limits.check({{"guaranteed_flows", "max_flows", "max_half_open_flows"}, {}});
  constexpr std::uint32_t kHighest = 0xFFFFFFFF;
  network.max_flows = limits.number("max_flows", 1, kHighest).value_or(network.max_flows);
  // Who lowers the maximum alone wants less, not an error about a guarantee that they never wrote.
  network.guaranteed_flows =
      limits.number("guaranteed_flows", 0, kHighest).value_or(std::min(network.guaranteed_flows, network.max_flows));
  network.max_half_open_flows = limits.number("max_half_open_flows", 0, kHighest)
                                    .value_or(std::min(network.max_half_open_flows, network.max_flows));
}

void Reader::read_network(const Fields& fields, Context& context) {
  model::Network network;
  const std::optional<std::string> name = read_name(fields);
  if (name) network.name = *name;
  if (name) context.resource = model::describe(network);
  network.labels = fields.labels("labels").value_or(model::Labels{});
  network.cidr4 = fields.address<Cidr4>("cidr4").value_or(network.cidr4);
  network.router4 = fields.address<Ipv4>("router4");
  network.domain = fields.text("domain").value_or(network.domain);
  read_limits(fields, context, network);
  if (name) put(manifest_.state.networks, *name, std::move(network), context, line_);
}

model::Protocol Reader::read_protocol(const Fields& port_fields) {
  return port_fields.choice("protocol", kProtocols) == "UDP" ? model::Protocol::kUdp : model::Protocol::kTcp;
}

void Reader::read_pod_ports(const Fields& fields, const Context& context, model::Pod& pod) const {
  const YamlNode* list = fields.list_of_maps("ports");
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->items.size(); i++) {
    const Fields port(list->items[i], context, "ports[" + std::to_string(i) + "].");
    port.check({{"name", "port", "protocol"}, {}});
    const std::optional<std::string> name = port.text("name", true);
    const std::uint32_t number = port.number("port", 1, 65535, true).value_or(1);
    const model::NamedPort named{static_cast<std::uint16_t>(number), read_protocol(port)};
    if (name && !pod.ports.emplace(*name, named).second) {
      port.problem("name", quoted(*name) + " stands twice; give each port its own name", ErrorCode::kExists);
    }
  }
}

void Reader::read_pod(const Fields& fields, Context& context) {
  model::Pod pod;
  const std::optional<Name> name = read_name_in_network(fields);
  if (name) pod.name = *name;
  if (name) context.resource = model::describe(pod);
  pod.labels = fields.labels("labels").value_or(model::Labels{});
  pod.address4 = fields.address<Ipv4>("address4");
  read_pod_ports(fields, context, pod);
  pod.draining = fields.choice("state", kPodStates) == "draining";
  if (name) put(manifest_.state.pods, *name, std::move(pod), context, line_);
}

void Reader::read_target(const Fields& port_fields, model::ServicePort& port) const {
  port.target_port = port.port;
  if (!port_fields.has("target_port")) return;
  const std::optional<std::string> text = port_fields.text("target_port");
  if (!text) return;
  const bool letters = std::ranges::any_of(*text, [](char c) { return c >= 'a' && c <= 'z'; });
  if (letters && model::is_dns_label(*text)) {
    port.target_port = *text;
    return;
  }
  if (letters) {
    port_fields.problem("target_port", quoted(*text) + " is neither a number nor the name of a port; " +
                                           std::string(model::kDnsLabelRule));
    return;
  }
  const auto number = port_fields.number("target_port", 1, 65535);
  if (number) port.target_port = static_cast<std::uint16_t>(*number);
}

void Reader::read_service_ports(const Fields& fields, const Context& context, model::Service& service) const {
  if (!fields.has("ports")) {
    fields.problem("ports", "is missing; declare at least one port");
    return;
  }
  const YamlNode* list = fields.list_of_maps("ports");
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->items.size(); i++) {
    const Fields port_fields(list->items[i], context, "ports[" + std::to_string(i) + "].");
    port_fields.check({{"name", "port", "protocol", "target_port"}, {}});
    model::ServicePort port;
    port.name = port_fields.text("name").value_or("");
    if (port_fields.has("name") && port.name.empty()) {
      port_fields.problem("name", "is empty; fill it in or remove the line");
    }
    port.port = static_cast<std::uint16_t>(port_fields.number("port", 1, 65535, true).value_or(1));
    port.protocol = read_protocol(port_fields);
    read_target(port_fields, port);
    service.ports.push_back(std::move(port));
  }
}

void Reader::read_service(const Fields& fields, Context& context) {
  model::Service service;
  const std::optional<Name> name = read_name_in_network(fields);
  if (name) service.name = *name;
  if (name) context.resource = model::describe(service);
  service.labels = fields.labels("labels").value_or(model::Labels{});
  if (!fields.has("selector")) fields.problem("selector", "is missing; name at least one label of the pods");
  service.selector = fields.labels("selector").value_or(model::Labels{});
  read_service_ports(fields, context, service);
  service.address4 = fields.address<Ipv4>("address4");
  const auto algorithm = fields.choice("algorithm", kAlgorithms, kLaterAlgorithms);
  if (algorithm == "source") service.algorithm = model::Algorithm::kSource;
  if (algorithm == "random") service.algorithm = model::Algorithm::kRandom;
  service.floating_ip = fields.text("floating_ip");
  if (name) put(manifest_.state.services, *name, std::move(service), context, line_);
}

void Reader::read_floating_ip(const Fields& fields, Context& context) {
  model::FloatingIp floating_ip;
  const std::optional<std::string> name = read_name(fields);
  if (name) floating_ip.name = *name;
  if (name) context.resource = model::describe(floating_ip);
  const std::optional<Ipv4> address = fields.address<Ipv4>("address", true);
  floating_ip.address = address.value_or(Ipv4{});
  if (name) put(manifest_.state.floating_ips, *name, std::move(floating_ip), context, line_);
}

std::expected<Manifest, std::vector<Error>> Reader::finish() {
  if (!report_.empty()) return std::unexpected(report_.take());
  if (empty_ && !manifest_.places.empty()) {
    const auto& [resource, place] = *manifest_.places.begin();
    report_.add(ErrorCode::kInvalid, *empty_,
                "kind Empty stands beside other resources (" + resource + " at " + place.text() +
                    "); remove it or all of them");
  } else if (!empty_ && manifest_.places.empty()) {
    return std::unexpected(std::vector<Error>{
        {ErrorCode::kInvalid,
         "the manifests declare nothing; declare a resource, or write 'kind: Empty' to remove everything"}});
  }
  model::add_default_network(manifest_.state);
  for (const Error& error : model::validate(manifest_.state)) {
    const auto place = manifest_.places.find(error.message.substr(0, error.message.find(": ")));
    const Place where = place == manifest_.places.end() ? Place{"manifests", 0} : place->second;
    report_.add(error.code, where, error.message);
  }
  if (!report_.empty()) return std::unexpected(report_.take());
  return std::move(manifest_);
}

}  // namespace

std::expected<Manifest, std::vector<Error>> parse_manifests(const std::vector<ManifestFile>& files) {
  Reader reader;
  for (const ManifestFile& file : files) reader.read(file);
  return reader.finish();
}

Error summarize(const std::vector<Error>& errors) {
  constexpr std::size_t kShown = 20;
  if (errors.empty()) return Error{ErrorCode::kInvalid, "no problem"};
  const bool same = std::ranges::all_of(errors, [&](const Error& error) { return error.code == errors.front().code; });
  Error summary{same ? errors.front().code : ErrorCode::kInvalid, ""};
  for (std::size_t i = 0; i < std::min(errors.size(), kShown); i++) {
    summary.message += (i == 0 ? "" : "\n") + errors[i].message;
  }
  if (errors.size() > kShown) {
    const bool cut = errors.size() >= Report::kMaxProblems;
    summary.message +=
        "\nand " + std::string(cut ? "at least " : "") + std::to_string(errors.size() - kShown) + " more problems";
  }
  return summary;
}

}  // namespace sluice::store
