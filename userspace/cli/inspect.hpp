// SPDX-License-Identifier: Apache-2.0
// `sluicectl bpf ...`: each function reads the maps that it needs, keeps what passes the filters, and returns it
// sorted. docs/sluicectl.md states the JSON members; they are an interface.
#pragma once

#include "base/result.hpp"
#include "cli/filters.hpp"
#include "cli/pinned_maps.hpp"
#include "cli/report.hpp"
#include "cli/verify_rings.hpp"

namespace sluice::cli {

Result<Report> inspect_ports(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_endpoints(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_egress(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_denied(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_frontends(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_backends(const PinnedMaps& maps, const Filters& filters);
/// `ask` may be used for filters.verify.
Result<Report> inspect_rings(const PinnedMaps& maps, const Filters& filters, RingVerifier::Ask ask);
Result<Report> inspect_flows(const PinnedMaps& maps, const Filters& filters);
Result<Report> inspect_counters(const PinnedMaps& maps, const Filters& filters);

/// The members that every document begins with.
Json document_of(const PinnedMaps& maps);

/// All frontends that pass the filters, by network, address, protocol, port.
Result<std::vector<Frontend>> read_frontends(const PinnedMaps& maps, const Filters& filters);

}  // namespace sluice::cli
