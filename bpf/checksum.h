/* SPDX-License-Identifier: GPL-2.0 */
/* checksum: one's complement arithmetic (RFC 1624), and what the kernel knows about a packet's transport checksum. */
#ifndef SLUICE_BPF_CHECKSUM_H
#define SLUICE_BPF_CHECKSUM_H

/* skb->ip_summed, <linux/skbuff.h>. */
#define CHECKSUM_NONE 0
#define CHECKSUM_UNNECESSARY 1
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_PARTIAL 3
#define CHECKSUM_UNKNOWN 4 /* ours: the kernel does not tell */

static __always_inline __u32 checksum_fold32(__u64 sum) {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  return (__u32)((sum & 0xFFFFFFFF) + (sum >> 32));
}

static __always_inline __u16 checksum_fold(__u64 sum) {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return (__u16)((sum & 0xFFFF) + (sum >> 16));
}

/* One's complement difference new - old, in the form that bpf_csum_diff gives. */
static __always_inline __u32 checksum_difference(__u32 old1, __u32 old2, __u32 new1, __u32 new2) {
  return checksum_fold32((__u64)(__u32)~old1 + (__u32)~old2 + new1 + new2);
}

/* The kernel's struct, as far as we look into it; libbpf fills the place of the field in at load (CO-RE, which ignores
 * what follows the three underscores). */
struct sk_buff___sluice {
  __u8 ip_summed : 2;
} __attribute__((preserve_access_index));

/* Since 6.2 the verifier turns this function into a register move. The enumerator came with it, so its presence says,
 * at load, whether the kernel has the function; if not, the verifier cuts the call out. */
extern void* bpf_cast_to_kern_ctx(void* context) __ksym __weak;
enum special_kfunc_type___sluice { KF_bpf_cast_to_kern_ctx = 1 };

static __always_inline __u32 checksum_state(struct __sk_buff* skb) {
  if (!bpf_core_enum_value_exists(enum special_kfunc_type___sluice, KF_bpf_cast_to_kern_ctx)) return CHECKSUM_UNKNOWN;
  const struct sk_buff___sluice* kernel = bpf_cast_to_kern_ctx(skb);
  return BPF_CORE_READ_BITFIELD(kernel, ip_summed);
}

/* Does the checksum field at `offset` hold the sum of the pseudo header alone (CHECKSUM_PARTIAL)? A kernel that does
 * not tell shows it: its helper leaves such a field alone unless the pseudo header changes, and changes every other
 * one. What it changed is lost. Invalidates packet pointers. */
static __always_inline bool is_checksum_partial(struct __sk_buff* skb, __u32 offset) {
  __u32 state = checksum_state(skb);
  if (state != CHECKSUM_UNKNOWN) return state == CHECKSUM_PARTIAL;
  __u16 before = 0, after = 0;
  if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)) || bpf_l4_csum_replace(skb, offset, 0, 1, 0) ||
      bpf_skb_load_bytes(skb, offset, &after, sizeof(after)))
    return false;
  return before == after;
}

#endif
