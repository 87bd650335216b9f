/* SPDX-License-Identifier: GPL-2.0 */
/* rewrite and deliver: carries out an action. Checksums are changed by precomputed differences (RFC 1624). */

INLINE void set_action_deltas(ACTION* action, const FLOW_KEY* key) {
  __u32 old_ports = sluice_ports_word(key->source_port, key->destination_port);
  __u32 new_ports = sluice_ports_word(action->new_source_port, action->new_destination_port);
  action->address_delta =
      checksum_fold(addresses_difference(key->source, key->destination, action->new_source, action->new_destination));
  action->port_delta =
      old_ports == new_ports ? 0 : checksum_fold(checksum_difference(old_ports, 0xFFFFFFFF, new_ports, 0));
}

/* With CHECKSUM_COMPLETE the kernel keeps the sum of the packet from the IP header on. In IPv4 the header's checksum
 * makes up for the hop that it counts, IPv6 has none. The call does nothing in any other state. */
INLINE void count_hop(struct __sk_buff* skb, const PACKET* p, __u32 state) {
  if (FAMILY == 6 && (state == CHECKSUM_COMPLETE || state == CHECKSUM_UNKNOWN))
    bpf_csum_update(skb, (__u16)~bpf_htons(1));
}

/* By the kernel's helpers, which know what the checksum field holds. Addresses are part of the pseudo header, ports are
 * not, hence two calls. */
INLINE int rewrite_checksum_by_helper(struct __sk_buff* skb, const PACKET* p, __u32 offset) {
  const ACTION* action = &p->action;
  __u64 flags = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
  if (bpf_l4_csum_replace(skb, offset, 0, action->address_delta, flags | BPF_F_PSEUDO_HDR)) return -1;
#if FAMILY == 6
  /* With CHECKSUM_COMPLETE the helper makes up for an IPv4 header checksum, which IPv6 does not have (kernel
   * commit ead7f9b8de65, "bpf: Fix L4 csum update on IPv6 in CHECKSUM_COMPLETE" gives the helper a flag for it). */
  bpf_csum_update(skb, action->address_delta);
#endif
  return action->port_delta ? (int)bpf_l4_csum_replace(skb, offset, 0, action->port_delta, flags) : 0;
}

/* SCTP's CRC32c does not cover the addresses. With CHECKSUM_PARTIAL the field is zero and whoever sends the packet
 * computes it; where the kernel does not tell, a zero field means that (a computed one is zero once in 2^32 packets).
 * With CHECKSUM_COMPLETE the kernel keeps a sum of the packet, in which the field counts like any other bytes. */
OUTLINE int rewrite_sctp(struct __sk_buff* skb, const PACKET* p) {
  const ACTION* action = &p->action;
  __u32 old_ports = sluice_ports_word(p->key.source_port, p->key.destination_port);
  __u32 new_ports = sluice_ports_word(action->new_source_port, action->new_destination_port);
  __u32 change = old_ports == new_ports ? 0 : crc32c_change(old_ports ^ new_ports, p->payload);
  __u32 state = checksum_state(skb);
  count_hop(skb, p, state);
  __u32* check = (void*)(long)skb->data + l4_offset(p) + 2 * sizeof(*check);
  if ((void*)(check + 1) > (void*)(long)skb->data_end) return -1;
  if (state == CHECKSUM_PARTIAL || (state == CHECKSUM_UNKNOWN && !*check)) return 0;
  __u32 before = *check, after = before ^ change;
  *check = after;
  if (state == CHECKSUM_NONE || state == CHECKSUM_UNNECESSARY) return 0;
  __u64 sum = (__u64)action->port_delta + (__u32)~before + after + (FAMILY == 6 ? action->address_delta : 0);
  bpf_csum_update(skb, checksum_fold32(sum));
  return 0;
}

/* By hand it is the same, for a tenth of what the two calls cost. With CHECKSUM_PARTIAL the field holds the sum of the
 * pseudo header alone, not complemented, and whoever sends the packet adds the rest: the new ports will be in it. With
 * CHECKSUM_COMPLETE the kernel keeps the sum of the packet from the IP header on, which changes by what no checksum in
 * it makes up for: in IPv4 the header's and the transport's both do for the addresses, one too many. */
INLINE int rewrite_transport_checksum(struct __sk_buff* skb, const PACKET* p) {
  const ACTION* action = &p->action;
  if (p->protocol == IPPROTO_SCTP) return rewrite_sctp(skb, p);
  bool udp = p->protocol == IPPROTO_UDP;
  __u32 field = udp                            ? __builtin_offsetof(struct udphdr, check)
                : p->protocol == ICMP_PROTOCOL ? __builtin_offsetof(struct icmp_header, checksum)
                                               : __builtin_offsetof(struct tcphdr, check);
  __u16* check = (void*)(long)skb->data + l4_offset(p) + field;
  if ((void*)(check + 1) > (void*)(long)skb->data_end) return -1;
  __u32 state = checksum_state(skb);
  count_hop(skb, p, state);
  if (udp && *check == 0) { /* none, and stays so; the call does nothing unless the state is CHECKSUM_COMPLETE */
    __u64 change = (__u64)action->port_delta + (FAMILY == 6 ? action->address_delta : 0);
    if (state == CHECKSUM_COMPLETE || state == CHECKSUM_UNKNOWN) bpf_csum_update(skb, checksum_fold32(change));
    return 0;
  }
  if (state == CHECKSUM_UNKNOWN) return rewrite_checksum_by_helper(skb, p, l4_offset(p) + field);
  if (FAMILY == 4 && state == CHECKSUM_COMPLETE) bpf_csum_update(skb, ~(__u32)action->address_delta);
  __u16 changed = state == CHECKSUM_PARTIAL
                      ? checksum_fold((__u64)*check + action->address_delta)
                      : ~checksum_fold((__u64)(__u16) ~*check + action->address_delta + action->port_delta);
  *check = udp && !changed ? 0xFFFF : changed;
  return 0;
}

#if FAMILY == 4
/* ICMP has no pseudo header, so only an echo's identifier changes its checksum; and hosts compute it themselves. */
INLINE int rewrite_echo_checksum(struct __sk_buff* skb, const PACKET* p) {
  struct icmp_header* icmp = (void*)(long)skb->data + l4_offset(p);
  if ((void*)(icmp + 1) > (void*)(long)skb->data_end) return -1;
  if (p->action.port_delta) icmp->checksum = ~checksum_fold((__u64)(__u16)~icmp->checksum + p->action.port_delta);
  return 0;
}
#endif

/* A later fragment has no transport header; the first one's checksum makes up for the addresses and ports of the whole
 * datagram. With CHECKSUM_COMPLETE the kernel has a sum for each fragment, of which IPv6 addresses change this one's.
 */
OUTLINE int rewrite_later(struct __sk_buff* skb, const PACKET* p) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  const ACTION* action = &p->action;
  count_hop(skb, p, CHECKSUM_UNKNOWN);
  if (FAMILY == 6) bpf_csum_update(skb, action->address_delta);
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return SLUICE_REASON_REWRITE_FAILED;
  route_ip(ip, action->new_source, action->new_destination, action->address_delta);
  if (action->delivery != SLUICE_DELIVER_UPLINK) {
    copy_mac(ethernet->h_dest, action->destination_mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  return 0;
}

/* Addresses, ports, IP header checksum; Ethernet addresses when the receiver is a pod. 0, or a reason. */
INLINE int rewrite(struct __sk_buff* skb, const PACKET* p) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  const ACTION* action = &p->action;
  bool ports = p->protocol != ICMP_PROTOCOL;
#if FAMILY == 4
  if (!ports && rewrite_echo_checksum(skb, p)) return SLUICE_REASON_REWRITE_FAILED;
#endif
  /* ICMPv6 has the addresses in its checksum, ICMP does not. */
  if ((ports || FAMILY == 6) && rewrite_transport_checksum(skb, p)) return SLUICE_REASON_REWRITE_FAILED;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  __be16* port = (void*)(long)skb->data + l4_offset(p);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return SLUICE_REASON_REWRITE_FAILED;
  if ((void*)(port + 3) > (void*)(long)skb->data_end) return SLUICE_REASON_REWRITE_FAILED;
  route_ip(ip, action->new_source, action->new_destination, action->address_delta);
  if (ports) {
    port[0] = action->new_source_port;
    port[1] = action->new_destination_port;
  } else if (action->port_delta) {
    port[2] = action->new_source_port | action->new_destination_port; /* an echo's identifier; the other is 0 */
  }
  if (action->delivery != SLUICE_DELIVER_UPLINK) {
    copy_mac(ethernet->h_dest, action->destination_mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  return 0;
}

/* Sends to action's device. The stack of the receiving namespace looks at the packet type that eth_type_trans
 * chose for the first device; bpf_redirect_peer keeps it, so it must say "for this host". */
INLINE long deliver(struct __sk_buff* skb, const ACTION* action) {
  switch (action->delivery) {
    case SLUICE_DELIVER_PEER:
      if (skb->pkt_type != PACKET_HOST) bpf_skb_change_type(skb, PACKET_HOST);
      return bpf_redirect_peer(action->ifindex, 0);
    case SLUICE_DELIVER_DEVICE:
      return bpf_redirect(action->ifindex, 0);
    case SLUICE_DELIVER_UPLINK:
      return bpf_redirect_neigh(action->ifindex, 0, 0, 0);
    default:
      return TC_ACT_SHOT;
  }
}

/* The CRC of a datagram depends on its length, which the first fragment does not tell. */
INLINE bool is_uncountable(const PACKET* p) {
  return p->fragment && p->protocol == IPPROTO_SCTP && p->action.port_delta;
}

INLINE int carry_out(struct __sk_buff* skb, PACKET* p) {
  if (is_uncountable(p)) return drop(p, SLUICE_REASON_FRAGMENT);
  int failed = crosses_with_syn(p) ? clamp_mss(skb, p) : 0;
  if (!failed) failed = is_later_fragment(p) ? rewrite_later(skb, p) : rewrite(skb, p);
  if (failed) return drop(p, failed);
  int reason = p->action.delivery == SLUICE_DELIVER_UPLINK ? SLUICE_REASON_TO_EGRESS : SLUICE_REASON_TO_BACKEND;
  if (p->action.role == SLUICE_FLOW_REVERSE)
    reason = p->action.delivery == SLUICE_DELIVER_UPLINK ? SLUICE_REASON_TO_UPLINK : SLUICE_REASON_TO_CLIENT;
  return forward(p, deliver(skb, &p->action), reason);
}
