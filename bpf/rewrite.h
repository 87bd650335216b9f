/* SPDX-License-Identifier: GPL-2.0 */
/* rewrite and deliver: carries out an action. Checksums are changed by precomputed differences (RFC 1624). */
#ifndef SLUICE_BPF_REWRITE_H
#define SLUICE_BPF_REWRITE_H

static __always_inline void set_action_deltas(struct action* action, const struct sluice_flow4_key* key) {
  __u32 old_ports = (__u32)(__u16)key->source_port | (__u32)(__u16)key->destination_port << 16;
  __u32 new_ports = (__u32)(__u16)action->new_source_port | (__u32)(__u16)action->new_destination_port << 16;
  action->address_delta =
      checksum_difference(key->source, key->destination, action->new_source, action->new_destination);
  action->port_delta = old_ports == new_ports ? 0 : checksum_difference(old_ports, 0xFFFFFFFF, new_ports, 0);
}

/* By the kernel's helpers, which know what the checksum field holds. Addresses are part of the pseudo header, ports are
 * not, hence two calls. */
static __always_inline int rewrite_checksum_by_helper(struct __sk_buff* skb, const struct packet* p, __u32 offset) {
  const struct action* action = &p->action;
  __u64 flags = p->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
  if (bpf_l4_csum_replace(skb, offset, 0, action->address_delta, flags | BPF_F_PSEUDO_HDR)) return -1;
  return action->port_delta ? (int)bpf_l4_csum_replace(skb, offset, 0, action->port_delta, flags) : 0;
}

/* By hand it is the same, for a tenth of what the two calls cost. With CHECKSUM_PARTIAL the field holds the sum of the
 * pseudo header alone, not complemented, and whoever sends the packet adds the rest: the new ports will be in it. With
 * CHECKSUM_COMPLETE the kernel keeps the sum of the packet, which changes by what the field does not make up for. */
static __always_inline int rewrite_transport_checksum(struct __sk_buff* skb, const struct packet* p) {
  const struct action* action = &p->action;
  bool udp = p->protocol == IPPROTO_UDP;
  __u32 offset =
      L4_OFFSET + (udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check));
  __u16* check = (void*)(long)skb->data + offset;
  if ((void*)(check + 1) > (void*)(long)skb->data_end) return -1;
  __u32 state = checksum_state(skb);
  if (udp && *check == 0) { /* none, and stays so; the call does nothing unless the state is CHECKSUM_COMPLETE */
    if (state == CHECKSUM_COMPLETE || state == CHECKSUM_UNKNOWN) bpf_csum_update(skb, action->port_delta);
    return 0;
  }
  if (state == CHECKSUM_UNKNOWN) return rewrite_checksum_by_helper(skb, p, offset);
  if (state == CHECKSUM_COMPLETE) bpf_csum_update(skb, ~action->address_delta);
  __u16 changed = state == CHECKSUM_PARTIAL
                      ? checksum_fold((__u64)*check + action->address_delta)
                      : ~checksum_fold((__u64)(__u16) ~*check + action->address_delta + action->port_delta);
  *check = udp && !changed ? 0xFFFF : changed;
  return 0;
}

/* Addresses, ports, IP header checksum; Ethernet addresses when the receiver is a pod. 0, or a reason. */
static __always_inline int rewrite(struct __sk_buff* skb, const struct packet* p) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  const struct action* action = &p->action;
  bool ports = p->protocol != IPPROTO_ICMP;
  if (ports && rewrite_transport_checksum(skb, p)) return SLUICE_REASON_REWRITE_FAILED;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  struct iphdr* ip = (void*)(ethernet + 1);
  __be16* port = (void*)(ip + 1);
  if ((void*)(port + 2) > (void*)(long)skb->data_end) return SLUICE_REASON_REWRITE_FAILED;
  ip->check = (__u16)~checksum_fold((__u64)(__u16)~ip->check + action->address_delta);
  ip->saddr = action->new_source;
  ip->daddr = action->new_destination;
  if (ports) {
    port[0] = action->new_source_port;
    port[1] = action->new_destination_port;
  }
  if (action->delivery != SLUICE_DELIVER_UPLINK) {
    copy_mac(ethernet->h_dest, action->destination_mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  return 0;
}

/* Sends to action's device. The stack of the receiving namespace looks at the packet type that eth_type_trans
 * chose for the first device; bpf_redirect_peer keeps it, so it must say "for this host". */
static __always_inline long deliver(struct __sk_buff* skb, const struct action* action) {
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

static __always_inline int carry_out(struct __sk_buff* skb, struct packet* p) {
  int failed = rewrite(skb, p);
  if (failed) return drop(p, failed);
  int reason = SLUICE_REASON_TO_BACKEND;
  if (p->action.role == SLUICE_FLOW_REVERSE)
    reason = p->action.delivery == SLUICE_DELIVER_UPLINK ? SLUICE_REASON_TO_UPLINK : SLUICE_REASON_TO_CLIENT;
  return forward(p, deliver(skb, &p->action), reason);
}

#endif
