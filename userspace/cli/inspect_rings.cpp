// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf rings`: what each service port's Maglev ring gives to whom, and whether it is what its inputs make.
#include <algorithm>
#include <cstdio>

#include "cli/inspect.hpp"
#include "cli/records.hpp"
#include "compile/hashing.hpp"

namespace sluice::cli {
namespace {

using Align = Column::Align;

Ring ring_of(const Frontend& frontend, const std::vector<sluice_backend>& backends,
             const std::vector<sluice_ring_block>& blocks) {
  Ring ring{frontend, {}, {}};
  if (frontend.backend_base < backends.size()) {
    const std::size_t room = backends.size() - frontend.backend_base;
    ring.backends =
        std::span(backends).subspan(frontend.backend_base, std::min<std::size_t>(room, frontend.backend_count));
  }
  for (std::uint32_t slot = 0; slot < frontend.ring_size; slot++) {
    const std::uint64_t block = std::uint64_t{frontend.ring_base} + slot / SLUICE_RING_BLOCK;
    if (block >= blocks.size()) break;
    ring.slots.push_back(blocks[block].entries[slot % SLUICE_RING_BLOCK]);
  }
  return ring;
}

std::string title_of(const Frontend& frontend) {
  return "network " + std::to_string(frontend.network) + " " + endpoint_text(frontend.address, frontend.port) + "/" +
         protocol_name(frontend.protocol);
}

void add_judgement(Report& report, const Ring& ring, const Judgement& judgement, Json& json) {
  json["verified"] = judgement.verdict == Judgement::Verdict::kRight;
  if (judgement.verdict == Judgement::Verdict::kRight) return;
  const std::string problem = "ring of " + title_of(ring.frontend) + ": " + judgement.why;
  if (judgement.verdict == Judgement::Verdict::kWrong) {
    json["difference"] = judgement.why;
    report.problems.push_back(problem);
  } else {
    json["verified"] = nullptr;
    json["unknown"] = judgement.why;
    report.doubts.push_back(problem);
  }
}

std::string percent(std::size_t part, std::size_t whole) {
  std::array<char, 16> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.2f%%", whole == 0 ? 0.0 : 100.0 * double(part) / double(whole));
  return buffer.data();
}

std::vector<std::string> row_start(const Ring& ring) {
  const Frontend& frontend = ring.frontend;
  return {std::to_string(frontend.network), endpoint_text(frontend.address, frontend.port),
          protocol_name(frontend.protocol)};
}

std::string backend_text(const Ring& ring, std::size_t index) {
  if (index >= ring.backends.size()) return "-";
  return endpoint_text(ip_of(ring.backends[index]), from_wire(ring.backends[index].port));
}

std::string backend_state(const Ring& ring, std::size_t index) {
  return index < ring.backends.size() ? backend_state_name(ring.backends[index].state) : "invalid";
}

/// One row a slot: what the datapath looks at before it re-hashes past backends that are not ready.
void add_slot_rows(Report& report, const Ring& ring) {
  for (std::size_t slot = 0; slot < ring.slots.size(); slot++) {
    const std::size_t backend = ring.slots[slot];
    std::vector<std::string> row = row_start(ring);
    row.insert(row.end(), {std::to_string(slot), std::to_string(backend), backend_text(ring, backend),
                           backend_state(ring, backend)});
    report.rows.push_back(std::move(row));
  }
}

struct Shares {
  std::vector<std::size_t> slots;  ///< by local backend index
  std::size_t invalid = 0;         ///< slots that name no backend
};

Shares shares_of(const Ring& ring) {
  Shares shares{std::vector<std::size_t>(ring.backends.size()), 0};
  for (const std::uint16_t backend : ring.slots) {
    if (backend < shares.slots.size()) {
      shares.slots[backend]++;
    } else {
      shares.invalid++;
    }
  }
  return shares;
}

void add_share_rows(Report& report, const Ring& ring, const Shares& shares) {
  const auto add = [&](const std::string& index, const std::string& address, const std::string& state,
                       std::size_t slots) {
    std::vector<std::string> row = row_start(ring);
    row.insert(row.end(),
               {std::to_string(ring.frontend.ring_size), std::to_string(ring.frontend.ring_base), index, address, state,
                std::to_string(slots), percent(slots, ring.slots.size()), hex_text(ring.frontend.fingerprint, 16)});
    report.rows.push_back(std::move(row));
  };
  for (std::size_t i = 0; i < shares.slots.size(); i++) {
    add(std::to_string(i), backend_text(ring, i), backend_state(ring, i), shares.slots[i]);
  }
  if (shares.invalid != 0) add("-", "-", "invalid", shares.invalid);
}

Json ring_json(const Ring& ring, const Shares& shares, bool with_slots) {
  const Frontend& frontend = ring.frontend;
  Json json = {
      {"network", frontend.network},
      {"address", text_of(frontend.address)},
      {"port", frontend.port},
      {"protocol", protocol_name(frontend.protocol)},
      {"ring_size", ring.frontend.ring_size},
      {"ring_base", ring.frontend.ring_base},
      {"fingerprint", hex_text(ring.frontend.fingerprint, 16)},
      {"invalid_slots", shares.invalid},
      {"backends", Json::array()},
  };
  for (std::size_t i = 0; i < shares.slots.size(); i++) {
    json["backends"].push_back({{"index", i},
                                {"address", text_of(ip_of(ring.backends[i]))},
                                {"port", from_wire(ring.backends[i].port)},
                                {"state", backend_state_name(ring.backends[i].state)},
                                {"slots", shares.slots[i]}});
  }
  if (with_slots) json["slots"] = ring.slots;
  return json;
}

std::vector<Column> columns(bool with_slots) {
  std::vector<Column> list = {{"NETWORK", Align::kRight}, {"ADDRESS:PORT"}, {"PROTOCOL"}};
  if (with_slots) {
    list.insert(list.end(), {{"SLOT", Align::kRight}, {"INDEX", Align::kRight}, {"BACKEND"}, {"STATE"}});
  } else {
    list.insert(list.end(), {{"RING-SIZE", Align::kRight},
                             {"RING-BASE", Align::kRight},
                             {"INDEX", Align::kRight},
                             {"BACKEND"},
                             {"STATE"},
                             {"SLOTS", Align::kRight},
                             {"SHARE", Align::kRight},
                             {"FINGERPRINT", Align::kLeft, true}});
  }
  return list;
}

Result<compile::Secret> read_secret(const PinnedMaps& maps) {
  const auto settings = maps.read_array<sluice_settings>("settings");
  if (!settings) return std::unexpected(settings.error());
  return compile::Secret{settings->at(0).secret[0], settings->at(0).secret[1]};
}

}  // namespace

Result<Report> inspect_rings(const PinnedMaps& maps, const Filters& filters, RingVerifier::Ask ask) {
  const auto frontends = read_frontends(maps, filters);
  if (!frontends) return std::unexpected(frontends.error());
  const auto backends = maps.read_array<sluice_backend>("backends");
  if (!backends) return std::unexpected(backends.error());
  const auto blocks = maps.read_array<sluice_ring_block>("rings");
  if (!blocks) return std::unexpected(blocks.error());
  const Result<compile::Secret> secret = read_secret(maps);
  if (!secret) return std::unexpected(secret.error());

  Report report{document_of(maps), columns(filters.slots), {}, 0, {}, {}};
  report.document["rings"] = Json::array();
  RingVerifier verifier(*secret, std::move(ask));
  for (const Frontend& frontend : *frontends) {
    if (frontend.ring_size == 0) continue;  // up to SLUICE_RENDEZVOUS_MAX backends need no ring
    const Ring ring = ring_of(frontend, *backends, *blocks);
    const Shares shares = shares_of(ring);
    Json json = ring_json(ring, shares, filters.slots);
    if (filters.verify) add_judgement(report, ring, verifier.judge(ring), json);
    report.document["rings"].push_back(std::move(json));
    if (filters.slots) {
      add_slot_rows(report, ring);
    } else {
      add_share_rows(report, ring, shares);
    }
    report.matched++;
  }
  if (report.matched == 0 && !frontends->empty() && filters.names_something()) {
    return fail(ErrorCode::kNotFound, "the matching service ports have no ring: up to " +
                                          std::to_string(SLUICE_RENDEZVOUS_MAX) +
                                          " backends are chosen without one ('sluicectl bpf backends' shows them)");
  }
  return report;
}

}  // namespace sluice::cli
