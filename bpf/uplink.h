/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's own first stages: what is not ours leaves after one load of the filter, untouched. */
#ifndef SLUICE_BPF_UPLINK_H
#define SLUICE_BPF_UPLINK_H

/* Continues only with IPv4 whose destination has its filter bit. */
static __always_inline int ours_on_uplink(struct __sk_buff* skb, struct packet* p) {
  if (skb->vlan_present) return pass(p, SLUICE_REASON_FOREIGN);
  pull_headers(skb);
  const struct ethhdr* ethernet = (void*)(long)skb->data;
  const struct iphdr* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return pass(p, SLUICE_REASON_FOREIGN);
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    p->key.source = ip->saddr;
    p->key.destination = ip->daddr;
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

/* Header checks. What has a filter bit by chance only must not be judged, so a failing packet is looked up. */
static __always_inline int shape_on_uplink(struct __sk_buff* skb, struct packet* p, __u32* total) {
  const void *data = (void*)(long)skb->data, *end = (void*)(long)skb->data_end;
  const struct iphdr* ip = data + ETHERNET_LENGTH;
  if ((void*)(ip + 1) > end) return pass(p, SLUICE_REASON_FOREIGN);
  int reason = check_uplink_shape(ip, p, total);
  if (!reason) {
    p->protocol = ip->protocol;
    p->key.network_protocol = (__u32)p->protocol << 24; /* network 0 */
    reason = parse_transport(data, end, p, *total);
  }
  if (!reason) return CONTINUE;
  return is_floating(p->key.destination) ? drop(p, reason) : pass(p, SLUICE_REASON_FOREIGN);
}

/* On a flow miss: is the destination really a floating IP, and the source none? */
static __noinline int admit_on_uplink(struct packet* p) {
  if (!is_floating(p->key.destination)) return pass(p, SLUICE_REASON_FOREIGN);
  if (is_floating(p->key.source)) return drop(p, SLUICE_REASON_MARTIAN);
  return CONTINUE;
}

/* ---- XDP: drop before an skb exists --------------------------------------------------------------------------------
 */

static __always_inline int xdp_verdict(const struct packet* p, enum sluice_reason reason, int action) {
  count(p, reason);
  return action;
}

static __noinline int xdp_early_drop(struct xdp_md* xdp) {
  const void *data = (void*)(long)xdp->data, *end = (void*)(long)xdp->data_end;
  struct packet p = {.entry = SLUICE_ENTRY_UPLINK_XDP, .length = (__u32)(end - data)};
  const struct ethhdr* ethernet = data;
  const struct iphdr* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || !is_floating(ip->daddr))
    return xdp_verdict(&p, SLUICE_REASON_FOREIGN, XDP_PASS);
  p.key.source = ip->saddr;
  p.key.destination = ip->daddr;
  __u32 total = 0;
  int reason = check_uplink_shape(ip, &p, &total);
  if (reason) return xdp_verdict(&p, reason, XDP_DROP);
  return xdp_verdict(&p, SLUICE_REASON_XDP_TO_TC, XDP_PASS);
}

#endif
