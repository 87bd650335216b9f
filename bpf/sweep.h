/* SPDX-License-Identifier: GPL-2.0 */
/* sweep: a BPF timer walks the pairs by index, a slice at a time. It lives in a pinned map and goes on firing
 * when its loader has gone, so flows expire without the daemon. */
#ifndef SLUICE_BPF_SWEEP_H
#define SLUICE_BPF_SWEEP_H

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

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

/* The two families from here on: a pair is of one. */
static __always_inline int judge_pair(const struct sweep* sweep, const struct sluice_pair* pair, __u32 index,
                                      bool* half_open) {
  const struct sluice_pair_keys4* keys4 = keys4_at(index);
  const struct sluice_pair_keys6* keys6 = keys6_at(index);
  if (!keys4 || !keys6) return PAIR_LIVES;
  return pair->family == 6 ? judge(sweep, pair, keys6, index, half_open) : judge(sweep, pair, keys4, index, half_open);
}

static __noinline bool release_any(struct sluice_pair* pair, __u32 index) {
  const struct sluice_pair_keys4* keys4 = keys4_at(index);
  const struct sluice_pair_keys6* keys6 = keys6_at(index);
  if (!keys4 || !keys6) return false;
  return pair->family == 6 ? release_pair(pair, keys6, index) : release_pair(pair, keys4, index);
}

/* Two phases: an expired pair is marked first and deleted a grace period later if nothing has used it since. */
static long visit_pair(__u32 step, struct sweep* sweep) {
  __u32 index = sweep->start + step;
  struct sluice_pair* pair = bpf_map_lookup_elem(&pairs, &index);
  if (!pair || index >= sweep->limit) return 1;
  __u32 state = *(volatile __u32*)&pair->state;
  if (state == SLUICE_PAIR_KEPT) give_pair_index(pair, index);
  if (state != SLUICE_PAIR_LIVE) return 0;
  bool half_open = false;
  int fate = judge_pair(sweep, pair, index, &half_open);
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
  if (pair->mark != mark || judge_pair(sweep, pair, index, &half_open) != fate) {
    *(volatile __u32*)&pair->state = SLUICE_PAIR_LIVE; /* used again, or another flow's by now */
    return 0;
  }
  if (release_any(pair, index)) count_fate(sweep->totals, fate);
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
