/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers and results of stages that both families have in common. */
#ifndef SLUICE_BPF_RULES_H
#define SLUICE_BPF_RULES_H

/* How far above the expected acknowledgement the first ACK of a client may be: the server may have sent data. */
#define HANDSHAKE_WINDOW (1U << 20)

/* How far beyond what the other side has acknowledged a segment may be that ends a connection: more than any window in
 * flight, and still one guess in 256 for somebody who does not see the connection (RFC 5961 sections 3 and 4). */
#define ENDING_WINDOW (1U << 24)

#define REFUSAL_WINDOW 1000000000ULL /* one second, coarse nanoseconds */

/* Backends that are looked at to find one again for affinity. */
#define LIST_WALK 4096

/* An update replaces the whole element, so a reader may find the old one reused under its eyes: that is no miss, the
 * key is alive. */
enum lookup_result { FOUND, MISSING, CHANGED };

static __always_inline bool is_remembered(const struct sluice_fragment* entry, __u64 now) {
  return entry->last_seen && now - entry->last_seen < SLUICE_FRAGMENT_LIFETIME;
}

#define NO_LOCAL 0xFFFFFFFFU /* no backend */

#define SUBSTITUTE_FIRST_PORT 61000
#define SUBSTITUTE_PORTS (65536 - SUBSTITUTE_FIRST_PORT)
#define SUBSTITUTE_TRIES 8

static __always_inline __be16 substitute_port(void) {
  return bpf_htons((__u16)(SUBSTITUTE_FIRST_PORT + bpf_get_prandom_u32() % SUBSTITUTE_PORTS));
}

/* The candidate of an attempt: all keys of a first one do not move together, so that a long run of ports in use is left
 * after one step. */
static __always_inline __u16 egress_port(__u64 hash, __u32 attempt, __u16 first, __u16 ports) {
  return first + (__u16)sluice_reduce((__u32)(sluice_mix64(hash + attempt) >> 32), ports);
}

enum insert_result {
  INSERTED = 0,
  TAKEN,   /* another flow owns the reverse tuple */
  ADOPTED, /* this very flow was made by another CPU meanwhile */
  FULL,
};

/* What an ICMP error of ours says. */
struct icmp_error {
  __u32 word;  /* what stands before the quote: a pointer, an MTU, or 0 */
  __u8 reason; /* enum sluice_reason */
  __u8 type;
  __u8 code;
  __u8 pad;
};

#endif
