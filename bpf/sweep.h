/* SPDX-License-Identifier: GPL-2.0 */
/* sweep: a BPF timer walks the pairs by index, a slice at a time. It lives in a pinned map and goes on firing
 * when its loader has gone, so flows expire without the daemon. */
#ifndef SLUICE_BPF_SWEEP_H
#define SLUICE_BPF_SWEEP_H

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

struct sweep {
  const struct sluice_settings* set;
  struct sluice_flow_totals* totals;
  __u64 now;
  __u32 start;
  __u32 limit;
};

/* Is more than half of what the network may have in use? Then what is probably of no more use goes sooner. */
static __noinline bool is_short_of_pairs(const struct sweep* sweep, __u16 network_slot) {
  __u32 index = network_slot;
  const struct sluice_network_limits* limits = bpf_map_lookup_elem(&network_limits, &index);
  const struct sluice_network_usage* usage = get_usage(network_slot);
  if (!limits || !usage) return false;
  return usage->pairs > limits->max_pairs / 2 || sweep->totals->shared_used > sweep->set->shared_pairs / 2;
}

static __noinline bool is_short_of_half_open(__u16 network_slot) {
  __u32 index = network_slot;
  const struct sluice_network_limits* limits = bpf_map_lookup_elem(&network_limits, &index);
  const struct sluice_network_usage* usage = get_usage(network_slot);
  return limits && usage && usage->half_open > limits->max_half_open_pairs / 2;
}

static __always_inline __u64 tcp_idle_limit(const struct sweep* sweep, __u16 network_slot, __u32 ahead, __u32 back) {
  const struct sluice_settings* set = sweep->set;
  if ((ahead | back) & SLUICE_STATE_RST) return set->tcp_reset;
  if ((ahead & back) & SLUICE_STATE_FIN)
    return set->tcp_reset < set->tcp_closed && is_short_of_pairs(sweep, network_slot) ? set->tcp_reset
                                                                                      : set->tcp_closed;
  if ((ahead | back) & SLUICE_STATE_FIN) return set->tcp_closing;
  return ahead & SLUICE_STATE_ESTABLISHED ? set->tcp_established : set->tcp_half_open;
}

static __always_inline __u64 usual_limit(const struct sweep* sweep, const struct sluice_pair4* pair, __u32 ahead,
                                         __u32 back) {
  const struct sluice_settings* set = sweep->set;
  __u8 protocol = pair->forward.network_protocol >> 24;
  if (protocol == IPPROTO_TCP) return tcp_idle_limit(sweep, pair->network_slot, ahead, back);
  if (protocol == IPPROTO_UDP) return back & SLUICE_STATE_ESTABLISHED ? set->udp_stream : set->udp_new;
  return set->icmp;
}

static __always_inline __u64 idle_limit(const struct sweep* sweep, const struct sluice_pair4* pair, __u32 ahead,
                                        __u32 back) {
  __u64 limit = usual_limit(sweep, pair, ahead, back);
  if (!(ahead & SLUICE_STATE_HALF_OPEN_CHARGED) || limit < SLUICE_SHORT_LIMIT) return limit;
  return is_short_of_half_open(pair->network_slot) ? SLUICE_SHORT_LIMIT : limit;
}

enum pair_fate { PAIR_LIVES, PAIR_IDLE, PAIR_ENDED, PAIR_ORPHANED };

static __noinline int judge(const struct sweep* sweep, struct sluice_pair4* pair, __u32 index, bool* half_open) {
  const struct sluice_flow4* ahead = bpf_map_lookup_elem(&flows4, &pair->forward);
  const struct sluice_flow4* back = bpf_map_lookup_elem(&flows4, &pair->reverse);
  if (!ahead || !back || ahead->pair != index || back->pair != index) return PAIR_ORPHANED;
  *half_open = ahead->state & SLUICE_STATE_HALF_OPEN_CHARGED;
  if (is_ended(ahead) || is_ended(back)) return PAIR_ENDED;
  __u64 seen = ahead->last_seen > back->last_seen ? ahead->last_seen : back->last_seen;
  if (sweep->now < seen || sweep->now - seen < idle_limit(sweep, pair, ahead->state, back->state)) return PAIR_LIVES;
  return PAIR_IDLE;
}

static __always_inline void recount(__u16 network_slot, bool half_open) {
  struct sluice_network_usage* usage = get_usage(network_slot);
  if (!usage) return;
  usage->recount_pairs++;
  usage->recount_half_open += half_open;
}

static __always_inline void count_fate(struct sluice_flow_totals* totals, int fate) {
  if (fate == PAIR_IDLE)
    totals->expired++;
  else if (fate == PAIR_ENDED)
    totals->ended++;
  else
    totals->orphans++;
}

/* Two phases: an expired pair is marked first and deleted a grace period later if nothing has used it since. */
static long visit_pair(__u32 step, struct sweep* sweep) {
  __u32 index = sweep->start + step;
  struct sluice_pair4* pair = bpf_map_lookup_elem(&pairs4, &index);
  if (!pair || index >= sweep->limit) return 1;
  __u32 state = *(volatile __u32*)&pair->state;
  if (state == SLUICE_PAIR_KEPT) give_pair_index(pair, index);
  if (state != SLUICE_PAIR_LIVE) return 0;
  bool half_open = false;
  int fate = judge(sweep, pair, index, &half_open);
  __u64 mark = pair->mark;
  recount(pair->network_slot, half_open);
  if (fate == PAIR_LIVES) {
    if (mark) pair->mark = 0;
    return 0;
  }
  if (!mark) {
    pair->mark = sweep->now;
    return 0;
  }
  if (sweep->now - mark < sweep->set->delete_grace || !claim_pair(pair)) return 0;
  if (pair->mark != mark || judge(sweep, pair, index, &half_open) != fate) {
    *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE; /* used again, or another flow's by now */
    return 0;
  }
  if (release_pair(pair, index)) count_fate(sweep->totals, fate);
  return 0;
}

/* ---- once a round: repair the counts of networks that stood still ------------------------------------------------ */

struct round {
  __u32 shared;
  __u32 changes;
};

static long finish_network(__u32 index, struct round* round) {
  struct sluice_network_usage* usage = bpf_map_lookup_elem(&network_usage, &index);
  if (!usage) return 1;
  if (usage->changes == usage->recount_changes) {
    if (usage->pairs != usage->recount_pairs) usage->pairs = usage->recount_pairs;
    if (usage->half_open != usage->recount_half_open) usage->half_open = usage->recount_half_open;
    if (usage->shared > usage->pairs) usage->shared = usage->pairs;
  }
  round->changes += usage->changes;
  round->shared += usage->shared;
  usage->recount_pairs = 0;
  usage->recount_half_open = 0;
  usage->recount_changes = usage->changes;
  return 0;
}

static __noinline void finish_round(struct sluice_flow_totals* totals) {
  struct round round = {};
  __u32 before = totals->shared_used;
  bpf_loop(SLUICE_MAX_NETWORK_SLOTS, finish_network, &round, 0);
  if (round.shared != before && round.changes == totals->recount_changes)
    __sync_val_compare_and_swap(&totals->shared_used, before, round.shared);
  totals->recount_changes = round.changes;
  totals->rounds++;
}

static int sweep_slice(void* map, int* key, struct sweep_timer* timer) {
  struct sweep sweep = {.set = get_settings(), .totals = get_totals(), .now = bpf_ktime_get_coarse_ns()};
  if (!sweep.set || !sweep.totals) return 0;
  sweep.start = sweep.totals->cursor;
  sweep.limit = sweep.totals->high_water;
  bpf_loop(sweep.set->sweep_pairs & 0xFFFF, visit_pair, &sweep, 0);
  sweep.totals->cursor = sweep.start + (sweep.set->sweep_pairs & 0xFFFF);
  if (sweep.totals->cursor >= sweep.limit) {
    sweep.totals->cursor = 0;
    finish_round(sweep.totals);
  }
  sweep.totals->last_slice = sweep.now;
  bpf_timer_start(&timer->timer, sweep.set->sweep_interval, 0);
  return 0;
}

/* Takes the timer over for this program: an older program's callback is replaced, not doubled. */
static __noinline int start_sweep(void) {
  __u32 zero = 0;
  struct sweep_timer* timer = bpf_map_lookup_elem(&sweeper, &zero);
  if (!timer) return 1;
  long error = bpf_timer_init(&timer->timer, &sweeper, CLOCK_MONOTONIC);
  if (error && error != -EBUSY) return 2;
  if (bpf_timer_set_callback(&timer->timer, sweep_slice)) return 3;
  return bpf_timer_start(&timer->timer, 0, 0) ? 4 : 0;
}

#endif
