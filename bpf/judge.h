/* SPDX-License-Identifier: GPL-2.0 */
/* The sweep's judgement of one pair. */

OUTLINE int judge(const struct sweep* sweep, const struct sluice_pair* pair, const PAIR_KEYS* keys, __u32 index,
                  bool* half_open) {
  const FLOW* ahead = find_flow(&keys->forward);
  const FLOW* back = find_flow(&keys->reverse);
  if (!ahead || !back || ahead->pair != index || back->pair != index) return PAIR_ORPHANED;
  *half_open = ahead->state & SLUICE_STATE_HALF_OPEN_CHARGED;
  if (is_ended(ahead) || is_ended(back)) return PAIR_ENDED;
  __u64 seen = ahead->last_seen > back->last_seen ? ahead->last_seen : back->last_seen;
  if (sweep->now < seen || sweep->now - seen < idle_limit(sweep, pair, ahead->state, back->state)) return PAIR_LIVES;
  return PAIR_IDLE;
}
