// SPDX-License-Identifier: Apache-2.0
// How networks reach the public side.
#include <algorithm>

#include "compile/build.hpp"
#include "compile/records.hpp"

namespace sluice::compile {

/// The egress addresses themselves, and what nobody reaches by them.
Status Builder::add_egress() {
  if (input_.egress.ifindex == 0) return {};
  return try_each_family([this]<typename F>(F) -> Status {
    for (const auto& cidr : F::denied(input_.egress)) (next_.*F::kDenied).emplace(F::prefix(cidr), 1);
    const auto& egress = F::egress(input_.egress);
    if (!egress) return {};
    if (egress->shared) {
      F::share(next_.settings, egress->address);
      next_.settings.shared_first = egress->ports.first;
      next_.settings.shared_last = egress->ports.last;
    }
    const std::uint8_t kind = egress->shared ? SLUICE_ENDPOINT_SHARED : SLUICE_ENDPOINT_EGRESS;
    return add_endpoint<F>(make_endpoint<F>(0, egress->address, kind), "the node's egress");
  });
}

/// The former one if flows may go on: the same source, ports and device.
template <typename F>
Result<sluice_ref> Builder::way_ref(const sluice_egress& way) {
  sluice_ref former{};
  if (const auto* before = find_record(previous_.egress, way.self)) {
    former = F::ref_of(*before);
    const bool same = BytesEqual{}(F::address_of(*before), F::address_of(way)) && before->ifindex == way.ifindex &&
                      F::first_of(*before) == F::first_of(way) && F::last_of(*before) == F::last_of(way);
    if (same) {
      if (const std::optional<sluice_ref> kept = frontend_slots_.keep(former)) return *kept;
    }
  }
  return frontend_slots_.take(former);
}

template <typename F>
Status Builder::add_family(sluice_egress& way) {
  const auto& egress = F::egress(input_.egress);
  if (!egress) return {};
  F::address_of(way) = F::wire(egress->address);
  F::first_of(way) = egress->ports.first;
  F::last_of(way) = egress->ports.last;
  const Result<sluice_ref> ref = way_ref<F>(way);
  if (!ref) return std::unexpected(ref.error());
  F::ref_of(way) = *ref;
  return {};
}

Status Builder::add_way_out(const NetworkView& network) {
  if (input_.egress.ifindex == 0 || network.network->egress != model::EgressWay::kNode) return {};
  sluice_egress way{};
  way.self = way.self_end = network.id;
  way.ifindex = input_.egress.ifindex;
  way.quota = input_.egress.flows_per_pod;
  const Status added = try_each_family([&]<typename F>(F) -> Status { return add_family<F>(way); });
  if (!added) return fail_in("network " + network.network->name + ": egress", added);
  const bool leaves = way.ref4.slot != 0 || way.ref6.slot != 0;
  if (leaves) next_.egress.emplace(network.id, way);
  return {};
}

/// All networks with a way out have the same one.
Egress egress_of(const Tables& tables) {
  Egress egress;
  if (tables.egress.empty()) return egress;
  const sluice_egress& way = tables.egress.begin()->second;
  egress.ifindex = way.ifindex;
  egress.flows_per_pod = way.quota;
  each_family([&]<typename F>(F) {
    for (const auto& [prefix, value] : tables.*F::kDenied) F::denied(egress).push_back(F::cidr(prefix));
    std::ranges::sort(F::denied(egress));
    const auto address = F::from_wire(F::address_of(way));
    if (address == typename F::Address{}) return;
    F::egress(egress) = {address, F::is_shared(tables.settings, address), {F::first_of(way), F::last_of(way)}};
  });
  return egress;
}

}  // namespace sluice::compile
