/* SPDX-License-Identifier: GPL-2.0 */
/* What a device can carry at once, and what a TCP segment says of it. */
#ifndef SLUICE_BPF_MTU_H
#define SLUICE_BPF_MTU_H

/* The device's MTU, 0 if it is gone. The helper's verdict is not asked: it lets every GSO packet pass unless told to
 * look at the segments, and for that it trusts the transport header's place, which not every device sets. */
static __noinline __u32 mtu_of(struct __sk_buff* skb, __u32 ifindex) {
  __u32 mtu = 0;
  return bpf_check_mtu(skb, ifindex, &mtu, 0, 0) < 0 ? 0 : mtu;
}

/* ---- maximum segment size -------------------------------------------------------------------------------------------
 */

/* The walk over a segment's options. */
struct mss_walk {
  struct __sk_buff* skb;
  __u32 offset; /* of the next option in the frame */
  __u32 end;    /* of the options */
  __u32 check;  /* offset of the checksum */
  __u16 most;
  __u16 failed;
};

#define TCP_OPTION_END 0
#define TCP_OPTION_NOTHING 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_LENGTH 4
#define TCP_OPTIONS_LENGTH 40

/* The kernel's helper, because it knows whether the checksum field holds a checksum. It wants words as they stand in
 * the sum: where the option begins at an odd place its bytes count in the two halves of two words, swapped. */
static __always_inline long write_mss(const struct mss_walk* walk, __u16 from) {
  __be16 mss = bpf_htons(walk->most);
  __u32 at = walk->offset + 2, old = bpf_htons(from), new = mss;
  if (at & 1) { /* headers before it are even in length */
    old = from;
    new = walk->most;
  }
  return bpf_l4_csum_replace(walk->skb, walk->check, old, new, sizeof(mss)) ||
         bpf_skb_store_bytes(walk->skb, at, &mss, sizeof(mss), 0);
}

/* One option (RFC 9293 3.1). What is no option ends the walk; an MSS of a wrong length is none, as for Linux. */
static long clamp_option(__u32 step, struct mss_walk* walk) {
  __u8 option[2];
  __be16 mss;
  __u32 left = walk->end - walk->offset;
  if (left < 1 || left > TCP_OPTIONS_LENGTH || bpf_skb_load_bytes(walk->skb, walk->offset, option, 1)) return 1;
  if (option[0] == TCP_OPTION_END) return 1;
  if (option[0] == TCP_OPTION_NOTHING) {
    walk->offset++;
    return 0;
  }
  if (left < 2 || bpf_skb_load_bytes(walk->skb, walk->offset, option, 2)) return 1;
  if (option[1] < 2 || option[1] > left) return 1;
  if (option[0] == TCP_OPTION_MSS && option[1] == TCP_OPTION_MSS_LENGTH) {
    if (bpf_skb_load_bytes(walk->skb, walk->offset + 2, &mss, sizeof(mss))) return 1;
    if (bpf_ntohs(mss) > walk->most && write_mss(walk, bpf_ntohs(mss))) {
      walk->failed = 1;
      return 1;
    }
  }
  walk->offset += option[1];
  return 0;
}

#endif
