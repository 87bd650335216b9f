/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's first stage for IPv6. */

/* Continues only with IPv6 whose destination has its filter bit, or answers a question about a floating IP. Those come
 * to a group address as a rule, which has no bit; they are rare, so looking closer costs the others nothing. */
INLINE int ours_on_uplink(struct __sk_buff* skb, PACKET* p) {
  if (skb->vlan_present) return foreign(skb);
  pull_headers(skb, PARSE_LENGTH);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end || ethernet->h_proto != bpf_htons(ETH_P_IPV6)) return foreign(skb);
  take_addresses(ip, p);
  if (skb->pkt_type == PACKET_OTHERHOST) return foreign(skb);
  bool ours = in_frontend_filter(0, p->key.destination);
  if (!ours && !is_multicast6(p->key.destination)) return foreign(skb);
  begin_on_uplink(skb, p);
  __u32 length = 0;
  take_protocol(ip, p);
  if (nd_type(skb, p)) return parse_ip_fields(ip, p, &length) ? foreign(skb) : nd_from_uplink(skb, p, length);
  return ours && skb->pkt_type == PACKET_HOST ? CONTINUE : foreign(skb);
}
