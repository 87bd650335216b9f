/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's own stages, behind those that look for what is ours (uplink4.h, uplink6.h). */

/* Header checks. What has a filter bit by chance only must not be judged, so a failing packet is looked up. */
INLINE int shape_on_uplink(struct __sk_buff* skb, PACKET* p, __u32* length) {
  const IP_HEADER* ip = (void*)(long)skb->data + ETHERNET_LENGTH;
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return pass(p, SLUICE_REASON_FOREIGN);
  int reason = check_uplink_shape(ip, p, length); /* network 0 */
  if (!reason) {
    take_protocol(ip, p);
    p->router = p->key.destination;
#if FAMILY == 6
    reason = find_transport(skb, p, length);
#else
    reason = take_fragment(ip, p, *length);
#endif
  }
  if (!reason) reason = parse_transport((void*)(long)skb->data, (void*)(long)skb->data_end, p, *length);
  if (!reason) return CONTINUE;
  return is_floating(p->key.destination) ? drop(p, reason) : pass(p, SLUICE_REASON_FOREIGN);
}

/* On a flow miss: is the destination really a floating IP, and the source none? */
OUTLINE int admit_on_uplink(PACKET* p) {
  if (!is_floating(p->key.destination)) return pass(p, SLUICE_REASON_FOREIGN);
  if (is_floating(p->key.source)) return drop(p, SLUICE_REASON_MARTIAN);
  return CONTINUE;
}

/* ---- XDP: drop before an skb exists ----------------------------------------------------------------------------- */

/* Is the frame for this device? What is for another host's MAC is the host's to ignore. */
INLINE bool is_for_uplink(const PACKET* p, const struct ethhdr* ethernet) {
  __u8 mac[6];
  return uplink_mac(p, mac) && same_mac(ethernet->h_dest, mac);
}

/* `p` has nothing in it yet, and needs nothing for what is not ours. */
INLINE int xdp_early_drop(struct xdp_md* xdp, PACKET* p, __u32 frame) {
  const void *data = (void*)(long)xdp->data, *end = (void*)(long)xdp->data_end;
  const struct ethhdr* ethernet = data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > end) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  take_addresses(ip, p);
  if (!in_frontend_filter(0, p->key.destination)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  begin_packet(p, SLUICE_ENTRY_UPLINK_XDP, frame);
  if (!is_floating(p->key.destination)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  p->ifindex = xdp->ingress_ifindex;
  __u32 length = 0;
  int reason = check_uplink_shape(ip, p, &length);
  if (!reason) return xdp_verdict(frame, SLUICE_REASON_XDP_TO_TC, XDP_PASS);
  if (!is_for_uplink(p, ethernet)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  return xdp_verdict(frame, reason, XDP_DROP);
}
