/* SPDX-License-Identifier: GPL-2.0 */
/* Which client of a service had which pod last: what the families have in common. The table never fills up: a client
 * that is new to a full bucket takes the place of another. */
#ifndef SLUICE_BPF_AFFINITY_H
#define SLUICE_BPF_AFFINITY_H

static __always_inline struct sluice_affinity_bucket* affinity_bucket(__u64 digest) {
  __u32 index = sluice_affinity_bucket_of(digest);
  return bpf_map_lookup_elem(&affinities, &index);
}

/* 1 if equal, without a branch: two of them would be two paths for the verifier. */
static __always_inline __u64 counts_as(__u32 a, __u32 b) {
  return ((__u64)(a ^ b) - 1) >> 63;
}

static __always_inline bool is_past(const struct sluice_affinity* entry, __u64 now) {
  return (__s64)(entry->until - now) < 0;
}

/* The entry that a new client of the network takes: a free one; else, of those of the network that has most in the
 * bucket, the new one counted in, the one with the least time left. So a tenant with any number of clients takes no
 * more than its part of any bucket from tenants that have fewer. */
GLOBAL __u32 expendable_entry(const struct sluice_affinity_bucket* bucket, __u32 network, __u64 now) {
  __u32 chosen = 0;
  __u64 highest = 0;
  if (!bucket) return 0; /* cannot be */
  for (__u32 way = 0; way < SLUICE_AFFINITY_WAYS; way++) {
    const struct sluice_affinity* entry = &bucket->ways[way];
    if (is_past(entry, now)) return way;
    __u64 of_network = counts_as(entry->network, network);
    for (int other = 0; other < SLUICE_AFFINITY_WAYS; other++)
      of_network += counts_as(entry->network, bucket->ways[other].network);
    __u64 left = (entry->until - now) >> 8;
    __u64 rank = of_network << 56 | (~left & 0xFFFFFFFFFFFFFFULL);
    if (rank <= highest) continue;
    highest = rank;
    chosen = way;
  }
  return chosen;
}

#endif
