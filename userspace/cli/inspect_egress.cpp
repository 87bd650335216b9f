// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf egress` and `sluicectl bpf denied`.
#include <algorithm>
#include <array>
#include <vector>

#include "cli/inspect.hpp"
#include "cli/records.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

/// One family of a network's way out.
struct Way {
  IpAddress address;
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  sluice_ref ref{};
};

std::vector<Way> ways_of(const sluice_egress& record) {
  std::vector<Way> ways;
  if (record.address4 != 0) ways.push_back({ip_of(record.address4), record.first4, record.last4, record.ref4});
  if (ip_of(record.address6) != IpAddress(Ipv6{}))
    ways.push_back({ip_of(record.address6), record.first6, record.last6, record.ref6});
  return ways;
}

void add_way(Report& report, const sluice_egress& record, const Way& way, bool current) {
  const std::string device = device_name(record.ifindex);
  report.document["egress"].push_back({
      {"network", record.self},
      {"address", text_of(way.address)},
      {"first_port", way.first},
      {"last_port", way.last},
      {"ifindex", record.ifindex},
      {"device", device},
      {"flows_per_pod", record.quota},
      {"way", ref_json(way.ref)},
      {"current", current},
  });
  report.rows.push_back({std::to_string(record.self), text_of(way.address),
                         std::to_string(way.first) + "-" + std::to_string(way.last), std::to_string(record.ifindex),
                         or_dash(device), std::to_string(record.quota), ref_text(way.ref), validity(current)});
  report.matched++;
}

void add_prefix(Report& report, const Filters& filters, const IpAddress& address, std::uint32_t length) {
  if (filters.address && *filters.address != address) return;
  const std::string text = text_of(address) + "/" + std::to_string(length);
  report.document["denied"].push_back(text);
  report.rows.push_back({text});
  report.matched++;
}

}  // namespace

Result<Report> inspect_egress(const PinnedMaps& maps, const Filters& filters) {
  auto records = maps.read_hash<std::uint32_t, sluice_egress>("egress");
  if (!records) return std::unexpected(records.error());
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());
  std::ranges::sort(*records, {}, [](const auto& record) { return record.first; });
  Report report{document_of(maps),
                {{"NETWORK", Align::kRight},
                 {"ADDRESS"},
                 {"PORTS"},
                 {"IFINDEX", Align::kRight},
                 {"DEVICE"},
                 {"FLOWS-PER-POD", Align::kRight},
                 {"WAY"},
                 {"VALID"}},
                {},
                0,
                {}};
  report.document["egress"] = Json::array();
  for (const auto& [network, record] : *records) {
    if (filters.network && *filters.network != network) continue;
    for (const Way& way : ways_of(record)) {
      if (filters.address && *filters.address != way.address) continue;
      add_way(report, record, way, generations->frontend_is_current(way.ref));
    }
  }
  return report;
}

Result<Report> inspect_denied(const PinnedMaps& maps, const Filters& filters) {
  auto four = maps.read_prefixes<sluice_prefix4, std::uint32_t>("egress_denied4");
  if (!four) return std::unexpected(four.error());
  auto six = maps.read_prefixes<sluice_prefix6, std::uint32_t>("egress_denied6");
  if (!six) return std::unexpected(six.error());
  Report report{document_of(maps), {{"PREFIX"}}, {}, 0, {}};
  report.document["denied"] = Json::array();
  std::vector<std::pair<IpAddress, std::uint32_t>> prefixes;
  for (const auto& [key, value] : *four) prefixes.emplace_back(ip_of(key.address), key.length);
  for (const auto& [key, value] : *six) prefixes.emplace_back(Ipv6::from_wire(std::to_array(key.address)), key.length);
  std::ranges::sort(prefixes);
  for (const auto& [address, length] : prefixes) add_prefix(report, filters, address, length);
  return report;
}

}  // namespace sluice::cli
