// SPDX-License-Identifier: Apache-2.0
#include "cli/resource_report.hpp"

#include "cli/kinds.hpp"
#include "cli/records.hpp"
#include "cli/specification.hpp"
#include "model/times.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;
using Cells = std::vector<std::string>;

template <typename Labels>
std::string labels_cell(const Labels& labels) {
  return or_dash(labels_text({labels.begin(), labels.end()}));
}

std::string protocol_text(v1::Protocol protocol) {
  if (protocol == v1::SCTP) return "SCTP";
  return protocol == v1::UDP ? "UDP" : "TCP";
}

std::string pod_ports_text(const v1::Pod& pod) {
  std::string text;
  for (const v1::PodPort& port : pod.ports()) {
    text += (text.empty() ? "" : ",") + port.name() + "=" + std::to_string(port.port()) + "/" +
            protocol_text(port.protocol());
  }
  return text;
}

std::vector<Column> columns_of(model::Kind kind) {
  switch (kind) {
    case model::Kind::kNetwork:
      return {{"NETWORK"},
              {"CIDR"},
              {"CIDR6"},
              {"ROUTER", Align::kLeft, true},
              {"DOMAIN"},
              {"EGRESS", Align::kLeft, true},
              {"ID", Align::kRight, true},
              {"MAX-FLOWS", Align::kRight, true}};
    case model::Kind::kPod:
      return {{"POD"}, {"ADDRESS"}, {"STATE"}, {"WEIGHT", Align::kRight, true}, {"PORTS", Align::kLeft, true}};
    case model::Kind::kService:
      return {{"SERVICE"},
              {"ADDRESS"},
              {"PORTS"},
              {"FLOATING-IP"},
              {"ALGORITHM", Align::kLeft, true},
              {"AFFINITY", Align::kRight, true},
              {"SELECTOR", Align::kLeft, true}};
    case model::Kind::kFloatingIp:
      return {{"FLOATING-IP"}, {"ADDRESS"}, {"POOL"}};
    case model::Kind::kNode:
      return {{"NODE"}, {"UNDERLAY"}, {"PUBLIC-KEY", Align::kLeft, true}};
  }
  return {};
}

std::string state_text(const v1::Pod& pod) {
  if (pod.state() != v1::DRAINING) return "running";
  return pod.drain_deadline() == 0 ? "draining" : "draining until " + model::moment_text(pod.drain_deadline());
}

/// The cells beside the name, and the labels. Defaults are shown as what they mean.
Cells cells_of(const v1::Resource& resource) {
  const auto model = wire::to_model(resource);
  if (const auto* network = model ? std::get_if<model::Network>(&*model) : nullptr) {
    return {network->cidr4.text(),
            network->cidr6 ? network->cidr6->text() : "-",
            network->router().text(),
            network->domain,
            std::string(model::name(network->egress)),
            std::to_string(resource.network().id()),
            std::to_string(network->max_flows),
            labels_cell(network->labels)};
  }
  if (resource.has_pod()) {
    const v1::Pod& pod = resource.pod();
    return {addresses_cell(pod.status().address4(), pod.status().address6()), state_text(pod),
            std::to_string(pod.has_weight() ? pod.weight() : 1U), or_dash(pod_ports_text(pod)),
            labels_cell(pod.labels())};
  }
  if (resource.has_service()) {
    const v1::Service& service = resource.service();
    return {addresses_cell(service.status().address4(), service.status().address6()),
            ports_text(service),
            or_dash(service.floating_ip()),
            algorithm_text(service.algorithm()),
            service.has_affinity() ? std::to_string(service.affinity().timeout_seconds()) + " s" : "-",
            labels_cell(service.selector()),
            labels_cell(service.labels())};
  }
  if (resource.has_floating_ip()) {
    const v1::FloatingIPStatus& status = resource.floating_ip().status();
    return {addresses_cell(status.address(), status.address6()), or_dash(status.pool()),
            labels_cell(resource.floating_ip().labels())};
  }
  return {or_dash(resource.node().underlay4()), or_dash(resource.node().public_key()),
          labels_cell(resource.node().labels())};
}

std::string age_cell(const v1::Resource& resource, std::chrono::system_clock::time_point now) {
  const std::int64_t made = resource.metadata().created_seconds();
  const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() - made;
  if (made == 0 || seconds < 0) return "-";
  return age_text(static_cast<std::uint64_t>(seconds) * 1000000000U);
}

}  // namespace

std::string labels_text(const std::map<std::string, std::string>& labels) {
  std::string text;
  for (const auto& [key, value] : labels) text += (text.empty() ? "" : ",") + key + "=" + value;
  return text;
}

std::string ports_text(const v1::Service& service) {
  std::string text;
  for (const v1::ServicePort& port : service.ports()) {
    text += (text.empty() ? "" : ",") + std::to_string(port.port()) + "/" + protocol_text(port.protocol());
    if (port.has_target_port()) text += "->" + std::to_string(port.target_port());
    if (port.has_target_name()) text += "->" + port.target_name();
  }
  return text;
}

Report resource_table(model::Kind kind, const std::vector<v1::Resource>& resources,
                      std::chrono::system_clock::time_point now) {
  Report report;
  report.columns = columns_of(kind);
  report.columns.push_back({"LABELS", Align::kLeft, true});
  report.columns.push_back({"REVISION", Align::kRight, true});
  report.columns.push_back({"AGE"});
  for (const v1::Resource& resource : resources) {
    Cells cells = cells_of(resource);
    cells.insert(cells.begin(), name_text(key_of(resource)));
    cells.push_back(std::to_string(resource.metadata().modified_revision()));
    cells.push_back(age_cell(resource, now));
    cells.resize(report.columns.size(), "-");
    report.rows.push_back(std::move(cells));
  }
  return report;
}

}  // namespace sluice::cli
