// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf frontends` and `sluicectl bpf backends`.
#include <algorithm>
#include <map>
#include <tuple>

#include "cli/inspect.hpp"
#include "cli/records.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

void add_frontend(Report& report, const Frontend& frontend, bool current) {
  report.document["frontends"].push_back({
      {"network", frontend.network},
      {"address", text_of(frontend.address)},
      {"port", frontend.port},
      {"protocol", protocol_name(frontend.protocol)},
      {"backend_network", frontend.backend_network},
      {"frontend", ref_json(frontend.ref)},
      {"current", current},
      {"algorithm", algorithm_name(frontend.algorithm)},
      {"affinity", frontend.affinity},
      {"backend_count", frontend.backend_count},
      {"ready_count", frontend.ready_count},
      {"backend_base", frontend.backend_base},
      {"ring_size", frontend.ring_size},
      {"ring_base", frontend.ring_base},
      {"router", text_of(frontend.router)},
      {"network_slot", frontend.network_slot},
      {"owner", hex_text(frontend.owner, 8)},
      {"fingerprint", hex_text(frontend.fingerprint, 16)},
  });
  report.rows.push_back(
      {std::to_string(frontend.network), endpoint_text(frontend.address, frontend.port),
       protocol_name(frontend.protocol), std::to_string(frontend.backend_network), ref_text(frontend.ref),
       validity(current), algorithm_name(frontend.algorithm), std::to_string(frontend.backend_count),
       std::to_string(frontend.ready_count), std::to_string(frontend.backend_base),
       frontend.ring_size == 0 ? "-" : std::to_string(frontend.ring_size),
       frontend.ring_size == 0 ? "-" : std::to_string(frontend.ring_base), text_of(frontend.router),
       std::to_string(frontend.network_slot), hex_text(frontend.owner, 8), hex_text(frontend.fingerprint, 16)});
  report.matched++;
}

/// Which frontends use each element of the arena. More than one may: they then share the region.
using Users = std::multimap<std::uint32_t, const Frontend*>;

Users users_of(const std::vector<Frontend>& frontends, std::size_t arena) {
  Users users;
  for (const Frontend& frontend : frontends) {
    for (std::uint64_t i = 0; i < frontend.backend_count && frontend.backend_base + i < arena; i++) {
      users.emplace(static_cast<std::uint32_t>(frontend.backend_base + i), &frontend);
    }
  }
  return users;
}

bool is_empty(const sluice_backend& backend) {
  return compile::BytesEqual{}(backend, sluice_backend{});
}

bool matches_backend(const Filters& filters, const sluice_backend& backend, Users::const_iterator first,
                     Users::const_iterator last) {
  if (filters.network && *filters.network != backend.network) return false;
  if (filters.address && *filters.address != ip_of(backend)) return false;
  if (filters.port && *filters.port != from_wire(backend.port)) return false;
  if (filters.slot && *filters.slot != backend.endpoint.slot) return false;
  return !filters.service || std::any_of(first, last, [&](const auto& user) {
    const Frontend& frontend = *user.second;
    return matches(*filters.service, frontend.address, frontend.port, frontend.protocol);
  });
}

std::string frontend_text(const Frontend& frontend) {
  return std::to_string(frontend.network) + ":" + endpoint_text(frontend.address, frontend.port) + "/" +
         protocol_name(frontend.protocol);
}

/// `live`: of its pod, through all frontends.
void add_backend(Report& report, std::uint32_t index, const sluice_backend& backend, bool current, std::uint32_t live,
                 Users::const_iterator first, Users::const_iterator last) {
  Json frontends = Json::array();
  std::string used_by;
  for (auto user = first; user != last; ++user) {
    const Frontend& frontend = *user->second;
    frontends.push_back({{"network", frontend.network},
                         {"address", text_of(frontend.address)},
                         {"port", frontend.port},
                         {"protocol", protocol_name(frontend.protocol)}});
    used_by += (used_by.empty() ? "" : ",") + frontend_text(frontend);
  }
  report.document["backends"].push_back({
      {"index", index},
      {"network", backend.network},
      {"address", text_of(ip_of(backend))},
      {"port", from_wire(backend.port)},
      {"state", backend_state_name(backend.state)},
      {"weight", backend.weight + 1},
      {"live", live},
      {"pod", ref_json(backend.endpoint)},
      {"current", current},
      {"identity", hex_text(backend.identity, 8)},
      {"frontends", frontends},
  });
  report.rows.push_back({std::to_string(index), std::to_string(backend.network),
                         endpoint_text(ip_of(backend), from_wire(backend.port)), backend_state_name(backend.state),
                         std::to_string(backend.weight + 1), std::to_string(live), ref_text(backend.endpoint),
                         validity(current), or_dash(used_by), hex_text(backend.identity, 8)});
  report.matched++;
}

}  // namespace

Result<std::vector<Frontend>> read_frontends(const PinnedMaps& maps, const Filters& filters) {
  const auto fours = maps.read_hash<sluice_frontend4_key, sluice_frontend4>("frontends4");
  if (!fours) return std::unexpected(fours.error());
  const auto sixes = maps.read_hash<sluice_frontend6_key, sluice_frontend6>("frontends6");
  if (!sixes) return std::unexpected(sixes.error());
  std::vector<Frontend> frontends;
  const auto take = [&](const auto& records) {
    for (const auto& [key, record] : records) {
      if (const Frontend frontend = frontend_of(record); matches(filters, frontend)) frontends.push_back(frontend);
    }
  };
  take(*fours);
  take(*sixes);
  std::ranges::sort(frontends, {}, [](const Frontend& frontend) {
    return std::tuple(frontend.network, frontend.address, frontend.protocol, frontend.port);
  });
  return frontends;
}

Result<Report> inspect_frontends(const PinnedMaps& maps, const Filters& filters) {
  const auto frontends = read_frontends(maps, filters);
  if (!frontends) return std::unexpected(frontends.error());
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());

  Report report{document_of(maps),
                {{"NETWORK", Align::kRight},
                 {"ADDRESS:PORT"},
                 {"PROTOCOL"},
                 {"BACKEND-NETWORK", Align::kRight},
                 {"FRONTEND"},
                 {"VALID"},
                 {"ALGORITHM"},
                 {"BACKENDS", Align::kRight},
                 {"READY", Align::kRight},
                 {"BASE", Align::kRight},
                 {"RING-SIZE", Align::kRight},
                 {"RING-BASE", Align::kRight},
                 {"ROUTER", Align::kLeft, true},
                 {"NETWORK-SLOT", Align::kRight, true},
                 {"OWNER", Align::kLeft, true},
                 {"FINGERPRINT", Align::kLeft, true}},
                {},
                0,
                {}};
  report.document["frontends"] = Json::array();
  for (const Frontend& frontend : *frontends) {
    add_frontend(report, frontend, generations->frontend_is_current(frontend.ref));
  }
  return report;
}

Result<Report> inspect_backends(const PinnedMaps& maps, const Filters& filters) {
  const auto frontends = read_frontends(maps, Filters{});
  if (!frontends) return std::unexpected(frontends.error());
  const auto backends = maps.read_array<sluice_backend>("backends");
  if (!backends) return std::unexpected(backends.error());
  const auto live = maps.read_array<std::uint32_t>("endpoint_pairs");
  if (!live) return std::unexpected(live.error());
  const Result<Generations> generations = Generations::read(maps);
  if (!generations) return std::unexpected(generations.error());
  const Users users = users_of(*frontends, backends->size());

  Report report{document_of(maps),
                {{"INDEX", Align::kRight},
                 {"NETWORK", Align::kRight},
                 {"ADDRESS:PORT"},
                 {"STATE"},
                 {"WEIGHT", Align::kRight},
                 {"LIVE", Align::kRight},
                 {"POD"},
                 {"VALID"},
                 {"FRONTENDS"},
                 {"IDENTITY", Align::kLeft, true}},
                {},
                0,
                {}};
  report.document["backends"] = Json::array();
  for (std::uint32_t index = 0; index < backends->size(); index++) {
    const sluice_backend& backend = (*backends)[index];
    const auto [first, last] = users.equal_range(index);
    if (is_empty(backend) && first == last) continue;
    if (!matches_backend(filters, backend, first, last)) continue;
    const std::uint32_t slot = backend.endpoint.slot;
    add_backend(report, index, backend, generations->endpoint_is_current(backend.endpoint),
                slot < live->size() ? (*live)[slot] : 0, first, last);
  }
  return report;
}

}  // namespace sluice::cli
