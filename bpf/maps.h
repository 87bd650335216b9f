/* SPDX-License-Identifier: GPL-2.0 */
/* The maps; keys and values are in sluice/abi.h. Sizes marked "daemon" are set before load from the configuration.
 * Who writes what: the daemon owns settings to egress_denied6, the programs own network_usage and flows4 to counters.
 */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#define ARRAY_OF(name, value_type, entries) \
  struct {                                  \
    __uint(type, BPF_MAP_TYPE_ARRAY);       \
    __uint(max_entries, entries);           \
    __type(key, __u32);                     \
    __type(value, value_type);              \
  } name SEC(".maps")

#define HASH_OF(name, key_type, value_type, entries, flags) \
  struct {                                                  \
    __uint(type, BPF_MAP_TYPE_HASH);                        \
    __uint(max_entries, entries);                           \
    __uint(map_flags, flags);                               \
    __type(key, key_type);                                  \
    __type(value, value_type);                              \
  } name SEC(".maps")

#define PREFIXES_OF(name, key_type)         \
  struct {                                  \
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);    \
    __uint(max_entries, SLUICE_MAX_DENIED); \
    __uint(map_flags, BPF_F_NO_PREALLOC);   \
    __type(key, key_type);                  \
    __type(value, __u32);                   \
  } name SEC(".maps")

ARRAY_OF(meta, struct sluice_meta, 1);
ARRAY_OF(settings, struct sluice_settings, 1);
ARRAY_OF(digest_key, struct sluice_digest_key, 1);
ARRAY_OF(network_limits, struct sluice_network_limits, SLUICE_MAX_NETWORK_SLOTS);
HASH_OF(ports, __u32, struct sluice_port, 65536, BPF_F_NO_PREALLOC);
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SLUICE_PORT_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE); /* the daemon writes it as a seqlock */
  __type(key, __u32);
  __type(value, struct sluice_port_slot);
} port_slots SEC(".maps");
HASH_OF(endpoints4, struct sluice_endpoint4_key, struct sluice_endpoint4, 262144, BPF_F_NO_PREALLOC);
HASH_OF(endpoints6, struct sluice_endpoint6_key, struct sluice_endpoint6, 262144, BPF_F_NO_PREALLOC);
HASH_OF(frontends4, struct sluice_frontend4_key, struct sluice_frontend4, 262144, BPF_F_NO_PREALLOC);
HASH_OF(frontends6, struct sluice_frontend6_key, struct sluice_frontend6, 262144, BPF_F_NO_PREALLOC);
ARRAY_OF(backends, struct sluice_backend, 1048576); /* daemon */
ARRAY_OF(rings, struct sluice_ring_block, 262144);  /* daemon */
ARRAY_OF(endpoint_generations, __u32, SLUICE_MAX_ENDPOINT_SLOTS);
ARRAY_OF(frontend_generations, __u32, SLUICE_MAX_FRONTEND_SLOTS);
ARRAY_OF(frontend_filter, __u64, SLUICE_FILTER_WORDS);
HASH_OF(egress, __u32, struct sluice_egress, SLUICE_MAX_NETWORK_SLOTS, BPF_F_NO_PREALLOC);
PREFIXES_OF(egress_denied4, struct sluice_prefix4);
PREFIXES_OF(egress_denied6, struct sluice_prefix6);

ARRAY_OF(refusal_windows, struct sluice_refusal_window, SLUICE_REFUSAL_WINDOWS);
ARRAY_OF(network_usage, struct sluice_network_usage, SLUICE_MAX_NETWORK_SLOTS);
/* Preallocated: an insert is twice as fast, and never fails for want of memory. Two records a pair, exactly. */
HASH_OF(flows4, struct sluice_flow4_key, struct sluice_flow4, 2 * 262144, 0);    /* daemon */
HASH_OF(flows6, struct sluice_flow6_digest, struct sluice_flow6, 2 * 262144, 0); /* daemon */
ARRAY_OF(pairs, struct sluice_pair, 262144);                                     /* daemon */
ARRAY_OF(pair_keys6, struct sluice_pair_keys6, 262144);                          /* daemon */
ARRAY_OF(flow_totals, struct sluice_flow_totals, 1);
ARRAY_OF(egress_pairs, __u32, SLUICE_MAX_ENDPOINT_SLOTS);
ARRAY_OF(egress_shares, __u32, SLUICE_EGRESS_SHARES);
ARRAY_OF(endpoint_pairs, __u32, SLUICE_MAX_ENDPOINT_SLOTS);
ARRAY_OF(turns, __u32, SLUICE_MAX_FRONTEND_SLOTS);
ARRAY_OF(affinities, struct sluice_affinity_bucket, SLUICE_AFFINITY_BUCKETS);

ARRAY_OF(fragments, struct sluice_fragment_bucket, SLUICE_FRAGMENT_WINDOWS* SLUICE_FRAGMENT_BUCKETS);

/* Pair indexes that were given back; those never used lie above flow_totals.high_water. */
struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 262144); /* daemon */
  __type(value, __u32);
} pairs_free SEC(".maps");

struct sweep_timer {
  struct bpf_timer timer;
};
ARRAY_OF(sweeper, struct sweep_timer, 1);

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SLUICE_ENTRY_COUNT* SLUICE_COUNTER_STRIDE);
  __type(key, __u32);
  __type(value, struct sluice_counter);
} counters SEC(".maps");

/* Room for what does not fit on the stack; not pinned. Programs run with bottom halves off, so that nobody else on
 * this CPU is at it. */
#define SCRATCH_OF(name, value_type)         \
  struct {                                   \
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
    __uint(max_entries, 1);                  \
    __type(key, __u32);                      \
    __type(value, value_type);               \
  } name SEC(".maps")

static __always_inline const struct sluice_settings* get_settings(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline const struct sluice_digest_key* get_digest_key(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&digest_key, &zero);
}

static __always_inline struct sluice_flow_totals* get_totals(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&flow_totals, &zero);
}

static __always_inline struct sluice_network_usage* get_usage(__u16 network_slot) {
  __u32 index = network_slot;
  return bpf_map_lookup_elem(&network_usage, &index);
}

/* The tuples of a pair. */
static __always_inline struct sluice_pair_keys4* keys4_at(__u32 index) {
  struct sluice_pair* pair = bpf_map_lookup_elem(&pairs, &index);
  if (!pair) return 0;
  asm volatile("" : "+r"(pair)); /* or the compiler adds before it compares, which the verifier refuses */
  return &pair->keys4;
}

static __always_inline struct sluice_pair_keys6* keys6_at(__u32 index) {
  return bpf_map_lookup_elem(&pair_keys6, &index);
}

/* Is the generation of this slot still the current one? Slot 0 with generation 0 always is. */
static __always_inline bool endpoint_current(struct sluice_ref ref) {
  const __u32* generation = bpf_map_lookup_elem(&endpoint_generations, &ref.slot);
  return generation && *generation == ref.generation;
}

static __always_inline bool frontend_current(struct sluice_ref ref) {
  const __u32* generation = bpf_map_lookup_elem(&frontend_generations, &ref.slot);
  return generation && *generation == ref.generation;
}

static __always_inline bool same_ref(struct sluice_ref a, struct sluice_ref b) {
  return a.slot == b.slot && a.generation == b.generation;
}

#endif
