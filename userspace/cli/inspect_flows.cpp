// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf flows`: the two records of each pair side by side, with what the sweep knows about the pair.
#include <algorithm>
#include <map>
#include <tuple>

#include "cli/inspect.hpp"
#include "cli/records.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

/// A record of either family; ports in host order.
struct Flow {
  std::uint32_t network = 0;
  std::uint8_t protocol = 0;
  std::uint8_t role = 0;  ///< enum sluice_flow_role
  std::uint8_t delivery = 0;
  IpAddress source, destination, new_source, new_destination;
  std::uint16_t source_port = 0, destination_port = 0, new_source_port = 0, new_destination_port = 0;
  std::uint16_t network_slot = 0;
  std::uint32_t pair = 0;
  std::uint32_t ifindex = 0;
  std::uint32_t state = 0;
  std::string destination_mac;
  sluice_ref source_pod{}, endpoint_pod{}, frontend{};
  std::uint64_t last_seen = 0, packets = 0, bytes = 0;
};

template <typename Record>
Flow flow_of(const Record& record) {
  return {.network = record.self.network_protocol & 0xFFFFFF,
          .protocol = static_cast<std::uint8_t>(record.self.network_protocol >> 24),
          .role = record.role,
          .delivery = record.delivery,
          .source = ip_of(record.self.source),
          .destination = ip_of(record.self.destination),
          .new_source = ip_of(record.new_source),
          .new_destination = ip_of(record.new_destination),
          .source_port = from_wire(record.self.source_port),
          .destination_port = from_wire(record.self.destination_port),
          .new_source_port = from_wire(record.new_source_port),
          .new_destination_port = from_wire(record.new_destination_port),
          .network_slot = record.network_slot,
          .pair = record.pair,
          .ifindex = record.ifindex,
          .state = record.state,
          .destination_mac = mac_text(record.destination_mac),
          .source_pod = record.source,
          .endpoint_pod = record.endpoint,
          .frontend = record.frontend,
          .last_seen = record.last_seen,
          .packets = record.packets,
          .bytes = record.bytes};
}

/// Either side is missing while the pair is made or deleted, and for good in an orphan until the sweep repairs it.
struct Pair {
  std::uint32_t index = 0;
  const Flow* forward = nullptr;
  const Flow* reverse = nullptr;
  [[nodiscard]] const Flow& any() const { return forward != nullptr ? *forward : *reverse; }
};

struct Tables {
  std::vector<Flow> flows;
  std::vector<sluice_pair> pairs;
  std::vector<Frontend> selected;  ///< the frontends that --service names
  Generations generations;
  std::uint64_t now = 0;
};

template <typename Key, typename Record>
Status read_flows(const PinnedMaps& maps, const char* map, std::vector<Flow>& flows) {
  const auto records = maps.read_hash<Key, Record>(map);
  if (!records) return std::unexpected(records.error());
  for (const auto& [key, record] : *records) flows.push_back(flow_of(record));
  return {};
}

Result<Tables> read_tables(const PinnedMaps& maps, const Filters& filters) {
  Tables tables;
  Status flows = read_flows<sluice_flow4_key, sluice_flow4>(maps, "flows4", tables.flows);
  if (flows) flows = read_flows<sluice_flow6_digest, sluice_flow6>(maps, "flows6", tables.flows);
  if (!flows) return std::unexpected(flows.error());
  tables.now = coarse_now();
  auto pairs = maps.read_array<sluice_pair>("pairs");
  if (!pairs) return std::unexpected(pairs.error());
  Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());
  if (filters.service) {
    Filters wanted;
    wanted.service = filters.service;
    auto selected = read_frontends(maps, wanted);
    if (!selected) return std::unexpected(selected.error());
    tables.selected = std::move(*selected);
  }
  tables.pairs = std::move(*pairs);
  tables.generations = std::move(*generations);
  return tables;
}

/// Joins records by their pair index. Two records of one role with the same index (an orphan whose index was given
/// out again) become two pairs.
std::vector<Pair> join(const Tables& tables) {
  std::multimap<std::uint32_t, Pair> pairs;
  for (const Flow& flow : tables.flows) {
    const bool is_forward = flow.role == SLUICE_FLOW_FORWARD;
    auto [candidate, end] = pairs.equal_range(flow.pair);
    while (candidate != end && (is_forward ? candidate->second.forward : candidate->second.reverse) != nullptr) {
      ++candidate;
    }
    if (candidate == end) candidate = pairs.emplace(flow.pair, Pair{flow.pair, nullptr, nullptr});
    (is_forward ? candidate->second.forward : candidate->second.reverse) = &flow;
  }
  std::vector<Pair> joined;
  for (const auto& [index, pair] : pairs) joined.push_back(pair);
  std::ranges::stable_sort(joined, {}, [](const Pair& pair) {
    const Flow& flow = pair.any();
    return std::tuple(flow.network, flow.protocol, flow.source, flow.source_port, flow.destination,
                      flow.destination_port);
  });
  return joined;
}

/// What of a record no longer is: its packets count as having no flow.
std::vector<std::string> ended_parts(const Flow& flow, const Generations& generations) {
  std::vector<std::string> parts;
  if (!generations.endpoint_is_current(flow.source_pod)) parts.emplace_back("source");
  if (!generations.endpoint_is_current(flow.endpoint_pod)) parts.emplace_back("endpoint");
  if (!generations.frontend_is_current(flow.frontend)) parts.emplace_back("frontend");
  return parts;
}

bool matches_flow(const Filters& filters, const Flow& flow) {
  if (filters.network && *filters.network != flow.network) return false;
  if (filters.protocol && *filters.protocol != flow.protocol) return false;
  if (filters.slot && *filters.slot != flow.source_pod.slot && *filters.slot != flow.endpoint_pod.slot) return false;
  if (filters.address && *filters.address != flow.source && *filters.address != flow.destination) return false;
  return !filters.port || *filters.port == flow.source_port || *filters.port == flow.destination_port;
}

/// `--service` means the flows that this service port made: by its current generation, or, for flows that outlived
/// it, by the destination that the client used.
bool made_by_service(const Tables& tables, const Filters& filters, const Flow& flow) {
  const bool current = std::ranges::any_of(
      tables.selected, [&](const Frontend& frontend) { return compile::BytesEqual{}(frontend.ref, flow.frontend); });
  if (current) return true;
  const bool is_forward = flow.role == SLUICE_FLOW_FORWARD;
  return matches(*filters.service, is_forward ? flow.destination : flow.new_source,
                 is_forward ? flow.destination_port : flow.new_source_port, flow.protocol);
}

bool matches_pair(const Tables& tables, const Filters& filters, const Pair& pair) {
  const auto passes = [&](const Flow* flow) {
    if (flow == nullptr || !matches_flow(filters, *flow)) return false;
    if (filters.ended && ended_parts(*flow, tables.generations).empty()) return false;
    return !filters.service || made_by_service(tables, filters, *flow);
  };
  return passes(pair.forward) || passes(pair.reverse);
}

std::uint64_t age_of(const Flow& flow, std::uint64_t now) {
  return now > flow.last_seen ? now - flow.last_seen : 0;
}

Json flow_json(const Tables& tables, const Flow& flow) {
  return {
      {"network", flow.network},
      {"source", text_of(flow.source)},
      {"source_port", flow.source_port},
      {"destination", text_of(flow.destination)},
      {"destination_port", flow.destination_port},
      {"new_source", text_of(flow.new_source)},
      {"new_source_port", flow.new_source_port},
      {"new_destination", text_of(flow.new_destination)},
      {"new_destination_port", flow.new_destination_port},
      {"state", flow_state_names(flow.state)},
      {"age_ms", age_of(flow, tables.now) / 1'000'000},
      {"packets", flow.packets},
      {"bytes", flow.bytes},
      {"delivery", delivery_name(flow.delivery)},
      {"ifindex", flow.ifindex},
      {"destination_mac", flow.destination_mac},
      {"source_pod", ref_json(flow.source_pod)},
      {"endpoint_pod", ref_json(flow.endpoint_pod)},
      {"frontend", ref_json(flow.frontend)},
      {"ended", ended_parts(flow, tables.generations)},
  };
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : "+") + word;
  return text;
}

std::string validity_of(const Flow& flow, const Generations& generations) {
  const std::vector<std::string> parts = ended_parts(flow, generations);
  return parts.empty() ? validity(true) : validity(false) + "(" + joined(parts) + ")";
}

void add_row(Report& report, const Tables& tables, const Pair& pair, const Flow& flow, const std::string& pair_state) {
  report.rows.push_back({std::to_string(pair.index),
                         flow.role == SLUICE_FLOW_FORWARD ? "forward" : "reverse",
                         std::to_string(flow.network),
                         protocol_name(flow.protocol),
                         endpoint_text(flow.source, flow.source_port),
                         endpoint_text(flow.destination, flow.destination_port),
                         endpoint_text(flow.new_source, flow.new_source_port),
                         endpoint_text(flow.new_destination, flow.new_destination_port),
                         or_dash(joined(flow_state_names(flow.state))),
                         age_text(age_of(flow, tables.now)),
                         std::to_string(flow.packets),
                         std::to_string(flow.bytes),
                         delivery_name(flow.delivery),
                         validity_of(flow, tables.generations),
                         std::to_string(flow.ifindex),
                         flow.destination_mac,
                         ref_text(flow.source_pod),
                         ref_text(flow.endpoint_pod),
                         ref_text(flow.frontend),
                         std::to_string(flow.network_slot),
                         pair_state});
}

void add_pair(Report& report, const Tables& tables, const Pair& pair) {
  const bool known = pair.index < tables.pairs.size();
  const sluice_pair record = known ? tables.pairs[pair.index] : sluice_pair{};
  const std::string state = known ? pair_state_name(record.state) : "missing";
  report.document["flows"].push_back({
      {"pair", pair.index},
      {"pair_state", state},
      {"marked", record.mark != 0},
      {"protocol", protocol_name(pair.any().protocol)},
      {"network_slot", pair.any().network_slot},
      {"forward", pair.forward != nullptr ? flow_json(tables, *pair.forward) : Json()},
      {"reverse", pair.reverse != nullptr ? flow_json(tables, *pair.reverse) : Json()},
  });
  const std::string shown = record.mark != 0 ? state + "(marked)" : state;
  if (pair.forward != nullptr) add_row(report, tables, pair, *pair.forward, shown);
  if (pair.reverse != nullptr) add_row(report, tables, pair, *pair.reverse, shown);
  report.matched++;
}

std::vector<Column> columns() {
  return {{"PAIR", Align::kRight},
          {"DIRECTION"},
          {"NETWORK", Align::kRight},
          {"PROTOCOL"},
          {"SOURCE"},
          {"DESTINATION"},
          {"NEW-SOURCE"},
          {"NEW-DESTINATION"},
          {"STATE"},
          {"AGE", Align::kRight},
          {"PACKETS", Align::kRight},
          {"BYTES", Align::kRight},
          {"DELIVERY"},
          {"VALID"},
          {"IFINDEX", Align::kRight, true},
          {"DESTINATION-MAC", Align::kLeft, true},
          {"SOURCE-POD", Align::kLeft, true},
          {"ENDPOINT-POD", Align::kLeft, true},
          {"FRONTEND", Align::kLeft, true},
          {"NETWORK-SLOT", Align::kRight, true},
          {"PAIR-STATE", Align::kLeft, true}};
}

}  // namespace

Result<Report> inspect_flows(const PinnedMaps& maps, const Filters& filters) {
  const Result<Tables> tables = read_tables(maps, filters);
  if (!tables) return std::unexpected(tables.error());
  Report report{document_of(maps), columns(), {}, 0, {}};
  report.document["flows"] = Json::array();
  for (const Pair& pair : join(*tables)) {
    if (matches_pair(*tables, filters, pair)) add_pair(report, *tables, pair);
  }
  return report;
}

}  // namespace sluice::cli
