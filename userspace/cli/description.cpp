// SPDX-License-Identifier: Apache-2.0
// `describe`: the manifest of a resource, what Sluice has set, and what the node sees of it.
#include <ostream>

#include "cli/kinds.hpp"
#include "cli/records.hpp"
#include "cli/resource_report.hpp"
#include "cli/specification.hpp"
#include "model/times.hpp"
#include "wire/convert.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

std::string text_of(const v1::ResourceKey& key) {
  return key.network().empty() ? key.name() : key.network() + "/" + key.name();
}

std::string kind_of(const v1::ResourceKey& key) {
  const auto kind = wire::to_model(key.kind());
  return kind ? std::string(model::name(*kind)) : "?";
}

/// UTC, "2026-01-31T12:00:00Z"; events need no fractions.
std::string time_text(std::int64_t milliseconds) {
  return model::moment_text(milliseconds / 1000 * 1000);
}

Json json_of(const v1::DescribeResponse& description) {
  Json json = document(description.resource());
  json["attached"] = description.attached();
  json["device"] = description.device();
  json["mac"] = description.mac();
  json["mtu"] = description.attached() ? Json(description.mtu()) : Json();
  json["netns_cookie"] = description.netns_cookie();
  json["flows_left"] = description.has_flows_left() ? Json(description.flows_left()) : Json();
  json["drained"] = description.drained();
  json["detaches_at"] = description.detaches_at() != 0 ? Json(model::moment_text(description.detaches_at())) : Json();
  json["backends"] = Json::array();
  for (const v1::BackendStatus& backend : description.backends()) {
    json["backends"].push_back({{"pod", text_of(backend.pod())},
                                {"service", text_of(backend.service())},
                                {"port", backend.port()},
                                {"address", backend.address4()},
                                {"address6", backend.address6()},
                                {"target_port", backend.target_port()},
                                {"ready", backend.ready()},
                                {"reason", backend.reason()},
                                {"weight", backend.weight()}});
  }
  json["users"] = Json::array();
  for (const v1::ResourceKey& user : description.users()) {
    json["users"].push_back({{"kind", kind_of(user)}, {"network", user.network()}, {"name", user.name()}});
  }
  const v1::NetworkUsage& usage = description.usage();
  json["usage"] = {{"pods", usage.pods()},
                   {"services", usage.services()},
                   {"flows", usage.flows()},
                   {"guaranteed_flows", usage.guaranteed_flows()},
                   {"max_flows", usage.max_flows()}};
  json["events"] = Json::array();
  for (const v1::Event& event : description.events()) {
    json["events"].push_back({{"time", time_text(event.unix_milliseconds())},
                              {"severity", event.severity()},
                              {"kind", event.kind()},
                              {"text", event.text()},
                              {"count", event.count()}});
  }
  return json;
}

Report backends_table(const v1::DescribeResponse& description, bool of_pod) {
  Report report;
  report.columns = {{of_pod ? "SERVICE" : "POD"}, {"PORT"},  {"TARGET"},
                    {"WEIGHT", Align::kRight},    {"READY"}, {"WHY-NOT"}};
  for (const v1::BackendStatus& backend : description.backends()) {
    const std::string port = backend.target_port() == 0 ? "" : ":" + std::to_string(backend.target_port());
    const std::string four = backend.address4().empty() ? "" : backend.address4() + port;
    const std::string six = backend.address6().empty() ? "" : "[" + backend.address6() + "]" + port;
    report.rows.push_back({text_of(of_pod ? backend.service() : backend.pod()), or_dash(backend.port()),
                           addresses_cell(four, six), std::to_string(backend.weight()), backend.ready() ? "yes" : "no",
                           or_dash(backend.reason())});
  }
  return report;
}

Report events_table(const v1::DescribeResponse& description) {
  Report report;
  report.columns = {{"TIME"}, {"SEVERITY"}, {"EVENT"}, {"COUNT", Align::kRight}, {"TEXT"}};
  for (const v1::Event& event : description.events()) {
    report.rows.push_back({time_text(event.unix_milliseconds()), event.severity(), event.kind(),
                           std::to_string(event.count()), event.text()});
  }
  return report;
}

template <typename AddressStatus>
void print_addresses(const AddressStatus& status, std::ostream& out) {
  out << "address: " << addresses_cell(printable(status.address4()), printable(status.address6())) << '\n';
}

/// Of a pod that goes on as it is there is nothing to say.
void print_drain(const v1::DescribeResponse& description, std::ostream& out) {
  const v1::Pod& pod = description.resource().pod();
  const bool leaves = description.detaches_at() != 0;
  if (pod.state() != v1::DRAINING && !leaves) return;
  if (pod.state() == v1::DRAINING) {
    out << "draining: ";
    if (pod.drain_deadline() == 0) {
      out << "without a deadline\n";
    } else {
      out << "until " << model::moment_text(pod.drain_deadline()) << (description.drained() ? " (over)" : "") << '\n';
    }
  }
  if (leaves) out << "detached: " << model::moment_text(description.detaches_at()) << " at the latest\n";
  if (description.has_flows_left()) out << "flows left: " << description.flows_left() << '\n';
}

void print_facts(const v1::DescribeResponse& description, std::ostream& out) {
  const v1::Resource& resource = description.resource();
  out << "revision: " << resource.metadata().modified_revision() << " (created at "
      << resource.metadata().created_revision() << ")\n";
  if (resource.has_pod()) {
    print_addresses(resource.pod().status(), out);
    out << "attached: " << (description.attached() ? "yes" : "no") << '\n'
        << "device: " << or_dash(printable(description.device())) << '\n'
        << "mac: " << or_dash(printable(description.mac())) << '\n'
        << "mtu: " << (description.attached() ? std::to_string(description.mtu()) : "-") << '\n'
        << "namespace cookie: " << or_dash(printable(description.netns_cookie())) << '\n';
    print_drain(description, out);
  } else if (resource.has_service()) {
    print_addresses(resource.service().status(), out);
  } else if (resource.has_floating_ip()) {
    const v1::FloatingIPStatus& status = resource.floating_ip().status();
    out << "address: " << addresses_cell(printable(status.address()), printable(status.address6())) << '\n'
        << "pool: " << or_dash(printable(resource.floating_ip().status().pool())) << '\n';
  } else if (resource.has_network()) {
    const v1::NetworkUsage& usage = description.usage();
    out << "id: " << resource.network().id() << '\n'
        << "pods: " << usage.pods() << "\nservices: " << usage.services() << '\n'
        << "flows: " << usage.flows() << " (guaranteed " << usage.guaranteed_flows() << ", at most "
        << usage.max_flows() << ")\n";
  }
  for (const v1::ResourceKey& user : description.users()) {
    out << "used by: " << kind_of(user) << ' ' << printable(text_of(user)) << '\n';
  }
}

}  // namespace

void print_description(const v1::DescribeResponse& description, Format format, std::ostream& out) {
  if (format == Format::kJson) {
    Report report;
    report.document = json_of(description);
    print(report, format, out);
    return;
  }
  out << manifest(description.resource()) << '\n';
  print_facts(description, out);
  const bool of_pod = description.resource().has_pod();
  if (of_pod || description.resource().has_service()) {
    out << '\n';
    print(backends_table(description, of_pod), format, out);
  }
  out << '\n';
  print(events_table(description), format, out);
}

}  // namespace sluice::cli
