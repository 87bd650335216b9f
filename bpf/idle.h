/* SPDX-License-Identifier: GPL-2.0 */
/* How long a pair may stand idle; what the sweep knows while it walks. */
#ifndef SLUICE_BPF_IDLE_H
#define SLUICE_BPF_IDLE_H

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

static __always_inline __u64 usual_limit(const struct sweep* sweep, const struct sluice_pair* pair, __u32 ahead,
                                         __u32 back) {
  const struct sluice_settings* set = sweep->set;
  if (pair->protocol == IPPROTO_TCP) return tcp_idle_limit(sweep, pair->network_slot, ahead, back);
  if (pair->protocol == IPPROTO_UDP || pair->protocol == IPPROTO_SCTP)
    return back & SLUICE_STATE_ESTABLISHED ? set->udp_stream : set->udp_new;
  return set->icmp;
}

static __always_inline __u64 idle_limit(const struct sweep* sweep, const struct sluice_pair* pair, __u32 ahead,
                                        __u32 back) {
  __u64 limit = usual_limit(sweep, pair, ahead, back);
  if (!(ahead & SLUICE_STATE_HALF_OPEN_CHARGED) || limit < SLUICE_SHORT_LIMIT) return limit;
  return is_short_of_half_open(pair->network_slot) ? SLUICE_SHORT_LIMIT : limit;
}

enum pair_fate { PAIR_LIVES, PAIR_IDLE, PAIR_ENDED, PAIR_ORPHANED };

#endif
