/* SPDX-License-Identifier: GPL-2.0 */
/* What flow pairs of both families take from: shares of networks, and pair indexes. */
#ifndef SLUICE_BPF_SHARE_H
#define SLUICE_BPF_SHARE_H

/* Subtracts one from a counter that must not pass zero, whatever went wrong before. */
static __always_inline __u32 decrement(__u32* counter) {
  __u32 before = __sync_fetch_and_sub(counter, 1);
  if (before == 0) __sync_fetch_and_add(counter, 1);
  return before;
}

/* Gives one pair back: to the shared pool for as long as the network has any from there. The network's own count of
 * them makes totals->shared_used exact whatever happens to the guarantee in the meantime. */
static __always_inline void leave_share(struct sluice_network_usage* usage, struct sluice_flow_totals* totals) {
  decrement(&usage->pairs);
  if (usage->shared && decrement(&usage->shared)) decrement(&totals->shared_used);
}

/* Takes one pair out of the network's share: free up to its guarantee, above that from the pool that all share.
 * 0 or a reason. */
static __noinline int charge_share(__u16 network_slot) {
  __u32 index = network_slot;
  const struct sluice_network_limits* limits = bpf_map_lookup_elem(&network_limits, &index);
  struct sluice_network_usage* usage = get_usage(network_slot);
  struct sluice_flow_totals* totals = get_totals();
  const struct sluice_settings* set = get_settings();
  if (!limits || !usage || !totals || !set) return SLUICE_REASON_NETWORK_CAP;
  usage->changes++;
  __u32 before = __sync_fetch_and_add(&usage->pairs, 1);
  __u32 own = before - usage->shared; /* of its guarantee */
  bool granted = before < limits->max_pairs;
  if (own < limits->guaranteed_pairs) {
    if (granted) return 0;
    decrement(&usage->pairs);
    return SLUICE_REASON_NETWORK_CAP;
  }
  __sync_fetch_and_add(&usage->shared, 1);
  if (__sync_fetch_and_add(&totals->shared_used, 1) >= set->shared_pairs) granted = false;
  if (granted) return 0;
  leave_share(usage, totals);
  return SLUICE_REASON_NETWORK_CAP;
}

/* Inlined by pair.h: at the end of the longest chain of calls, where every frame costs stack. */
static __always_inline void return_share(__u16 network_slot) {
  struct sluice_network_usage* usage = get_usage(network_slot);
  struct sluice_flow_totals* totals = get_totals();
  if (!usage || !totals) return;
  usage->changes++;
  leave_share(usage, totals);
}

static __noinline void discharge_share(__u16 network_slot) {
  return_share(network_slot);
}

/* Flows from the public side count as half open: TCP until the client has shown that it gets our answers, UDP and ICMP
 * until there is an answer. */
static __noinline int charge_half_open(__u16 network_slot) {
  __u32 index = network_slot;
  const struct sluice_network_limits* limits = bpf_map_lookup_elem(&network_limits, &index);
  struct sluice_network_usage* usage = get_usage(network_slot);
  if (!limits || !usage) return SLUICE_REASON_HALF_OPEN_CAP;
  usage->changes++;
  if (__sync_fetch_and_add(&usage->half_open, 1) < limits->max_half_open_pairs) return 0;
  decrement(&usage->half_open);
  return SLUICE_REASON_HALF_OPEN_CAP;
}

static __always_inline void decrement_at(void* map, __u32 index) {
  __u32* counter = bpf_map_lookup_elem(map, &index);
  if (counter) decrement(counter);
}

/* Takes a port of the egress address: of those that the pod may have, and of those that its network may have of one
 * remote. 0 or a reason. */
static __noinline int charge_egress(__u32 slot, __u32 share, __u32 quota, __u32 limit) {
  __u32* of_pod = bpf_map_lookup_elem(&egress_pairs, &slot);
  __u32* of_remote = bpf_map_lookup_elem(&egress_shares, &share);
  if (!of_pod || !of_remote) return SLUICE_REASON_EGRESS_QUOTA; /* cannot be */
  int reason = 0;
  if (__sync_fetch_and_add(of_pod, 1) >= quota) {
    reason = SLUICE_REASON_EGRESS_QUOTA;
  } else {
    if (__sync_fetch_and_add(of_remote, 1) < limit) return 0;
    decrement(of_remote);
    reason = SLUICE_REASON_EGRESS_SHARE;
  }
  decrement(of_pod);
  return reason;
}

/* Gives back what a pair holds of both; inlined like return_share. */
static __always_inline void return_egress(struct sluice_pair* pair) {
  if (!pair->egress_slot) return;
  decrement_at(&egress_pairs, pair->egress_slot);
  decrement_at(&egress_shares, pair->egress_share - 1);
  pair->egress_slot = pair->egress_share = 0;
}

/* Counts a pair for the pod that it leads to; a flow that leaves leads to none. */
static __always_inline void charge_backend(struct sluice_pair* pair, __u32 slot) {
  __u32* live = slot ? bpf_map_lookup_elem(&endpoint_pairs, &slot) : 0;
  if (!live) return;
  __sync_fetch_and_add(live, 1);
  pair->backend_slot = slot;
}

/* Once for a pair, whoever is first: who sees the connection's end, or who deletes the pair. */
static __always_inline void return_backend(struct sluice_pair* pair) {
  if (!pair->backend_slot) return;
  __u32 slot = __sync_lock_test_and_set(&pair->backend_slot, 0);
  if (slot) decrement_at(&endpoint_pairs, slot);
}

static __always_inline int take_pair_index(__u32* index) {
  if (bpf_map_pop_elem(&pairs_free, index) == 0) return 0;
  struct sluice_flow_totals* totals = get_totals();
  const struct sluice_settings* set = get_settings();
  if (!totals || !set) return -1;
  *index = __sync_fetch_and_add(&totals->high_water, 1);
  if (*index < set->max_pairs) return 0;
  __sync_fetch_and_sub(&totals->high_water, 1);
  return -1;
}

/* Gives an index back that the caller owns. A push can fail (a lock that this very CPU holds, or one not had in time):
 * then the pair says so, and the sweep pushes again. Nobody else looks at an index outside the stack. */
static __always_inline void give_pair_index(struct sluice_pair* pair, __u32 index) {
  *(volatile __u32*)&pair->state = SLUICE_PAIR_FREE;
  if (bpf_map_push_elem(&pairs_free, &index, 0)) *(volatile __u32*)&pair->state = SLUICE_PAIR_KEPT;
}

/* Claims a live pair; the claimer alone may delete it. */
static __always_inline bool claim_pair(struct sluice_pair* pair) {
  return __sync_val_compare_and_swap(&pair->state, SLUICE_PAIR_LIVE, SLUICE_PAIR_DYING) == SLUICE_PAIR_LIVE;
}

/* Why a packet wants a pair deleted. */
enum end_cause {
  END_STALE,   /* a generation has ended it, or it is not the sender's */
  END_CLOSING, /* FIN or RST was seen, and now comes a SYN */
};

#endif
