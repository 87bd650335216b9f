// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf ports` and `sluicectl bpf endpoints`.
#include <algorithm>
#include <tuple>

#include "cli/inspect.hpp"
#include "cli/records.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

bool matches_port(const Filters& filters, const sluice_port& port) {
  if (filters.network && *filters.network != port.network) return false;
  if (filters.address && *filters.address != Ipv4::from_wire(port.address4)) return false;
  if (filters.slot && *filters.slot != port.endpoint.slot) return false;
  return !filters.device || *filters.device == device_name(port.self);
}

void add_port(Report& report, const sluice_port& port, bool current) {
  const bool pod = port.kind == SLUICE_PORT_POD;
  const std::string device = device_name(port.self);
  report.document["ports"].push_back({
      {"ifindex", port.self},
      {"device", device},
      {"kind", port_kind_name(port.kind)},
      {"network", port.network},
      {"network_slot", port.network_slot},
      {"address", pod ? Json(address_text(port.address4)) : Json()},
      {"cidr", pod ? Json(prefix_text(port.cidr4, port.mask4)) : Json()},
      {"router", pod ? Json(address_text(port.router4)) : Json()},
      {"mac", mac_text(port.mac)},
      {"pod", ref_json(port.endpoint)},
      {"current", current},
      {"delivery", delivery_name(port.delivery)},
  });
  report.rows.push_back({std::to_string(port.self), or_dash(device), port_kind_name(port.kind),
                         std::to_string(port.network), pod ? address_text(port.address4) : "-",
                         pod ? prefix_text(port.cidr4, port.mask4) : "-", pod ? address_text(port.router4) : "-",
                         mac_text(port.mac), ref_text(port.endpoint), validity(current),
                         std::to_string(port.network_slot), delivery_name(port.delivery)});
  report.matched++;
}

bool matches_endpoint(const Filters& filters, const sluice_endpoint4& endpoint) {
  if (filters.network && *filters.network != endpoint.self.network) return false;
  if (filters.address && *filters.address != Ipv4::from_wire(endpoint.self.address)) return false;
  if (filters.slot && *filters.slot != endpoint.ref.slot) return false;
  return !filters.device || *filters.device == device_name(endpoint.ifindex);
}

void add_endpoint(Report& report, const sluice_endpoint4& endpoint, bool current) {
  const std::string device = device_name(endpoint.ifindex);
  const bool has_device = endpoint.ifindex != 0;
  report.document["endpoints"].push_back({
      {"network", endpoint.self.network},
      {"address", address_text(endpoint.self.address)},
      {"kind", endpoint_kind_name(endpoint.kind)},
      {"mac", mac_text(endpoint.mac)},
      {"ifindex", has_device ? Json(endpoint.ifindex) : Json()},
      {"device", device},
      {"pod", ref_json(endpoint.ref)},
      {"current", current},
  });
  report.rows.push_back({std::to_string(endpoint.self.network), address_text(endpoint.self.address),
                         endpoint_kind_name(endpoint.kind), mac_text(endpoint.mac),
                         has_device ? std::to_string(endpoint.ifindex) : "-", or_dash(device), ref_text(endpoint.ref),
                         validity(current)});
  report.matched++;
}

}  // namespace

Json document_of(const PinnedMaps& maps) {
  return {{"abi_version", SLUICE_ABI_VERSION}, {"pin_root", maps.pin_root().string()}};
}

Result<Report> inspect_ports(const PinnedMaps& maps, const Filters& filters) {
  auto ports = maps.read_hash<std::uint32_t, sluice_port>("ports");
  if (!ports) return std::unexpected(ports.error());
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());
  std::ranges::sort(*ports, {}, [](const auto& record) { return record.first; });

  Report report{document_of(maps),
                {{"IFINDEX", Align::kRight},
                 {"DEVICE"},
                 {"KIND"},
                 {"NETWORK", Align::kRight},
                 {"ADDRESS"},
                 {"CIDR"},
                 {"ROUTER"},
                 {"MAC"},
                 {"POD"},
                 {"VALID"},
                 {"NETWORK-SLOT", Align::kRight, true},
                 {"DELIVERY", Align::kLeft, true}},
                {},
                0,
                {}};
  report.document["ports"] = Json::array();
  for (const auto& [ifindex, port] : *ports) {
    if (matches_port(filters, port)) add_port(report, port, generations->endpoint_is_current(port.endpoint));
  }
  return report;
}

Result<Report> inspect_endpoints(const PinnedMaps& maps, const Filters& filters) {
  auto endpoints = maps.read_hash<sluice_endpoint4_key, sluice_endpoint4>("endpoints4");
  if (!endpoints) return std::unexpected(endpoints.error());
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());
  std::ranges::sort(*endpoints, {}, [](const auto& record) {
    return std::tuple(record.first.network, Ipv4::from_wire(record.first.address));
  });

  Report report{document_of(maps),
                {{"NETWORK", Align::kRight},
                 {"ADDRESS"},
                 {"KIND"},
                 {"MAC"},
                 {"IFINDEX", Align::kRight},
                 {"DEVICE"},
                 {"POD"},
                 {"VALID"}},
                {},
                0,
                {}};
  report.document["endpoints"] = Json::array();
  for (const auto& [key, endpoint] : *endpoints) {
    if (matches_endpoint(filters, endpoint)) {
      add_endpoint(report, endpoint, generations->endpoint_is_current(endpoint.ref));
    }
  }
  return report;
}

}  // namespace sluice::cli
