/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's first stage for IPv4 and ARP: what is not ours leaves after one load of the filter, untouched. */

/* Continues only with IPv4 whose destination has its filter bit; `p` begins there. */
INLINE int ours_on_uplink(struct __sk_buff* skb, PACKET* p) {
  if (skb->vlan_present) return foreign(skb);
  pull_headers(skb, PARSE_LENGTH);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return foreign(skb);
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    bool ours = in_frontend_filter(0, ip->daddr) && skb->pkt_type == PACKET_HOST;
    if (!ours) return foreign(skb);
    begin_on_uplink(skb, p);
    take_addresses(ip, p);
    return CONTINUE;
  }
  if (ethernet->h_proto != bpf_htons(ETH_P_ARP) || skb->pkt_type == PACKET_OTHERHOST) return foreign(skb);
  begin_on_uplink(skb, p);
  return arp_from_uplink(skb, p);
}
