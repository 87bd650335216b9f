// SPDX-License-Identifier: Apache-2.0
#include "harness/accounting.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <sstream>
#include <thread>

namespace bpftest {

namespace {

struct Held {
  std::map<FlowKey, FlowRecord> flows;               ///< of both families
  std::map<std::uint16_t, std::uint32_t> pairs;      ///< by network slot
  std::map<std::uint16_t, std::uint32_t> half_open;  ///< by network slot
  std::set<std::uint32_t> live;
  std::map<std::uint32_t, std::uint32_t> egress_pairs, egress_shares, endpoint_pairs;
};

void check_record(const Held& held, std::uint32_t index, const FlowKey& key, std::uint8_t role, std::ostream& errors) {
  const auto found = held.flows.find(key);
  if (found == held.flows.end()) {
    errors << "pair " << index << " lacks its record of role " << unsigned{role} << "\n";
  } else if (found->second.pair != index || found->second.role != role) {
    errors << "pair " << index << " names a record of pair " << found->second.pair << ", role "
           << unsigned{found->second.role} << "\n";
  }
}

/// What a pair's records say of the pod that it leads to.
struct Lead {
  std::uint32_t slot = 0;
  std::uint32_t closed = SLUICE_STATE_FIN;  ///< 0 unless both sides have closed it
};

std::map<std::uint32_t, Lead> leads_of(const Held& held) {
  std::map<std::uint32_t, Lead> leads;
  for (const auto& [key, flow] : held.flows) {
    Lead& lead = leads[flow.pair];
    if (flow.role == SLUICE_FLOW_FORWARD) lead.slot = flow.endpoint.slot;
    lead.closed &= flow.state;
  }
  return leads;
}

void check_pairs(const Datapath& datapath, Held& held, std::ostream& errors) {
  std::map<std::uint32_t, Lead> leads = leads_of(held);
  for (std::uint32_t index = 0; index < datapath.pairs(); ++index) {
    const auto pair = datapath.element<sluice_pair>("pairs", index);
    if (pair.state == SLUICE_PAIR_FREE) continue;
    if (pair.state != SLUICE_PAIR_LIVE) {
      errors << "pair " << index << " was left in state " << pair.state << "\n";
      continue;
    }
    held.live.insert(index);
    ++held.pairs[pair.network_slot];
    if (pair.egress_slot != 0) {
      ++held.egress_pairs[pair.egress_slot];
      ++held.egress_shares[pair.egress_share - 1];
    }
    if (pair.backend_slot != 0) ++held.endpoint_pairs[pair.backend_slot];
    const Lead lead = leads[index];
    if (pair.backend_slot != lead.slot && !(lead.closed != 0 && pair.backend_slot == 0)) {
      errors << "pair " << index << " counts for slot " << pair.backend_slot << ", leads to " << lead.slot << "\n";
    }
    if (pair.family != 4 && pair.family != 6) errors << "pair " << index << " is of family " << +pair.family << "\n";
    in_family(static_cast<Family>(pair.family), [&](auto names) {
      const auto keys = names.pair_keys(datapath, index);
      check_record(held, index, read_key(names, keys.forward), SLUICE_FLOW_FORWARD, errors);
      check_record(held, index, read_key(names, keys.reverse), SLUICE_FLOW_REVERSE, errors);
    });
  }
  for (const auto& [key, flow] : held.flows) {
    if (!held.live.contains(flow.pair)) errors << "a record names pair " << flow.pair << ", which is not live\n";
  }
  if (held.flows.size() != 2 * held.live.size()) {
    errors << held.flows.size() << " records for " << held.live.size() << " live pairs\n";
  }
}

void check_free(const Datapath& datapath, const Held& held, std::ostream& errors) {
  const std::vector<std::uint32_t> free = datapath.free_pairs();
  const std::set<std::uint32_t> unique(free.begin(), free.end());
  const sluice_flow_totals totals = datapath.totals();
  if (unique.size() != free.size()) errors << "an index stands twice in pairs_free\n";
  for (std::uint32_t index : unique) {
    if (held.live.contains(index)) errors << "pair " << index << " is free and live\n";
    if (index >= totals.high_water) errors << "pair " << index << " is free and was never handed out\n";
  }
  // Above its end the mark may count attempts that found the table full.
  const std::uint32_t handed_out = std::min(totals.high_water, datapath.pairs());
  if (free.size() + held.live.size() != handed_out) {
    errors << free.size() << " free + " << held.live.size() << " live != " << handed_out << " handed out\n";
  }
}

void check_usage(const Datapath& datapath, Held& held, std::ostream& errors) {
  std::uint32_t shared = 0;
  for (std::uint16_t slot = 0; slot < 80; ++slot) {
    const sluice_network_usage usage = datapath.usage(slot);
    const auto limits = datapath.element<sluice_network_limits>("network_limits", slot);
    const std::uint32_t pairs = held.pairs[slot];
    if (usage.pairs != pairs)
      errors << "slot " << slot << " is charged " << usage.pairs << " of " << pairs << " pairs\n";
    if (usage.half_open != held.half_open[slot]) {
      errors << "slot " << slot << " is charged " << usage.half_open << " half-open, has " << held.half_open[slot]
             << "\n";
    }
    if (pairs > limits.guaranteed_pairs) shared += pairs - limits.guaranteed_pairs;
  }
  if (datapath.totals().shared_used != shared) {
    errors << "shared_used is " << datapath.totals().shared_used << ", should be " << shared << "\n";
  }
}

}  // namespace

std::string inconsistency(const Datapath& datapath) {
  std::ostringstream errors;
  Held held;
  for (const FlowRecord& flow : datapath.flows()) {
    held.flows[flow.self] = flow;
    if ((flow.state & SLUICE_STATE_HALF_OPEN_CHARGED) != 0) ++held.half_open[flow.network_slot];
  }
  check_pairs(datapath, held, errors);
  check_free(datapath, held, errors);
  check_usage(datapath, held, errors);
  if (datapath.numbers("endpoint_pairs") != held.endpoint_pairs) errors << "endpoint_pairs is not what pairs hold\n";
  if (datapath.has_egress()) {
    if (datapath.numbers("egress_pairs") != held.egress_pairs) errors << "egress_pairs is not what pairs hold\n";
    if (datapath.numbers("egress_shares") != held.egress_shares) errors << "egress_shares is not what pairs hold\n";
  }
  return errors.str();
}

/// Where the sweep runs, it may be in the middle of a deletion, or make one while this reads.
void expect_consistent(const Datapath& datapath) {
  std::string errors = inconsistency(datapath);
  for (int attempt = 0; !errors.empty() && datapath.sweeps() && attempt < 50; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    errors = inconsistency(datapath);
  }
  EXPECT_EQ(errors, "");
}

unsigned live_pairs(const Datapath& datapath) {
  unsigned live = 0;
  for (std::uint32_t index = 0; index < datapath.pairs(); ++index) {
    if (datapath.element<sluice_pair>("pairs", index).state == SLUICE_PAIR_LIVE) ++live;
  }
  return live;
}

}  // namespace bpftest
