// SPDX-License-Identifier: Apache-2.0
#include "store/manifest.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "base/text.hpp"
#include "model/names.hpp"
#include "model/times.hpp"
#include "model/validate.hpp"

namespace sluice::store {
namespace {

using model::in_quotes;
using model::Name;
using model::printable;

constexpr std::array<std::string_view, 3> kProtocols = {"TCP", "UDP", "SCTP"};
constexpr std::array<std::string_view, 5> kAlgorithms = {"hash", "source", "random", "round_robin",
                                                         "least_connections"};
constexpr std::array<std::string_view, 2> kEgressWays = {"node", "none"};
constexpr std::array<std::string_view, 2> kPodStates = {"running", "draining"};

std::optional<std::int64_t> read_moment(const Fields& fields, std::string_view field) {
  const std::optional<std::string> text = fields.text(field);
  if (!text) return std::nullopt;
  const auto moment = model::parse_moment(*text);
  if (moment) return *moment;
  fields.problem(field, moment.error().message);
  return std::nullopt;
}

/// Reads documents one after the other.
class Reader {
 public:
  void read(const ManifestFile& file) {
    const auto problem = read_yaml(file.text, [&](YamlNode&& document) {
      read_document(file.path, document);
      return !report_.full();
    });
    if (problem) report_.add(ErrorCode::kInvalid, Place{file.path, problem->line}, problem->message);
  }

  std::expected<Declarations, std::vector<Error>> finish() {
    if (!report_.empty()) return std::unexpected(report_.take());
    return std::move(declared_);
  }

 private:
  void read_document(const std::string& file, const YamlNode& document);
  void read_empty(const Fields& fields, Context& context);
  void read_network(const Fields& fields, Context& context);
  void read_pod(const Fields& fields, Context& context);
  void read_service(const Fields& fields, Context& context);
  void read_floating_ip(const Fields& fields, Context& context);
  void read_node(const Fields& fields, Context& context);

  std::optional<std::string> read_name(const Fields& fields) const;
  std::optional<Name> read_name_in_network(const Fields& fields) const;
  void read_limits(const Fields& fields, const Context& context, model::Network& network) const;
  void read_pod_ports(const Fields& fields, const Context& context, model::Pod& pod) const;
  void read_service_ports(const Fields& fields, const Context& context, model::Service& service) const;
  void read_target(const Fields& port_fields, model::ServicePort& port) const;
  static model::Protocol read_protocol(const Fields& port_fields);

  /// Files the resource, or reports that another document has its name.
  void put(model::Resource resource, const Context& context) {
    const Place place{context.file, line_};
    const auto [first, fresh] = places_.try_emplace(model::key_of(resource), place);
    if (fresh) return declared_.resources.push_back({std::move(resource), place});
    context.problem(ErrorCode::kExists, line_, "name",
                    "is declared twice, first at " + first->second.text() + "; remove one or rename it");
  }

  Declarations declared_;
  std::map<model::Key, Place> places_;
  Report report_;
  std::size_t line_ = 0;  ///< of the document that is being read
};

void Reader::read_document(const std::string& file, const YamlNode& document) {
  using Read = void (Reader::*)(const Fields&, Context&);
  struct DocumentKind {
    std::string_view name;
    Read read;
    FieldNames fields;
  };
  static const std::array<DocumentKind, 6> kinds = {{
      {"Network",
       &Reader::read_network,
       {{"kind", "name", "labels", "cidr4", "router4", "domain", "limits", "families", "cidr6", "egress"},
        {"router6", "encryption", "mtu"}}},
      {"Pod",
       &Reader::read_pod,
       {{"kind", "name", "network", "labels", "address4", "ports", "weight", "state", "drain_deadline", "families",
         "address6"},
        {"node"}}},
      {"Service",
       &Reader::read_service,
       {{"kind", "name", "network", "labels", "selector", "ports", "address4", "algorithm", "floating_ip", "families",
         "address6", "affinity"},
        {"health_check", "weights"}}},
      {"FloatingIP", &Reader::read_floating_ip, {{"kind", "name", "labels", "address", "address6", "pool"}, {}}},
      {"Node", &Reader::read_node, {{"kind", "name", "labels", "underlay4", "public_key"}, {}}},
      {"Empty", &Reader::read_empty, {{"kind"}, {}}},
  }};
  static constexpr std::array<std::string_view, 5> kNames = {"Network", "Pod", "Service", "FloatingIP", "Node"};

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
  const auto kind = std::ranges::find(kinds, *wanted, &DocumentKind::name);
  if (kind == kinds.end()) {
    fields.problem("kind", in_quotes(*wanted) + " is unknown" + suggestion(*wanted, kNames));
    return;
  }
  context.resource = *wanted;
  (this->*kind->read)(fields, context);
  fields.check(kind->fields);
}

void Reader::read_empty(const Fields&, Context& context) {
  declared_.empty = Place{context.file, line_};
}

/// A bad name still names the resource in the messages about its other fields.
std::optional<std::string> Reader::read_name(const Fields& fields) const {
  std::optional<std::string> name = fields.text("name", true);
  if (!name || model::is_dns_label(*name)) return name;
  fields.problem("name", in_quotes(*name) + " is not a DNS label; " + std::string(model::kDnsLabelRule));
  return std::nullopt;
}

std::optional<Name> Reader::read_name_in_network(const Fields& fields) const {
  std::optional<std::string> name = read_name(fields);
  std::optional<std::string> network = std::string(model::kDefaultNetwork);
  if (fields.has("network")) network = fields.text("network");
  if (network && !model::is_dns_label(*network)) {
    fields.problem("network", in_quotes(*network) + " is not a DNS label; " + std::string(model::kDnsLabelRule));
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
  network.families = fields.families("families");
  network.cidr6 = fields.address<Cidr6>("cidr6");
  network.domain = fields.text("domain").value_or(network.domain);
  if (fields.choice("egress", kEgressWays) == "none") network.egress = model::EgressWay::kNone;
  read_limits(fields, context, network);
  if (name) put(std::move(network), context);
}

model::Protocol Reader::read_protocol(const Fields& port_fields) {
  const auto protocol = port_fields.choice("protocol", kProtocols);
  if (protocol == "SCTP") return model::Protocol::kSctp;
  return protocol == "UDP" ? model::Protocol::kUdp : model::Protocol::kTcp;
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
      port.problem("name", in_quotes(*name) + " stands twice; give each port its own name", ErrorCode::kExists);
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
  pod.address6 = fields.address<Ipv6>("address6");
  pod.families = fields.families("families");
  read_pod_ports(fields, context, pod);
  const auto weight = fields.number("weight", 0, model::kMaxWeight);
  if (weight) pod.weight = static_cast<std::uint16_t>(*weight);
  pod.draining = fields.choice("state", kPodStates) == "draining";
  pod.drain_deadline = read_moment(fields, "drain_deadline");
  if (name) put(std::move(pod), context);
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
    port_fields.problem("target_port", in_quotes(*text) + " is neither a number nor the name of a port; " +
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
  service.address6 = fields.address<Ipv6>("address6");
  service.families = fields.families("families");
  const auto algorithm = fields.choice("algorithm", kAlgorithms);
  if (algorithm == "source") service.algorithm = model::Algorithm::kSource;
  if (algorithm == "random") service.algorithm = model::Algorithm::kRandom;
  if (algorithm == "round_robin") service.algorithm = model::Algorithm::kRoundRobin;
  if (algorithm == "least_connections") service.algorithm = model::Algorithm::kLeastConnections;
  if (const YamlNode* node = fields.map("affinity")) {
    const Fields affinity(*node, context, "affinity.");
    affinity.check({{"timeout"}, {}});
    service.affinity = affinity.number("timeout", 1, model::kMaxAffinity).value_or(model::kDefaultAffinity);
  }
  service.floating_ip = fields.text("floating_ip");
  if (name) put(std::move(service), context);
}

void Reader::read_floating_ip(const Fields& fields, Context& context) {
  model::FloatingIp floating_ip;
  const std::optional<std::string> name = read_name(fields);
  if (name) floating_ip.name = *name;
  if (name) context.resource = model::describe(floating_ip);
  floating_ip.labels = fields.labels("labels").value_or(model::Labels{});
  floating_ip.pool = fields.text("pool").value_or("");
  floating_ip.address = fields.address<Ipv4>("address");
  if (floating_ip.address == Ipv4{}) {  // said here, where the line is known
    fields.problem("address", "0.0.0.0 is no unicast address; choose an address of the public side");
    floating_ip.address.reset();
  }
  floating_ip.address6 = fields.address<Ipv6>("address6");
  if (!fields.has("address") && !fields.has("address6") && !fields.has("pool")) {
    fields.problem("address", "is missing; add it or address6, or name a pool to get one from");
  }
  if (fields.has("pool") && floating_ip.pool.empty()) {
    fields.problem("pool", "is empty; fill it in or remove the line");
  }
  if (name) put(std::move(floating_ip), context);
}

void Reader::read_node(const Fields& fields, Context& context) {
  model::Node node;
  const std::optional<std::string> name = read_name(fields);
  if (name) node.name = *name;
  if (name) context.resource = model::describe(model::key_of(node));
  node.labels = fields.labels("labels").value_or(model::Labels{});
  node.underlay4 = fields.address<Ipv4>("underlay4");
  node.public_key = fields.text("public_key").value_or("");
  if (name) put(std::move(node), context);
}

void file(model::State& state, model::Network&& network) {
  state.networks.emplace(network.name, std::move(network));
}
void file(model::State& state, model::Pod&& pod) {
  state.pods.emplace(pod.name, std::move(pod));
}
void file(model::State& state, model::Service&& service) {
  state.services.emplace(service.name, std::move(service));
}
void file(model::State& state, model::FloatingIp&& floating_ip) {
  state.floating_ips.emplace(floating_ip.name, std::move(floating_ip));
}
void file(model::State& state, model::Node&& node) {
  state.nodes.emplace(node.name, std::move(node));
}

/// What stands beside `kind: Empty`, or declares nothing at all.
void check_emptiness(const Declarations& declared, Report& report) {
  if (!declared.empty || declared.resources.empty()) return;
  const auto first = std::ranges::min_element(
      declared.resources, {}, [](const Declared& one) { return model::describe(model::key_of(one.resource)); });
  report.add(ErrorCode::kInvalid, *declared.empty,
             "kind Empty stands beside other resources (" + model::describe(model::key_of(first->resource)) + " at " +
                 first->place.text() + "); remove it or all of them");
}

}  // namespace

std::expected<Declarations, std::vector<Error>> read_manifests(const std::vector<ManifestFile>& files) {
  Reader reader;
  for (const ManifestFile& file : files) reader.read(file);
  return reader.finish();
}

std::expected<Manifest, std::vector<Error>> parse_manifests(const std::vector<ManifestFile>& files,
                                                            const model::Capacity& capacity) {
  auto declared = read_manifests(files);
  if (!declared) return std::unexpected(std::move(declared.error()));
  if (!declared->empty && declared->resources.empty()) {
    return std::unexpected(std::vector<Error>{
        {ErrorCode::kInvalid,
         "the manifests declare nothing; declare a resource, or write 'kind: Empty' to remove everything"}});
  }
  Report report;
  check_emptiness(*declared, report);
  Manifest manifest;
  for (Declared& one : declared->resources) {
    manifest.places.emplace(model::describe(model::key_of(one.resource)), one.place);
    std::visit([&](auto& resource) { file(manifest.state, std::move(resource)); }, one.resource);
  }
  model::add_default_network(manifest.state);
  for (const Error& error : model::validate(manifest.state, capacity)) {
    const auto place = manifest.places.find(error.message.substr(0, error.message.find(": ")));
    const Place where = place == manifest.places.end() ? Place{"manifests", 0} : place->second;
    report.add(error.code, where, error.message);
  }
  if (!report.empty()) return std::unexpected(report.take());
  return manifest;
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
    summary.message += '\n' + and_more(errors.size() - kShown, "problems", cut);
  }
  return summary;
}

}  // namespace sluice::store
