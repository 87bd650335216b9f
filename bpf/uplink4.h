/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's first stage for IPv4 and ARP: what is not ours leaves after one load of the filter, untouched. */

/* Continues only with IPv4 whose destination has its filter bit. */
INLINE int ours_on_uplink(struct __sk_buff* skb, PACKET* p) {
  if (skb->vlan_present) return pass(p, SLUICE_REASON_FOREIGN);
  pull_headers(skb, PARSE_LENGTH);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return pass(p, SLUICE_REASON_FOREIGN);
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    take_addresses(ip, p);
    bool ours = in_frontend_filter(0, ip->daddr) && skb->pkt_type == PACKET_HOST;
    if (!ours) return pass(p, SLUICE_REASON_FOREIGN);
    p->ifindex = skb->ifindex;
    return CONTINUE;
  }
  if (ethernet->h_proto != bpf_htons(ETH_P_ARP) || skb->pkt_type == PACKET_OTHERHOST)
    return pass(p, SLUICE_REASON_FOREIGN);
  p->ifindex = skb->ifindex;
  return arp_from_uplink(skb, p);
}
