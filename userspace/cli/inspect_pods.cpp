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
  if (filters.address && *filters.address != ip_of(port.address4) && *filters.address != ip_of(port.address6)) {
    return false;
  }
  if (filters.slot && *filters.slot != port.endpoint.slot) return false;
  return !filters.device || *filters.device == device_name(port.self);
}

void add_port(Report& report, const sluice_port& port, bool current) {
  const bool four = port.address4 != 0;
  const bool six = ip_of(port.address6) != IpAddress(Ipv6{});
  const std::string address = four ? text_of(ip_of(port.address4)) : "";
  const std::string prefix = four ? prefix_text(port.cidr4, port.mask4) : "";
  const std::string router = four ? text_of(ip_of(port.router4)) : "";
  const std::string address6 = six ? text_of(ip_of(port.address6)) : "";
  const std::string prefix6 = six ? text_of(ip_of(port.cidr6)) + "/" + std::to_string(port.cidr6_length) : "";
  const std::string router6 = six ? text_of(ip_of(port.router6)) : "";
  const auto json = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const std::string device = device_name(port.self);
  report.document["ports"].push_back({
      {"ifindex", port.self},
      {"device", device},
      {"kind", port_kind_name(port.kind)},
      {"network", port.network},
      {"network_slot", port.network_slot},
      {"address", json(address)},
      {"cidr", json(prefix)},
      {"router", json(router)},
      {"address6", json(address6)},
      {"cidr6", json(prefix6)},
      {"router6", json(router6)},
      {"mac", mac_text(port.mac)},
      {"pod", ref_json(port.endpoint)},
      {"current", current},
      {"delivery", delivery_name(port.delivery)},
  });
  report.rows.push_back({std::to_string(port.self), or_dash(device), port_kind_name(port.kind),
                         std::to_string(port.network), addresses_cell(address, address6), or_dash(prefix),
                         or_dash(router), mac_text(port.mac), ref_text(port.endpoint), validity(current),
                         or_dash(prefix6), or_dash(router6), std::to_string(port.network_slot),
                         delivery_name(port.delivery)});
  report.matched++;
}

/// `Endpoint`: the record of either family.
template <typename Endpoint>
bool matches_endpoint(const Filters& filters, const Endpoint& endpoint) {
  if (filters.network && *filters.network != endpoint.self.network) return false;
  if (filters.address && *filters.address != ip_of(endpoint.self.address)) return false;
  if (filters.slot && *filters.slot != endpoint.ref.slot) return false;
  return !filters.device || *filters.device == device_name(endpoint.ifindex);
}

template <typename Endpoint>
void add_endpoint(Report& report, const Endpoint& endpoint, bool current) {
  const std::string device = device_name(endpoint.ifindex);
  const bool has_device = endpoint.ifindex != 0;
  report.document["endpoints"].push_back({
      {"network", endpoint.self.network},
      {"address", text_of(ip_of(endpoint.self.address))},
      {"kind", endpoint_kind_name(endpoint.kind)},
      {"mac", mac_text(endpoint.mac)},
      {"ifindex", has_device ? Json(endpoint.ifindex) : Json()},
      {"device", device},
      {"pod", ref_json(endpoint.ref)},
      {"current", current},
  });
  report.rows.push_back({std::to_string(endpoint.self.network), text_of(ip_of(endpoint.self.address)),
                         endpoint_kind_name(endpoint.kind), mac_text(endpoint.mac),
                         has_device ? std::to_string(endpoint.ifindex) : "-", or_dash(device), ref_text(endpoint.ref),
                         validity(current)});
  report.matched++;
}

/// By network and address.
template <typename Key, typename Endpoint>
Status add_endpoints(const PinnedMaps& maps, const char* map, const Filters& filters, const Generations& generations,
                     Report& report) {
  auto endpoints = maps.read_hash<Key, Endpoint>(map);
  if (!endpoints) return std::unexpected(endpoints.error());
  std::ranges::sort(*endpoints, {},
                    [](const auto& record) { return std::tuple(record.first.network, ip_of(record.first.address)); });
  for (const auto& [key, endpoint] : *endpoints) {
    if (!matches_endpoint(filters, endpoint)) continue;
    add_endpoint(report, endpoint, generations.endpoint_is_current(endpoint.ref));
  }
  return {};
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
                 {"CIDR6", Align::kLeft, true},
                 {"ROUTER6", Align::kLeft, true},
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
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());

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
  Status added =
      add_endpoints<sluice_endpoint4_key, sluice_endpoint4>(maps, "endpoints4", filters, *generations, report);
  if (added) {
    added = add_endpoints<sluice_endpoint6_key, sluice_endpoint6>(maps, "endpoints6", filters, *generations, report);
  }
  if (!added) return std::unexpected(added.error());
  return report;
}

}  // namespace sluice::cli
