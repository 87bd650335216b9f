/* SPDX-License-Identifier: GPL-2.0 */
/* Flow pairs as a resource: shares, pair indexes, and deletion by exactly one owner. */
#ifndef SLUICE_BPF_PAIR_H
#define SLUICE_BPF_PAIR_H

static __always_inline bool same_key(const struct sluice_flow4_key* a, const struct sluice_flow4_key* b) {
  const __u64 *x = (const __u64*)a, *y = (const __u64*)b;
  return x[0] == y[0] && x[1] == y[1];
}

/* A record of which the kernel may have reused the memory: read what identifies it again, after everything else. */
static __always_inline bool still_self(const struct sluice_flow4* flow, const struct sluice_flow4_key* key) {
  barrier();
  return same_key((const struct sluice_flow4_key*)&flow->self, key) && flow->stamp == flow->stamp_end;
}

/* Has a generation ended this record, whoever asks? */
static __always_inline bool is_ended(const struct sluice_flow4* flow) {
  return !endpoint_current(flow->source) || !endpoint_current(flow->endpoint) || !frontend_current(flow->frontend);
}

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

static __noinline void discharge_share(__u16 network_slot) {
  struct sluice_network_usage* usage = get_usage(network_slot);
  struct sluice_flow_totals* totals = get_totals();
  if (!usage || !totals) return;
  usage->changes++;
  leave_share(usage, totals);
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

/* Ends the half-open charge of a forward record; the bit makes sure that it happens once. */
static __always_inline void discharge_half_open(struct sluice_flow4* flow) {
  if (!(flow->state & SLUICE_STATE_HALF_OPEN_CHARGED)) return;
  if (!(__sync_fetch_and_and(&flow->state, ~SLUICE_STATE_HALF_OPEN_CHARGED) & SLUICE_STATE_HALF_OPEN_CHARGED)) return;
  struct sluice_network_usage* usage = get_usage(flow->network_slot);
  if (!usage) return;
  usage->changes++;
  decrement(&usage->half_open);
}

static __always_inline int take_pair_index(__u32* index) {
  if (bpf_map_pop_elem(&pairs4_free, index) == 0) return 0;
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
static __always_inline void give_pair_index(struct sluice_pair4* pair, __u32 index) {
  *(volatile __u32*)&pair->state = SLUICE_PAIR_FREE;
  if (bpf_map_push_elem(&pairs4_free, &index, 0)) *(volatile __u32*)&pair->state = SLUICE_PAIR_KEPT;
}

/* Deletes one record of a pair, if it is the pair's own. False: it is still there, since a delete can fail for the same
 * reasons as a push. */
static __always_inline bool delete_record(const struct sluice_flow4_key* key, __u32 index) {
  struct sluice_flow4* flow = bpf_map_lookup_elem(&flows4, key);
  if (!flow || flow->pair != index) return true;
  discharge_half_open(flow);
  long error = bpf_map_delete_elem(&flows4, key);
  return !error || error == -ENOENT;
}

/* Deletes both records of a pair that the caller has claimed (state DYING), and gives everything back. Forward
 * first: while the reverse record stands, a new flow of the same tuple cannot be half made. If a record cannot be
 * deleted the pair lives again as it was, with its mark, and the sweep returns to it. */
static __always_inline bool release_pair(struct sluice_pair4* pair, __u32 index) {
  if (!delete_record(&pair->forward, index) || !delete_record(&pair->reverse, index)) {
    *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE;
    return false;
  }
  pair->mark = 0;
  discharge_share(pair->network_slot);
  give_pair_index(pair, index);
  return true;
}

/* Claims a live pair; the claimer alone may delete it. */
static __always_inline bool claim_pair(struct sluice_pair4* pair) {
  return __sync_val_compare_and_swap(&pair->state, SLUICE_PAIR_LIVE, SLUICE_PAIR_DYING) == SLUICE_PAIR_LIVE;
}

static __always_inline bool names_key(const struct sluice_pair4* pair, const struct sluice_flow4_key* key) {
  return same_key(&pair->forward, key) || same_key(&pair->reverse, key);
}

/* Why a packet wants a pair deleted. */
enum end_cause {
  END_STALE,   /* a generation has ended it, or it is not the sender's */
  END_CLOSING, /* FIN or RST was seen, and now comes a SYN */
};

/* Does the cause hold for the pair as it is now? Asked under the claim: since the packet looked, the index may have
 * been given to another flow, even to one of the same tuple. */
static __always_inline bool may_delete(const struct sluice_pair4* pair, __u32 index, const struct packet* p,
                                       const struct sluice_flow4_key* key, enum end_cause cause) {
  const struct sluice_flow4* ahead = bpf_map_lookup_elem(&flows4, &pair->forward);
  const struct sluice_flow4* back = bpf_map_lookup_elem(&flows4, &pair->reverse);
  if (!ahead || !back || ahead->pair != index || back->pair != index) return true; /* an orphan, for the sweep too */
  if (is_ended(ahead) || is_ended(back)) return true;
  if (cause == END_CLOSING) return (ahead->state | back->state) & (SLUICE_STATE_FIN | SLUICE_STATE_RST);
  const struct sluice_flow4* own = same_key(&pair->forward, key) ? ahead : back;
  return same_key(key, &p->key) && !same_ref(own->source, p->source);
}

/* Deletes a record that names a pair which does not name it: no other way leads to it. */
static __always_inline bool delete_leftover(__u32 index, const struct sluice_flow4_key* key) {
  struct sluice_flow4* flow = bpf_map_lookup_elem(&flows4, key);
  return flow && flow->pair == index && still_self(flow, key) && delete_record(key, index);
}

/* Deletes the pair that owns `key`, if `cause` holds for it. False: somebody else is at it, or it has changed. */
static __noinline bool delete_pair(const struct packet* p, __u32 index, const struct sluice_flow4_key* key,
                                   enum end_cause cause) {
  struct sluice_pair4* pair = bpf_map_lookup_elem(&pairs4, &index);
  if (!pair) return false;
  /* A pair in the making has its keys before it has records, so this is never said of one. */
  if (!names_key(pair, key)) return delete_leftover(index, key);
  if (!claim_pair(pair)) return false;
  if (names_key(pair, key) && may_delete(pair, index, p, key, cause)) return release_pair(pair, index);
  *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE;
  return false;
}

#endif
