/* SPDX-License-Identifier: GPL-2.0 */
/* Packets that are too long for where they go, and TCP's maximum segment size, which keeps most of them from being so.
 */

/* The longest of what will be sent, without the Ethernet header: the packet, or its segments if it is a GSO packet. */
INLINE __u32 carried_length(const struct __sk_buff* skb, const PACKET* p) {
  __u32 whole = p->length - ETHERNET_LENGTH, segment = skb->gso_size;
  if (!segment) return whole;
  segment += p->protocol == IPPROTO_TCP ? whole - p->payload : l4_offset(p) - ETHERNET_LENGTH + UDP_LENGTH;
  return segment < whole ? segment : whole;
}

OUTLINE __u32 exceeded_mtu_of(struct __sk_buff* skb, const PACKET* p, __u32 ifindex) {
  __u32 mtu = mtu_of(skb, ifindex);
  return mtu && carried_length(skb, p) > mtu ? mtu : 0;
}

/* The MTU of the device if the packet exceeds it, else 0. What fits everywhere costs one comparison. */
INLINE __u32 exceeded_mtu(struct __sk_buff* skb, const PACKET* p, __u32 ifindex) {
  const struct sluice_settings* set = get_settings();
  return set && p->length - ETHERNET_LENGTH > set->smallest_mtu ? exceeded_mtu_of(skb, p, ifindex) : 0;
}

INLINE bool is_too_long(struct __sk_buff* skb, PACKET* p, __u32 ifindex) {
  __u32 mtu = exceeded_mtu(skb, p, ifindex);
  if (mtu) p->mtu = mtu;
  return mtu;
}

/* Neither side of a connection that crosses the network's border shall send segments that the other side's device, or
 * the uplink, cannot carry: path-MTU discovery alone would do if nobody on the way filtered its messages. Packet
 * pointers end here. 0 or a reason. */
OUTLINE int clamp_mss(struct __sk_buff* skb, const PACKET* p) {
  __u32 inner = mtu_of(skb, p->ifindex), mtu = mtu_of(skb, p->action.ifindex);
  struct mss_walk walk = {.skb = skb, .offset = l4_offset(p) + TCP_LENGTH};
  __u8 header = 0;
  if (inner < mtu) mtu = inner;
  if (mtu <= IP_LENGTH + TCP_LENGTH) return 0; /* a device is gone: nothing will be delivered */
  mtu -= IP_LENGTH + TCP_LENGTH;
  walk.most = mtu < 0xFFFF ? mtu : 0xFFFF;
  walk.check = l4_offset(p) + __builtin_offsetof(struct tcphdr, check);
  if (bpf_skb_load_bytes(skb, l4_offset(p) + 12, &header, sizeof(header))) return SLUICE_REASON_REWRITE_FAILED;
  walk.end = l4_offset(p) + (header >> 4) * 4;
  bpf_loop(TCP_OPTIONS_LENGTH, clamp_option, &walk, 0);
  return walk.failed ? SLUICE_REASON_REWRITE_FAILED : 0;
}

/* Does the packet open a connection across the network's border? */
INLINE bool crosses_with_syn(const PACKET* p) {
  return (p->tcp_flags & TCP_SYN) && !is_later_fragment(p) &&
         (p->entry == SLUICE_ENTRY_FROM_UPLINK || p->action.delivery == SLUICE_DELIVER_UPLINK);
}
